//! Malformed messages, each with the refusal it gets.

use super::super::{Message, encrypt_general};
use super::{GCM, agreement_key, compact, oct, pair, refusal, sealed, with_header, wrap};
use crate::Error;
use crate::algorithm::KeyManagementAlgorithm;
use crate::key::Curve;
use serde_json::{Value, json};

#[test]
fn malformed_epk_is_refused() {
    let key = agreement_key(Curve::P256);
    let (encrypter, decrypter) = pair(&key, KeyManagementAlgorithm::EcdhEs, GCM);
    let text = encrypter.encrypt_compact(&Message::new(b"x")).unwrap();
    let changes: [fn(&mut Value); 9] = [
        |header| header["epk"]["crv"] = json!("P-384"),
        |header| header["epk"]["kty"] = json!("OKP"),
        |header| header["epk"]["d"] = json!("AA"),
        |header| header["epk"]["x"] = json!("AA"),
        |header| header["epk"]["x"] = json!(7),
        |header| header["epk"] = json!("P-256"),
        |header| header["epk"] = json!(null),
        |header| {
            header["epk"].as_object_mut().unwrap().remove("y");
        },
        |header| {
            header.as_object_mut().unwrap().remove("epk");
        },
    ];
    for change in changes {
        assert_eq!(refusal(&decrypter, &with_header(&text, change)), "header");
    }
    // A party's name that is not base64url.
    let party = with_header(&text, |header| header["apu"] = json!("?"));
    assert_eq!(refusal(&decrypter, &party), "base64");
}

/// RFC 8725bis, section 3.14: the caller names the serialization.
#[test]
fn wrong_serialization_is_refused() {
    let (encrypter, decrypter) = wrap();
    let message = Message::new(b"x");
    let compact = encrypter.encrypt_compact(&message).unwrap();
    let flattened = encrypter.encrypt_flattened(&message).unwrap();
    let general = encrypt_general(&[&encrypter], &message).unwrap();
    for text in [&flattened, &general] {
        assert!(decrypter.decrypt_compact(text).is_err());
    }
    for text in [&compact, &general] {
        assert!(decrypter.decrypt_flattened(text).is_err());
    }
    for text in [&compact, &flattened] {
        assert!(decrypter.decrypt_general(text).is_err());
    }
    assert!(decrypter.decrypt_compact(&compact).is_ok());
    assert!(decrypter.decrypt_flattened(&flattened).is_ok());
    assert!(decrypter.decrypt_general(&general).is_ok());
}

#[test]
fn mixed_serializations_are_refused() {
    let (encrypter, decrypter) = wrap();
    let message = Message::new(b"x");
    let flattened = encrypter.encrypt_flattened(&message).unwrap();
    let general = encrypt_general(&[&encrypter], &message).unwrap();
    for (name, value) in [
        ("recipients", json!([{}])),
        ("payload", json!("eA")),
        ("signature", json!("eA")),
        ("signatures", json!([])),
    ] {
        let mut object: Value = serde_json::from_str(&flattened).unwrap();
        object[name] = value;
        let error = decrypter.decrypt_flattened(&object.to_string());
        assert_eq!(error.unwrap_err().code(), "serialization", "{name}");
    }
    for (name, value) in [("encrypted_key", json!("eA")), ("header", json!({}))] {
        let mut object: Value = serde_json::from_str(&general).unwrap();
        object[name] = value;
        let error = decrypter.decrypt_general(&object.to_string());
        assert_eq!(error.unwrap_err().code(), "serialization", "{name}");
    }
    for recipients in [json!([]), json!({}), json!([7])] {
        let mut object: Value = serde_json::from_str(&general).unwrap();
        object["recipients"] = recipients;
        let error = decrypter.decrypt_general(&object.to_string());
        assert_eq!(error.unwrap_err().code(), "serialization");
    }
}

#[test]
fn compact_text_that_is_not_canonical_is_refused() {
    let (_, decrypter) = wrap();
    let text = compact();
    let parts: Vec<&str> = text.split('.').collect();
    for bad in [
        format!("{text}."),
        format!("{text}="),
        format!("{text}\n"),
        format!(" {text}"),
        parts[..4].join("."),
        format!(".{}", parts[1..].join(".")),
        text.replace('.', ". "),
        String::new(),
        "....".to_owned(),
    ] {
        assert!(decrypter.decrypt_compact(&bad).is_err(), "{bad}");
    }
    assert!(decrypter.decrypt_compact(&text).is_ok());
}

#[test]
fn headers_that_could_be_read_in_two_ways_are_refused() {
    let (encrypter, decrypter) = wrap();
    for header in [
        r#"{"alg":"A128KW","enc":"A128GCM","enc":"A128GCM"}"#,
        r#"{"alg":"A128KW","enc":"A128GCM",}"#,
        r#"["alg"]"#,
    ] {
        assert_eq!(refusal(&decrypter, &sealed(header, b"x")), "json");
    }
    let message = Message::new(b"x").with_unprotected("cty", "text");
    let text = encrypter.encrypt_flattened(&message).unwrap();
    for (place, name) in [
        ("unprotected", "alg"),
        ("unprotected", "enc"),
        ("header", "alg"),
        ("header", "cty"),
    ] {
        let mut object: Value = serde_json::from_str(&text).unwrap();
        object[place][name] = json!("A128KW");
        let error = decrypter
            .decrypt_flattened(&object.to_string())
            .unwrap_err();
        assert_eq!(
            error,
            Error::Header(name.to_owned(), "it stands in two of the headers")
        );
    }
    assert!(decrypter.decrypt_flattened(&text).is_ok());
}

