//! Where cells are found.

use super::cell::{Cell, EVICTED, Kind};
use super::key::LimitKey;
use super::now::Now;
use super::quota::{QuotaWindow, Used};
use super::shared_part::SharedPart;
use crate::Error;
use hashbrown::HashTable;
use keyward_model::Moment;
use keyward_model::limit::Period;
use siphasher::sip128::SipHasher13;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How many cells a node keeps unless told otherwise: at most some 30 MB.
pub const CELLS_MAX_DEFAULT: NonZeroUsize = match NonZeroUsize::new(1 << 18) {
    Some(max) => max,
    None => NonZeroUsize::MIN,
};

/// Locks are split this many ways, so that workers seldom meet.
const SHARDS: usize = 64;

/// Shards smaller than this are not swept: there is nothing to gain.
const SWEEP_MIN: usize = 64;

/// A subject that rests for less than this will call again: dropping its cell while there is room would only
/// have it looked up and made anew.
const RESTED: Duration = Duration::from_secs(60);

/// How long a full shard waits between sweeps, so that a flood of new subjects can't make each of its
/// calls walk the whole shard.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// There may be as many as there are callers, so each is small: its key takes no memory of its own.
#[derive(Debug)]
struct Slot {
    digest: u128,
    kind: Kind,
    is_of_api: bool,
    /// Of a quota, what was kept of it the last time: the requests of its window.
    kept: u32,
    /// That window.
    window: u32,
    cell: Arc<Cell>,
}

impl Slot {
    /// A route's cell stays while a worker or snapshot holds it: at the bound it could not come back.
    fn evict(&self, now: Now, full: bool) -> bool {
        let held = self.is_of_api && Arc::strong_count(&self.cell) > 1;
        if held {
            return false;
        }
        self.cell.evict_if_idle(self.kind, now) || (full && self.evict_if_told())
    }

    /// A quota that nodes share is counted where they share it: at the bound, one that owes nothing there may
    /// go, and is asked for again. Otherwise a month's subjects would keep all others out until its end.
    fn evict_if_told(&self) -> bool {
        matches!(self.kind, Kind::Quota(_)) && self.cell.evict_if_told()
    }
}

/// What is kept of a quota of one subject, so that a restart does not forgive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptQuota {
    /// Which quota of whom, under the secret of [`LimitCells::with_secret`].
    pub digest: u128,
    /// Its windows.
    pub period: Period,
    /// The requests that are to be added to those of this window; of what is restored, all of them.
    pub used: Used,
}

/// The half of a digest by which the table inside a shard goes.
const fn table_hash(digest: u128) -> u64 {
    (digest & u64::MAX as u128) as u64
}

#[derive(Debug)]
struct Shard {
    slots: HashTable<Slot>,
    /// The length at which idle cells are looked for.
    sweep_at: usize,
    /// No sweep before this while the shard is full.
    not_before: Moment,
}

/// All cells of a node.
///
/// Bounded: cells of subjects that have their whole burst again (idle ones) are dropped as new ones come,
/// which changes nothing for anyone. When all are in use, a new subject is refused; those that have a
/// cell go on, and none is forgotten but quotas that nodes share, which are asked for again. The bound holds per shard, a 64th of it each; a hash with a secret
/// key spreads subjects over them.
#[derive(Debug)]
pub struct LimitCells {
    shards: Box<[Mutex<Shard>]>,
    shard_max: usize,
    secret: SipHasher13,
    /// What the names of cells that nodes share begin with; `None` where this node counts by itself.
    shared: Option<Box<str>>,
    /// Whether there ever was a quota: without one, there is nothing to keep.
    quotas: AtomicBool,
}

impl Default for LimitCells {
    fn default() -> Self {
        Self::new(CELLS_MAX_DEFAULT)
    }
}

