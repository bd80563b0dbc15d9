//! What must not pass, however it is put.

use super::{forge, sign_text};
use crate::base64url;
use crate::jws::{Header, compact, flattened, general};
use crate::key::{Encoding, Part};
use crate::signature::test_keys::{for_algorithm, named, oct, public, rsa};
use crate::{Error, Key, LocalSigner, SignatureAlgorithm as A, Verifiers};
use serde_json::{Map, Value, json};

fn key() -> Key {
    named("k", &oct(b"0123456789abcdef0123456789abcdef"))
}

fn verifiers() -> Verifiers {
    Verifiers::new(&[key()], &[A::Hs256])
}

/// What comes of a token with this header and a good signature.
fn verify_with(header: &str) -> Result<Vec<u8>, Error> {
    let token = forge(header, b"payload", &key(), A::Hs256);
    compact::verify(&token, &verifiers()).map(|jws| jws.payload)
}

#[track_caller]
fn check(header: &str, code: &str) {
    let error = verify_with(header).unwrap_err();
    assert_eq!(error.code(), code, "{header}: {error}");
}

#[test]
fn alg_none_in_any_case_is_refused() {
    for alg in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "noNe",
        "none ",
        "n\\u006fne",
    ] {
        check(
            &format!(r#"{{"alg":"{alg}","kid":"k"}}"#),
            "algorithm_not_allowed",
        );
    }
    for key in [key(), rsa()] {
        let set = Verifiers::new(&[key], &[]);
        let unsigned = format!("{}.cGF5bG9hZA.", base64url::encode(r#"{"alg":"none"}"#));
        let error = compact::verify(&unsigned, &set).unwrap_err();
        assert_eq!(error.code(), "algorithm_not_allowed");
    }
}

#[test]
fn algorithm_name_in_another_case_is_refused() {
    for alg in ["hs256", "Hs256", "HS256 ", ""] {
        let code = if alg.is_empty() {
            "json"
        } else {
            "algorithm_not_allowed"
        };
        check(&format!(r#"{{"alg":"{alg}"}}"#), code);
    }
}

#[test]
fn rs256_public_key_as_hs256_secret_is_refused() {
    let key = named("k", &rsa());
    let public = key.public().unwrap();
    let spki = public.to_der(Part::Public, Encoding::Spki).unwrap();
    let pem = public.to_pem(Part::Public, Encoding::Spki).unwrap();
    let jwk = public.to_jwk(Part::Public).unwrap();
    let secrets = [spki.as_slice(), pem.as_bytes(), jwk.as_bytes()];
    for allowed in [&[][..], &[A::Rs256], &[A::Rs256, A::Hs256], A::ALL] {
        let set = Verifiers::new(std::slice::from_ref(&public), allowed);
        for secret in secrets {
            let message = [
                base64url::encode(r#"{"alg":"HS256","kid":"k"}"#),
                base64url::encode("payload"),
            ]
            .join(".");
            let raw = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
            let tag = aws_lc_rs::hmac::sign(&raw, message.as_bytes());
            let token = format!("{message}.{}", base64url::encode(tag));
            let error = compact::verify(&token, &set).unwrap_err();
            assert_eq!(error.code(), "algorithm_not_allowed");
        }
    }
}

#[test]
fn secret_in_a_set_of_public_keys_is_left_out_unless_named() {
    let keys = [named("r", &public(&rsa())), key()];
    let set = Verifiers::new(&keys, &[]);
    assert_eq!(set.left_out().len(), 1);
    assert_eq!(set.left_out()[0].kid.as_deref(), Some("k"));
    let token = forge(r#"{"alg":"HS256","kid":"k"}"#, b"x", &key(), A::Hs256);
    assert_eq!(
        compact::verify(&token, &set).unwrap_err().code(),
        "algorithm_not_allowed"
    );
    let named = Verifiers::new(&keys, &[A::Rs256, A::Hs256]);
    assert!(compact::verify(&token, &named).is_ok());
}

#[test]
fn key_in_jwk_header_is_not_trusted() {
    let mine = for_algorithm(A::Es256);
    let jwk = mine.public().unwrap().to_jwk_value(Part::Public).unwrap();
    let theirs = Verifiers::new(&[named("k", &for_algorithm(A::Es256))], &[]);
    for kid in ["", r#","kid":"k""#] {
        let header = format!(
            r#"{{"alg":"ES256"{kid},"jwk":{}}}"#,
            Value::Object(jwk.clone())
        );
        let token = forge(&header, b"payload", &mine, A::Es256);
        let error = compact::verify(&token, &theirs).unwrap_err();
        assert_eq!(error.code(), "signature_invalid");
    }
}

#[test]
fn jku_x5u_and_x5c_are_ignored() {
    let header = r#"{"alg":"HS256","kid":"k","jku":"https://evil.example/keys","x5u":"file:///etc/passwd","x5c":["MIIB"],"x5t":"AAAA"}"#;
    assert_eq!(verify_with(header), Ok(b"payload".to_vec()));
    let token = forge(header, b"payload", &oct(&[7; 32]), A::Hs256);
    let error = compact::verify(&token, &verifiers()).unwrap_err();
    assert_eq!(error.code(), "signature_invalid");
}

#[test]
fn kid_as_path_or_sql_is_just_an_unknown_name() {
    for kid in [
        "../../../../dev/null",
        "/proc/sys/kernel/randomize_va_space",
        "k' UNION SELECT 'secret' -- ",
        "k' OR '1'='1",
        "http://evil.example/k",
        "|id",
        "K",
        "k ",
        "",
        "\\u0000",
    ] {
        check(
            &format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#),
            "key_unknown",
        );
    }
}

#[test]
fn unknown_crit_is_refused() {
    check(
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        "critical_extension",
    );
    check(
        r#"{"alg":"HS256","crit":["b64","x"],"b64":false,"x":1}"#,
        "critical_extension",
    );
}

#[test]
fn malformed_crit_is_refused() {
    for crit in ["[]", r#"["alg"]"#, r#"["b64"]"#, r#"["kid"]"#] {
        check(&format!(r#"{{"alg":"HS256","crit":{crit}}}"#), "header");
    }
    check(
        r#"{"alg":"HS256","b64":true,"crit":["b64","b64"]}"#,
        "header",
    );
    for crit in [r#""b64""#, "null", "[1]", "{}", "[null]"] {
        check(
            &format!(r#"{{"alg":"HS256","b64":true,"crit":{crit}}}"#),
            "json",
        );
    }
}

#[test]
fn b64_false_without_crit_is_refused() {
    check(r#"{"alg":"HS256","b64":false}"#, "header");
    check(r#"{"alg":"HS256","b64":"false","crit":["b64"]}"#, "json");
    assert!(verify_with(r#"{"alg":"HS256","b64":true}"#).is_ok());
}

#[test]
fn b64_false_changes_what_is_signed() {
    let header = base64url::encode(r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#);
    // The signature covers the text `cGF5bG9hZA` itself: that is the payload, not what it would decode to.
    let token = sign_text(format!("{header}.cGF5bG9hZA"), &key(), A::Hs256);
    let jws = compact::verify(&token, &verifiers()).unwrap();
    assert_eq!(jws.payload, b"cGF5bG9hZA");
}

#[test]
fn duplicate_header_members_are_refused() {
    for header in [
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"alg":"HS256","kid":"k","kid":"k"}"#,
        r#"{"alg":"HS256","x":1,"x":1}"#,
        r#"{"alg":"HS256","x":{"y":1,"y":2}}"#,
    ] {
        check(header, "json");
    }
}

#[test]
fn wrong_typed_header_parameters_are_refused() {
    for header in [
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":null}"#,
        r#"{"alg":256}"#,
        r#"{"alg":"HS256","kid":1}"#,
        r#"{"alg":"HS256","kid":null}"#,
        r#"{"alg":"HS256","typ":["JWT"]}"#,
        r#"["alg"]"#,
        r#""HS256""#,
        "{",
        r#"{"alg":"HS256"}{}"#,
        r#"{"alg":"HS256"} x"#,
    ] {
        check(header, "json");
    }
    for header in [
        r#"{"kid":"k"}"#,
        r#"{"alg":"HS256","jku":7}"#,
        r#"{"alg":"HS256","jwk":"x"}"#,
        r#"{"alg":"HS256","x5c":[]}"#,
        r#"{"alg":"HS256","x5c":"MIIB"}"#,
    ] {
        check(header, "header");
    }
}

#[test]
fn base64_with_padding_white_space_or_stray_bits_is_refused() {
    let good = forge(r#"{"alg":"HS256"}"#, b"payload", &key(), A::Hs256);
    assert!(compact::verify(&good, &verifiers()).is_ok());
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    // `payload` has 7 bytes: its last character carries 4 spare bits.
    assert_eq!(payload.len(), 10);
    let stray = |text: &str| {
        let last = text.chars().last().unwrap();
        format!("{}{}", &text[..text.len() - 1], char::from(last as u8 + 1))
    };
    let spellings = |text: &str| {
        [
            format!("{text}="),
            format!("{text}=="),
            format!("{text} "),
            format!(" {text}"),
            format!("{text}\n"),
            format!("{}\n{}", &text[..4], &text[4..]),
            format!("{text}+/"),
            format!("{text}\u{0}"),
            format!("{text}%3D"),
        ]
    };
    let check = |message: String, end: &str| {
        let resigned = sign_text(message.clone(), &key(), A::Hs256);
        for token in [format!("{message}.{end}"), resigned] {
            let error = compact::verify(&token, &verifiers()).unwrap_err();
            assert!(
                ["base64", "signature_invalid"].contains(&error.code()),
                "{token:?}: {error}"
            );
        }
    };
    for spelling in spellings(payload).into_iter().chain([stray(payload)]) {
        check(format!("{header}.{spelling}"), signature);
        let resigned = sign_text(format!("{header}.{spelling}"), &key(), A::Hs256);
        assert_eq!(
            compact::verify(&resigned, &verifiers()).unwrap_err().code(),
            "base64"
        );
    }
    for spelling in spellings(header) {
        let resigned = sign_text(format!("{spelling}.{payload}"), &key(), A::Hs256);
        assert_eq!(
            compact::verify(&resigned, &verifiers()).unwrap_err().code(),
            "base64"
        );
    }
    for spelling in spellings(signature).into_iter().chain([stray(signature)]) {
        let token = format!("{header}.{payload}.{spelling}");
        assert_eq!(
            compact::verify(&token, &verifiers()).unwrap_err().code(),
            "base64",
            "{token}"
        );
    }
}

#[test]
fn texts_that_are_no_compact_jws_are_refused() {
    let good = forge(r#"{"alg":"HS256"}"#, b"payload", &key(), A::Hs256);
    for bad in [
        "",
        ".",
        "..",
        "a",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        &format!("{good}."),
        &format!(".{good}"),
        "{\"protected\":\"x\"}",
    ] {
        let error = compact::verify(bad, &verifiers()).unwrap_err();
        assert_eq!(error.code(), "serialization", "{bad}");
    }
}

#[test]
fn text_that_is_both_compact_and_json_is_refused() {
    let good = forge(r#"{"alg":"HS256"}"#, b"payload", &key(), A::Hs256);
    let (protected, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let members =
        format!(r#""protected":"{protected}","payload":"{payload}","signature":"{signature}""#);
    let flat = format!("{{{members}}}");
    assert!(flattened::verify(&flat, &verifiers()).is_ok());
    // A compact JWS around or inside JSON.
    let mixed = format!(r#"{{"x":".{rest}",{members}}}"#);
    assert_eq!(
        compact::verify(&mixed, &verifiers()).unwrap_err().code(),
        "serialization"
    );
    assert_eq!(
        compact::verify(&flat, &verifiers()).unwrap_err().code(),
        "serialization"
    );
    assert_eq!(
        flattened::verify(&good, &verifiers()).unwrap_err().code(),
        "serialization"
    );
    assert_eq!(
        general::verify_any(&good, &verifiers()).unwrap_err().code(),
        "serialization"
    );
    // Flattened and general at once; either of them and encrypted.
    let both = format!(
        r#"{{{members},"signatures":[{{"protected":"{protected}","signature":"{signature}"}}]}}"#
    );
    for text in [
        both,
        format!(r#"{{{members},"ciphertext":"x"}}"#),
        format!(r#"{{{members},"recipients":[]}}"#),
    ] {
        for error in [
            flattened::verify(&text, &verifiers()).unwrap_err(),
            general::verify_any(&text, &verifiers()).unwrap_err(),
            general::verify_all(&text, &verifiers()).unwrap_err(),
        ] {
            assert_eq!(error.code(), "serialization", "{text}");
        }
    }
    assert!(general::verify_any(&flat, &verifiers()).is_err());
    let twice = format!(r#"{{{members},"payload":"{payload}"}}"#);
    assert_eq!(
        flattened::verify(&twice, &verifiers()).unwrap_err().code(),
        "json"
    );
}

/// A flattened JWS with these headers and a good signature.
fn flat(protected: &str, unprotected: &Value) -> Result<(), Error> {
    let token = forge(protected, b"payload", &key(), A::Hs256);
    let parts: Vec<&str> = token.split('.').collect();
    let text = json!({
        "protected": parts[0], "payload": parts[1], "signature": parts[2], "header": unprotected,
    });
    flattened::verify(&text.to_string(), &verifiers()).map(drop)
}

#[test]
fn unprotected_header_decides_nothing() {
    let protected = r#"{"alg":"HS256"}"#;
    assert_eq!(flat(protected, &json!({"kid": "k", "x": 1})), Ok(()));
    for bad in [
        json!({"alg": "HS256"}),
        json!({"crit": ["b64"]}),
        json!({"b64": true}),
        json!({"kid": 1}),
    ] {
        assert_eq!(flat(protected, &bad).unwrap_err().code(), "header", "{bad}");
    }
    assert_eq!(
        flat("{}", &json!({"alg": "HS256"})).unwrap_err().code(),
        "header"
    );
    assert_eq!(
        flat(protected, &json!([])).unwrap_err().code(),
        "serialization"
    );
}

#[test]
fn name_in_both_headers_is_refused() {
    let protected = r#"{"alg":"HS256","kid":"k","x":1}"#;
    for bad in [json!({"kid": "k"}), json!({"x": 1}), json!({"x": 2})] {
        assert_eq!(flat(protected, &bad).unwrap_err().code(), "header", "{bad}");
    }
    let signer = LocalSigner::new(&key(), A::Hs256).unwrap();
    let header = Header::for_signer(&signer);
    let unprotected = Map::from_iter([("kid".to_owned(), Value::from("k"))]);
    let error = flattened::sign(b"x", &header, &unprotected, &signer).unwrap_err();
    assert_eq!(error.code(), "header");
}

#[test]
fn general_without_or_with_too_many_signatures_is_refused() {
    let check = |count: usize, code: &str| {
        let one = json!({"protected": base64url::encode(r#"{"alg":"HS256"}"#), "signature": ""});
        let text = json!({"payload": "", "signatures": vec![one; count]}).to_string();
        for verified in [
            general::verify_any(&text, &verifiers()),
            general::verify_all(&text, &verifiers()),
        ] {
            assert_eq!(verified.unwrap_err().code(), code, "{count}");
        }
    };
    check(0, "serialization");
    check(1, "signature_invalid");
    check(16, "signature_invalid");
    check(17, "too_large");
}

/// RFC 7515, section 5.2: what can't be verified makes that signature bad, not its neighbours.
#[test]
fn one_bad_signature_leaves_the_others() {
    let entry = |header: &str| {
        let token = forge(header, b"payload", &key(), A::Hs256);
        let parts: Vec<&str> = token.split('.').collect();
        json!({"protected": parts[0], "signature": parts[2]})
    };
    let good = || entry(r#"{"alg":"HS256"}"#);
    let payload = base64url::encode("payload");
    let check = |bad: Value, code: &str| {
        for (at, signatures) in [[good(), bad.clone()], [bad.clone(), good()]]
            .into_iter()
            .enumerate()
        {
            let text = json!({"payload": payload, "signatures": signatures}).to_string();
            let jws = general::verify_any(&text, &verifiers()).unwrap();
            assert_eq!(jws.payload, b"payload");
            assert_eq!(jws.verified().count(), 1, "{bad}");
            let refused = jws.signatures[1 - at].as_ref().unwrap_err();
            assert_eq!(refused.code(), code, "{bad}");
            let error = general::verify_all(&text, &verifiers()).unwrap_err();
            assert_eq!(error.code(), code, "{bad}");
        }
        let text = json!({"payload": payload, "signatures": [bad]}).to_string();
        let error = general::verify_any(&text, &verifiers()).unwrap_err();
        assert_eq!(error.code(), code, "{bad}");
    };
    check(
        entry(r#"{"alg":"HS256","crit":["x"],"x":1}"#),
        "critical_extension",
    );
    check(entry(r#"{"kid":"k"}"#), "header");
    check(entry(r#"{"alg":"HS256","alg":"HS256"}"#), "json");
    check(entry(r#"{"alg":"none"}"#), "algorithm_not_allowed");
    check(json!({"signature": ""}), "serialization");
    check(json!({"protected": "*", "signature": ""}), "base64");
    // What is no signature at all spoils the whole.
    for wrong in [
        json!(1),
        json!({"protected": 1, "signature": ""}),
        json!({}),
    ] {
        let text = json!({"payload": payload, "signatures": [good(), wrong]}).to_string();
        let error = general::verify_any(&text, &verifiers()).unwrap_err();
        assert_eq!(error.code(), "serialization", "{wrong}");
    }
}

#[test]
fn huge_header_is_refused() {
    for name in ["x", "kid", "typ", "cty"] {
        let header = format!(r#"{{"alg":"HS256","{name}":"{}"}}"#, "x".repeat(20_000));
        check(&header, "too_large");
    }
}

#[test]
fn deep_header_is_refused() {
    let nested = |levels: usize| {
        format!(
            r#"{{"alg":"HS256","x":{}{}}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    assert!(verify_with(&nested(31)).is_ok());
    check(&nested(32), "json");
    check(&nested(5_000), "json");
}

#[test]
fn key_for_encryption_verifies_nothing() {
    let jwk = |extra: &str| {
        let key = format!(
            r#"{{"kty":"oct","kid":"k","k":"{}"{extra}}}"#,
            base64url::encode(b"0123456789abcdef0123456789abcdef")
        );
        Key::from_jwk(key.as_bytes()).unwrap()
    };
    let token = forge(r#"{"alg":"HS256","kid":"k"}"#, b"x", &key(), A::Hs256);
    assert!(compact::verify(&token, &Verifiers::new(&[jwk("")], &[])).is_ok());
    for extra in [
        r#","use":"enc""#,
        r#","key_ops":["encrypt","decrypt"]"#,
        r#","key_ops":["sign"]"#,
        r#","alg":"A256KW""#,
    ] {
        let set = Verifiers::new(&[jwk(extra)], &[]);
        assert_eq!(set.left_out().len(), 1, "{extra}");
        assert_eq!(set.left_out()[0].error.code(), "key_unfit", "{extra}");
        assert_eq!(
            compact::verify(&token, &set).unwrap_err().code(),
            "key_unknown",
            "{extra}"
        );
    }
}

#[test]
fn token_without_kid_is_tried_with_a_bounded_number_of_keys() {
    let right = key();
    let others = |count: u8| {
        let other = |at: u8| named(&at.to_string(), &oct(&[at; 32]));
        let mut keys: Vec<Key> = (0..count).map(other).collect();
        keys.push(right.clone());
        Verifiers::new(&keys, &[])
    };
    let token = forge(r#"{"alg":"HS256"}"#, b"x", &right, A::Hs256);
    assert!(compact::verify(&token, &others(7)).is_ok());
    assert_eq!(
        compact::verify(&token, &others(8)).unwrap_err().code(),
        "key_unknown"
    );
}

#[test]
fn unknown_kid_and_foreign_algorithm_are_told_apart() {
    let keys = [named("e", &for_algorithm(A::Es256)), named("r", &rsa())];
    let set = Verifiers::new(&keys, &[A::Es256, A::Rs256]);
    let check = |header: &str, code: &str| {
        let token = forge(header, b"x", &keys[0], A::Es256);
        assert_eq!(
            compact::verify(&token, &set).unwrap_err().code(),
            code,
            "{header}"
        );
    };
    check(r#"{"alg":"ES256","kid":"new"}"#, "key_unknown");
    check(r#"{"alg":"RS256","kid":"e"}"#, "algorithm_not_allowed");
    check(r#"{"alg":"ES384","kid":"new"}"#, "algorithm_not_allowed");
    check(r#"{"alg":"RS256","kid":"r"}"#, "signature_invalid");
    // A key without a name contradicts no `kid`.
    let nameless = Verifiers::new(&[keys[0].clone().with_kid(None).unwrap()], &[]);
    let token = forge(r#"{"alg":"ES256","kid":"new"}"#, b"x", &keys[0], A::Es256);
    assert!(compact::verify(&token, &nameless).is_ok());
    let other = forge(
        r#"{"alg":"ES256","kid":"new"}"#,
        b"x",
        &for_algorithm(A::Es256),
        A::Es256,
    );
    assert_eq!(
        compact::verify(&other, &nameless).unwrap_err().code(),
        "key_unknown"
    );
}
