use super::*;

const PLACE: Place<'static> = Place {
    table: "keys",
    column: "private_sealed",
    row: "r1",
    team: Some(TeamId::DEFAULT),
};

fn wrapping_key() -> WrappingKey {
    WrappingKey(random_key().unwrap())
}

fn open(key: &WrappingKey, purpose: &str, place: Place<'_>, text: &str) -> Option<Vec<u8>> {
    let sealed = Sealed::parse(text)?;
    key.open(purpose, place, &sealed)
        .ok()
        .map(|text| text.to_vec())
}

#[test]
fn what_is_sealed_opens_in_its_place_with_its_key_and_nowhere_else() {
    let key = wrapping_key();
    let text = key.seal("id", "secrets", PLACE, b"private").unwrap();
    assert_eq!(open(&key, "secrets", PLACE, &text).unwrap(), b"private");
    assert_eq!(open(&wrapping_key(), "secrets", PLACE, &text), None);
    assert_eq!(open(&key, "webhooks", PLACE, &text), None);
    for elsewhere in [
        Place {
            table: "data_keys",
            ..PLACE
        },
        Place {
            column: "public_jwk",
            ..PLACE
        },
        Place { row: "r2", ..PLACE },
        Place {
            team: Some(TeamId::from_u128(2)),
            ..PLACE
        },
        Place {
            team: None,
            ..PLACE
        },
        // The same bytes, cut elsewhere.
        Place {
            column: "private_seale",
            row: "dr1",
            ..PLACE
        },
    ] {
        assert_eq!(open(&key, "secrets", elsewhere, &text), None, "{elsewhere}");
    }
}

#[test]
fn every_changed_character_is_noticed() {
    let key = wrapping_key();
    let text = key.seal("id", "secrets", PLACE, b"private").unwrap();
    let body = text.rfind('.').unwrap() + 1;
    for index in body..text.len() {
        let other = if text.as_bytes()[index] == b'A' {
            "B"
        } else {
            "A"
        };
        let mut changed = text.clone();
        changed.replace_range(index..=index, other);
        assert_eq!(open(&key, "secrets", PLACE, &changed), None, "at {index}");
    }
    for cut in body..text.len() {
        assert_eq!(
            open(&key, "secrets", PLACE, &text[..cut]),
            None,
            "cut at {cut}"
        );
    }
}

#[test]
fn the_same_text_is_never_sealed_the_same_way() {
    let key = wrapping_key();
    let first = key.seal("id", "secrets", PLACE, b"private").unwrap();
    let second = key.seal("id", "secrets", PLACE, b"private").unwrap();
    assert_ne!(first, second);
    let empty = key.seal("id", "secrets", PLACE, b"").unwrap();
    assert_eq!(open(&key, "secrets", PLACE, &empty).unwrap(), b"");
}

#[test]
fn a_master_key_is_32_bytes_in_a_known_spelling() {
    let zeros = MasterKey::parse(&"0".repeat(64)).unwrap();
    assert_eq!(zeros.to_text().reveal(), &"A".repeat(43));
    for same in [
        "A".repeat(43),
        format!("{}=", "A".repeat(43)),
        format!("  {}\n", "A".repeat(43)),
    ] {
        let key = MasterKey::parse(&same).unwrap();
        assert_eq!(key.to_text().reveal(), zeros.to_text().reveal(), "{same}");
    }
    let filler = "A".repeat(41);
    let standard = MasterKey::parse(&format!("+/{filler}")).unwrap();
    let url = MasterKey::parse(&format!("-_{filler}")).unwrap();
    assert_eq!(standard.to_text().reveal(), url.to_text().reveal());
    for bad in [
        "",
        "0",
        "correct horse battery staple",
        &"0".repeat(62),
        &"g".repeat(64),
        &"A".repeat(44),
    ] {
        assert!(MasterKey::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn wrapping_and_checking_use_different_keys() {
    let master = MasterKey::generate().unwrap();
    let (wrap, check) = (
        master.derive(b"wrap").unwrap(),
        master.derive(b"check").unwrap(),
    );
    assert_ne!(*wrap.0, *check.0);
    assert_ne!(&*wrap.0, master.0.reveal());
}
