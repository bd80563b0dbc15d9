//! What is encrypted here is decrypted here, in every combination.

use super::super::{Decrypters, Message, encrypt_general};
use super::{agreement_key, keys_for, oct, pair, rsa};
use crate::Error;
use crate::algorithm::{ContentEncryption, KeyManagementAlgorithm};
use crate::key::{Curve, Key};
use proptest::prelude::*;

const PLAINTEXT: &[u8] = b"The true sign of intelligence is not knowledge but imagination.";

#[test]
fn every_algorithm_with_every_encryption_in_every_serialization() {
    let message = Message::new(PLAINTEXT).with_protected("typ", "JWT");
    let rich = Message::new(PLAINTEXT)
        .with_unprotected("cty", "text/plain")
        .with_aad(b"beside")
        .compressed();
    for algorithm in KeyManagementAlgorithm::ALL {
        for encryption in ContentEncryption::ALL {
            for key in keys_for(*algorithm, *encryption) {
                let (encrypter, decrypter) = pair(&key, *algorithm, *encryption);
                let compact = encrypter.encrypt_compact(&message).unwrap();
                let opened = decrypter.decrypt_compact(&compact).unwrap();
                assert_eq!(
                    opened.plaintext.as_slice(),
                    PLAINTEXT,
                    "{algorithm} {encryption}"
                );
                assert_eq!(opened.header.typ(), Some("JWT"));
                assert_eq!(opened.header.encryption(), Ok(*encryption));

                let flattened = encrypter.encrypt_flattened(&rich).unwrap();
                let opened = decrypter.decrypt_flattened(&flattened).unwrap();
                assert_eq!(opened.plaintext.as_slice(), PLAINTEXT);
                assert_eq!(opened.aad.as_deref(), Some(&b"beside"[..]));
                assert_eq!(opened.header.cty(), Some("text/plain"));
                assert!(opened.header.is_compressed());

                let general = encrypt_general(&[&encrypter], &rich).unwrap();
                let opened = decrypter.decrypt_general(&general).unwrap();
                assert_eq!(opened.plaintext.as_slice(), PLAINTEXT);
                assert_eq!(opened.header.algorithm(), Ok(*algorithm));
            }
        }
    }
}

fn named(mut key: Key, kid: &str) -> Key {
    key.parameters.kid = Some(kid.to_owned());
    key
}

#[test]
fn each_of_several_recipients_opens_the_message() {
    let encryption = ContentEncryption::A256CbcHs512;
    let recipients = [
        (rsa(), KeyManagementAlgorithm::RsaOaep256),
        (
            agreement_key(Curve::P384),
            KeyManagementAlgorithm::EcdhEsA192Kw,
        ),
        (
            agreement_key(Curve::X25519),
            KeyManagementAlgorithm::EcdhEsA256Kw,
        ),
        (oct(&[1; 24]), KeyManagementAlgorithm::A192Kw),
        (oct(&[2; 32]), KeyManagementAlgorithm::A256GcmKw),
        (oct(b"password"), KeyManagementAlgorithm::Pbes2Hs256A128Kw),
    ]
    .map(|(key, algorithm)| pair(&key, algorithm, encryption));
    let encrypters: Vec<_> = recipients.iter().map(|(encrypter, _)| encrypter).collect();
    let text = encrypt_general(&encrypters, &Message::new(PLAINTEXT)).unwrap();
    for (_, decrypter) in &recipients {
        let opened = decrypter.decrypt_general(&text).unwrap();
        assert_eq!(opened.plaintext.as_slice(), PLAINTEXT);
        assert_eq!(opened.header.algorithm(), Ok(decrypter.algorithm()));
    }
}

