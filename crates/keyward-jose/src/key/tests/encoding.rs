use super::vectors::*;
use super::*;
use crate::key::pem::write as pem_block;
use proptest::prelude::*;

fn pem(text: &str) -> Key {
    Key::from_pem(text).unwrap()
}

fn check_pem_refused(text: &str, code: &str, says: &str) {
    match Key::parse(text.as_bytes()) {
        Ok(_) => panic!("was read: {text}"),
        Err(error) => {
            assert_eq!(error.code(), code, "{error} for {text}");
            assert!(error.to_string().contains(says), "{error} for {text}");
        }
    }
}

fn block(label: &str, der: &[u8]) -> String {
    pem_block(label, der).to_string()
}

/// Every form that OpenSSL writes is read, and written byte for byte as OpenSSL writes it.
#[test]
fn openssl_writes_the_same() {
    let public = Part::Public;
    let private = Part::Private;
    for (jwk, text, part, encoding) in [
        (RFC7517_RSA, RSA_PKCS8, private, Encoding::Pkcs8),
        (RFC7517_RSA, RSA_PKCS1, private, Encoding::Pkcs1),
        (RFC7517_RSA, RSA_PUBLIC_PKCS1, public, Encoding::Pkcs1),
        (RFC7517_RSA, RSA_SPKI, public, Encoding::Spki),
        (RFC7517_EC, EC_PKCS8, private, Encoding::Pkcs8),
        (RFC7517_EC, EC_SEC1, private, Encoding::Sec1),
        (RFC7517_EC, EC_SPKI, public, Encoding::Spki),
        (RFC8037_ED25519, ED25519_PKCS8, private, Encoding::Pkcs8),
        (RFC8037_ED25519, ED25519_SPKI, public, Encoding::Spki),
        (X25519_JWK, X25519_PKCS8, private, Encoding::Pkcs8),
    ] {
        let own = key(jwk);
        let (read, form) = Key::parse(text.as_bytes()).unwrap();
        assert_eq!(form, KeyForm::Pem(encoding));
        assert_eq!(read.thumbprint(), own.thumbprint(), "{text}");
        assert_eq!(read.is_private(), part == private);
        assert_eq!(*own.to_pem(part, encoding).unwrap(), text);
    }
    // The curve stands before the key there.
    assert!(same(&pem(SECP256K1_SEC1), &key(SECP256K1_JWK)));
}

/// RFC 9881, appendix C.1.
#[test]
fn an_ml_dsa_seed_is_read_as_rfc_9881_writes_it() {
    let text = "-----BEGIN PRIVATE KEY-----\n\
        MDQCAQAwCwYJYIZIAWUDBAMRBCKAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZ\n\
        GhscHR4f\n\
        -----END PRIVATE KEY-----\n";
    let own = pem(text);
    assert_eq!(*own.to_pem(Part::Private, Encoding::Pkcs8).unwrap(), text);
    assert!(
        own.to_pem(Part::Public, Encoding::Spki)
            .unwrap()
            .contains("MIIFMjALBglghkgBZQMEAxEDggUhANeytHJUquDbReeTDUqY0sl9jxOX0Xidr6Fw\n")
    );
}

#[test]
fn an_ml_dsa_seed_with_its_expanded_key_is_read_and_compared() {
    use aws_lc_rs::encoding::AsRawBytes as _;
    let set = MlDsa::MlDsa44;
    let seed: Vec<u8> = (0..32).collect();
    let pair = aws_lc_rs::signature::PqdsaKeyPair::from_seed(set.signing(), &seed).unwrap();
    let expanded = pair.private_key().as_raw_bytes().unwrap().as_ref().to_vec();
    let pkcs8 = |inner: &[u8]| {
        let oid = der::write(
            der::tag::OBJECT_IDENTIFIER,
            &[&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x11]],
        );
        der::write(
            der::tag::SEQUENCE,
            &[
                &der::write_unsigned(&[0]),
                &der::write(der::tag::SEQUENCE, &[&oid]),
                &der::write(der::tag::OCTET_STRING, &[inner]),
            ],
        )
    };
    let octets = |bytes: &[u8]| der::write(der::tag::OCTET_STRING, &[bytes]);
    let both = |expanded: &[u8]| {
        pkcs8(&der::write(
            der::tag::SEQUENCE,
            &[&octets(&seed), &octets(expanded)],
        ))
    };
    let own = Key::from_der(&both(&expanded)).unwrap();
    assert!(own.is_private());
    let mut other = expanded.clone();
    other[100] ^= 1;
    let error = Key::from_der(&both(&other)).unwrap_err();
    assert_eq!(error.code(), "key_invalid");
    let error = Key::from_der(&pkcs8(&octets(&expanded))).unwrap_err();
    assert!(error.to_string().contains("without its seed"), "{error}");
}