#[test]
fn malformed_headers_are_refused() {
    let (_, decrypter) = wrap();
    for (header, code) in [
        (r#"{"enc":"A128GCM"}"#, "header"),
        (r#"{"alg":"A128KW"}"#, "header"),
        (r#"{"alg":7,"enc":"A128GCM"}"#, "header"),
        (r#"{"alg":"A128KW","enc":["A128GCM"]}"#, "header"),
        (
            r#"{"alg":"a128kw","enc":"A128GCM"}"#,
            "algorithm_not_allowed",
        ),
        (r#"{"alg":"none","enc":"A128GCM"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"A128KW","enc":"none"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"dir","enc":"A128GCM"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"A128KW","enc":"A128GCM","zip":"GZIP"}"#, "header"),
        (r#"{"alg":"A128KW","enc":"A128GCM","zip":null}"#, "header"),
        (r#"{"alg":"A128KW","enc":"A128GCM","kid":7}"#, "header"),
        (r#"{"alg":"A128KW","enc":"A128GCM","typ":[]}"#, "header"),
    ] {
        assert_eq!(refusal(&decrypter, &sealed(header, b"x")), code, "{header}");
    }
    let fits = sealed(r#"{"alg":"A128KW","enc":"A128GCM"}"#, b"x");
    assert!(decrypter.decrypt_compact(&fits).is_ok());
}

/// RFC 7516, section 4.1.13.
#[test]
fn unknown_crit_is_refused() {
    let (_, decrypter) = wrap();
    for (crit, code) in [
        (r#""crit":["exp"],"exp":1"#, "critical_extension"),
        (r#""crit":["b64"],"b64":true"#, "critical_extension"),
        (r#""crit":["exp"]"#, "header"),
        (r#""crit":[]"#, "header"),
        (r#""crit":["alg"]"#, "header"),
        (r#""crit":"exp","exp":1"#, "header"),
        (r#""crit":[7]"#, "header"),
        (r#""crit":["exp",7],"exp":1"#, "header"),
    ] {
        let header = format!(r#"{{"alg":"A128KW","enc":"A128GCM",{crit}}}"#);
        assert_eq!(refusal(&decrypter, &sealed(&header, b"x")), code, "{crit}");
    }
}

#[test]
fn crit_and_zip_outside_the_protected_header_are_refused() {
    let (encrypter, decrypter) = wrap();
    let text = encrypter.encrypt_flattened(&Message::new(b"x")).unwrap();
    for place in ["unprotected", "header"] {
        for (name, value) in [("zip", json!("DEF")), ("crit", json!(["exp"]))] {
            let mut object: Value = serde_json::from_str(&text).unwrap();
            object[place] = json!({ name: value });
            assert_eq!(
                decrypter
                    .decrypt_flattened(&object.to_string())
                    .unwrap_err(),
                Error::Header(name.to_owned(), "it must be in the protected header")
            );
        }
    }
}

#[test]
fn an_encrypted_key_where_there_must_be_none_is_refused() {
    for (key, algorithm) in [
        (oct(&[1; 16]), KeyManagementAlgorithm::Dir),
        (agreement_key(Curve::P256), KeyManagementAlgorithm::EcdhEs),
    ] {
        let (encrypter, decrypter) = pair(&key, algorithm, GCM);
        let text = encrypter.encrypt_compact(&Message::new(b"x")).unwrap();
        assert!(decrypter.decrypt_compact(&text).is_ok());
        let bad = text.replace("..", ".AAAA.");
        assert_eq!(refusal(&decrypter, &bad), "serialization");
    }
}

/// RFC 7518, section 4.7.1.
#[test]
fn malformed_parameters_of_gcm_key_wrap_are_refused() {
    let (encrypter, decrypter) = pair(&oct(&[7; 16]), KeyManagementAlgorithm::A128GcmKw, GCM);
    let text = encrypter.encrypt_compact(&Message::new(b"x")).unwrap();
    for (name, value, code) in [
        ("iv", json!(null), "header"),
        ("iv", json!("AAAA"), "header"),
        ("iv", json!("AAAAAAAAAAAAAAAA="), "base64"),
        ("iv", json!("AAAAAAAAAAAAAAAA"), "decryption_failed"),
        ("tag", json!(7), "header"),
        ("tag", json!("AAAAAAAAAAAAAAAA"), "header"),
        ("tag", json!("AAAAAAAAAAAAAAAAAAAAAA"), "decryption_failed"),
    ] {
        let bad = with_header(&text, |header| header[name] = value.clone());
        assert_eq!(refusal(&decrypter, &bad), code, "{name} {value}");
    }
    assert!(decrypter.decrypt_compact(&text).is_ok());
}
