//! What must not pass, however it is put.

use super::{AUDIENCE, ISSUER, NOW, good, key, strict, verifiers, verify_text};
use crate::jws::tests::forge;
use crate::jwt::{Claims, Profile, peek, sign, verify};
use crate::signature::test_keys::{named, oct};
use crate::{Error, LocalSigner, SignatureAlgorithm as A, Verifiers};
use serde_json::{Value, json};

#[test]
fn wrong_typed_claims_are_refused() {
    let wrong: [(&str, &[Value]); 8] = [
        ("iss", &[json!(7), json!(null), json!([ISSUER]), json!({})]),
        (
            "sub",
            &[json!(7), json!(null), json!(["alice"]), json!(true)],
        ),
        (
            "aud",
            &[
                json!(7),
                json!(null),
                json!([7]),
                json!([AUDIENCE, 7]),
                json!([[AUDIENCE]]),
                json!({}),
            ],
        ),
        (
            "exp",
            &[
                json!("1800000000"),
                json!(null),
                json!(true),
                json!([1]),
                json!(1.8e300),
                json!(1_800_000_000_000_u64),
            ],
        ),
        ("nbf", &[json!("0"), json!(null), json!([]), json!(1e20)]),
        ("iat", &[json!("0"), json!(null), json!({}), json!(-1e20)]),
        ("jti", &[json!(7), json!(null), json!([])]),
        ("scope", &[json!(["read", 7]), json!(null), json!(7)]),
    ];
    for (name, values) in wrong {
        for value in values {
            let mut map = good().into_map();
            map.insert(name.to_owned(), value.clone());
            let text = serde_json::to_string(&map).unwrap();
            // Even for a profile that does not care for that claim.
            let open = Profile::builder()
                .any_issuer()
                .any_audience()
                .expiry_optional();
            for profile in [strict(), open] {
                let error = verify_text(&text, profile).unwrap_err();
                assert_eq!(error.code(), "claim_malformed", "{text}");
            }
            let error = Claims::new().with(name, value.clone()).unwrap_err();
            assert_eq!(error.code(), "claim_malformed");
        }
    }
}

#[test]
fn duplicate_claims_are_refused() {
    let rest = format!(r#""iss":"{ISSUER}","aud":"{AUDIENCE}""#);
    for text in [
        format!(r#"{{{rest},"exp":1800000000,"exp":1}}"#),
        format!(r#"{{{rest},"exp":1800000000,"\u0065xp":1}}"#),
        format!(r#"{{{rest},"exp":1800000000,"x":{{"y":1,"y":2}}}}"#),
        format!(r#"{{{rest},"exp":1800000000,"x":[{{"y":1,"y":2}}]}}"#),
    ] {
        assert_eq!(
            verify_text(&text, strict()).unwrap_err().code(),
            "json",
            "{text}"
        );
    }
}

#[test]
fn claims_that_are_no_object_are_refused() {
    for text in [
        "",
        "[]",
        "7",
        "null",
        "\"x\"",
        "{}{}",
        "{\"a\":1,}",
        "\u{feff}{}",
        "{'a':1}",
    ] {
        assert_eq!(
            verify_text(text, strict()).unwrap_err().code(),
            "json",
            "{text:?}"
        );
    }
}

#[test]
fn deeply_nested_claims_are_refused() {
    let nested = |levels: usize| {
        let open = Profile::builder()
            .any_issuer()
            .any_audience()
            .expiry_optional();
        let text = format!(r#"{{"x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        verify_text(&text, open)
    };
    assert!(nested(31).is_ok());
    assert_eq!(nested(32).unwrap_err().code(), "json");
    assert_eq!(nested(5_000).unwrap_err().code(), "json");
}

#[test]
fn huge_token_is_refused_before_it_is_read() {
    let huge = "a".repeat(super::super::TOKEN_MAX + 1);
    assert_eq!(peek(&huge).unwrap_err().code(), "too_large");
}

#[test]
fn expiry_is_checked_without_being_asked_for() {
    let text = format!(r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","exp":1}}"#);
    assert_eq!(verify_text(&text, strict()).unwrap_err().code(), "expired");
    let text = format!(r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}"}}"#);
    let missing = Error::ClaimMissing("exp".to_owned());
    assert_eq!(verify_text(&text, strict()), Err(missing));
}

#[test]
fn id_token_as_access_token_is_refused() {
    let signer = LocalSigner::new(&key(), A::Hs256).unwrap();
    let profile = strict().typ("at+jwt").build().unwrap();
    // An ID token names the client as its audience and says `JWT`; be it one or the other alone.
    let id_token = good().with_audience(["client-7"]);
    for (claims, typ, refusal) in [
        (&id_token, "JWT", Error::TypeMismatch),
        (&id_token, "at+jwt", Error::AudienceMismatch),
        (&good(), "JWT", Error::TypeMismatch),
        (&good(), "logout+jwt", Error::TypeMismatch),
    ] {
        let token = sign(claims, &signer, typ).unwrap();
        assert_eq!(verify(&token, &verifiers(), &profile, NOW), Err(refusal));
    }
}

#[test]
fn nothing_is_said_about_claims_of_a_token_with_a_bad_signature() {
    let other = named("k", &oct(&[1; 32]));
    let token = forge(
        r#"{"alg":"HS256","kid":"k"}"#,
        br#"{"exp":1}"#,
        &other,
        A::Hs256,
    );
    let profile = strict().build().unwrap();
    assert_eq!(
        verify(&token, &verifiers(), &profile, NOW),
        Err(Error::SignatureInvalid)
    );
}

#[test]
fn unencoded_claims_are_refused() {
    let header = r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#;
    let token = forge(header, b"{}", &key(), A::Hs256);
    assert_eq!(peek(&token).unwrap_err().code(), "header");
}

#[test]
fn encrypted_token_where_a_signed_one_is_expected_is_refused() {
    let profile = strict().build().unwrap();
    let five = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..AAAA.AAAA.AAAA";
    let error = verify(five, &verifiers(), &profile, NOW).unwrap_err();
    assert_eq!(error.code(), "serialization");
}

#[test]
fn token_of_another_key_set_is_refused() {
    let signer = LocalSigner::new(&key(), A::Hs256).unwrap();
    let token = sign(&good(), &signer, "JWT").unwrap();
    let profile = strict().build().unwrap();
    let others = Verifiers::new(&[named("other", &oct(&[1; 32]))], &[]);
    assert_eq!(
        verify(&token, &others, &profile, NOW).unwrap_err().code(),
        "key_unknown"
    );
    let none = Verifiers::new(&[], &[]);
    assert_eq!(
        verify(&token, &none, &profile, NOW).unwrap_err().code(),
        "algorithm_not_allowed"
    );
}

#[test]
fn token_read_before_is_still_bound_by_the_profile() {
    let token = sign(
        &good().with_subject("x".repeat(2_000)),
        &LocalSigner::new(&key(), A::Hs256).unwrap(),
        "JWT",
    )
    .unwrap();
    let check = |size_max: usize, code: Option<&str>| {
        let profile = strict().size_max(size_max).build().unwrap();
        let verified = peek(&token).unwrap().verify(&verifiers(), &profile, NOW);
        assert_eq!(verified.err().map(|error| error.code()), code, "{size_max}");
        let verified = verify(&token, &verifiers(), &profile, NOW);
        assert_eq!(verified.err().map(|error| error.code()), code, "{size_max}");
    };
    check(token.len(), None);
    check(token.len() - 1, Some("too_large"));
}
