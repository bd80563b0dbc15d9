//! Vectors of RFC 7516, RFC 7517, RFC 7518, RFC 7520 and RFC 8037.

use super::super::content;
use super::super::{Decrypted, Decrypter, Header};
use super::{VECTORS, key};
use crate::algorithm::ContentEncryption;
use crate::{Error, base64url};
use serde_json::Value;

/// The `alg` of a serialization, as text.
fn algorithms(form: &str, text: &str) -> Vec<String> {
    let protected = |text: &str| -> Value {
        serde_json::from_slice(&base64url::decode("test", text).unwrap()).unwrap()
    };
    let name = |value: &Value| value["alg"].as_str().map(str::to_owned);
    if form == "compact" {
        return name(&protected(text.split('.').next().unwrap()))
            .into_iter()
            .collect();
    }
    let object: Value = serde_json::from_str(text).unwrap();
    let mut found = Vec::new();
    if let Some(text) = object["protected"].as_str() {
        found.extend(name(&protected(text)));
    }
    found.extend(name(&object["unprotected"]));
    found.extend(name(&object["header"]));
    for recipient in object["recipients"].as_array().into_iter().flatten() {
        found.extend(name(&recipient["header"]));
    }
    found
}

fn decrypt(decrypter: &Decrypter, form: &str, text: &str) -> Result<Decrypted, Error> {
    match form {
        "compact" => decrypter.decrypt_compact(text),
        "flattened" => decrypter.decrypt_flattened(text),
        _ => decrypter.decrypt_general(text),
    }
}

#[test]
fn the_messages_of_the_rfcs_are_opened() {
    let mut opened = 0;
    for vector in VECTORS["opened"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let key = key(&vector["key"]);
        for form in ["compact", "flattened", "general"] {
            let Some(text) = vector[form].as_str() else {
                continue;
            };
            let results: Vec<Decrypted> = algorithms(form, text)
                .iter()
                .filter_map(|alg| alg.parse().ok())
                .filter_map(|algorithm| Decrypter::new(&key, algorithm).ok())
                .map(|decrypter| {
                    decrypt(&decrypter, form, text)
                        .unwrap_or_else(|error| panic!("{name}, {form}: {error}"))
                })
                .collect();
            assert_eq!(results.len(), 1, "{name}, {form}");
            let plaintext = &results[0].plaintext;
            match vector["plaintext"].as_str() {
                Some(expected) => {
                    assert_eq!(base64url::encode(plaintext), expected, "{name}, {form}");
                }
                None => {
                    let jwk: Value = serde_json::from_slice(plaintext).unwrap();
                    assert_eq!(jwk["kid"], "juliet@capulet.lit");
                    assert_eq!(jwk["use"], "enc");
                }
            }
            opened += 1;
        }
    }
    assert_eq!(opened, 35);
}

#[test]
fn aad_and_headers_of_the_json_serializations_are_handed_out() {
    let vectors = VECTORS["opened"].as_array().unwrap();
    let find = |name: &str| vectors.iter().find(|v| v["name"] == name).unwrap();
    let open = |name: &str| {
        let vector = find(name);
        let decrypter = Decrypter::new(&key(&vector["key"]), "A128KW".parse().unwrap()).unwrap();
        decrypter
            .decrypt_flattened(vector["flattened"].as_str().unwrap())
            .unwrap()
    };
    let aad = open("RFC 7520, 5.10").aad.unwrap();
    assert!(aad.starts_with(b"[\"vcard\""));
    let header: Header = open("RFC 7520, 5.12").header;
    assert!(header.protected_parameters().is_empty());
    assert_eq!(header.kid(), Some("81b20965-8332-43d9-a468-82160ad91ac8"));
    assert_eq!(header.protected("kid"), None);
    let header = open("RFC 7520, 5.9").header;
    assert!(header.is_compressed());
}

#[test]
fn rsa1_5_is_refused() {
    for vector in VECTORS["rsa1_5"].as_array().unwrap() {
        let text = vector["compact"].as_str().unwrap();
        for algorithm in ["RSA-OAEP", "RSA-OAEP-256"] {
            let decrypter =
                Decrypter::new(&key(&vector["key"]), algorithm.parse().unwrap()).unwrap();
            assert_eq!(
                decrypter.decrypt_compact(text).unwrap_err(),
                Error::AlgorithmNotAllowed("RSA1_5".to_owned())
            );
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

#[test]
fn rfc_7518_appendix_b() {
    let key: Vec<u8> = (0..64).collect();
    let iv: [u8; 16] = hex("1af38c2dc2b96ffdd86694092341bc04").try_into().unwrap();
    let aad = b"The second principle of Auguste Kerckhoffs";
    let plaintext = b"A cipher system must not be required to be secret, and it must be able to \
        fall into the hands of the enemy without inconvenience";
    for (encryption, ciphertext, tag) in [
        (
            ContentEncryption::A128CbcHs256,
            "c80edfa32ddf39d5ef00c0b468834279a2e46a1b8049f792f76bfe54b903a9c9\
             a94ac9b47ad2655c5f10f9aef71427e2fc6f9b3f399a221489f16362c7032336\
             09d45ac69864e3321cf82935ac4096c86e133314c54019e8ca7980dfa4b9cf1b\
             384c486f3a54c51078158ee5d79de59fbd34d848b3d69550a67646344427ade5\
             4b8851ffb598f7f80074b9473c82e2db",
            "652c3fa36b0a7c5b3219fab3a30bc1c4",
        ),
        (
            ContentEncryption::A192CbcHs384,
            "ea65da6b59e61edb419be62d19712ae5d303eeb50052d0dfd6697f77224c8edb\
             000d279bdc14c1072654bd30944230c657bed4ca0c9f4a8466f22b226d174621\
             4bf8cfc2400add9f5126e479663fc90b3bed787a2f0ffcbf3904be2a641d5c21\
             05bfe591bae23b1d7449e532eef60a9ac8bb6c6b01d35d49787bcd57ef484927\
             f280adc91ac0c4e79c7b11efc60054e3",
            "8490ac0e58949bfe51875d733f93ac2075168039ccc733d7",
        ),
        (
            ContentEncryption::A256CbcHs512,
            "4affaaadb78c31c5da4b1b590d10ffbd3dd8d5d302423526912da037ecbcc7bd\
             822c301dd67c373bccb584ad3e9279c2e6d12a1374b77f077553df829410446b\
             36ebd97066296ae6427ea75c2e0846a11a09ccf5370dc80bfecbad28c73f09b3\
             a3b75e662a2594410ae496b2e2e6609e31e6e02cc837f053d21f37ff4f51950b\
             be2638d09dd7a4930930806d0703b1f6",
            "4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5",
        ),
    ] {
        let key = &key[..encryption.key_bytes()];
        let sealed = content::seal_under(encryption, key, &iv, aad, plaintext).unwrap();
        assert_eq!(sealed.ciphertext, hex(ciphertext), "{encryption}");
        assert_eq!(sealed.tag, hex(tag), "{encryption}");
        let opened = content::open(encryption, key, &iv, aad, &sealed.ciphertext, &sealed.tag);
        assert_eq!(opened.unwrap().as_slice(), plaintext);
    }
}
