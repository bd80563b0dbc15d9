//! The answers that are kept, and the calls that others wait for.

use super::entry::Entry;
use super::key::Key;
use crate::policy::memory::Memory;
use crate::policy::whole::Reserved;
use keyward_model::Moment;
use lru::LruCache;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What an entry takes beside its body.
const ENTRY_BYTES: usize = 512;

/// Answers by their keys, the one that was wanted longest ago first to go.
#[derive(Debug)]
pub(super) struct Store {
    kept: Mutex<Kept>,
    memory: Arc<Memory>,
    /// More is not kept of one answer: it would push out too many others.
    pub(super) entry_max: usize,
}

#[derive(Debug)]
struct Kept {
    entries: LruCache<Key, Arc<Entry>>,
    /// Calls that are under way, which others with the same key wait for.
    flights: HashMap<Key, watch::Receiver<()>>,
}

/// A call that others wait for, until it is dropped.
pub(super) struct Leading {
    store: Arc<Store>,
    key: Key,
    _told: watch::Sender<()>,
}

/// What is to be done for a call.
pub(super) enum Found {
    Kept(Arc<Entry>),
    /// Another call asks the same: when it is over, this one is told.
    UnderWay(watch::Receiver<()>),
    /// Nobody does.
    Nothing(Leading),
}

impl Store {
    pub(super) fn new(most: usize) -> Self {
        Self {
            kept: Mutex::new(Kept {
                entries: LruCache::unbounded(),
                flights: HashMap::new(),
            }),
            memory: Memory::new(most),
            entry_max: most / 8,
        }
    }

    /// What all of it may take.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer that is kept and not too old.
    pub(super) fn find(&self, key: &Key, ttl: Duration, now: Moment) -> Option<Arc<Entry>> {
        self.kept().find(key, ttl, now)
    }

    /// The same, or whom to wait for, or else to be the one that others wait for.
    pub(super) fn find_or_lead(self: &Arc<Self>, key: Key, ttl: Duration, now: Moment) -> Found {
        let mut kept = self.kept();
        if let Some(entry) = kept.find(&key, ttl, now) {
            return Found::Kept(entry);
        }
        if let Some(flight) = kept.flights.get(&key) {
            return Found::UnderWay(flight.clone());
        }
        let (told, flight) = watch::channel(());
        kept.flights.insert(key, flight);
        drop(kept);
        Found::Nothing(Leading {
            store: Arc::clone(self),
            key,
            _told: told,
        })
    }

    /// Keeps an answer, in place of those that were wanted longest ago. `node` is what all models have together.
    pub(super) fn keep(
        &self,
        key: Key,
        bytes: usize,
        node: &Arc<Memory>,
        entry: impl FnOnce(Reserved) -> Entry,
    ) -> bool {
        if bytes > self.entry_max {
            return false;
        }
        // What others of the node keep does not become free by what is let go here.
        let others = node.used().saturating_sub(self.memory.used());
        if others.saturating_add(bytes + ENTRY_BYTES) > node.most() {
            return false;
        }
        let mut reserved = Reserved::nothing(&self.memory, node);
        while !reserved.resize(bytes + ENTRY_BYTES) {
            // Dropped behind the lock: its memory may be given back slowly.
            let evicted = self.kept().entries.pop_lru();
            if evicted.is_none() {
                return false;
            }
        }
        let entry = Arc::new(entry(reserved));
        let before = self.kept().entries.put(key, entry);
        drop(before);
        true
    }
}

impl Kept {
    fn find(&mut self, key: &Key, ttl: Duration, now: Moment) -> Option<Arc<Entry>> {
        let entry = self.entries.get(key)?;
        if now.since(entry.since) >= ttl {
            self.entries.pop(key);
            return None;
        }
        Some(Arc::clone(entry))
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        self.store.kept().flights.remove(&self.key);
    }
}
