use super::*;
use std::collections::BTreeSet;

fn key(fill: u8) -> String {
    ApiKey::from_random(&[fill; 32]).reveal().to_owned()
}

#[test]
fn a_key_is_read_back_and_matches_its_pattern() {
    for fill in 0..=255 {
        let key = key(fill);
        assert_eq!(key.len(), 53);
        let rest = key.strip_prefix(PREFIX).unwrap();
        assert!(rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(ApiKey::parse(&key).unwrap().reveal(), key);
    }
    let all: BTreeSet<String> = (0..=255).map(key).collect();
    assert_eq!(all.len(), 256);
    assert!(PATTERN.starts_with(PREFIX));
}

#[test]
fn every_digit_of_the_random_bytes_counts() {
    let zeros = key(0);
    assert!(zeros.starts_with("kwk_0000000000000000000000000000000000000000000"));
    for at in 0..32 {
        for bit in 0..8 {
            let mut random = [0; 32];
            random[at] = 1 << bit;
            assert_ne!(ApiKey::from_random(&random).reveal(), zeros);
        }
    }
}

#[test]
fn a_key_with_one_other_character_is_known_to_be_none() {
    let good = key(7);
    for at in 0..good.len() {
        for other in [b'a', b'Z', b'0', b'_', b' ', 0xff] {
            let mut bytes = good.clone().into_bytes();
            if bytes[at] == other {
                continue;
            }
            bytes[at] = other;
            let found = check(&bytes);
            if at < PREFIX.len() {
                // It is not one of ours any more.
                let fit = other.is_ascii_graphic();
                assert_eq!(found, if fit { Ok(()) } else { Err(NoApiKey::Unfit) });
            } else {
                assert!(found.is_err(), "{at} {other}");
            }
        }
    }
    for cut in PREFIX.len()..good.len() {
        assert_eq!(check(&good.as_bytes()[..cut]), Err(NoApiKey::Cut));
    }
    assert_eq!(check(format!("{good}x").as_bytes()), Err(NoApiKey::Cut));
}

#[test]
fn keys_from_elsewhere_are_long_and_visible() {
    for (text, fit) in [
        ("0123456789abcdefghij", true),
        ("0123456789abcdefghi", false),
        ("0123456789 abcdefghij", false),
        ("0123456789abcdefghi\u{e4}", false),
        ("", false),
        (&"x".repeat(512), true),
        (&"x".repeat(513), false),
    ] {
        assert_eq!(check(text.as_bytes()).is_ok(), fit, "{text}");
    }
}

#[test]
fn a_key_does_not_print() {
    let key = ApiKey::from_random(&[1; 32]);
    assert_eq!(format!("{key:?}"), "ApiKey([secret])");
}
