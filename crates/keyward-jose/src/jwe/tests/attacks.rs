//! Attacks, each with the refusal it gets.

use super::super::{Decrypter, Decrypters, Encrypter, Limits, Message, encrypt_general};
use super::{GCM, WRAP, agreement_key, keys_for, oct, pair, refusal, sealed, with_header, wrap};
use crate::algorithm::{ContentEncryption, KeyManagementAlgorithm};
use crate::key::{Curve, Key};
use crate::{Error, base64url};
use serde_json::{Value, json};

#[test]
fn a_changed_bit_in_any_part_fails() {
    for (algorithm, encryption) in [
        (
            KeyManagementAlgorithm::RsaOaep256,
            ContentEncryption::A128CbcHs256,
        ),
        (
            KeyManagementAlgorithm::EcdhEsA128Kw,
            ContentEncryption::A256Gcm,
        ),
        (
            KeyManagementAlgorithm::A256GcmKw,
            ContentEncryption::A256CbcHs512,
        ),
    ] {
        let key = keys_for(algorithm, encryption).remove(0);
        let (encrypter, decrypter) = pair(&key, algorithm, encryption);
        let text = encrypter
            .encrypt_compact(&Message::new(b"some plaintext of more than one block"))
            .unwrap();
        let parts: Vec<Vec<u8>> = text
            .split('.')
            .map(|part| base64url::decode("test", part).unwrap())
            .collect();
        for part in 1..parts.len() {
            for byte in [0, parts[part].len() / 2, parts[part].len() - 1] {
                let mut parts = parts.clone();
                parts[part][byte] ^= 1;
                let text = parts.map_join();
                assert_eq!(
                    refusal(&decrypter, &text),
                    "decryption_failed",
                    "{algorithm} part {part} byte {byte}"
                );
            }
            let mut shorter = parts.clone();
            shorter[part].pop();
            assert_eq!(
                refusal(&decrypter, &shorter.map_join()),
                "decryption_failed"
            );
        }
        let other = with_header(&text, |header| header["typ"] = json!("other"));
        assert_eq!(refusal(&decrypter, &other), "decryption_failed");
    }
}

trait MapJoin {
    fn map_join(&self) -> String;
}

impl MapJoin for Vec<Vec<u8>> {
    fn map_join(&self) -> String {
        let texts: Vec<String> = self.iter().map(base64url::encode).collect();
        texts.join(".")
    }
}

#[test]
fn aad_and_unprotected_key_are_covered() {
    let (encrypter, decrypter) = wrap();
    let text = encrypter
        .encrypt_flattened(&Message::new(b"plaintext").with_aad(b"aad"))
        .unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut object: Value = serde_json::from_str(&text).unwrap();
        change(&mut object);
        decrypter
            .decrypt_flattened(&object.to_string())
            .map(|_| ())
            .map_err(|error| error.code())
    };
    assert_eq!(changed(&|_| ()), Ok(()));
    let failed = Err("decryption_failed");
    assert_eq!(
        changed(&|object| object["aad"] = json!(base64url::encode("other"))),
        failed
    );
    assert_eq!(
        changed(&|object| {
            object.as_object_mut().unwrap().remove("aad");
        }),
        failed
    );
    assert_eq!(changed(&|object| object["aad"] = json!("")), Err("header"));
    assert_eq!(
        changed(&|object| object["iv"] = json!(base64url::encode([0; 12]))),
        failed
    );
}

/// RFC 8725bis, section 3.13.
#[test]
fn pbes2_count_bomb_is_refused() {
    let algorithm = KeyManagementAlgorithm::Pbes2Hs512A256Kw;
    let (encrypter, decrypter) = pair(&oct(b"password"), algorithm, GCM);
    let text = encrypter.encrypt_compact(&Message::new(b"x")).unwrap();
    for (count, code) in [
        (json!(999), "header"),
        (json!(0), "header"),
        (json!(-1), "header"),
        (json!("1000"), "header"),
        (json!(1000.5), "header"),
        (json!(1_000_001), "too_large"),
        (json!(4_294_967_296_u64), "too_large"),
        (json!(u64::MAX), "too_large"),
    ] {
        let bomb = with_header(&text, |header| header["p2c"] = count.clone());
        assert_eq!(refusal(&decrypter, &bomb), code, "{count}");
    }
    let short_salt = with_header(&text, |header| header["p2s"] = json!("AAAAAAAAAA"));
    assert_eq!(refusal(&decrypter, &short_salt), "header");
    let careful = Decrypter::new(&oct(b"password"), algorithm)
        .unwrap()
        .with_limits(Limits {
            pbes2_count: 999,
            ..Limits::default()
        });
    assert_eq!(refusal(&careful, &text), "too_large");
}

