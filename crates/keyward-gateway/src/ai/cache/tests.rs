use super::entry::Entry;
use super::key::Key;
use super::semantic::{Vector, Vectors};
use super::store::{Found, Store};
use crate::policy::memory::Memory;
use bytes::Bytes;
use keyward_model::Moment;
use std::sync::Arc;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(10);

fn key(number: u8) -> Key {
    Key::of_test(number)
}

fn at(seconds: u64) -> Moment {
    Moment::from_nanos(seconds * 1_000_000_000)
}

fn keep(store: &Store, node: &Arc<Memory>, number: u8, bytes: usize, since: Moment) -> bool {
    store.keep(key(number), bytes, node, |reserved| Entry {
        body: Bytes::from(vec![number; bytes]),
        stream: false,
        usage: false,
        served: "p/m".into(),
        since,
        _reserved: reserved,
    })
}

#[test]
fn the_answer_that_was_wanted_longest_ago_goes_first_and_memory_is_bounded() {
    let (store, node) = (Store::new(80_000), Memory::new(1 << 20));
    for number in 0..20 {
        assert!(keep(&store, &node, number, 9_000, at(0)));
        // The first is wanted again and again.
        assert!(store.find(&key(0), TTL, at(1)).is_some());
    }
    let kept: Vec<u8> = (0..20)
        .filter(|number| store.find(&key(*number), TTL, at(1)).is_some())
        .collect();
    assert_eq!(kept.first(), Some(&0));
    assert_eq!(kept.last(), Some(&19));
    assert!((2..=8).contains(&kept.len()), "{kept:?}");
    assert!(
        !keep(&store, &node, 30, 10_001, at(0)),
        "an eighth is the most of one"
    );
}

#[test]
fn an_answer_is_kept_for_its_time_and_what_a_node_has_is_bounded_too() {
    let (store, node) = (Store::new(80_000), Memory::new(5_000));
    assert!(keep(&store, &node, 1, 3_000, at(0)));
    assert!(store.find(&key(1), TTL, at(9)).is_some());
    assert!(store.find(&key(1), TTL, at(10)).is_none());
    assert!(keep(&store, &node, 1, 3_000, at(10)));
    let other = Store::new(80_000);
    assert!(
        !keep(&other, &node, 2, 3_000, at(10)),
        "another model has no room to make"
    );
    assert!(
        keep(&store, &node, 2, 3_000, at(10)),
        "it makes room of its own"
    );
    assert!(store.find(&key(1), TTL, at(10)).is_none());
}

#[test]
fn nothing_is_let_go_for_what_has_no_room_all_the_same() {
    let (wide, small) = (Store::new(80_000), Store::new(80_000));
    let node = Memory::new(10_000);
    assert!(keep(&small, &node, 1, 1_000, at(0)));
    assert!(keep(&wide, &node, 2, 7_000, at(0)));
    assert!(!keep(&small, &node, 3, 4_000, at(0)));
    assert!(small.find(&key(1), TTL, at(0)).is_some());
}

#[test]
fn one_call_leads_and_others_wait_for_it() {
    let store = Arc::new(Store::new(80_000));
    let Found::Nothing(leading) = store.find_or_lead(key(1), TTL, at(0)) else {
        panic!("nothing is kept");
    };
    let Found::UnderWay(flight) = store.find_or_lead(key(1), TTL, at(0)) else {
        panic!("the first is under way");
    };
    assert!(flight.has_changed().is_ok());
    drop(leading);
    assert!(flight.has_changed().is_err(), "it is over");
    assert!(matches!(
        store.find_or_lead(key(1), TTL, at(0)),
        Found::Nothing(_)
    ));
}

#[test]
fn the_nearest_of_the_same_conversation_counts_and_the_oldest_goes() {
    let (memory, node) = (Memory::new(1 << 20), Memory::new(1 << 20));
    let vectors = Vectors::new(2);
    let vector = |x: f64, y: f64| Vector::new(&[x, y]).unwrap();
    let remember = |around, answer, x, y| {
        vectors.remember((key(around), key(answer)), vector(x, y), (&memory, &node));
    };
    remember(1, 10, 1.0, 0.0);
    remember(1, 11, 1.0, 0.2);
    assert_eq!(
        vectors.nearest(&key(1), &vector(1.0, 0.18), 950),
        Some(key(11))
    );
    assert_eq!(vectors.nearest(&key(1), &vector(0.0, 1.0), 950), None);
    assert_eq!(
        vectors.nearest(&key(2), &vector(1.0, 0.0), 0),
        None,
        "another conversation"
    );
    remember(1, 12, 0.0, 1.0);
    assert_eq!(
        vectors.nearest(&key(1), &vector(1.0, 0.0), 999),
        None,
        "the oldest has gone"
    );
    vectors.forget(&key(11));
    assert_eq!(vectors.nearest(&key(1), &vector(1.0, 0.2), 950), None);
}
