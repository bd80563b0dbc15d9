//! A key in PEM or DER.

#![no_main]

use keyward_fuzz::{ec, ed25519, edited, rsa};
use keyward_jose::Key;
use keyward_jose::key::{Encoding, Part};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static VALID: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut valid = Vec::new();
    for (key, encodings) in [
        (ec(), &[Encoding::Pkcs8, Encoding::Sec1, Encoding::Spki][..]),
        (ed25519(), &[Encoding::Pkcs8, Encoding::Spki]),
        (rsa(), &[Encoding::Pkcs8, Encoding::Pkcs1, Encoding::Spki]),
    ] {
        for encoding in encodings {
            let part = if *encoding == Encoding::Spki {
                Part::Public
            } else {
                Part::Private
            };
            let der = key.to_der(part, *encoding).expect("a valid key is written");
            valid.push(der.to_vec());
            let pem = key.to_pem(part, *encoding).expect("a valid key is written");
            valid.push(pem.as_bytes().to_vec());
        }
    }
    valid
});

fuzz_target!(|data: &[u8]| {
    let chosen = edited(&VALID, data);
    let direct = Key::from_der(&chosen.text).ok().or_else(|| {
        let text = std::str::from_utf8(&chosen.text).ok()?;
        Key::from_pem(text).ok()
    });
    let parsed = Key::parse(&chosen.text).ok().map(|(key, _)| key);
    let Some(key) = direct.or(parsed) else {
        return;
    };
    let part = if key.is_private() {
        Part::Private
    } else {
        Part::Public
    };
    let jwk = key.to_jwk(part).expect("what is read is written as a JWK");
    let again = Key::from_jwk(jwk.as_bytes()).expect("and read as one");
    assert_eq!(again.thumbprint(), key.thumbprint());
    // A secret (read as a JWK) has no form in DER.
    if let Ok(der) = key.to_der(part, Encoding::general(part)) {
        let again = Key::from_der(&der).expect("what is written is read");
        assert_eq!(again.thumbprint(), key.thumbprint());
        assert_eq!(again.is_private(), key.is_private());
        let pem = key
            .to_pem(part, Encoding::general(part))
            .expect("what is written in DER is written in PEM");
        let again = Key::from_pem(&pem).expect("what is written is read");
        assert_eq!(again.thumbprint(), key.thumbprint());
    }
});
