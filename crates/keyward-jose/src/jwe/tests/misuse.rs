//! Keys and messages that are refused before anything is encrypted or decrypted.

use super::super::{Decrypter, Encrypter, Message, encrypt_general};
use super::{GCM, WRAP, agreement_key, compact, oct, pair, refusal, rsa, wrap};
use crate::Error;
use crate::algorithm::{Algorithm, ContentEncryption, KeyManagementAlgorithm, SignatureAlgorithm};
use crate::key::{Curve, Key, KeyOperation, KeyType, KeyUse, Part};
use serde_json::{Value, json};

/// RFC 7517, sections 4.2 to 4.4.
#[test]
fn a_key_for_something_else_is_refused() {
    let restrict = |change: &dyn Fn(&mut Key)| {
        let mut key = oct(&[7; 16]);
        change(&mut key);
        (
            Encrypter::new(&key, WRAP, GCM).is_ok(),
            Decrypter::new(&key, WRAP).is_ok(),
        )
    };
    assert_eq!(restrict(&|_| ()), (true, true));
    assert_eq!(
        restrict(&|key| key.parameters.key_use = Some(KeyUse::Encryption)),
        (true, true)
    );
    assert_eq!(
        restrict(&|key| key.parameters.key_use = Some(KeyUse::Signature)),
        (false, false)
    );
    assert_eq!(
        restrict(
            &|key| key.parameters.algorithm = Some(Algorithm::Signature(SignatureAlgorithm::Hs256))
        ),
        (false, false)
    );
    assert_eq!(
        restrict(&|key| key.parameters.algorithm = Some(Algorithm::ContentEncryption(GCM))),
        (false, false)
    );
    assert_eq!(
        restrict(&|key| key.parameters.algorithm = Some(Algorithm::KeyManagement(WRAP))),
        (true, true)
    );
    assert_eq!(
        restrict(&|key| key.parameters.operations = Some(vec![KeyOperation::WrapKey])),
        (true, false)
    );
    assert_eq!(
        restrict(&|key| key.parameters.operations = Some(vec![KeyOperation::UnwrapKey])),
        (false, true)
    );
    assert_eq!(
        restrict(&|key| key.parameters.operations = Some(vec![KeyOperation::Sign])),
        (false, false)
    );
}

#[test]
fn keys_of_the_wrong_type_or_length_are_refused() {
    let public_rsa = rsa().public().unwrap();
    let oaep = KeyManagementAlgorithm::RsaOaep;
    assert!(Encrypter::new(&public_rsa, oaep, GCM).is_ok());
    assert_eq!(
        Decrypter::new(&public_rsa, oaep).unwrap_err(),
        Error::NoPrivateKey
    );
    for (key, algorithm) in [
        (rsa(), WRAP),
        (oct(&[1; 15]), WRAP),
        (oct(&[1; 24]), WRAP),
        (oct(&[1; 16]), oaep),
        (oct(&[1; 16]), KeyManagementAlgorithm::EcdhEs),
        (rsa(), KeyManagementAlgorithm::EcdhEs),
        (
            Key::generate_type(KeyType::Curve(Curve::Ed25519)).unwrap(),
            KeyManagementAlgorithm::EcdhEs,
        ),
        (oct(&[1; 17]), KeyManagementAlgorithm::Dir),
    ] {
        for error in [
            Encrypter::new(&key, algorithm, GCM).err(),
            Decrypter::new(&key, algorithm).err(),
        ] {
            assert_eq!(
                error.map(|error| error.code()),
                Some("key_unfit"),
                "{algorithm}"
            );
        }
    }
}