#[test]
fn every_kind_of_key_survives_every_form_that_carries_it() {
    let encodings = [
        Encoding::Pkcs1,
        Encoding::Pkcs8,
        Encoding::Sec1,
        Encoding::Spki,
        Encoding::Certificate,
    ];
    for own in one_of_each() {
        let bare = Key::from_material(own.material.clone());
        let mut forms = 0;
        for part in [Part::Public, Part::Private] {
            for encoding in encodings {
                let Ok(der) = own.to_der(part, encoding) else {
                    continue;
                };
                forms += 1;
                let (read, form) = Key::parse(&der).unwrap();
                assert_eq!(form, KeyForm::Der(encoding));
                let text = own.to_pem(part, encoding).unwrap();
                let (again, form) = Key::parse(text.as_bytes()).unwrap();
                assert_eq!(form, KeyForm::Pem(encoding));
                let expected = match part {
                    Part::Public => bare.public().unwrap(),
                    Part::Private => bare.clone(),
                };
                assert_eq!(read.to_jwk(part), expected.to_jwk(part));
                assert_eq!(again.to_jwk(part), expected.to_jwk(part));
            }
        }
        let expected = match own.key_type() {
            "RSA" => 4,
            "EC" => 3,
            "OKP" | "AKP" => 2,
            _ => 0,
        };
        assert_eq!(forms, expected, "{own:?}");
    }
}

