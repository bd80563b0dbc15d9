//! Encrypted messages.

#![no_main]

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_fuzz::{edited, has_no_member_twice, vectors};
use keyward_jose::jwe::{Decrypted, Decrypters, Limits};
use keyward_jose::{ContentEncryption, Key, KeyManagementAlgorithm};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;

struct Fixture {
    texts: Vec<String>,
    plaintexts: Vec<Vec<u8>>,
    decrypters: [Decrypters; 2],
}

/// The messages of the RFCs, the keys of all of them, and what is in them.
static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let vectors = vectors();
    let mut texts = Vec::new();
    let mut keys = Vec::new();
    let mut secrets = Vec::new();
    for vector in vectors["opened"].as_array().into_iter().flatten() {
        let key = Key::from_jwk(vector["key"].to_string().as_bytes()).expect("a valid key");
        if vector["name"] == "RFC 7520, 5.3" || vector["name"] == "RFC 7517, C" {
            secrets.push(key);
        } else {
            keys.push(key);
        }
        for form in ["compact", "flattened", "general"] {
            texts.extend(vector[form].as_str().map(str::to_owned));
        }
    }
    // Any secret could be a password: only those of the two messages are tried as one.
    let is_password = |algorithm: &KeyManagementAlgorithm| algorithm.as_str().starts_with("PBES2");
    let (passwords, others): (Vec<_>, Vec<_>) = KeyManagementAlgorithm::ALL
        .iter()
        .copied()
        .partition(is_password);
    let decrypters = [
        Decrypters::new(&keys, &others, ContentEncryption::ALL).with_limits(limits()),
        Decrypters::new(&secrets, &passwords, ContentEncryption::ALL).with_limits(limits()),
    ];
    let plaintexts: Vec<_> = texts
        .iter()
        .map(|text| {
            opened(&decrypters, text)
                .next()
                .expect("it opens")
                .plaintext
                .to_vec()
        })
        .collect();
    Fixture {
        texts,
        plaintexts,
        decrypters,
    }
});

/// Few iterations of PBES2: the fuzzer shall not spend its time there.
fn limits() -> Limits {
    Limits {
        pbes2_count: 8_192,
        ..Limits::default()
    }
}

fn opened<'a>(
    decrypters: &'a [Decrypters; 2],
    text: &'a str,
) -> impl Iterator<Item = Decrypted> + use<'a> {
    decrypters.iter().flat_map(move |set| {
        [
            set.decrypt_compact(text),
            set.decrypt_flattened(text),
            set.decrypt_general(text),
        ]
        .into_iter()
        .flatten()
    })
}

const SHARED: [u8; 16] = [0x5a; 16];

static DIRECT: LazyLock<Decrypters> = LazyLock::new(|| {
    let key = Key::from_secret(&SHARED).expect("a secret is a key");
    Decrypters::new(
        [&key],
        &[KeyManagementAlgorithm::Dir],
        &[ContentEncryption::A128Gcm],
    )
});

/// A compact message of these very bytes under [`SHARED`].
fn sealed(header: &[u8], content: &[u8]) -> String {
    let header = URL_SAFE_NO_PAD.encode(header);
    let iv = [0; 12];
    let mut ciphertext = content.to_vec();
    let tag = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &SHARED).expect("a key"))
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(iv),
            Aad::from(header.as_bytes()),
            &mut ciphertext,
        )
        .expect("it is sealed");
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!(
        "{header}..{}.{}.{}",
        encode(&iv),
        encode(&ciphertext),
        encode(tag.as_ref())
    )
}

const HEADERS: [&str; 3] = [
    r#"{"alg":"dir","enc":"A128GCM"}"#,
    r#"{"alg":"dir","enc":"A128GCM","zip":"DEF"}"#,
    r#"{"alg":"dir","enc":"A128GCM","kid":"a","typ":"JWT","cty":"JWT","crit":["x"],"x":1}"#,
];

fuzz_target!(|data: &[u8]| {
    let Some((&mode, data)) = data.split_first() else {
        return;
    };
    if mode % 2 == 0 {
        // What was encrypted by others, edited.
        let fixture = &*FIXTURE;
        let chosen = edited(&fixture.texts, data);
        let Ok(text) = std::str::from_utf8(&chosen.text) else {
            return;
        };
        let mut forms = 0;
        for decrypted in opened(&fixture.decrypters, text) {
            assert!(fixture.plaintexts.contains(&decrypted.plaintext.to_vec()));
            forms += 1;
        }
        assert!(forms <= 1, "one text is one serialization");
    } else {
        // What the fuzzer wrote, encrypted with a key of ours.
        let split = data
            .iter()
            .position(|byte| *byte == 0xff)
            .unwrap_or(data.len());
        let (header, content) = data.split_at(split);
        let header = edited(&HEADERS, header).text;
        let Ok(decrypted) = DIRECT.decrypt_compact(&sealed(&header, content)) else {
            return;
        };
        assert!(has_no_member_twice(&header));
        let read: Value = serde_json::from_slice(&header).expect("a header is JSON");
        assert_eq!(read["alg"], "dir");
        assert_eq!(read["enc"], "A128GCM");
        assert_eq!(read.get("crit"), None);
        assert!(decrypted.plaintext.len() <= limits().inflated.max(content.len()));
        match read.get("zip") {
            None => assert_eq!(decrypted.plaintext.as_slice(), content),
            Some(zip) => assert_eq!(zip, "DEF"),
        }
    }
});
