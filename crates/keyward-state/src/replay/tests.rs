use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

const WINDOW: Duration = Duration::from_secs(60);

fn memory(room: usize) -> ReplayMemory {
    let room = NonZeroUsize::new(room).unwrap();
    ReplayMemory::with_room(WINDOW, Timestamp::EPOCH, room)
}

fn at(seconds: u64) -> Moment {
    Moment::from_nanos(seconds * 1_000_000_000)
}

#[test]
fn an_identifier_is_good_once_within_its_window() {
    let memory = memory(1000);
    for (second, expected) in [
        (10, Use::First),
        (10, Use::Again),
        (69, Use::Again),
        // It may be forgotten after a window, and is after two.
        (190, Use::First),
        (190, Use::Again),
    ] {
        assert_eq!(
            memory.first_use(b"holder", b"a", at(second)),
            Ok(expected),
            "{second}"
        );
    }
}

#[test]
fn holders_and_identifiers_are_told_apart_by_where_they_end() {
    let memory = memory(1000);
    for (holder, identifier) in [
        (&b"ab"[..], &b"c"[..]),
        (b"a", b"bc"),
        (b"abc", b""),
        (b"", b"abc"),
        (b"c", b"ab"),
    ] {
        let found = memory.first_use(holder, identifier, at(1));
        assert_eq!(found, Ok(Use::First), "{holder:?} {identifier:?}");
    }
}

#[test]
fn a_full_memory_refuses_and_forgets_nothing() {
    let memory = memory(128);
    let mut remembered = Vec::new();
    let mut refused = 0;
    for number in 0_u32..10_000 {
        let bytes = number.to_be_bytes();
        match memory.first_use(&bytes, &bytes, at(1)) {
            Ok(Use::First) => remembered.push(number),
            Ok(Use::Again) => panic!("{number}"),
            Err(error) => {
                assert_eq!(error, Error::ReplayMemoryFull { limit: 128 });
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && memory.len() <= 128, "{refused}");
    for number in &remembered {
        let bytes = number.to_be_bytes();
        assert_eq!(memory.first_use(&bytes, &bytes, at(60)), Ok(Use::Again));
    }
    // After two windows there is room again.
    assert_eq!(memory.first_use(b"new", b"new", at(200)), Ok(Use::First));
}

#[test]
fn a_flood_of_one_holder_is_refused_alone_and_forgets_nothing() {
    const ROOM: usize = 128 * 40;
    let memory = memory(ROOM);
    assert_eq!(memory.first_use(b"calm", b"one", at(1)), Ok(Use::First));
    let mut remembered = Vec::new();
    for number in 0_u32..10_000 {
        match memory.first_use(b"flood", &number.to_be_bytes(), at(1)) {
            Ok(Use::First) => remembered.push(number),
            Ok(Use::Again) => panic!("{number}"),
            Err(error) => assert_eq!(error, Error::ReplayShareFull { limit: ROOM }),
        }
    }
    // A quarter of the younger buckets, which are half of it all.
    assert!(
        (ROOM / 10..=ROOM / 8).contains(&remembered.len()),
        "{}",
        remembered.len()
    );
    for number in &remembered {
        let known = memory.first_use(b"flood", &number.to_be_bytes(), at(60));
        assert_eq!(known, Ok(Use::Again));
    }
    // Others are remembered as before, and new ones too.
    assert_eq!(memory.first_use(b"calm", b"one", at(1)), Ok(Use::Again));
    for number in 0_u32..100 {
        let found = memory.first_use(b"calm", &number.to_be_bytes(), at(1));
        assert_eq!(found, Ok(Use::First), "{number}");
    }
    // With the next bucket it has a share again.
    assert_eq!(memory.first_use(b"flood", b"later", at(70)), Ok(Use::First));
}

#[test]
fn of_many_who_come_at_once_one_is_the_first() {
    let memory = Arc::new(memory(100_000));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let memory = Arc::clone(&memory);
            std::thread::spawn(move || {
                (0_u32..2_000)
                    .filter(|number| {
                        let bytes = number.to_be_bytes();
                        memory.first_use(&bytes, &bytes, at(1)) == Ok(Use::First)
                    })
                    .count()
            })
        })
        .collect();
    let firsts: usize = workers
        .into_iter()
        .map(|worker| worker.join().unwrap())
        .sum();
    assert_eq!(firsts, 2_000);
}

proptest! {
    /// Whatever comes whenever: nothing passes twice within a window.
    #[test]
    fn nothing_passes_twice_within_a_window(uses in prop::collection::vec((0_u8..8, 0_u64..50), 1..200)) {
        let memory = memory(1 << 16);
        let mut passed: HashMap<u8, u64> = HashMap::new();
        let mut now = 0;
        for (identifier, later) in uses {
            now += later;
            let first = memory.first_use(b"holder", &[identifier], at(now)) == Ok(Use::First);
            if let Some(before) = passed.get(&identifier) {
                prop_assert!(!first || now - before >= WINDOW.as_secs());
            } else {
                prop_assert!(first);
            }
            if first {
                passed.insert(identifier, now);
            }
        }
    }
}