#[test]
fn direct_keys_allow_one_recipient_only() {
    let encryption = ContentEncryption::A256Gcm;
    let (wrapped, _) = pair(&oct(&[1; 32]), KeyManagementAlgorithm::A256Kw, encryption);
    let (direct, _) = pair(&oct(&[1; 32]), KeyManagementAlgorithm::Dir, encryption);
    let (agreed, _) = pair(
        &agreement_key(Curve::P256),
        KeyManagementAlgorithm::EcdhEs,
        encryption,
    );
    let message = Message::new(PLAINTEXT);
    for other in [&direct, &agreed] {
        for recipients in [[&wrapped, other], [other, &wrapped]] {
            assert!(matches!(
                encrypt_general(&recipients, &message),
                Err(Error::Serialization(_))
            ));
        }
    }
    assert!(encrypt_general(&[], &message).is_err());
}

#[test]
fn a_set_picks_by_kid_and_algorithm() {
    use KeyManagementAlgorithm as A;
    let keys = [
        named(oct(&[1; 32]), "one"),
        named(oct(&[2; 32]), "two"),
        agreement_key(Curve::P256),
        agreement_key(Curve::X25519),
    ];
    let set = Decrypters::new(
        &keys,
        &[A::A256Kw, A::EcdhEs],
        &[ContentEncryption::A128Gcm],
    );
    assert!(set.skipped().is_empty());
    for (key, algorithm) in keys
        .iter()
        .zip([A::A256Kw, A::A256Kw, A::EcdhEs, A::EcdhEs])
    {
        let (encrypter, _) = pair(key, algorithm, ContentEncryption::A128Gcm);
        let text = encrypter.encrypt_compact(&Message::new(PLAINTEXT)).unwrap();
        let opened = set.decrypt_compact(&text).unwrap();
        assert_eq!(opened.header.kid(), key.kid());
    }

    let encrypt = |key: &Key, algorithm, encryption, kid: Option<&str>| {
        let (encrypter, _) = pair(key, algorithm, encryption);
        let message = match kid {
            Some(kid) => Message::new(PLAINTEXT).with_protected("kid", kid),
            None => Message::new(PLAINTEXT),
        };
        encrypter.encrypt_compact(&message).unwrap()
    };
    let gcm = ContentEncryption::A128Gcm;
    // The right key under another's name, and under a name that nobody has.
    let text = encrypt(&keys[0], A::A256Kw, gcm, Some("two"));
    assert_eq!(
        set.decrypt_compact(&text).unwrap_err(),
        Error::DecryptionFailed
    );
    let text = encrypt(&keys[0], A::A256Kw, gcm, Some("three"));
    assert_eq!(
        set.decrypt_compact(&text).unwrap_err().code(),
        "key_unknown"
    );
    // Without a name all are tried.
    let text = encrypt(&oct(&[2; 32]), A::A256Kw, gcm, None);
    assert!(set.decrypt_compact(&text).is_ok());
    // An algorithm and a content encryption that are not allowed.
    let text = encrypt(&keys[0], A::Dir, ContentEncryption::A256Gcm, None);
    assert_eq!(
        set.decrypt_compact(&text).unwrap_err().code(),
        "key_unknown"
    );
    let text = encrypt(&keys[0], A::A256Kw, ContentEncryption::A256Gcm, None);
    assert_eq!(
        set.decrypt_compact(&text).unwrap_err().code(),
        "algorithm_not_allowed"
    );
}

#[test]
fn a_key_without_a_name_is_tried_for_a_name_that_nobody_has() {
    let algorithm = KeyManagementAlgorithm::A256Kw;
    let keys = [named(oct(&[1; 32]), "one"), oct(&[2; 32])];
    let set = Decrypters::new(&keys, &[algorithm], ContentEncryption::ALL);
    let open = |key: &Key, kid: &str| {
        let (encrypter, _) = pair(key, algorithm, ContentEncryption::A128Gcm);
        let message = Message::new(PLAINTEXT).with_protected("kid", kid);
        let text = encrypter.encrypt_compact(&message).unwrap();
        set.decrypt_compact(&text)
            .map(|_| ())
            .map_err(|error| error.code())
    };
    assert_eq!(open(&keys[1], "three"), Ok(()));
    assert_eq!(open(&keys[0], "three"), Err("decryption_failed"));
    assert_eq!(open(&keys[1], "one"), Err("decryption_failed"));
}

