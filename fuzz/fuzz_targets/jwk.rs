//! One key as a JWK.

#![no_main]

use keyward_fuzz::{ec, ed25519, edited, oct, rsa};
use keyward_jose::Key;
use keyward_jose::key::Part;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static VALID: LazyLock<Vec<String>> = LazyLock::new(|| {
    let rich = r#"{"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODw","kid":"a","use":"enc","alg":"A128KW","key_ops":["wrapKey","unwrapKey"]}"#;
    let akp =
        r#"{"kty":"AKP","alg":"ML-DSA-44","priv":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
    let mut valid = vec![rich.to_owned(), akp.to_owned()];
    for key in [ec(), ed25519(), rsa()] {
        for part in [Part::Private, Part::Public] {
            valid.push(
                key.to_jwk(part)
                    .expect("a valid key is written")
                    .to_string(),
            );
        }
    }
    valid.push(
        oct()
            .to_jwk(Part::Private)
            .expect("a valid key is written")
            .to_string(),
    );
    valid
});

fuzz_target!(|data: &[u8]| {
    let chosen = edited(&VALID, data);
    let Ok(key) = Key::from_jwk(&chosen.text) else {
        return;
    };
    let part = if key.is_private() {
        Part::Private
    } else {
        Part::Public
    };
    let written = key.to_jwk(part).expect("what is read is written");
    let again = Key::from_jwk(written.as_bytes()).expect("what is written is read");
    assert_eq!(again.to_jwk(part).expect("and written"), written);
    assert_eq!(again.thumbprint(), key.thumbprint());
    if let Ok(public) = key.public() {
        let written = public
            .to_jwk(Part::Public)
            .expect("the public part is written");
        let again = Key::from_jwk(written.as_bytes()).expect("the public part is read");
        assert!(!again.is_private());
        assert_eq!(again.thumbprint(), key.thumbprint());
    }
});
