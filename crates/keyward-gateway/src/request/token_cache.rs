//! Tokens that this worker has verified.
//!
//! A token's key here is a cryptographic hash of the token with the policy that took it: no two tokens
//! and no two policies share an entry, and the tokens themselves are not kept. An entry is believed only
//! while no key set has changed, no revocation has come, and its time is not over.

use super::verified_caller::VerifiedCaller;
use hashbrown::HashMap;
use keyward_model::Timestamp;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;

/// What is kept of a token that came once: many never come again, and a flood of new ones should fill
/// little memory. What the second call needs is made of it without its signature being verified anew.
#[derive(Debug)]
pub(crate) struct SeenOnce {
    /// The text of the verified claims.
    pub(crate) claims: Arc<str>,
    /// As in [`VerifiedCaller`].
    pub(crate) until: Timestamp,
    /// As in [`VerifiedCaller`].
    pub(crate) key_epoch: u64,
}

/// A token that is known.
#[derive(Debug)]
pub(crate) enum Known {
    /// All that calls need.
    Token(Rc<VerifiedCaller>),
    /// It came once so far.
    Once(SeenOnce),
}

impl Known {
    fn good(&self, key_epoch: u64, now: Timestamp) -> bool {
        let (until, verified_at) = match self {
            Self::Token(token) => (token.until, token.key_epoch),
            Self::Once(seen) => (seen.until, seen.key_epoch),
        };
        verified_at == key_epoch && now < until
    }
}

/// Bounded: two generations, of which the older is forgotten when the younger is full. What is in use
/// moves to the younger, so that a flood of new tokens pushes out the tokens of that flood.
#[derive(Debug)]
pub(crate) struct TokenCache {
    young: Generation,
    old: Generation,
    /// What was forgotten and takes memory still. It goes a few tokens at a time, so that no call waits
    /// until thousands are gone.
    forgotten: hashbrown::hash_map::IntoIter<[u8; 32], Known>,
    each: usize,
}

/// So many forgotten tokens go for each that comes: they are gone before there are more of them, and with
/// them the tokens here are never more than two generations.
const GO_AT_ONCE: usize = 2;

type Generation = HashMap<[u8; 32], Known, BuildHasherDefault<DigestHasher>>;

impl TokenCache {
    /// A cache that keeps `capacity` tokens in use, and at most as many again that are on their way out:
    /// with less room, tokens that come in turn would push each other out before their turn.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            young: Generation::default(),
            old: Generation::default(),
            forgotten: Generation::default().into_iter(),
            each: capacity.max(1),
        }
    }

    /// The token, if it was verified since the last change of a key set and its time is not over. One that
    /// came once is given away: who makes more of it brings it back.
    pub(crate) fn get(&mut self, key: &[u8; 32], key_epoch: u64, now: Timestamp) -> Option<Known> {
        let known = match self.young.get(key) {
            Some(Known::Token(token)) if token.key_epoch == key_epoch && now < token.until => {
                return Some(Known::Token(Rc::clone(token)));
            }
            Some(Known::Token(_) | Known::Once(_)) => self.young.remove(key)?,
            None => self.old.remove(key)?,
        };
        match known {
            known if !known.good(key_epoch, now) => None,
            Known::Token(token) => {
                self.insert(*key, Known::Token(Rc::clone(&token)));
                Some(Known::Token(token))
            }
            Known::Once(seen) => Some(Known::Once(seen)),
        }
    }

    /// Remembers a token.
    pub(crate) fn insert(&mut self, key: [u8; 32], token: Known) {
        if self.young.len() >= self.each {
            // As many come again, as a rule: growing a table step by step would move each of them twice.
            let young =
                Generation::with_capacity_and_hasher(self.each, BuildHasherDefault::default());
            let old = std::mem::replace(&mut self.old, std::mem::replace(&mut self.young, young));
            self.forgotten = old.into_iter();
        }
        self.young.insert(key, token);
        self.forgotten.by_ref().take(GO_AT_ONCE).for_each(drop);
    }

    /// How many tokens are remembered, those on their way out included.
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Forgets a token.
    pub(crate) fn remove(&mut self, key: &[u8; 32]) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

