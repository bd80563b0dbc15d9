//! The store by itself. What the rooms of the cache do together is tested over real sockets, in
//! `crates/keyward/tests/it/policies/cache`.

use super::entry::Entry;
use super::freshness::Freshness;
use super::key::{Address, Audience, CacheKey};
use super::store::{FetchKey, Lead, Outcome, ResponseCache, Role};
use crate::message::Fields;
use bytes::Bytes;
use http::StatusCode;
use keyward_model::Moment;
use std::sync::Arc;
use std::time::Duration;

const NOW: Moment = Moment::from_nanos(1_000_000_000);

fn key(address: &str, audience: &str) -> CacheKey {
    CacheKey {
        address: Address::named(address),
        audience: Audience(audience.as_bytes().into()),
    }
}

/// An entry that counts for so many bytes; `None` when there is no room for it.
fn entry(cache: &Arc<ResponseCache>, bytes: usize, varying: &str) -> Option<Entry> {
    let mut memory = cache.memory();
    memory.resize(bytes, || cache.evict()).then(|| Entry {
        status: StatusCode::OK,
        fields: Fields::new(),
        body: Bytes::new(),
        varying: [((*b"foo").into(), Some(varying.as_bytes().into()))].into(),
        received: NOW,
        freshness: Freshness {
            lifetime: Duration::from_secs(60),
            initial_age: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            must_revalidate: false,
            no_cache: false,
            public: true,
        },
        _memory: memory,
    })
}

fn keep(cache: &Arc<ResponseCache>, key: &CacheKey, varying: &str) -> bool {
    let ticket = cache.ticket(&key.address);
    entry(cache, 1000, varying).is_some_and(|entry| cache.keep(key, entry, ticket))
}

fn has(cache: &ResponseCache, key: &CacheKey, varying: &str) -> bool {
    let found = cache.find(key, NOW, |_| Some(varying.as_bytes().to_vec()));
    found.entry.is_some()
}

#[test]
fn what_is_kept_stays_within_its_memory_and_what_was_used_last_stays() {
    let cache = ResponseCache::new(100_000);
    let used = key("used", "");
    assert!(keep(&cache, &used, "1"));
    for number in 0..1000 {
        assert!(keep(&cache, &key(&format!("a{number}"), ""), "1"));
        assert!(cache.counts().bytes <= 100_000);
        // In its shard it is the one that was used last.
        assert!(has(&cache, &used, "1") || number > 64);
    }
    let counts = cache.counts();
    assert!(counts.evicted > 900, "{counts:?}");
    assert!((40..100).contains(&counts.entries), "{counts:?}");
    assert!(entry(&cache, 100_001, "1").is_none());
    while cache.evict() {}
    assert_eq!(cache.counts().bytes, 0);
    assert_eq!(cache.counts().entries, 0);
}

#[test]
fn an_entry_counts_until_nobody_has_it() {
    let cache = ResponseCache::new(10_000);
    let key = key("a", "");
    assert!(keep(&cache, &key, "1"));
    let held = cache.find(&key, NOW, |_| Some(b"1".to_vec())).entry;
    while cache.evict() {}
    assert_eq!(cache.counts().bytes, 1000);
    drop(held);
    assert_eq!(cache.counts().bytes, 0);
}

#[test]
fn answers_under_one_key_are_told_apart_and_bounded() {
    let cache = ResponseCache::new(1_000_000);
    let key = key("a", "");
    for number in 0..40 {
        assert!(keep(&cache, &key, &number.to_string()));
    }
    assert!(!has(&cache, &key, "7") && has(&cache, &key, "8") && has(&cache, &key, "39"));
    assert_eq!(cache.counts().entries, 32);
    assert!(keep(&cache, &key, "39"));
    assert_eq!(cache.counts().entries, 32);
}