#[test]
fn pbes2_counts_of_many_recipients_are_added_up() {
    let algorithm = KeyManagementAlgorithm::Pbes2Hs256A128Kw;
    let others: Vec<Encrypter> = (0..8)
        .map(|i| pair(&oct(&[i; 9]), algorithm, GCM).0)
        .collect();
    let (last, decrypter) = pair(&oct(b"password"), algorithm, GCM);
    let mut recipients: Vec<&Encrypter> = others.iter().collect();
    recipients.push(&last);
    let text = encrypt_general(&recipients, &Message::new(b"x")).unwrap();
    assert!(decrypter.decrypt_general(&text).is_ok());
    let careful = decrypter.with_limits(Limits {
        pbes2_count: 8_999,
        ..Limits::default()
    });
    assert!(careful.decrypt_general(&text).is_err());
}

/// Each attempt costs an operation with a private key: recipients times keys must not multiply.
#[test]
fn attempts_of_one_message_are_bounded() {
    let named = |byte: u8| oct(&[byte; 16]).with_kid(None).unwrap();
    let strangers = [wrap_of(&named(100)), wrap_of(&named(101))];
    let own: Vec<Key> = (0..16).map(named).collect();
    let last = wrap_of(&own[15]);
    let decrypters = Decrypters::new(&own, &[WRAP], &[GCM]);
    let check = |before: usize, code: Option<&str>| {
        let mut recipients: Vec<&Encrypter> = strangers.iter().take(before).collect();
        recipients.push(&last);
        let text = encrypt_general(&recipients, &Message::new(b"x")).unwrap();
        let opened = decrypters.decrypt_general(&text);
        assert_eq!(opened.err().map(|error| error.code()), code, "{before}");
    };
    check(0, None);
    check(1, None);
    check(2, Some("too_large"));
    // One key, whose own recipient comes last of many.
    let own = named(7).with_kid(Some("own".to_owned())).unwrap();
    let last = wrap_of(&own);
    let mut recipients = vec![&strangers[0]; 63];
    recipients.push(&last);
    let text = encrypt_general(&recipients, &Message::new(b"x")).unwrap();
    let decrypter = Decrypter::new(&own, WRAP).unwrap();
    assert!(decrypter.decrypt_general(&text).is_ok());
    let nameless = Decrypter::new(&named(7), WRAP).unwrap();
    assert_eq!(
        nameless.decrypt_general(&text).unwrap_err().code(),
        "too_large"
    );
}

fn wrap_of(key: &Key) -> Encrypter {
    Encrypter::new(key, WRAP, GCM).unwrap()
}