/// The keys are digests already: eight of their bytes are a hash.
#[derive(Clone, Copy, Debug, Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            // The length prefix of the array comes first or not at all; the digest is what is longer.
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Fields;
    use keyward_model::Caller;
    use std::cell::{Cell, RefCell};

    fn token(key_epoch: u64, until: i64) -> Known {
        Known::Token(Rc::new(VerifiedCaller {
            caller: Arc::new(Caller::anonymous()),
            identity: Fields::new(),
            listed: true,
            until: Timestamp::from_seconds(until),
            ends: Timestamp::from_seconds(until),
            key_epoch,
            revocation_epoch: Cell::new(0),
            cells: RefCell::default(),
            binding: None,
            access: RefCell::default(),
            budgets: None,
        }))
    }

    fn once(key_epoch: u64, until: i64) -> Known {
        Known::Once(SeenOnce {
            claims: "{}".into(),
            until: Timestamp::from_seconds(until),
            key_epoch,
        })
    }

    fn key(number: u64) -> [u8; 32] {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_ne_bytes());
        key
    }

    #[test]
    fn a_changed_key_set_withdraws_cached_tokens() {
        for token in [token, once] {
            let mut cache = TokenCache::new(10);
            cache.insert(key(1), token(7, 100));
            assert!(cache.get(&key(1), 8, Timestamp::EPOCH).is_none());
            assert!(
                cache.get(&key(1), 7, Timestamp::EPOCH).is_none(),
                "gone for good"
            );
            cache.insert(key(1), token(7, 100));
            assert!(cache.get(&key(1), 7, Timestamp::EPOCH).is_some());
        }
    }

    #[test]
    fn an_expired_token_is_not_believed_from_the_cache() {
        for token in [token, once] {
            let mut cache = TokenCache::new(10);
            for (now, known) in [(99_999_999, true), (100_000_000, false)] {
                cache.insert(key(1), token(0, 100));
                let got = cache.get(&key(1), 0, Timestamp::from_micros(now));
                assert_eq!(got.is_some(), known);
            }
        }
    }

    #[test]
    fn what_came_once_is_given_away_and_what_came_twice_stays() {
        let mut cache = TokenCache::new(10);
        cache.insert(key(1), once(0, 100));
        let got = cache.get(&key(1), 0, Timestamp::EPOCH);
        assert!(matches!(got, Some(Known::Once(_))));
        assert!(cache.get(&key(1), 0, Timestamp::EPOCH).is_none());
        cache.insert(key(1), token(0, 100));
        for _ in 0..2 {
            let got = cache.get(&key(1), 0, Timestamp::EPOCH);
            assert!(matches!(got, Some(Known::Token(_))));
        }
    }

    #[test]
    fn tokens_that_come_in_turn_stay_as_long_as_they_fit() {
        let mut cache = TokenCache::new(100);
        for round in 0..5 {
            for number in 0..100 {
                let known = cache.get(&key(number), 0, Timestamp::EPOCH).is_some();
                assert_eq!(known, round > 0, "{number} in round {round}");
                if !known {
                    cache.insert(key(number), token(0, 100));
                }
            }
        }
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_in_use() {
        let mut cache = TokenCache::new(100);
        cache.insert(key(0), token(0, 100));
        for number in 1..10_000 {
            cache.insert(key(number), token(0, 100));
            let forgotten = cache.forgotten.len();
            assert!(cache.young.len() + cache.old.len() + forgotten <= 200);
            assert!(
                cache.get(&key(0), 0, Timestamp::EPOCH).is_some(),
                "at {number}"
            );
        }
    }
}
