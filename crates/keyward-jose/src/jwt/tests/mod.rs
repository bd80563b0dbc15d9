mod attacks;
mod nested;
mod profile;

use super::{Claims, Profile, ProfileBuilder, peek, sign, sign_with, verify};
use crate::jws::tests::forge;
use crate::signature::test_keys::{for_algorithm, named, oct};
use crate::signature::tests::futures_now;
use crate::{Error, Key, LocalSigner, NumericDate, SignatureAlgorithm as A, Verifiers};
use proptest::prelude::*;
use serde_json::Value;

const NOW: NumericDate = NumericDate(1_700_000_000);
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "https://api.example";

fn key() -> Key {
    named("k", &oct(b"0123456789abcdef0123456789abcdef"))
}

fn verifiers() -> Verifiers {
    Verifiers::new(&[key()], &[])
}

fn strict() -> ProfileBuilder {
    Profile::builder().issuer(ISSUER).audience(AUDIENCE)
}

/// Claims that a strict profile takes.
fn good() -> Claims {
    Claims::new()
        .with_issuer(ISSUER)
        .with_subject("alice")
        .with_audience([AUDIENCE])
        .with_expiry(NOW.plus(60))
        .with_issued_at(NOW)
}

/// What comes of claims with a good signature, by its code.
fn verify_text(claims: &str, profile: ProfileBuilder) -> Result<Claims, Error> {
    let token = forge(
        r#"{"alg":"HS256","kid":"k"}"#,
        claims.as_bytes(),
        &key(),
        A::Hs256,
    );
    let profile = profile.build().unwrap();
    verify(&token, &verifiers(), &profile, NOW).map(|verified| verified.claims)
}

#[test]
fn token_is_signed_read_and_verified() {
    for algorithm in A::ALL.iter().copied() {
        let key = named("k", &for_algorithm(algorithm));
        let signer = LocalSigner::new(&key, algorithm).unwrap();
        let verifiers = Verifiers::new(&[key], &[algorithm]);
        let claims = good().with_scopes(["read", "write"]);
        let profile = strict().typ("at+jwt").build().unwrap();
        let token = sign(&claims, &signer, "at+jwt").unwrap();
        assert_eq!(peek(&token).unwrap().claims().subject(), Some("alice"));
        let verified = verify(&token, &verifiers, &profile, NOW).unwrap();
        assert_eq!(verified.claims, claims);
        assert_eq!(verified.header.algorithm(), Ok(algorithm));
        assert_eq!(verified.header.kid(), Some("k"));
        assert_eq!(verified.header.typ(), Some("at+jwt"));
        let token = futures_now(sign_with(&claims, &signer, "at+jwt")).unwrap();
        assert!(verify(&token, &verifiers, &profile, NOW).is_ok());
        assert!(token.len() < super::TOKEN_MAX);
    }
}

#[test]
fn claims_are_read_by_their_types() {
    let claims = Claims::parse(
        br#"{"iss":"i","sub":"s","aud":["a","b"],"exp":1700000000.5,"nbf":-1,"iat":1e9,"jti":"j","scope":" read  write ","x":{"y":[1]}}"#,
        1000,
    )
    .unwrap();
    assert_eq!(claims.issuer(), Some("i"));
    assert_eq!(claims.subject(), Some("s"));
    assert_eq!(claims.audiences().iter().collect::<Vec<_>>(), ["a", "b"]);
    assert!(claims.audiences().contains("b") && !claims.audiences().contains("c"));
    assert_eq!(claims.expiry(), Some(NOW));
    assert_eq!(claims.not_before(), Some(NumericDate(-1)));
    assert_eq!(claims.issued_at(), Some(NumericDate(1_000_000_000)));
    assert_eq!(claims.token_id(), Some("j"));
    assert_eq!(claims.scopes().collect::<Vec<_>>(), ["read", "write"]);
    assert!(claims.has_scope("read") && !claims.has_scope("rea"));
    assert_eq!(claims.get("x").unwrap()["y"][0], 1);
    let empty = Claims::parse(b"{}", 1000).unwrap();
    assert!(empty.audiences().is_empty());
    assert_eq!(
        (empty.issuer(), empty.expiry(), empty.scopes().next()),
        (None, None, None)
    );
}

#[test]
fn one_audience_is_written_as_text_and_several_as_a_list() {
    let write = |audiences: &[&str]| {
        let claims = Claims::new().with_audience(audiences.iter().copied());
        claims.get("aud").unwrap().to_string()
    };
    assert_eq!(write(&["a"]), r#""a""#);
    assert_eq!(write(&["a", "b"]), r#"["a","b"]"#);
    assert_eq!(write(&[]), "[]");
}

proptest! {
    /// Any claims of the right types come back as they were signed.
    #[test]
    fn any_claims_come_back(
        subject in ".{0,30}",
        audience in prop::collection::vec(".{1,10}", 1..4),
        lives in 1_u64..1_000_000,
        name in "[a-z]{4,8}",
        value in prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
            prop::collection::vec(any::<u32>(), 0..5).prop_map(Value::from),
        ],
    ) {
        prop_assume!(name != "scope");
        let signer = LocalSigner::new(&key(), A::Hs256).unwrap();
        let claims = Claims::new()
            .with_issuer(ISSUER)
            .with_subject(subject)
            .with_audience(audience.clone())
            .with_expiry(NOW.plus(lives))
            .with(&name, value)
            .unwrap();
        let token = sign(&claims, &signer, "JWT").unwrap();
        let profile = Profile::builder().issuer(ISSUER).audience(&audience[0]).build().unwrap();
        let verified = verify(&token, &verifiers(), &profile, NOW).unwrap();
        prop_assert_eq!(verified.claims, claims);
        let over = verify(&token, &verifiers(), &profile, NOW.plus(lives)).unwrap_err();
        prop_assert_eq!(over, Error::Expired(0));
    }
}
