use super::*;

#[test]
fn every_algorithm_gets_a_key_that_fits_it() {
    for algorithm in Algorithm::all() {
        if matches!(
            KeyType::for_algorithm(algorithm, None).unwrap(),
            KeyType::Rsa { bits } if bits != 2048
        ) {
            panic!("{algorithm}");
        }
        let own = Key::generate(algorithm, None).unwrap();
        assert!(own.fits(algorithm));
        assert_eq!(own.algorithm(), Some(algorithm));
        assert_eq!(own.kid(), Some(own.thumbprint_base64url().as_str()));
        let read = key(&own.to_jwk(Part::Private).unwrap());
        assert!(same(&own, &read), "{algorithm}");
    }
}

#[test]
fn no_two_keys_are_the_same() {
    for key_type in [
        KeyType::Curve(Curve::P256),
        KeyType::Curve(Curve::X25519),
        KeyType::MlDsa(MlDsa::MlDsa44),
        KeyType::Oct { bits: 128 },
    ] {
        assert_ne!(
            Key::generate_type(key_type).unwrap().thumbprint(),
            Key::generate_type(key_type).unwrap().thumbprint()
        );
    }
}

#[test]
fn bits_choose_where_there_is_a_choice() {
    let made = |name: &str, bits| Key::generate(name.parse().unwrap(), Some(bits));
    for (name, bits, description) in [
        ("RS256", 3072, "an RSA key of 3072 bits"),
        ("ECDH-ES", 384, "an EC key on P-384"),
        ("ECDH-ES+A128KW", 521, "an EC key on P-521"),
        ("HS256", 512, "a secret of 64 bytes"),
        ("ES384", 384, "an EC key on P-384"),
        ("PBES2-HS256+A128KW", 128, "a secret of 16 bytes"),
    ] {
        assert_eq!(made(name, bits).unwrap().description(), description);
    }
    for (name, bits) in [
        ("RS256", 1024),
        ("RS256", 2047),
        ("RS256", 16384),
        ("ES256", 384),
        ("ML-DSA-44", 256),
        ("ECDH-ES", 255),
        ("HS512", 256),
        ("A128KW", 256),
        ("dir", 0),
        ("dir", 129),
        ("dir", 8 * (SECRET_BYTES_MAX + 1)),
    ] {
        let error = made(name, bits).unwrap_err();
        assert_eq!(error.code(), "key_unfit", "{name} {bits}: {error}");
    }
}