impl LimitCells {
    /// Room for `cells_max` cells, rounded up to a multiple of 64.
    #[must_use]
    pub fn new(cells_max: NonZeroUsize) -> Self {
        let shard = || {
            Mutex::new(Shard {
                slots: HashTable::new(),
                sweep_at: SWEEP_MIN,
                not_before: Moment::default(),
            })
        };
        // Seeded by the system's randomness.
        let random = RandomState::new();
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            shard_max: cells_max.get().div_ceil(SHARDS),
            secret: SipHasher13::new_with_keys(random.hash_one(0_u8), random.hash_one(1_u8)),
            shared: None,
            quotas: AtomicBool::new(false),
        }
    }

    /// The same, of a node that counts together with others under names that begin with `prefix`.
    #[must_use]
    pub fn shared_under(mut self, prefix: Box<str>) -> Self {
        self.shared = Some(prefix);
        self
    }

    /// The same, with a secret that outlives the process, so that what is [kept](Self::unkept) of quotas can
    /// be [restored](Self::restore).
    #[must_use]
    pub fn with_secret(mut self, secret: &[u8; 16]) -> Self {
        self.secret = SipHasher13::new_with_key(secret);
        self
    }

    /// The cell of `key`, made if there is none. Keep it, and take from it without coming back here until
    /// it says that it was evicted.
    ///
    /// # Errors
    /// [`Error::CellsExhausted`] when the bound is reached and no cell is idle.
    pub fn cell(&self, key: &LimitKey<'_>, now: Now) -> Result<Arc<Cell>, Error> {
        let digest = key.digest(&self.secret);
        let exhausted = Error::CellsExhausted {
            limit: self.shard_max.saturating_mul(SHARDS),
        };
        let shard = self.shard(digest).ok_or(exhausted)?;
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_api = key.is_of_api();
        let found = shard
            .slots
            .find_mut(table_hash(digest), |slot| slot.digest == digest);
        if let Some(slot) = found {
            // Of what was restored, only the digest was known.
            slot.is_of_api |= is_of_api;
            return Ok(Arc::clone(&slot.cell));
        }
        shard.make_room(self.shard_max, now);
        if shard.slots.len() >= self.shard_max && !is_of_api {
            return Err(exhausted);
        }
        if matches!(key.rule.kind(), Kind::Quota(_)) {
            self.quotas.store(true, Ordering::Relaxed);
        }
        let shared = self.shared.as_deref();
        let shared = shared.map(|prefix| SharedPart::new(key.shared_name(prefix)));
        let cell = Arc::new(Cell::new(0, shared));
        shard.insert(Slot {
            digest,
            kind: key.rule.kind(),
            is_of_api,
            kept: 0,
            window: 0,
            cell: Arc::clone(&cell),
        });
        Ok(cell)
    }

    fn shard(&self, digest: u128) -> Option<&Mutex<Shard>> {
        let index = usize::try_from((digest >> 64) % SHARDS as u128).ok()?;
        self.shards.get(index)
    }

    /// Puts back what was kept of quotas, before the first call. What has no room is left out: the number of
    /// those.
    pub fn restore(&self, kept: impl Iterator<Item = KeptQuota>) -> usize {
        let mut left_out = 0;
        self.quotas.store(true, Ordering::Relaxed);
        for one in kept {
            let Some(shard) = self.shard(one.digest) else {
                continue;
            };
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            if shard.slots.len() >= self.shard_max {
                left_out += 1;
                continue;
            }
            shard.insert(Slot {
                digest: one.digest,
                kind: Kind::Quota(one.period),
                is_of_api: false,
                kept: one.used.requests,
                window: one.used.window,
                cell: Arc::new(Cell::new(one.used.to_number(), None)),
            });
        }
        left_out
    }

    /// What has passed under quotas since it was kept the last time, and counts as kept from now on. Each
    /// shard is locked for itself.
    #[must_use]
    pub fn unkept(&self) -> Vec<KeptQuota> {
        let mut unkept = Vec::new();
        if !self.quotas.load(Ordering::Relaxed) {
            return unkept;
        }
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            unkept.extend(shard.slots.iter_mut().filter_map(Slot::unkept));
        }
        unkept
    }

    /// What keeping came to: with what other processes have kept of the same window, `total` requests. Of
    /// what could not be kept (`None`), the requests are kept the next time.
    pub fn kept(&self, sent: &KeptQuota, total: Option<u32>) {
        let Some(shard) = self.shard(sent.digest) else {
            return;
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = shard
            .slots
            .find_mut(table_hash(sent.digest), |slot| slot.digest == sent.digest);
        let Some(slot) = slot else {
            return;
        };
        match total {
            None => slot.kept = slot.kept.saturating_sub(sent.used.requests),
            Some(total) => {
                let elsewhere = total.saturating_sub(slot.kept);
                if elsewhere > 0 && sent.used.window == slot.used().window {
                    slot.kept += elsewhere;
                    QuotaWindow::add(
                        &slot.cell,
                        Used {
                            window: sent.used.window,
                            requests: elsewhere,
                        },
                    );
                }
            }
        }
    }

    /// How many cells there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let len = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.slots.len()
        };
        self.shards.iter().map(len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Slot {
    fn used(&self) -> Used {
        Used::of_number(self.cell.number.load(Ordering::Relaxed))
    }

    fn unkept(&mut self) -> Option<KeptQuota> {
        let Kind::Quota(period) = self.kind else {
            return None;
        };
        let number = self.cell.number.load(Ordering::Relaxed);
        if number == EVICTED {
            return None;
        }
        let used = Used::of_number(number);
        if used.window != self.window {
            (self.window, self.kept) = (used.window, 0);
        }
        // Less is there after one was given back: it is made up for by those to come.
        let requests = used.requests.saturating_sub(self.kept);
        if requests == 0 {
            return None;
        }
        self.kept = used.requests;
        Some(KeptQuota {
            digest: self.digest,
            period,
            used: Used { requests, ..used },
        })
    }
}

impl Shard {
    fn insert(&mut self, slot: Slot) {
        let hash = table_hash(slot.digest);
        self.slots
            .insert_unique(hash, slot, |slot| table_hash(slot.digest));
    }

    /// Drops cells that have long been idle once the shard has doubled since the last time, so that each new
    /// cell pays for a fixed number of looks; when it is full, all idle ones, at most once in [`SWEEP_PAUSE`].
    fn make_room(&mut self, max: usize, now: Now) {
        let full = self.slots.len() >= max;
        let due = if full {
            now.moment >= self.not_before
        } else {
            self.slots.len() >= self.sweep_at
        };
        if !due {
            return;
        }
        let idle_since = if full {
            now
        } else {
            Now {
                moment: now.moment.minus(RESTED),
                civil: now.civil.minus(RESTED),
            }
        };
        self.slots.retain(|slot| !slot.evict(idle_since, full));
        self.sweep_at = self.slots.len().saturating_mul(2).max(SWEEP_MIN);
        if full {
            self.not_before = now.moment.plus(SWEEP_PAUSE);
        }
    }
}