#[test]
fn a_key_bound_to_one_content_encryption_opens_no_other() {
    let mut key = oct(&[1; 32]);
    key.parameters.algorithm = Some(Algorithm::ContentEncryption(ContentEncryption::A256Gcm));
    let direct = KeyManagementAlgorithm::Dir;
    assert!(Encrypter::new(&key, direct, ContentEncryption::A128CbcHs256).is_err());
    let (_, decrypter) = pair(&key, direct, ContentEncryption::A256Gcm);
    let (free, _) = pair(&oct(&[1; 32]), direct, ContentEncryption::A128CbcHs256);
    let text = free.encrypt_compact(&Message::new(b"x")).unwrap();
    assert_eq!(refusal(&decrypter, &text), "algorithm_not_allowed");
    let decrypter = Decrypter::new(&oct(&[1; 32]), direct)
        .unwrap()
        .with_encryptions(&[ContentEncryption::A256Gcm]);
    assert_eq!(refusal(&decrypter, &text), "algorithm_not_allowed");
}

#[test]
fn the_encrypter_refuses_what_no_reader_would_take() {
    let (encrypter, _) = wrap();
    for name in ["alg", "enc", "zip", "crit", "epk", "p2c", "tag"] {
        let message = Message::new(b"x").with_protected(name, "x");
        assert!(encrypter.encrypt_compact(&message).is_err(), "{name}");
        let message = Message::new(b"x").with_unprotected(name, "x");
        assert!(encrypter.encrypt_flattened(&message).is_err(), "{name}");
    }
    let twice = Message::new(b"x")
        .with_protected("cty", "a")
        .with_unprotected("cty", "b");
    assert!(encrypter.encrypt_flattened(&twice).is_err());
    assert!(encrypt_general(&[&encrypter], &twice).is_err());
    let typed = Message::new(b"x").with_protected("typ", 7);
    assert!(encrypter.encrypt_compact(&typed).is_err());
    for message in [
        Message::new(b"x").with_aad(b"aad"),
        Message::new(b"x").with_unprotected("cty", "a"),
    ] {
        assert_eq!(
            encrypter.encrypt_compact(&message).unwrap_err().code(),
            "serialization"
        );
    }
}

#[test]
fn debug_shows_no_secret() {
    let (encrypter, decrypter) = wrap();
    let opened = decrypter.decrypt_compact(&compact()).unwrap();
    let shown = format!(
        "{encrypter:?} {decrypter:?} {opened:?} {:?}",
        Message::new(b"plaintext")
    );
    assert!(!shown.contains("plaintext"));
    assert!(!shown.contains("112, 108"));
    assert!(!shown.contains("7, 7"));
}

/// WebCrypto exports the public half of a pair for ECDH with `"key_ops":[]`.
#[test]
fn public_key_of_web_crypto_is_encrypted_to() {
    for curve in [Curve::P256, Curve::X25519] {
        let private = agreement_key(curve);
        let public = private.public().unwrap();
        let labelled = |key: &Key, part, operations: Value| {
            let mut jwk = key.to_jwk_value(part).unwrap();
            jwk.insert("key_ops".to_owned(), operations);
            Key::from_jwk(Value::Object(jwk).to_string().as_bytes()).unwrap()
        };
        let algorithm = KeyManagementAlgorithm::EcdhEsA128Kw;
        let text = Encrypter::new(&labelled(&public, Part::Public, json!([])), algorithm, GCM)
            .unwrap()
            .encrypt_compact(&Message::new(b"x"))
            .unwrap();
        let decrypter = Decrypter::new(&private, algorithm).unwrap();
        assert_eq!(
            decrypter
                .decrypt_compact(&text)
                .unwrap()
                .plaintext
                .as_slice(),
            b"x"
        );
        // The other half, and keys that are for something else, are bound by theirs.
        for operations in [json!(["verify"]), json!(["sign", "verify"])] {
            let other = labelled(&public, Part::Public, operations);
            let error = Encrypter::new(&other, algorithm, GCM).unwrap_err();
            assert_eq!(error.code(), "key_unfit");
        }
        let other = labelled(&private, Part::Private, json!([]));
        let error = Decrypter::new(&other, algorithm).unwrap_err();
        assert_eq!(error.code(), "key_unfit");
        let error = Encrypter::new(&other, algorithm, GCM).unwrap_err();
        assert_eq!(error.code(), "key_unfit");
    }
}