/// RFC 8725bis, section 3.15.
#[test]
fn zip_bomb_is_refused() {
    let (_, decrypter) = wrap();
    let bomb = |length: usize| {
        use std::io::Write as _;
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; length]).unwrap();
        let deflated = encoder.finish().unwrap();
        sealed(r#"{"alg":"A128KW","enc":"A128GCM","zip":"DEF"}"#, &deflated)
    };
    assert!(decrypter.decrypt_compact(&bomb(250_000)).is_ok());
    for length in [250_001, 100_000_000] {
        let text = bomb(length);
        assert!(text.len() < 140_000);
        assert_eq!(
            decrypter.decrypt_compact(&text).unwrap_err(),
            Error::TooLarge {
                what: "inflated plaintext",
                limit: 250_000
            }
        );
    }
    let (encrypter, _) = wrap();
    assert!(matches!(
        encrypter.encrypt_compact(&Message::new(&vec![0; 250_001]).compressed()),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn what_does_not_inflate_whole_is_refused() {
    let (_, decrypter) = wrap();
    let header = r#"{"alg":"A128KW","enc":"A128GCM","zip":"DEF"}"#;
    // One stored block, the same cut short, the same with something behind it, and no deflate at all.
    let block = b"\x01\x03\x00\xfc\xffabc";
    assert_eq!(
        decrypter
            .decrypt_compact(&sealed(header, block))
            .unwrap()
            .plaintext
            .as_slice(),
        b"abc"
    );
    let longer = [&block[..], b"x"].concat();
    for bad in [&block[..6], &longer, b"abc", b""] {
        assert_eq!(
            refusal(&decrypter, &sealed(header, bad)),
            "decryption_failed"
        );
    }
}

/// RFC 8725, section 3.4.
#[test]
fn point_off_the_curve_in_epk_is_refused() {
    for curve in [Curve::P256, Curve::P384, Curve::P521] {
        let key = agreement_key(curve);
        let (encrypter, decrypter) = pair(&key, KeyManagementAlgorithm::EcdhEsA128Kw, GCM);
        let text = encrypter.encrypt_compact(&Message::new(b"x")).unwrap();
        let off = with_header(&text, |header| {
            let y = header["epk"]["y"].as_str().unwrap();
            let mut y = base64url::decode("test", y).unwrap();
            *y.last_mut().unwrap() ^= 1;
            header["epk"]["y"] = json!(base64url::encode(y));
        });
        assert_eq!(
            decrypter.decrypt_compact(&off).unwrap_err(),
            Error::Header("epk".to_owned(), "it is not a point on the curve")
        );
        let origin = with_header(&text, |header| {
            let zero = base64url::encode(vec![
                0;
                base64url::decode(
                    "test",
                    header["epk"]["x"].as_str().unwrap()
                )
                .unwrap()
                .len()
            ]);
            header["epk"]["x"] = json!(zero);
            header["epk"]["y"] = json!(zero);
        });
        assert_eq!(refusal(&decrypter, &origin), "header");
    }
}

/// RFC 8037, section 5; RFC 7748, section 6.1: points of low order make the secret zero.
#[test]
fn x25519_point_of_low_order_is_refused() {
    let key = agreement_key(Curve::X25519);
    let (encrypter, decrypter) = pair(&key, KeyManagementAlgorithm::EcdhEs, GCM);
    let text = encrypter.encrypt_compact(&Message::new(b"x")).unwrap();
    let mut one = [0; 32];
    one[0] = 1;
    for point in [[0; 32], one] {
        let low = with_header(&text, |header| {
            header["epk"]["x"] = json!(base64url::encode(point));
        });
        assert_eq!(refusal(&decrypter, &low), "decryption_failed");
    }
}

/// RFC 8725, section 3.10.
#[test]
fn keys_in_the_message_are_ignored() {
    let (_, decrypter) = wrap();
    let jwk = r#"{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAA"}"#;
    let other = oct(&[0; 16]);
    let header = format!(
        r#"{{"alg":"A128KW","enc":"A128GCM","jwk":{jwk},"jku":"http://127.0.0.1/","x5u":"http://127.0.0.1/"}}"#
    );
    // Made with our key: opened by it, whatever the message brings along.
    assert!(decrypter.decrypt_compact(&sealed(&header, b"x")).is_ok());
    // Made with the key that it brings along: refused.
    let (foreign, _) = pair(&other, WRAP, GCM);
    let text = foreign
        .encrypt_compact(
            &Message::new(b"x").with_protected("jwk", serde_json::from_str::<Value>(jwk).unwrap()),
        )
        .unwrap();
    assert_eq!(refusal(&decrypter, &text), "decryption_failed");
}

#[test]
fn oversize_and_depth_are_refused_before_any_key_is_used() {
    let (encrypter, decrypter) = wrap();
    let deep = format!(
        r#"{{"alg":"A128KW","enc":"A128GCM","x":{}{}}}"#,
        "[".repeat(40),
        "]".repeat(40)
    );
    assert_eq!(refusal(&decrypter, &sealed(&deep, b"x")), "json");
    let wide = format!(
        r#"{{"alg":"A128KW","enc":"A128GCM","x":"{}"}}"#,
        "x".repeat(20_000)
    );
    assert_eq!(refusal(&decrypter, &sealed(&wide, b"x")), "too_large");
    let long = encrypter
        .encrypt_compact(&Message::new(&vec![0; 1_000_000]))
        .unwrap();
    assert_eq!(refusal(&decrypter, &long), "too_large");
    let flattened = encrypter
        .encrypt_flattened(&Message::new(&vec![0; 1_000_000]))
        .unwrap();
    assert_eq!(
        decrypter.decrypt_flattened(&flattened).unwrap_err().code(),
        "too_large"
    );
    let recipients = vec![&encrypter; 65];
    assert!(matches!(
        encrypt_general(&recipients, &Message::new(b"x")),
        Err(Error::TooLarge { .. })
    ));
    let mut general: Value =
        serde_json::from_str(&encrypt_general(&[&encrypter], &Message::new(b"x")).unwrap())
            .unwrap();
    general["recipients"] = json!(vec![general["recipients"][0].clone(); 65]);
    assert_eq!(
        decrypter
            .decrypt_general(&general.to_string())
            .unwrap_err()
            .code(),
        "too_large"
    );
}
