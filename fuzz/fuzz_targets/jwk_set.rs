//! A JWK set.

#![no_main]

use keyward_fuzz::{ec, ed25519, edited, oct, rsa};
use keyward_jose::JwkSet;
use keyward_jose::key::Part;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static VALID: LazyLock<Vec<String>> = LazyLock::new(|| {
    let public = [ec(), ed25519(), rsa()];
    let private = [ec(), oct(), ed25519()];
    let written = |keys: [_; 3], part| {
        JwkSet::from_keys(keys)
            .and_then(|set| set.to_json(part))
            .expect("a valid set is written")
            .to_string()
    };
    vec![
        written(public, Part::Public),
        written(private, Part::Private),
        r#"{"keys":[{"kty":"oct","kid":"a","k":"AAECAw"},{"kty":"x"},{"kty":"oct","kid":"a","k":"AAEC"},7]}"#
            .to_owned(),
    ]
});

fuzz_target!(|data: &[u8]| {
    let chosen = edited(&VALID, data);
    if let Ok(set) = JwkSet::parse_public(&chosen.text) {
        assert!(set.keys().iter().all(|key| !key.is_private()));
    }
    let Ok(set) = JwkSet::parse(&chosen.text) else {
        return;
    };
    for key in set.keys() {
        if let Some(kid) = key.kid() {
            assert!(set.find(kid).next().is_some());
        }
    }
    // Public keys can't be written as private ones: the set is written by halves.
    for part in [Part::Private, Part::Public] {
        let half = set
            .keys()
            .iter()
            .filter(|key| key.is_private() == (part == Part::Private))
            .cloned();
        let half = JwkSet::from_keys(half).expect("a part of a set is a set");
        let written = half.to_json(part).expect("what is read is written");
        let again = JwkSet::parse(written.as_bytes()).expect("what is written is read");
        assert!(again.skipped().is_empty());
        assert_eq!(again.keys().len(), half.keys().len());
        for (one, other) in half.keys().iter().zip(again.keys()) {
            assert_eq!(one.thumbprint(), other.thumbprint());
            assert_eq!(one.kid(), other.kid());
        }
    }
});
