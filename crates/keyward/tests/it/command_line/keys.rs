//! `keyward jwk`.

use crate::shell::{Shell, json};

#[test]
fn keys_keep_what_they_are_through_pem_and_der() {
    let shell = Shell::new();
    for alg in [
        "RS256",
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
        "EdDSA",
        "ML-DSA-44",
    ] {
        let (private, public) = shell.key(alg);
        let thumbprint = shell.pipe(&["jwk", "thumbprint", &private], b"");
        for form in ["pem", "der"] {
            for (file, expected) in [(&private, true), (&public, false)] {
                let written = shell.pipe(&["jwk", "convert", "--to", form, file], b"");
                let inspected = json(&shell.pipe(&["jwk", "inspect", "--json"], &written));
                assert_eq!(inspected["private"], expected, "{alg} {form}");
                let jwk = shell.pipe(&["jwk", "convert", "--to", "jwk"], &written);
                assert_eq!(
                    shell.pipe(&["jwk", "thumbprint"], &jwk),
                    thumbprint,
                    "{alg} {form}"
                );
            }
        }
    }
}

#[test]
fn the_key_of_rfc_7638_has_its_thumbprint() {
    let shell = Shell::new();
    let jwk = br#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    assert_eq!(
        shell.pipe(&["jwk", "thumbprint"], jwk),
        b"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\n"
    );
    assert_eq!(
        shell.pipe(&["jwk", "thumbprint", "--uri"], jwk),
        b"urn:ietf:params:oauth:jwk-thumbprint:sha-256:NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\n"
    );
}

#[test]
fn sets_are_written_public_and_the_kid_chooses_of_them() {
    let shell = Shell::new();
    let (es256, _) = shell.key("ES256");
    let (eddsa, _) = shell.key("EdDSA");
    let keys = [&es256, &eddsa]
        .map(|name| json(&std::fs::read(shell.directory.path().join(name)).unwrap()));
    let set = shell.pipe(
        &["jwk", "public"],
        serde_json::json!({ "keys": keys }).to_string().as_bytes(),
    );
    assert!(!String::from_utf8_lossy(&set).contains("\"d\""));
    shell.file("jwks.json", &set);
    for key in [&es256, &eddsa] {
        let token = shell.pipe(&["jwt", "sign", "--key", key, "--claims", "{}"], b"");
        shell.pipe(&["jwt", "verify", "--jwks", "jwks.json"], &token);
    }
    let (stranger, _) = shell.key("ES384");
    let token = shell.pipe(&["jwt", "sign", "--key", &stranger, "--claims", "{}"], b"");
    let line = shell.refusal(&["jwt", "verify", "--jwks", "jwks.json"], &token);
    assert!(line.ends_with("[key_unknown]\n"), "{line}");
    let thumbprints = shell.pipe(&["jwk", "thumbprint", "jwks.json"], b"");
    assert_eq!(String::from_utf8(thumbprints).unwrap().lines().count(), 2);
    let one = shell.pipe(&["jwk", "public", "--set", &es256], b"");
    assert_eq!(json(&one)["keys"].as_array().map(Vec::len), Some(1));
}

#[test]
fn each_key_of_a_converted_set_keeps_the_part_that_it_has() {
    let shell = Shell::new();
    let (private, _) = shell.key("ES256");
    let (_, public) = shell.key("EdDSA");
    let read = |name: &str| json(&std::fs::read(shell.directory.path().join(name)).unwrap());
    let set = serde_json::json!({"keys": [read(&private), read(&public)]}).to_string();
    let parts = |arguments: &[&str]| -> Vec<bool> {
        let converted = json(&shell.pipe(arguments, set.as_bytes()));
        let keys = converted["keys"].as_array().unwrap();
        keys.iter().map(|key| key.get("d").is_some()).collect()
    };
    assert_eq!(parts(&["jwk", "convert", "--to", "jwk"]), [true, false]);
    let public = ["jwk", "convert", "--to", "jwk", "--public"];
    assert_eq!(parts(&public), [false, false]);
}

#[test]
fn no_private_value_is_shown() {
    let shell = Shell::new();
    for alg in ["HS256", "RS256", "ES256", "EdDSA", "ML-DSA-44"] {
        let (private, _) = shell.key(alg);
        let key = json(&std::fs::read(shell.directory.path().join(&private)).unwrap());
        let shown = [
            shell.pipe(&["jwk", "inspect", &private], b""),
            shell.pipe(&["jwk", "inspect", "--json", &private], b""),
        ]
        .concat();
        let shown = String::from_utf8(shown).unwrap();
        for member in ["d", "p", "q", "dp", "dq", "qi", "k", "priv"] {
            if let Some(value) = key[member].as_str() {
                assert!(!shown.contains(value), "{alg} {member}");
            }
        }
        assert!(shown.contains(key["kid"].as_str().unwrap()));
    }
    let token = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln";
    let line = shell.refusal(&["jwt", "decode", token], b"");
    assert!(
        !line.contains(token) && line.contains("looks like a token"),
        "{line}"
    );
}

#[test]
fn certificates_are_of_their_key() {
    let shell = Shell::new();
    let (private, _) = shell.key("ES256");
    let names = [
        "--common-name",
        "orders",
        "--dns",
        "orders.example",
        "--ip",
        "192.0.2.1",
    ];
    let request = shell.pipe(
        &[&["jwk", "certificate-request"], &names[..], &[&private]].concat(),
        b"",
    );
    assert!(request.starts_with(b"-----BEGIN CERTIFICATE REQUEST-----\n"));
    let certificate = shell.pipe(
        &[&["jwk", "self-sign"], &names[..], &[&private]].concat(),
        b"",
    );
    let thumbprint = shell.pipe(&["jwk", "thumbprint", &private], b"");
    assert_eq!(shell.pipe(&["jwk", "thumbprint"], &certificate), thumbprint);
    let jwk = shell.pipe(
        &[&["jwk", "self-sign", "--jwk"], &names[..], &[&private]].concat(),
        b"",
    );
    let inspected = json(&shell.pipe(&["jwk", "inspect", "--json"], &jwk));
    assert_eq!(inspected["certificates"].as_array().map(Vec::len), Some(1));
}
