//! The answers that a node keeps: one place, shared by all workers.

use super::entry::{Entry, OVERHEAD};
use super::key::{Address, Audience, CacheKey};
use crate::policy::memory::{Memory, Reservation};
use keyward_model::Moment;
use lru::LruCache;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// So many locks, each for the addresses that fall to it.
const SHARDS: usize = 64;
/// The most answers under one key, told apart by `Vary`. The oldest goes.
const VARIANTS_MAX: usize = 32;
/// For how long calls don't wait for each other where an answer has just turned out to be for one of them.
const PASS_FOR: Duration = Duration::from_secs(10);
/// The addresses that were changed last, which fetches begun before may not store under.
const CHANGES_MAX: usize = 64;

/// Everything that is kept.
#[derive(Debug)]
pub(crate) struct ResponseCache {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    memory: Arc<Memory>,
    /// The shard that gives something up next.
    turn: AtomicUsize,
    entries: AtomicUsize,
    evicted: AtomicU64,
}

#[derive(Debug)]
struct Shard {
    slots: LruCache<CacheKey, Slot, RandomState>,
    addresses: HashMap<Address, HashSet<Audience>>,
    fetches: HashMap<FetchKey, watch::Sender<Outcome>>,
    changes: u64,
    changed: VecDeque<(u64, Address)>,
}

#[derive(Debug)]
struct Slot {
    variants: Vec<Arc<Entry>>,
    pass_until: Option<Moment>,
    _memory: Reservation,
}

/// One answer that is fetched: the key, and the values of the headers that are known to tell answers apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FetchKey {
    pub(super) key: CacheKey,
    pub(super) varying: Vec<Option<Vec<u8>>>,
}

/// What became of a fetch that others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Pending,
    /// The answer is there.
    Stored,
    /// It is not for others, or there is none: everyone for themselves.
    Released,
    /// Whoever fetched it has left: someone else is to.
    Abandoned,
}

/// The part of a call in a fetch.
#[derive(Debug)]
pub(super) enum Role {
    Lead(Lead),
    Follow(watch::Receiver<Outcome>),
}

/// The duty to fetch an answer that others may wait for.
#[derive(Debug)]
pub(super) struct Lead {
    cache: Arc<ResponseCache>,
    key: Option<FetchKey>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) entry: Option<Arc<Entry>>,
    /// There are answers under the key, to other requests.
    pub(super) others: bool,
    /// Nobody waits for anyone here.
    pub(super) pass: bool,
    /// The values of the headers that are known to tell answers apart.
    pub(super) varying: Vec<Option<Vec<u8>>>,
}

/// When a fetch began, by the changes under its address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

/// What the cache has, and has given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Answers that are kept.
    pub entries: u64,
    /// The memory they take, in bytes, with that of answers which are no longer kept but still being sent.
    pub bytes: u64,
    /// The most that they may take.
    pub max_bytes: u64,
    /// Keys whose answers were given up for others.
    pub evicted: u64,
}

