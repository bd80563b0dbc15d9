//! Decisions that are remembered for a while, so that not every call is asked about.

use crate::message::{Fields, Header, RequestHead};
use crate::request::admit::Admitted;
use crate::request::authenticate::Authenticated;
use aws_lc_rs::digest;
use hashbrown::HashMap;
use keyward_model::Moment;
use keyward_model::resource::policy::DecisionCache;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// So many parts have a lock of their own.
const PARTS: usize = 16;

/// The headers of an answer that let a call pass.
#[derive(Debug)]
pub(super) struct Remembered(pub(super) Fields);

/// What calls have to have in common for one decision to count for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

/// What was decided, for all workers.
#[derive(Debug)]
pub(crate) struct Memory {
    parts: [Mutex<HashMap<Key, Entry>>; PARTS],
    /// Entries of each part.
    most: usize,
    ttl: Duration,
}

#[derive(Debug)]
struct Entry {
    until: Moment,
    remembered: Arc<Remembered>,
}

impl Key {
    /// Everything that the question holds, so that the answer to one call is never taken for another's: what is
    /// chosen of its headers, who calls and from where, and which call it is.
    pub(super) fn of(
        declared: Option<&DecisionCache>,
        head: &RequestHead,
        admitted: &Admitted,
        scheme: &str,
    ) -> Self {
        let mut hash = Hash::new();
        let by = declared.map_or(&[][..], |declared| &declared.by);
        for name in by {
            for value in head.fields.all_named(name) {
                hash.add(value);
            }
            hash.ends();
        }
        match admitted.origin().address {
            IpAddr::V4(address) => hash.add(&address.octets()),
            IpAddr::V6(address) => hash.add(&address.octets()),
        }
        if let Authenticated::Caller(verified) = admitted.authenticated() {
            for field in verified.identity.iter() {
                hash.add(field.name);
                hash.add(field.value);
            }
        }
        hash.ends();
        // Whose resource it is, and how it was reached: no path makes that the same.
        hash.add(scheme.as_bytes());
        let told = [
            Header::Host,
            Header::XForwardedHost,
            Header::XForwardedProto,
        ];
        let told = if admitted.origin().trusted_proxy {
            &told[..]
        } else {
            &told[..1]
        };
        for header in told.iter().copied() {
            for value in head.fields.all(header) {
                hash.add(value);
            }
            hash.ends();
        }
        if declared.is_none_or(|declared| !declared.any_path) {
            hash.add(head.method.as_str().as_bytes());
            hash.add(head.path_and_query().as_bytes());
        }
        Self(hash.finish())
    }
}

/// A hash of parts: each has its length before it, so that no two lists of parts are the same bytes.
struct Hash {
    context: digest::Context,
    /// Short parts that were not hashed yet: the hash takes many small pieces slowly. Credentials are among them.
    gathered: Zeroizing<[u8; GATHERED]>,
    length: usize,
}

/// How much is gathered before it is hashed.
const GATHERED: usize = 256;

impl Hash {
    fn new() -> Self {
        Self {
            context: digest::Context::new(&digest::SHA256),
            gathered: Zeroizing::new([0; GATHERED]),
            length: 0,
        }
    }

    fn add(&mut self, part: &[u8]) {
        self.put(&(part.len() as u64).to_be_bytes());
        self.put(part);
    }

    /// A list of parts is over.
    fn ends(&mut self) {
        self.put(&u64::MAX.to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.length + bytes.len() > GATHERED {
            self.hash_gathered();
        }
        let end = self.length + bytes.len();
        match self.gathered.get_mut(self.length..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length = end;
            }
            None => self.context.update(bytes),
        }
    }

    fn hash_gathered(&mut self) {
        let gathered = self.gathered.get(..self.length).unwrap_or_default();
        self.context.update(gathered);
        self.length = 0;
    }

    fn finish(mut self) -> [u8; 32] {
        self.hash_gathered();
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(self.context.finish().as_ref()) {
            *to = *from;
        }
        hash
    }
}

impl Memory {
    pub(super) fn new(declared: &DecisionCache) -> Self {
        Self {
            parts: std::array::from_fn(|_| Mutex::default()),
            most: (declared.entries.get() as usize).div_ceil(PARTS),
            ttl: declared.ttl,
        }
    }

    fn part(&self, key: &Key) -> Option<&Mutex<HashMap<Key, Entry>>> {
        let first = key.0.first().copied().unwrap_or_default();
        self.parts.get(usize::from(first) % PARTS)
    }

    pub(super) fn find(&self, key: &Key, now: Moment) -> Option<Arc<Remembered>> {
        let part = self.part(key)?;
        let part = part.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = part.get(key)?;
        (now < entry.until).then(|| Arc::clone(&entry.remembered))
    }

    /// Remembers a decision. Where there is no room, those go whose time is over, and else all of this part: each
    /// is asked about again, and no more.
    pub(super) fn keep(&self, key: Key, remembered: Remembered, now: Moment) {
        let Some(part) = self.part(&key) else {
            return;
        };
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        if part.len() >= self.most {
            part.retain(|_, entry| now < entry.until);
            if part.len() >= self.most {
                part.clear();
            }
        }
        part.insert(
            key,
            Entry {
                until: now.plus(self.ttl),
                remembered: Arc::new(remembered),
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::{Clock as _, SystemClock};
    use std::num::NonZeroU32;

    fn memory(entries: u32) -> Memory {
        Memory::new(&DecisionCache {
            by: Vec::new(),
            ttl: Duration::from_secs(10),
            entries: NonZeroU32::new(entries).unwrap(),
            any_path: false,
        })
    }

    fn key(number: u64) -> Key {
        let mut hash = Hash::new();
        hash.add(&number.to_be_bytes());
        Key(hash.finish())
    }

    #[test]
    fn a_decision_counts_until_its_time_is_over() {
        let (memory, now) = (memory(100), SystemClock::new().moment());
        memory.keep(key(1), Remembered(Fields::from([("x-user", "a")])), now);
        let found = memory.find(&key(1), now.plus(Duration::from_millis(9_999)));
        assert_eq!(found.unwrap().0, Fields::from([("x-user", "a")]));
        assert!(
            memory
                .find(&key(1), now.plus(Duration::from_secs(10)))
                .is_none()
        );
        assert!(memory.find(&key(2), now).is_none());
    }

    #[test]
    fn there_are_never_more_than_may_be() {
        let (memory, now) = (memory(64), SystemClock::new().moment());
        for number in 0..10_000 {
            memory.keep(key(number), Remembered(Fields::new()), now);
        }
        let count: usize = memory
            .parts
            .iter()
            .map(|part| part.lock().unwrap().len())
            .sum();
        assert!(count <= 64, "{count}");
        assert!(memory.find(&key(9_999), now).is_some());
    }

    #[test]
    fn parts_do_not_run_into_one_another() {
        let hash = |parts: &[&[u8]]| {
            let mut hash = Hash::new();
            for part in parts {
                hash.add(part);
            }
            hash.finish()
        };
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"", b"a"]), hash(&[b"a", b""]));
        // However long they are.
        let (long, longer) = ([b'a'; 300], [b'a'; 600]);
        assert_ne!(hash(&[&long, &long]), hash(&[&longer]));
        assert_eq!(
            hash(&[b"a", &long, b"b", &longer]),
            hash(&[b"a", &long, b"b", &longer])
        );
        assert_ne!(
            hash(&[b"a", &long, b"b", &longer]),
            hash(&[b"b", &long, b"a", &longer])
        );
    }
}
