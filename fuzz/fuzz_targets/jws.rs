//! Signed messages.

#![no_main]

use keyward_fuzz::{bound, ec, ed25519, edited, has_no_member_twice, oct, rsa, sealed_by_secret};
use keyward_jose::jws::{Header, compact, flattened, general};
use keyward_jose::{Algorithm, LocalSigner, SignatureAlgorithm, Verifiers};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use std::sync::LazyLock;

const PAYLOAD: &[u8] = b"{\"iss\":\"joe\",\r\n \"exp\":1300819380}";

struct Fixture {
    verifiers: Verifiers,
    compact: Vec<String>,
    detached: Vec<String>,
    flattened: Vec<String>,
    general: Vec<String>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    use SignatureAlgorithm as A;
    let keys: Vec<_> = [
        (oct(), "h", A::Hs256),
        (rsa(), "r", A::Rs256),
        (rsa(), "p", A::Ps256),
        (ec(), "e", A::Es256),
        (ed25519(), "d", A::EdDsa),
    ]
    .map(|(key, kid, algorithm)| bound(key, kid, Algorithm::Signature(algorithm)))
    .into();
    let signers: Vec<LocalSigner> = keys
        .iter()
        .flat_map(|key| {
            let Some(Algorithm::Signature(algorithm)) = key.algorithm() else {
                return None;
            };
            LocalSigner::new(key, algorithm).ok()
        })
        .collect();
    let header = |signer: &LocalSigner| Header::for_signer(signer).with_typ("x");
    let plain = |signer: &LocalSigner| header(signer).with_unencoded_payload();
    let mut fixture = Fixture {
        verifiers: Verifiers::new(&keys, A::ALL),
        compact: Vec::new(),
        detached: Vec::new(),
        flattened: Vec::new(),
        general: Vec::new(),
    };
    for signer in &signers {
        let signed = [
            compact::sign(PAYLOAD, &header(signer), signer),
            compact::sign_detached(PAYLOAD, &header(signer), signer),
            compact::sign_detached(PAYLOAD, &plain(signer), signer),
            flattened::sign(PAYLOAD, &header(signer), &Map::new(), signer),
        ]
        .map(|text| text.expect("it is signed"));
        let [attached, detached, unencoded, flat] = signed;
        fixture.compact.push(attached);
        fixture.detached.extend([detached, unencoded]);
        fixture.flattened.push(flat);
    }
    let signings: Vec<_> = signers
        .iter()
        .map(|signer| general::Signing {
            header: header(signer),
            unprotected: Map::new(),
            signer,
        })
        .collect();
    fixture
        .general
        .push(general::sign(PAYLOAD, &signings).expect("it is signed"));
    fixture
});

const HEADERS: [&str; 3] = [
    r#"{"alg":"HS256"}"#,
    r#"{"alg":"HS256","kid":"h","typ":"JWT","cty":"x","jku":"y"}"#,
    r#"{"alg":"HS256","b64":true,"crit":["b64"]}"#,
];

fuzz_target!(|data: &[u8]| {
    let Some((&mode, data)) = data.split_first() else {
        return;
    };
    let fixture = &*FIXTURE;
    let verifiers = &fixture.verifiers;
    match mode % 5 {
        0 => {
            let chosen = edited(&fixture.compact, data);
            let Ok(text) = std::str::from_utf8(&chosen.text) else {
                return;
            };
            if let Ok(jws) = compact::verify(text, verifiers) {
                assert_eq!(jws.payload, PAYLOAD);
                let message = |text: &str| text.rsplit_once('.').map(|(left, _)| left.to_owned());
                assert!(
                    fixture
                        .compact
                        .iter()
                        .any(|one| message(one) == message(text))
                );
            }
        }
        1 => {
            let chosen = edited(&fixture.detached, data);
            if let Ok(text) = std::str::from_utf8(&chosen.text)
                && compact::verify_detached(text, PAYLOAD, verifiers).is_ok()
            {
                let header = |text: &str| text.split('.').next().map(str::to_owned);
                assert!(
                    fixture
                        .detached
                        .iter()
                        .any(|one| header(one) == header(text))
                );
                assert!(compact::verify_detached(text, b"other", verifiers).is_err());
            }
        }
        2 => {
            let chosen = edited(&fixture.flattened, data);
            if let Ok(text) = std::str::from_utf8(&chosen.text)
                && let Ok(jws) = flattened::verify(text, verifiers)
            {
                assert_eq!(jws.payload, PAYLOAD);
            }
        }
        3 => {
            let chosen = edited(&fixture.general, data);
            if let Ok(text) = std::str::from_utf8(&chosen.text) {
                if let Ok(jws) = general::verify_all(text, verifiers) {
                    assert_eq!(jws.payload, PAYLOAD);
                    assert!(general::verify_any(text, verifiers).is_ok());
                }
                if let Ok(jws) = general::verify_any(text, verifiers) {
                    assert_eq!(jws.payload, PAYLOAD);
                    assert!(jws.verified().next().is_some());
                }
            }
        }
        _ => {
            // What the fuzzer wrote, signed with a key of ours.
            let split = data
                .iter()
                .position(|byte| *byte == 0xff)
                .unwrap_or(data.len());
            let (header, payload) = data.split_at(split);
            let header = edited(&HEADERS, header).text;
            let Ok(jws) = compact::verify(&sealed_by_secret(&header, payload), verifiers) else {
                return;
            };
            assert!(has_no_member_twice(&header));
            let read: Value = serde_json::from_slice(&header).expect("a header is JSON");
            assert_eq!(read["alg"], "HS256");
            assert_eq!(Value::Object(jws.header.to_json()), read);
            assert_eq!(jws.payload, payload);
        }
    }
});