#[test]
fn a_change_drops_all_audiences_and_what_was_fetched_before_it() {
    let cache = ResponseCache::new(1_000_000);
    let (one, two, other) = (key("a", "1"), key("a", "2"), key("b", "1"));
    for key in [&one, &two, &other] {
        assert!(keep(&cache, key, "1"));
    }
    let before = cache.ticket(&one.address);
    let of_other = cache.ticket(&other.address);
    cache.invalidate(&one.address);
    assert!(!has(&cache, &one, "1") && !has(&cache, &two, "1") && has(&cache, &other, "1"));
    let late = entry(&cache, 1000, "1").unwrap();
    assert!(!cache.keep(&one, late, before));
    let fine = entry(&cache, 1000, "2").unwrap();
    assert!(cache.keep(&other, fine, of_other));
    assert!(keep(&cache, &one, "1"));
    // More changes than are remembered: nobody knows any more, so nothing is kept.
    let before = cache.ticket(&one.address);
    for number in 0..10_000 {
        cache.invalidate(&Address::named(&format!("c{number}")));
    }
    let late = entry(&cache, 1000, "3").unwrap();
    assert!(!cache.keep(&one, late, before));
}

fn lead(cache: &Arc<ResponseCache>, key: &CacheKey) -> Option<Lead> {
    match cache.join(FetchKey {
        key: key.clone(),
        varying: Vec::new(),
    }) {
        Role::Lead(lead) => Some(lead),
        Role::Follow(_) => None,
    }
}

#[test]
fn one_leads_until_it_ends_or_leaves() {
    let cache = ResponseCache::new(1_000_000);
    let key = key("a", "");
    let first = lead(&cache, &key).unwrap();
    assert!(lead(&cache, &key).is_none());
    drop(first);
    let second = lead(&cache, &key).unwrap();
    assert!(!second.end(Outcome::Released), "nobody waited");
    let third = lead(&cache, &key);
    assert!(third.is_some());
    cache.pass(&key, NOW);
    let found = |at: Moment| cache.find(&key, at, |_| None).pass;
    assert!(found(NOW) && !found(NOW.plus(Duration::from_secs(11))));
}

/// An answer under a key, told apart by these headers.
fn varying(cache: &Arc<ResponseCache>, key: &CacheKey, told: &[(&str, &str)], status: u16) {
    let mut one = entry(cache, 1000, "").unwrap();
    one.status = StatusCode::from_u16(status).unwrap();
    let told = told.iter();
    one.varying = told
        .map(|(name, value)| (name.as_bytes().into(), Some(value.as_bytes().into())))
        .collect();
    assert!(cache.keep(key, one, cache.ticket(&key.address)));
}

#[test]
fn of_several_that_match_the_latest_is_found() {
    let cache = ResponseCache::new(1_000_000);
    let key = key("a", "");
    // All requests have the same value of each header here.
    let found = || {
        let found = cache.find(&key, NOW, |_| Some(b"1".to_vec()));
        (
            found.entry.map(|entry| entry.status.as_u16()),
            cache.counts().entries,
        )
    };
    varying(&cache, &key, &[("foo", "1")], 200);
    varying(&cache, &key, &[("bar", "1")], 203);
    assert_eq!(found(), (Some(203), 2));
    // It is told apart by more than both, which the upstream did not know then.
    varying(&cache, &key, &[("foo", "1"), ("bar", "1")], 404);
    assert_eq!(found(), (Some(404), 1));
    varying(&cache, &key, &[], 410);
    assert_eq!(found(), (Some(410), 2));
    // What has another value goes with nothing but the one that was for all.
    varying(&cache, &key, &[("foo", "2")], 200);
    assert_eq!(found(), (Some(404), 2));
}

#[test]
fn that_an_answer_is_for_nobody_else_is_known_in_a_full_cache_too() {
    let cache = ResponseCache::new(10_000);
    for number in 0..20 {
        keep(&cache, &key(&format!("a{number}"), ""), "1");
    }
    let secret = key("secret", "");
    cache.pass(&secret, NOW);
    assert!(cache.find(&secret, NOW, |_| None).pass);
    assert!(cache.counts().bytes <= 10_000);
}