#[test]
fn more_keys_than_may_be_tried_are_refused() {
    let algorithm = KeyManagementAlgorithm::A128Kw;
    let keys: Vec<Key> = (0..17).map(|i| oct(&[i; 16])).collect();
    let (encrypter, _) = pair(&keys[16], algorithm, ContentEncryption::A128Gcm);
    let text = encrypter.encrypt_compact(&Message::new(PLAINTEXT)).unwrap();
    let open = |keys: &[Key]| {
        Decrypters::new(keys, &[algorithm], ContentEncryption::ALL)
            .decrypt_compact(&text)
            .map(|_| ())
            .map_err(|error| error.code())
    };
    assert_eq!(open(&keys), Err("key_unknown"));
    assert_eq!(open(&keys[1..]), Ok(()));
}

#[test]
fn keys_that_fit_nothing_are_left_out_and_listed() {
    let keys = [
        oct(&[1; 32]),
        named(oct(&[1; 5]), "short"),
        agreement_key(Curve::P256),
    ];
    let set = Decrypters::new(
        &keys,
        &[KeyManagementAlgorithm::A256Kw, KeyManagementAlgorithm::Dir],
        ContentEncryption::ALL,
    );
    let skipped: Vec<_> = set
        .skipped()
        .iter()
        .map(|key| (key.index, key.kid.as_deref(), key.error.code()))
        .collect();
    assert_eq!(
        skipped,
        [(1, Some("short"), "key_unfit"), (2, None, "key_unfit")]
    );
    assert!(!set.is_empty());
}

#[test]
fn parties_are_bound_to_the_agreed_key() {
    let key = agreement_key(Curve::P256);
    let (encrypter, decrypter) = pair(
        &key,
        KeyManagementAlgorithm::EcdhEs,
        ContentEncryption::A128Gcm,
    );
    let encrypter = encrypter.with_parties(b"Alice", b"Bob").unwrap();
    let text = encrypter
        .encrypt_flattened(&Message::new(PLAINTEXT))
        .unwrap();
    let opened = decrypter.decrypt_flattened(&text).unwrap();
    assert_eq!(opened.header.get("apu").unwrap(), "QWxpY2U");
    assert_eq!(opened.header.get("apv").unwrap(), "Qm9i");
    let (other, _) = pair(
        &oct(&[1; 32]),
        KeyManagementAlgorithm::A256Kw,
        ContentEncryption::A128Gcm,
    );
    assert!(other.with_parties(b"Alice", b"Bob").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_plaintext_and_aad_come_back(
        plaintext in proptest::collection::vec(any::<u8>(), 0..600),
        aad in proptest::collection::vec(any::<u8>(), 1..80),
        encryption in proptest::sample::select(ContentEncryption::ALL),
        compressed: bool,
    ) {
        let (encrypter, decrypter) =
            pair(&oct(&[7; 16]), KeyManagementAlgorithm::A128Kw, encryption);
        let mut message = Message::new(&plaintext).with_aad(&aad);
        if compressed {
            message = message.compressed();
        }
        let text = encrypter.encrypt_flattened(&message).unwrap();
        let opened = decrypter.decrypt_flattened(&text).unwrap();
        prop_assert_eq!(opened.plaintext.as_slice(), plaintext.as_slice());
        prop_assert_eq!(opened.aad.as_deref(), Some(aad.as_slice()));
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text: String, parts in "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){3,5}") {
        let (_, decrypter) = pair(
            &oct(&[7; 16]),
            KeyManagementAlgorithm::A128Kw,
            ContentEncryption::A128Gcm,
        );
        for text in [text, parts] {
            prop_assert!(decrypter.decrypt_compact(&text).is_err());
            prop_assert!(decrypter.decrypt_flattened(&text).is_err());
            prop_assert!(decrypter.decrypt_general(&text).is_err());
        }
    }
}
