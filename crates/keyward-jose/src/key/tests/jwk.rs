use super::vectors::*;
use super::*;

/// RFC 7638, section 3.1; RFC 8037, appendix A.3; RFC 9964, appendix A (the `kid` of its keys).
#[test]
fn thumbprints_are_those_of_the_rfcs() {
    assert_eq!(
        key(RFC7517_RSA).thumbprint_base64url(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
    assert_eq!(
        key(RFC8037_ED25519).thumbprint_base64url(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
    let zeros = base64url_of(&[0; 32]);
    for (set, kid) in [
        (
            MlDsa::MlDsa44,
            "T4xl70S7MT6Zeq6r9V9fPJGVn76wfnXJ21-gyo0Gu6o",
        ),
        (
            MlDsa::MlDsa65,
            "Suiu29qbfuaBaR4Ats-c6XQBePB_OpAxAwcTR_0KXVM",
        ),
        (
            MlDsa::MlDsa87,
            "tRn1JNIkgMsABVQBlXeDHxAIcclh-2IX0UdDEzPt5XU",
        ),
    ] {
        let own = Key::from_material(Material::Akp(
            Akp::from_seed(set, Zeroizing::new(vec![0; 32])).unwrap(),
        ));
        assert_eq!(own.thumbprint_base64url(), kid);
        let members = own.to_jwk_value(Part::Private).unwrap();
        assert_eq!(members["kty"], "AKP");
        assert_eq!(members["alg"], set.as_str());
        assert_eq!(members["priv"], zeros);
    }
}

/// RFC 9278, section 6, on the key of RFC 7638.
#[test]
fn a_thumbprint_has_a_uri() {
    assert_eq!(
        key(RFC7517_RSA).thumbprint_uri(),
        "urn:ietf:params:oauth:jwk-thumbprint:sha-256:NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
}

#[test]
fn a_thumbprint_depends_on_the_key_alone() {
    for (name, value) in [
        ("kid", json!("another")),
        ("alg", json!("PS512")),
        ("use", json!("sig")),
        ("unheard-of", json!({"a": 1})),
    ] {
        let changed = key(&with(RFC7517_RSA, name, value));
        assert_eq!(changed.thumbprint(), key(RFC7517_RSA).thumbprint());
    }
}

#[test]
fn the_keys_of_the_rfcs_are_read_and_written_again() {
    for text in [
        RFC7517_RSA,
        RFC7517_EC,
        RFC7517_A128KW,
        RFC7517_HMAC,
        RFC8037_ED25519,
        X25519_JWK,
        SECP256K1_JWK,
    ] {
        let read = key(text);
        let written: Value = serde_json::from_str(&read.to_jwk(Part::Private).unwrap()).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(
            Value::Object(read.to_jwk_value(Part::Private).unwrap()),
            written
        );
    }
    assert_eq!(key(RFC7517_EC).key_use(), Some(KeyUse::Encryption));
    assert_eq!(key(RFC7517_RSA).kid(), Some("2011-04-29"));
}

#[test]
fn every_kind_of_key_survives_a_jwk() {
    for own in one_of_each() {
        let text = own.to_jwk(Part::Private).unwrap();
        let (read, form) = Key::parse(text.as_bytes()).unwrap();
        assert_eq!(form, KeyForm::Jwk);
        assert!(same(&own, &read), "{own:?}");
    }
}

#[test]
fn a_private_key_of_another_public_key_is_refused() {
    let other = base64url_of(&[7; 32]);
    for text in [RFC7517_EC, RFC8037_ED25519, X25519_JWK, SECP256K1_JWK] {
        check_refused(
            &with(text, "d", json!(other)),
            "key_invalid",
            "does not belong to the public key",
        );
    }
    let akp = Key::generate_type(KeyType::MlDsa(MlDsa::MlDsa44)).unwrap();
    let akp = akp.to_jwk(Part::Private).unwrap();
    check_refused(
        &with(&akp, "priv", json!(other)),
        "key_invalid",
        "does not belong to the public key",
    );
    for name in ["d", "dp", "dq", "qi"] {
        check_refused(
            &with(RFC7517_RSA, name, json!(other)),
            "key_invalid",
            "do not belong together",
        );
    }
}

#[test]
fn coordinates_and_private_keys_have_their_exact_length() {
    let short = base64url_of(&[1; 31]);
    let long = base64url_of(&[0; 33]);
    for (text, names) in [
        (RFC7517_EC, &["x", "y", "d"][..]),
        (SECP256K1_JWK, &["x", "y", "d"]),
        (RFC8037_ED25519, &["x", "d"]),
        (X25519_JWK, &["x", "d"]),
    ] {
        for name in names {
            for value in [&short, &long] {
                check_refused(&with(text, name, json!(value)), "key_member", name);
            }
        }
    }
    let akp = Key::generate_type(KeyType::MlDsa(MlDsa::MlDsa65)).unwrap();
    let akp = akp.to_jwk(Part::Private).unwrap();
    check_refused(&with(&akp, "priv", json!(short)), "key_member", "32");
    check_refused(&with(&akp, "pub", json!(short)), "key_member", "1952");
    check_refused(&with(&akp, "alg", json!("ML-DSA-44")), "key_member", "1312");
}

#[test]
fn missing_members_are_named() {
    for (text, names) in [
        (RFC7517_RSA, &["kty", "n", "e"][..]),
        (RFC7517_EC, &["kty", "crv", "x", "y"]),
        (RFC8037_ED25519, &["kty", "crv", "x"]),
        (RFC7517_HMAC, &["kty", "k"]),
        (
            r#"{"kty":"AKP","alg":"ML-DSA-44","pub":""}"#,
            &["alg", "pub"],
        ),
    ] {
        for name in names {
            check_refused(&with(text, name, Value::Null), "key_member", name);
        }
    }
}

#[test]
fn members_of_the_wrong_type_are_refused() {
    for (text, names) in [
        (
            RFC7517_RSA,
            &[
                "kty", "n", "e", "d", "p", "q", "dp", "dq", "qi", "alg", "use", "kid", "x5u",
                "x5t", "x5t#S256",
            ][..],
        ),
        (RFC7517_EC, &["crv", "x", "y", "d"]),
        (RFC7517_HMAC, &["k"]),
    ] {
        for name in names {
            for value in [json!(7), json!(["a"]), json!({"a": "b"}), json!(true)] {
                check_refused(&with(text, name, value), "key_member", "a string is needed");
            }
        }
    }
    for name in ["key_ops", "x5c"] {
        for value in [json!("sign"), json!([7]), json!({"0": "sign"})] {
            check_refused(
                &with(RFC7517_RSA, name, value),
                "key_member",
                "an array of strings is needed",
            );
        }
    }
}

#[test]
fn unknown_types_curves_and_algorithms_are_refused() {
    for (text, name, value, code) in [
        (RFC7517_EC, "kty", "ec", "key_member"),
        (RFC7517_EC, "crv", "P-224", "key_member"),
        (RFC7517_EC, "crv", "p-256", "key_member"),
        (RFC7517_EC, "crv", "Ed25519", "key_member"),
        (RFC8037_ED25519, "crv", "P-256", "key_member"),
        (RFC8037_ED25519, "crv", "Ed448", "key_member"),
        (RFC7517_RSA, "alg", "RSA1_5", "algorithm_not_allowed"),
        (RFC7517_RSA, "alg", "none", "algorithm_not_allowed"),
        (RFC7517_RSA, "use", "tls", "key_member"),
    ] {
        check_refused(&with(text, name, json!(value)), code, "");
    }
}

#[test]
fn base64url_has_one_spelling_in_a_key() {
    for k in ["AA==", "AB", "A+", "A/", "A A", "A"] {
        let text = json!({"kty": "oct", "k": k}).to_string();
        check_refused(&text, "base64", "");
    }
}

#[test]
fn json_that_can_be_read_in_two_ways_is_no_key() {
    for text in [
        r#"{"kty":"oct","kty":"oct","k":"AAAA"}"#,
        r#"{"kty":"oct","k":"AAAA"} {}"#,
        r#"[{"kty":"oct","k":"AAAA"}]"#,
        r#"{"kty":"oct","k":"AAAA",}"#,
    ] {
        check_refused(text, "json", "");
    }
}

#[test]
fn a_secret_is_neither_empty_nor_endless() {
    check_refused(r#"{"kty":"oct","k":""}"#, "key_member", "empty");
    let long = base64url_of(&vec![1; SECRET_BYTES_MAX + 1]);
    check_refused(
        &json!({"kty": "oct", "k": long}).to_string(),
        "too_large",
        "",
    );
    assert!(Key::from_secret(&[]).is_err());
    assert_eq!(
        Key::from_secret(b"k").unwrap().thumbprint(),
        key(r#"{"kty":"oct","k":"aw"}"#).thumbprint()
    );
}

#[test]
fn a_public_key_in_another_form_is_no_secret() {
    let der = key(RFC7517_RSA)
        .to_der(Part::Public, Encoding::Spki)
        .unwrap();
    let pkcs1 = key(RFC7517_RSA)
        .to_der(Part::Public, Encoding::Pkcs1)
        .unwrap();
    for secret in [
        RSA_SPKI.as_bytes(),
        EC_SPKI.as_bytes(),
        b"\n-----BEGIN CERTIFICATE-----\n",
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI",
        b"ecdsa-sha2-nistp256 AAAAE2VjZHNh",
        &der,
        &pkcs1,
    ] {
        let error = Key::from_secret(secret).unwrap_err();
        assert_eq!(error.code(), "key_invalid");
        let text = json!({"kty": "oct", "k": base64url_of(secret)}).to_string();
        check_refused(&text, "key_invalid", "everyone has");
    }
    assert!(Key::from_secret(b"0-----BEGIN").is_ok());
}

#[test]
fn a_set_is_no_key() {
    check_refused(r#"{"keys":[]}"#, "key_member", "a JWK set");
}

#[test]
fn sizes_are_bounded() {
    let padded = format!("{}{}", " ".repeat(JWK_BYTES_MAX), RFC7517_EC);
    check_refused(&padded, "too_large", "");
    let kid = "k".repeat(KID_BYTES_MAX + 1);
    check_refused(&with(RFC7517_EC, "kid", json!(kid)), "too_large", "kid");
    assert!(key(RFC7517_EC).with_kid(Some(kid)).is_err());
}

#[test]
fn what_is_unknown_is_ignored() {
    let text = with(RFC7517_EC, "exp", json!(7));
    assert!(same(&key(&text), &key(RFC7517_EC)));
}

#[test]
fn the_certificate_of_rfc_7517_belongs_to_its_key() {
    let own = key(RFC7517_CERTIFIED);
    assert_eq!(own.certificates().len(), 1);
    let hash = base64url_of(&x509::thumbprint(&own.certificates()[0]));
    let sha1 = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        &own.certificates()[0],
    );
    let text = with(RFC7517_CERTIFIED, "x5t#S256", json!(hash));
    let text = with(&text, "x5t", json!(base64url_of(sha1.as_ref())));
    let read = key(&text);
    assert_eq!(read.to_jwk_value(Part::Public).unwrap()["x5t#S256"], hash);

    for (name, value) in [
        ("x5t#S256", base64url_of(&[1; 32])),
        ("x5t", base64url_of(&[1; 20])),
    ] {
        check_refused(
            &with(RFC7517_CERTIFIED, name, json!(value)),
            "key_member",
            "another certificate",
        );
    }
}

/// As Auth0 publishes `x5t` and WSO2 `x5t#S256`: base64url of the hash in hexadecimal.
#[test]
fn certificate_hash_of_another_form_is_left_out() {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02X}")).collect() };
    let own = key(RFC7517_CERTIFIED);
    let certificate = &own.certificates()[0];
    let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, certificate);
    let sha1 = base64url_of(hex(sha1.as_ref()).as_bytes());
    let sha256 = base64url_of(hex(&x509::thumbprint(certificate)).as_bytes());
    assert_eq!((sha1.len(), sha256.len()), (54, 86));
    for (name, value) in [
        ("x5t", sha1),
        ("x5t#S256", sha256),
        ("x5t", base64url_of(&[1; 19])),
        ("x5t#S256", base64url_of(&[1; 31])),
        ("x5t", String::new()),
        ("x5t", "0A:1B:2C".to_owned()),
        ("x5t#S256", "AA==".to_owned()),
    ] {
        let read = key(&with(RFC7517_CERTIFIED, name, json!(value)));
        assert!(same(&read, &own), "{name}: {value}");
        let written = read.to_jwk_value(Part::Public).unwrap();
        assert!(!written.contains_key(name), "{name}: {value}");
    }
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let chain = serde_json::from_str::<Value>(RFC7517_CERTIFIED).unwrap()["x5c"].clone();
    for text in [RFC7517_RSA, RFC7517_EC, RFC7517_HMAC] {
        check_refused(
            &with(text, "x5c", chain.clone()),
            "certificate",
            "another key",
        );
    }
    let not_der = json!(["MAAAAA=="]);
    check_refused(&with(RFC7517_RSA, "x5c", not_der), "certificate", "");
    check_refused(&with(RFC7517_RSA, "x5c", json!([])), "key_member", "empty");
    check_refused(
        &with(RFC7517_RSA, "x5c", json!(["*"])),
        "key_member",
        "base64",
    );
    let many = json!(vec![chain[0].clone(); x509::CHAIN_MAX + 1]);
    check_refused(&with(RFC7517_CERTIFIED, "x5c", many), "too_large", "");
    // What follows the first must be certificates too.
    let torn = json!([chain[0], "AAAA"]);
    check_refused(&with(RFC7517_CERTIFIED, "x5c", torn), "certificate", "");
}
