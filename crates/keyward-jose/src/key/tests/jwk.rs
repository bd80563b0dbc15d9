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

fn base64url_of(bytes: &[u8]) -> String {
    crate::base64url::encode(bytes)
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
fn an_rsa_key_of_d_alone_is_completed() {
    let mut text = RFC7517_RSA.to_owned();
    for name in ["p", "q", "dp", "dq", "qi"] {
        text = with(&text, name, Value::Null);
    }
    assert!(same(&key(&text), &key(RFC7517_RSA)));

    let wrong = with(&text, "d", json!("X4cTteJY_gn4FYPsXB8rdQ"));
    check_refused(&wrong, "key_invalid", "`d` does not belong");
    // Even, so that e·d − 1 is odd.
    let wrong = with(&text, "d", json!("X4cTteJY_gn4FYPsXB8rdA"));
    check_refused(&wrong, "key_invalid", "`d` does not belong");
}

/// Any inverse of `e` modulo lcm(p − 1, q − 1) may be `d` (RFC 8017, section 3.2).
#[test]
fn an_rsa_key_of_another_d_alone_is_completed() {
    use num_bigint::BigUint;
    let own = key(RFC7517_RSA);
    let Material::Rsa(rsa) = &own.material else {
        panic!("RSA");
    };
    let private = rsa.private.as_ref().unwrap();
    let one = BigUint::from(1_u8);
    let p = BigUint::from_bytes_be(&private.p) - &one;
    let q = BigUint::from_bytes_be(&private.q) - &one;
    let (mut a, mut b) = (p.clone(), q.clone());
    while b != BigUint::ZERO {
        (a, b) = (b.clone(), a % b);
    }
    let another = BigUint::from_bytes_be(&private.d) + &p * &q / a;
    let d = Zeroizing::new(another.to_bytes_be());
    let found = Rsa::complete(rsa.n.clone(), rsa.e.clone(), d).unwrap();
    let found = found.private.unwrap();
    assert_eq!(*found.p, *private.p);
    assert_eq!(*found.qi, *private.qi);
    assert_eq!(*found.dp, *private.dp);
}

#[test]
fn a_new_rsa_key_is_completed() {
    for _ in 0..3 {
        let own = Key::generate_type(KeyType::Rsa { bits: 2048 }).unwrap();
        let mut text = own.to_jwk(Part::Private).unwrap().to_string();
        for name in ["p", "q", "dp", "dq", "qi"] {
            text = with(&text, name, Value::Null);
        }
        let read = key(&text);
        assert!(read.is_private());
        assert_eq!(read.thumbprint(), own.thumbprint());
    }
}

#[test]
fn rsa_members_are_all_there_or_none() {
    for name in ["p", "q", "dp", "dq", "qi", "d"] {
        check_refused(
            &with(RFC7517_RSA, name, Value::Null),
            "key_member",
            "RFC 7518, section 6.3.2",
        );
    }
    check_refused(
        &with(RFC7517_RSA, "oth", json!([])),
        "key_member",
        "more than two primes",
    );
}

#[test]
fn an_rsa_key_out_of_bounds_is_refused() {
    let n = |bytes: usize, first: u8, last: u8| {
        let mut n = vec![0xa5; bytes];
        n[0] = first;
        n[bytes - 1] = last;
        json!(base64url_of(&n))
    };
    let public = |n: Value, e: &str| json!({"kty": "RSA", "n": n, "e": e}).to_string();
    key(&public(n(256, 0x80, 1), "AQAB"));
    key(&public(n(1024, 0x80, 1), "Aw"));
    for (n, e, says) in [
        (n(256, 0x7f, 1), "AQAB", "2047 bits"),
        (n(128, 0x80, 1), "AQAB", "1024 bits"),
        (n(1025, 1, 1), "AQAB", "8193 bits"),
        (n(256, 0x80, 2), "AQAB", "even"),
        (n(256, 0x80, 1), "AQ", "exponent"),
        (n(256, 0x80, 1), "Ag", "exponent"),
        (n(256, 0x80, 1), "AQAA", "exponent"),
        (n(256, 0x80, 1), "BAAAAAE", "exponent"),
    ] {
        check_refused(&public(n, e), "key_invalid", says);
    }
    for (n, e) in [
        (n(256, 0, 1), "AQAB"),
        (n(256, 0x80, 1), "AAEAAQ"),
        (n(256, 0x80, 1), "AA"),
        (json!(""), "AQAB"),
    ] {
        assert!(Key::from_jwk(public(n, e).as_bytes()).is_err());
    }
    check_refused(&public(n(256, 0, 1), "AQAB"), "key_member", "leading zero");
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
fn a_point_off_the_curve_is_refused() {
    for text in [RFC7517_EC, SECP256K1_JWK] {
        let off = with(text, "y", json!(base64url_of(&[1; 32])));
        check_refused(&off, "key_invalid", "not on the curve");
        check_refused(
            &with(&off, "d", Value::Null),
            "key_invalid",
            "not on the curve",
        );
    }
    for (curve, bytes) in [("P-384", 48), ("P-521", 66)] {
        let part = base64url_of(&vec![0; bytes]);
        let text = json!({"kty": "EC", "crv": curve, "x": part, "y": part}).to_string();
        check_refused(&text, "key_invalid", "not on the curve");
    }
    // The point of one curve on another: 32 bytes both.
    check_refused(
        &with(SECP256K1_JWK, "crv", json!("P-256")),
        "key_invalid",
        "not on the curve",
    );
}

#[test]
fn an_ed25519_point_off_the_curve_or_of_small_order_is_refused() {
    let ed25519 =
        |x: [u8; 32]| json!({"kty": "OKP", "crv": "Ed25519", "x": base64url_of(&x)}).to_string();
    let with_first = |first: u8, rest: u8, last: u8| {
        let mut x = [rest; 32];
        x[0] = first;
        x[31] = last;
        x
    };
    for (x, says) in [
        (with_first(2, 0, 0), "not on the curve"),
        // y is the field's prime, and the prime plus one: zero and one in another spelling.
        (with_first(0xed, 0xff, 0x7f), "not on the curve"),
        (with_first(0xee, 0xff, 0x7f), "not on the curve"),
        // x is zero with a sign.
        (with_first(1, 0, 0x80), "not on the curve"),
        (with_first(1, 0, 0), "small order"),
        (with_first(0xec, 0xff, 0x7f), "small order"),
        (with_first(0, 0, 0), "small order"),
        (with_first(0, 0, 0x80), "small order"),
    ] {
        check_refused(&ed25519(x), "key_invalid", says);
    }
    // Of order 8 (found by multiplying a point by the order of the prime group).
    for x in [
        "x2px1z1Nhk-6PDt2DWcQDyogU_osOcxOxn_3eSrAN_o",
        "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU",
    ] {
        let text = json!({"kty": "OKP", "crv": "Ed25519", "x": x}).to_string();
        assert!(Key::from_jwk(text.as_bytes()).is_err_and(|error| error.code() == "key_invalid"));
    }
}

#[test]
fn an_x25519_key_that_makes_every_secret_known_is_refused() {
    for first in [0, 1] {
        let mut x = [0; 32];
        x[0] = first;
        let text = json!({"kty": "OKP", "crv": "X25519", "x": base64url_of(&x)}).to_string();
        check_refused(&text, "key_invalid", "every shared secret known");
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
fn a_private_number_out_of_range_is_refused() {
    // P-256's order, and zero.
    for d in [
        "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE".to_owned(),
        base64url_of(&[0; 32]),
    ] {
        check_refused(&with(RFC7517_EC, "d", json!(d)), "key_invalid", "");
    }
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
        check_refused(
            &with(RFC7517_CERTIFIED, name, json!(base64url_of(&[1; 31]))),
            "key_member",
            "31 bytes",
        );
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
