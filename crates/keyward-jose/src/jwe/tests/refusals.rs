//! Attacks and malformed messages, each with the refusal it gets.

use super::super::{Decrypter, Encrypter, Limits, Message, encrypt_general};
use super::{agreement_key, keys_for, oct, pair, rsa};
use crate::algorithm::{Algorithm, ContentEncryption, KeyManagementAlgorithm, SignatureAlgorithm};
use crate::key::{Curve, Key, KeyOperation, KeyType, KeyUse};
use crate::{Error, base64url};
use serde_json::{Value, json};

const WRAP: KeyManagementAlgorithm = KeyManagementAlgorithm::A128Kw;
const GCM: ContentEncryption = ContentEncryption::A128Gcm;

/// A wrapping key's two sides.
fn wrap() -> (Encrypter, Decrypter) {
    pair(&oct(&[7; 16]), WRAP, GCM)
}

/// A compact message of the wrapping key.
fn compact() -> String {
    wrap()
        .0
        .encrypt_compact(&Message::new(b"plaintext"))
        .unwrap()
}

/// `text` with the protected header changed by `change`; all else stays.
fn with_header(text: &str, change: impl FnOnce(&mut Value)) -> String {
    let (header, rest) = text.split_once('.').unwrap();
    let mut header: Value =
        serde_json::from_slice(&base64url::decode("test", header).unwrap()).unwrap();
    change(&mut header);
    format!("{}.{rest}", base64url::encode(header.to_string()))
}

/// The code of the refusal of `text`, read as compact.
fn refusal(decrypter: &Decrypter, text: &str) -> &'static str {
    decrypter.decrypt_compact(text).unwrap_err().code()
}

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

/// A compact message of the wrapping key with this header text and this content.
fn sealed(header: &str, content: &[u8]) -> String {
    let kek = oct(&[7; 16]);
    let sender = super::super::key_management::Sender::new(&kek, WRAP, GCM).unwrap();
    let carried = sender.carry(None, GCM).unwrap();
    let header = base64url::encode(header);
    let sealed =
        super::super::content::seal(GCM, &carried.key, header.as_bytes(), content).unwrap();
    super::super::serialization::write_compact(&header, &carried.encrypted_key, &sealed)
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