impl ResponseCache {
    /// `most` is in bytes.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let shard = || {
            Mutex::new(Shard {
                slots: LruCache::unbounded_with_hasher(RandomState::new()),
                addresses: HashMap::new(),
                fetches: HashMap::new(),
                changes: 0,
                changed: VecDeque::new(),
            })
        };
        Arc::new(Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            memory: Memory::new(most),
            turn: AtomicUsize::new(0),
            entries: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
        })
    }

    pub(crate) fn counts(&self) -> CacheCounts {
        CacheCounts {
            entries: self.entries.load(Ordering::Relaxed) as u64,
            bytes: self.memory.used() as u64,
            max_bytes: self.memory.most() as u64,
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }

    /// Memory for something that may be kept.
    pub(super) fn memory(&self) -> Reservation {
        self.memory.nothing()
    }

    fn shard(&self, address: &Address) -> Option<MutexGuard<'_, Shard>> {
        let shard = usize::try_from(address.number() % SHARDS as u64).ok()?;
        Some(locked(self.shards.get(shard)?))
    }

    /// A number for the bytes of an address, which nobody outside can foresee.
    pub(super) fn hash_of(&self, bytes: &[u8]) -> u64 {
        self.hasher.hash_one(bytes)
    }

    /// The answer under this key to a request with these values of headers.
    pub(super) fn find(
        &self,
        key: &CacheKey,
        now: Moment,
        value: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Found {
        let Some(mut shard) = self.shard(&key.address) else {
            return Found::default();
        };
        let Some(slot) = shard.slots.get(key) else {
            return Found::default();
        };
        // Of several that would do, the one that came last (RFC 9111, section 4.1).
        let mut variants = slot.variants.iter().rev();
        let latest = slot.variants.last();
        Found {
            entry: variants.find(|entry| entry.matches(&value)).cloned(),
            others: !slot.variants.is_empty(),
            pass: slot.pass_until.is_some_and(|until| now < until),
            varying: latest
                .iter()
                .flat_map(|entry| entry.varying.iter())
                .map(|(name, _)| value(name))
                .collect(),
        }
    }

    /// Takes part in the fetch of this answer, as the first or as one who waits.
    pub(super) fn join(self: &Arc<Self>, key: FetchKey) -> Role {
        let Some(mut shard) = self.shard(&key.key.address) else {
            return Role::Lead(Lead {
                cache: Arc::clone(self),
                key: None,
            });
        };
        if let Some(fetch) = shard.fetches.get(&key) {
            return Role::Follow(fetch.subscribe());
        }
        shard
            .fetches
            .insert(key.clone(), watch::Sender::new(Outcome::Pending));
        drop(shard);
        Role::Lead(Lead {
            cache: Arc::clone(self),
            key: Some(key),
        })
    }

    /// To be taken before a fetch begins.
    pub(super) fn ticket(&self, address: &Address) -> Ticket {
        Ticket(self.shard(address).map_or(0, |shard| shard.changes))
    }

    /// Keeps an answer, unless something under its address was changed since its fetch began.
    pub(super) fn keep(&self, key: &CacheKey, entry: Entry, ticket: Ticket) -> bool {
        let mut memory = self.memory.nothing();
        let known = self
            .shard(&key.address)
            .is_some_and(|shard| shard.slots.contains(key));
        if !known && !memory.resize(OVERHEAD + 2 * key.bytes(), || self.evict()) {
            return false;
        }
        let Some(mut shard) = self.shard(&key.address) else {
            return false;
        };
        if shard.was_changed(&key.address, ticket) {
            return false;
        }
        let slot = shard.slot(key, memory);
        let before = slot.variants.len();
        slot.pass_until = None;
        slot.variants.retain(|other| !entry.replaces(other));
        if slot.variants.len() >= VARIANTS_MAX {
            slot.variants.remove(0);
        }
        slot.variants.push(Arc::new(entry));
        let after = slot.variants.len();
        drop(shard);
        if after > before {
            self.entries.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.entries.fetch_sub(before - after, Ordering::Relaxed);
        }
        true
    }

    /// Calls under this key don't wait for each other for a while.
    pub(super) fn pass(&self, key: &CacheKey, now: Moment) {
        let mut memory = self.memory.nothing();
        let known = self
            .shard(&key.address)
            .is_some_and(|shard| shard.slots.contains(key));
        // A full cache would never know, and calls would stand in line for nothing as long as it is full.
        if (known || memory.resize(OVERHEAD + 2 * key.bytes(), || self.evict()))
            && let Some(mut shard) = self.shard(&key.address)
        {
            shard.slot(key, memory).pass_until = Some(now.plus(PASS_FOR));
        }
    }

    /// Drops one answer, if it is still there.
    pub(super) fn drop_entry(&self, key: &CacheKey, entry: &Arc<Entry>) {
        if let Some(mut shard) = self.shard(&key.address)
            && let Some(slot) = shard.slots.get_mut(key)
        {
            let before = slot.variants.len();
            slot.variants.retain(|other| !Arc::ptr_eq(other, entry));
            let gone = before - slot.variants.len();
            self.entries.fetch_sub(gone, Ordering::Relaxed);
        }
    }

    /// Drops all that is kept under an address (RFC 9111, section 4.4), and what is being fetched there.
    pub(super) fn invalidate(&self, address: &Address) {
        let Some(mut shard) = self.shard(address) else {
            return;
        };
        shard.changes += 1;
        let change = (shard.changes, address.clone());
        shard.changed.push_back(change);
        if shard.changed.len() > CHANGES_MAX {
            shard.changed.pop_front();
        }
        let audiences = shard.addresses.remove(address).unwrap_or_default();
        let mut gone = 0;
        for audience in audiences {
            let key = CacheKey {
                address: address.clone(),
                audience,
            };
            gone += shard.slots.pop(&key).map_or(0, |slot| slot.variants.len());
        }
        drop(shard);
        self.entries.fetch_sub(gone, Ordering::Relaxed);
    }

    /// Gives up what was not used for the longest time, in one shard after the other. Whether there was any.
    pub(super) fn evict(&self) -> bool {
        for _ in 0..SHARDS {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % SHARDS;
            let Some(shard) = self.shards.get(turn) else {
                continue;
            };
            let mut shard = locked(shard);
            if let Some((key, slot)) = shard.slots.pop_lru() {
                shard.forget(&key);
                drop(shard);
                self.entries
                    .fetch_sub(slot.variants.len(), Ordering::Relaxed);
                self.evicted.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        }
        false
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn slot(&mut self, key: &CacheKey, memory: Reservation) -> &mut Slot {
        self.addresses
            .entry(key.address.clone())
            .or_default()
            .insert(key.audience.clone());
        self.slots.get_or_insert_mut(key.clone(), || Slot {
            variants: Vec::new(),
            pass_until: None,
            _memory: memory,
        })
    }

    fn forget(&mut self, key: &CacheKey) {
        if let Some(audiences) = self.addresses.get_mut(&key.address) {
            audiences.remove(&key.audience);
            if audiences.is_empty() {
                self.addresses.remove(&key.address);
            }
        }
    }

    /// Whether a change came after the ticket, or may have.
    fn was_changed(&self, address: &Address, ticket: Ticket) -> bool {
        let known = self.changed.len() as u64;
        self.changes - ticket.0 > known
            || self
                .changed
                .iter()
                .any(|(at, changed)| *at > ticket.0 && changed == address)
    }
}

impl Lead {
    /// Tells those who wait what became of it. Whether there were any.
    pub(super) fn end(mut self, outcome: Outcome) -> bool {
        self.tell(outcome)
    }

    fn tell(&mut self, outcome: Outcome) -> bool {
        let Some(key) = self.key.take() else {
            return false;
        };
        let fetch = self
            .cache
            .shard(&key.key.address)
            .and_then(|mut shard| shard.fetches.remove(&key));
        fetch.is_some_and(|fetch| fetch.send(outcome).is_ok())
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.tell(Outcome::Abandoned);
    }
}