#[test]
fn what_a_form_cannot_carry_is_refused_in_words() {
    let rsa = key(RFC7517_RSA);
    let ec = key(RFC7517_EC);
    let x25519 = key(X25519_JWK);
    let oct = key(RFC7517_HMAC);
    let public = ec.public().unwrap();
    for (own, part, encoding, says) in [
        (&oct, Part::Private, Encoding::Pkcs8, "write it as a JWK"),
        (&x25519, Part::Private, Encoding::Sec1, "only EC keys"),
        (&rsa, Part::Private, Encoding::Sec1, "only EC keys"),
        (&ec, Part::Public, Encoding::Sec1, "only private keys"),
        (&ec, Part::Private, Encoding::Pkcs1, "only RSA keys"),
        (&ec, Part::Public, Encoding::Pkcs8, "only private keys"),
        (&ec, Part::Private, Encoding::Spki, "only public keys"),
        (&ec, Part::Public, Encoding::Certificate, "make one"),
        (&public, Part::Private, Encoding::Pkcs8, "no private part"),
    ] {
        let error = own.to_pem(part, encoding).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn pem_that_is_not_for_us_is_refused_in_words() {
    let two_keys = format!("{ED25519_PKCS8}{EC_PKCS8}");
    let wrong_label = ED25519_PKCS8.replace("PRIVATE", "PUBLIC");
    let public_as_private = block(
        "RSA PRIVATE KEY",
        &key(RFC7517_RSA)
            .to_der(Part::Public, Encoding::Pkcs1)
            .unwrap(),
    );
    let no_end = ED25519_PKCS8.replace("-----END PRIVATE KEY-----", "");
    let other_end = ED25519_PKCS8.replace("END PRIVATE", "END PUBLIC");
    let not_base64 = ED25519_PKCS8.replace("MC4C", "M*4C");
    let request = block("CERTIFICATE REQUEST", b"x");
    let many = block("CERTIFICATE", b"x").repeat(12);
    let large = "x".repeat(KEY_BYTES_MAX + 1);
    for (text, code, says) in [
        (ENCRYPTED_PKCS8, "key_form", "is encrypted"),
        (ENCRYPTED_PKCS1, "key_form", "is encrypted"),
        (EXPLICIT_CURVE, "key_form", "spelled out"),
        (COMPRESSED_POINT, "key_form", "compressed"),
        (P224_SPKI, "key_form", "curve is not known"),
        (RSA_PSS_SPKI, "key_form", "RSASSA-PSS"),
        (RSA_1024_SPKI, "key_invalid", "1024 bits"),
        (MULTI_PRIME, "key_form", "more than two primes"),
        (&two_keys, "key_form", "two keys"),
        (&wrong_label, "key_form", ""),
        (&public_as_private, "key_form", "no `RSA PRIVATE KEY`"),
        (&no_end, "key_form", "END"),
        (&other_end, "key_form", "END"),
        (&not_base64, "key_form", "not base64"),
        (&request, "key_form", "`CERTIFICATE REQUEST`"),
        (&many, "too_large", "PEM blocks"),
        (&large, "too_large", ""),
        ("", "key_form", "empty"),
        (" \n", "key_form", "empty"),
        ("hello", "key_form", "no key"),
    ] {
        check_pem_refused(text, code, says);
    }
}

#[test]
fn text_around_pem_is_explanation() {
    let text = format!("0 Bag Attributes\n  a: b\n{ED25519_PKCS8}\nthe end\n");
    assert!(same(&pem(&text), &key(RFC8037_ED25519)));
    let (read, _) = Key::parse(text.as_bytes()).unwrap();
    assert!(same(&read, &key(RFC8037_ED25519)));
    let windows = ED25519_PKCS8.replace('\n', "\r\n");
    assert!(same(&pem(&windows), &key(RFC8037_ED25519)));
}

#[test]
fn der_with_something_after_it_is_refused() {
    for own in one_of_each() {
        for part in [Part::Public, Part::Private] {
            let Ok(der) = own.to_der(part, Encoding::general(part)) else {
                continue;
            };
            let mut longer = der.to_vec();
            longer.push(0);
            assert_eq!(Key::from_der(&longer).unwrap_err().code(), "key_form");
            let shorter = &der[..der.len() - 1];
            assert_eq!(Key::from_der(shorter).unwrap_err().code(), "key_form");
        }
    }
}

#[test]
fn a_length_that_is_not_minimal_is_refused() {
    let der = key(RFC8037_ED25519)
        .to_der(Part::Private, Encoding::Pkcs8)
        .unwrap();
    assert_eq!(der[..2], [0x30, 46]);
    let mut longer = vec![0x30, 0x81, 46];
    longer.extend_from_slice(&der[2..]);
    let error = Key::from_der(&longer).unwrap_err();
    assert!(
        error.to_string().contains("longer than it has to be"),
        "{error}"
    );
}

/// RFC 8410, section 10.3: the second version, with attributes and the public key.
#[test]
fn the_second_version_of_pkcs8_is_read_and_its_public_key_compared() {
    let version_2 = |public: &[u8], version: u8| {
        let id = der::write(der::tag::OBJECT_IDENTIFIER, &[&[0x2b, 0x65, 0x70]]);
        let d = crate::base64url::decode("d", "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        let d = der::write(der::tag::OCTET_STRING, &[&d.unwrap()]);
        der::write(
            der::tag::SEQUENCE,
            &[
                &der::write_unsigned(&[version]),
                &der::write(der::tag::SEQUENCE, &[&id]),
                &der::write(der::tag::OCTET_STRING, &[&d]),
                &der::write(der::tag::CONTEXT_0, &[]),
                &der::write(der::tag::CONTEXT_1_PRIMITIVE, &[&[0], public]),
            ],
        )
    };
    let x = crate::base64url::decode("x", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    assert!(same(
        &Key::from_der(&version_2(&x, 1)).unwrap(),
        &key(RFC8037_ED25519)
    ));
    let error = Key::from_der(&version_2(&[7; 32], 1)).unwrap_err();
    assert_eq!(error.code(), "key_invalid");
    for version in [0, 2] {
        let error = Key::from_der(&version_2(&x, version)).unwrap_err();
        assert!(error.to_string().contains("version"), "{error}");
    }
}

#[test]
fn the_second_version_of_pkcs8_has_a_public_key() {
    let mut der = key(RFC8037_ED25519)
        .to_der(Part::Private, Encoding::Pkcs8)
        .unwrap();
    assert_eq!(der[4], 0);
    der[4] = 1;
    let error = Key::from_der(&der).unwrap_err();
    assert!(error.to_string().contains("version"), "{error}");
}

#[test]
fn an_ec_key_that_names_two_curves_or_an_impossible_number_is_refused() {
    let id = |curve| {
        let id = der::write(
            der::tag::OBJECT_IDENTIFIER,
            &[crate::key::encoding::curve_oid(curve)],
        );
        der::write(der::tag::CONTEXT_0, &[&id])
    };
    let sec1 = |d: &[u8], curve| {
        der::write(
            der::tag::SEQUENCE,
            &[
                &der::write_unsigned(&[1]),
                &der::write(der::tag::OCTET_STRING, &[d]),
                &id(curve),
            ],
        )
    };
    for d in [[0; 32], [0xff; 32]] {
        let error = Key::from_der(&sec1(&d, Curve::P256)).unwrap_err();
        assert!(error.to_string().contains("out of range"), "{error}");
    }
    let ec = der::write(
        der::tag::OBJECT_IDENTIFIER,
        &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]],
    );
    let p256 = der::write(
        der::tag::OBJECT_IDENTIFIER,
        &[crate::key::encoding::curve_oid(Curve::P256)],
    );
    let pkcs8 = der::write(
        der::tag::SEQUENCE,
        &[
            &der::write_unsigned(&[0]),
            &der::write(der::tag::SEQUENCE, &[&ec, &p256]),
            &der::write(der::tag::OCTET_STRING, &[&sec1(&[7; 32], Curve::Secp256k1)]),
        ],
    );
    let error = Key::from_der(&pkcs8).unwrap_err();
    assert!(error.to_string().contains("two curves"), "{error}");
}

#[test]
fn an_ec_key_without_its_public_key_gets_it() {
    for own in one_of_each() {
        let Material::Ec(ec) = &own.material else {
            continue;
        };
        let id = der::write(
            der::tag::OBJECT_IDENTIFIER,
            &[crate::key::encoding::curve_oid(ec.curve)],
        );
        let sec1 = |curve: &[u8]| {
            der::write(
                der::tag::SEQUENCE,
                &[
                    &der::write_unsigned(&[1]),
                    &der::write(der::tag::OCTET_STRING, &[ec.d.as_ref().unwrap()]),
                    curve,
                ],
            )
        };
        let read = Key::from_der(&sec1(&der::write(der::tag::CONTEXT_0, &[&id]))).unwrap();
        assert_eq!(read.thumbprint(), own.thumbprint());
        let error = Key::from_der(&sec1(&[])).unwrap_err();
        assert!(error.to_string().contains("curve is missing"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_break_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Key::parse(&bytes);
        let _ = Key::from_der(&bytes);
    }

    #[test]
    fn no_damaged_key_breaks_the_readers(place in 0_usize..2000, change in 1_u8..) {
        for (text, encoding) in [(EC_PKCS8, Encoding::Pkcs8), (EC_SEC1, Encoding::Sec1)] {
            let own = pem(text);
            let mut der = own.to_der(Part::Private, encoding).unwrap().to_vec();
            let place = place % der.len();
            der[place] ^= change;
            // A key of one curve has no damage that leaves it sound.
            prop_assert!(Key::from_der(&der).is_err());
        }
    }

    #[test]
    fn secrets_survive_a_jwk(secret in proptest::collection::vec(any::<u8>(), 1..300)) {
        let own = Key::from_secret(&secret).unwrap();
        let read = key(&own.to_jwk(Part::Private).unwrap());
        prop_assert!(same(&own, &read));
    }
}
