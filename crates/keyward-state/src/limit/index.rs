//! Where cells are found.

use super::account::{Account, AccountKind, KeptSpending};
use super::cell::{Cell, Kind, Rule};
use super::key::LimitKey;
use super::now::Now;
use super::quota::Used;
use super::shard::{CellSlot, Counter, Full, Shard, Slot};
use super::shared_part::SharedPart;
use super::spending::Spending;
use crate::Error;
use keyward_model::limit::Period;
use siphasher::sip128::SipHasher13;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many cells a node keeps unless told otherwise: at most some 120 MB, and twice that where nodes count
/// together; those of one limit at most a quarter of it.
pub const CELLS_MAX_DEFAULT: NonZeroUsize = match NonZeroUsize::new(1 << 20) {
    Some(max) => max,
    None => NonZeroUsize::MIN,
};

/// Locks are split this many ways, so that workers seldom meet.
const SHARDS: usize = 64;

/// What is kept of a quota of one subject, so that a restart does not forgive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptQuota {
    /// Which quota of whom, under the secret of [`LimitCells::with_secret`].
    pub digest: u128,
    /// Its windows.
    pub period: Period,
    /// The requests that are to be added to those of this window.
    pub used: Used,
}

/// All cells of a node.
///
/// Bounded: cells of subjects that have their whole burst again (idle ones) are dropped as new ones come,
/// which changes nothing for anyone. When all are in use, a new subject is refused; those that have a
/// cell go on, and none is forgotten but quotas that nodes share, which are asked for again. The bound holds per
/// shard, a 64th of it each; a hash with a secret key spreads subjects over them.
///
/// **A share for each limit.** A limit gets a new cell while it has less than a third as many as there is room
/// left. So one limit whose subjects somebody invents holds a quarter of all at most, the next one that is flooded a
/// quarter of what is left by it, and there is room for the limits that have few.
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
        // Seeded by the system's randomness.
        let random = RandomState::new();
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
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
    /// [`Error::CellsExhausted`] when the bound is reached and no cell is idle; [`Error::ShareExhausted`] when the
    /// limit has its share of them.
    pub fn cell(&self, key: &LimitKey<'_, Rule>, now: Now) -> Result<Arc<Cell>, Error> {
        let digest = key.digest(&self.secret);
        let is_of_api = key.is_of_api();
        let mut shard = self.lock(digest)?;
        if let Some(slot) = shard.find(digest) {
            // Of what was restored, only the digest was known.
            slot.is_of_api |= is_of_api;
            return Ok(slot.cell(key.rule.kind()));
        }
        self.make_room(&mut shard, digest, is_of_api, now)?;
        if matches!(key.rule.kind(), Kind::Quota(_)) {
            self.quotas.store(true, Ordering::Relaxed);
        }
        let shared = self.shared.as_deref();
        let shared = shared.map(|prefix| SharedPart::new(key.shared_name(prefix)));
        let cell = Arc::new(Cell::new(0, shared));
        shard.insert(Slot {
            digest,
            is_of_api,
            counter: Counter::Cell(CellSlot {
                kind: key.rule.kind(),
                kept: 0,
                window: 0,
                cell: Arc::clone(&cell),
            }),
        });
        Ok(cell)
    }

    /// The same of a budget: its account.
    ///
    /// # Errors
    /// As of [`cell`](Self::cell).
    pub fn account(&self, key: &LimitKey<'_, Spending>, now: Now) -> Result<Arc<Account>, Error> {
        let digest = key.digest(&self.secret);
        let is_of_api = key.is_of_api();
        let mut shard = self.lock(digest)?;
        if let Some(slot) = shard.find(digest)
            && let Counter::Account { kind, account } = &mut slot.counter
        {
            slot.is_of_api |= is_of_api;
            // The amount of a rate may have changed, by which it is known when it is idle.
            *kind = key.rule.kind();
            return Ok(Arc::clone(account));
        }
        self.make_room(&mut shard, digest, is_of_api, now)?;
        if matches!(key.rule.kind(), AccountKind::Window(_)) {
            self.quotas.store(true, Ordering::Relaxed);
        }
        let shared = self.shared.as_deref();
        let account = Account::new(shared.map(|prefix| key.shared_name(prefix)));
        let account = Arc::new(account);
        shard.insert(Slot {
            digest,
            is_of_api,
            counter: Counter::Account {
                kind: key.rule.kind(),
                account: Arc::clone(&account),
            },
        });
        Ok(account)
    }

    fn lock(&self, digest: u128) -> Result<MutexGuard<'_, Shard>, Error> {
        let limit = self.max();
        let shard = self.shard(digest).ok_or(Error::CellsExhausted { limit })?;
        Ok(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn make_room(
        &self,
        shard: &mut Shard,
        digest: u128,
        is_of_api: bool,
        now: Now,
    ) -> Result<(), Error> {
        let limit = self.max();
        match shard.make_room(digest, self.shard_max, now) {
            None => Ok(()),
            Some(_) if is_of_api => Ok(()),
            Some(Full::Shard) => Err(Error::CellsExhausted { limit }),
            Some(Full::Share) => Err(Error::ShareExhausted { limit }),
        }
    }

    fn shard(&self, digest: u128) -> Option<&Mutex<Shard>> {
        let index = usize::try_from((digest >> 64) % SHARDS as u128).ok()?;
        self.shards.get(index)
    }

    /// Puts back what was kept of quotas and budgets, before the first call. What has no room is left out: the number of
    /// those. Which of the two it is says the first call that asks for it.
    pub fn restore(&self, kept: impl Iterator<Item = KeptSpending>) -> usize {
        let mut left_out = 0;
        self.quotas.store(true, Ordering::Relaxed);
        for one in kept {
            let Some(shard) = self.shard(one.digest) else {
                continue;
            };
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            // Not by its limit's share: it was let in when there was more room, and would be forgiven.
            if shard.len() >= self.shard_max {
                left_out += 1;
                continue;
            }
            shard.insert(Slot {
                digest: one.digest,
                is_of_api: false,
                counter: Counter::Account {
                    kind: AccountKind::Window(one.period),
                    account: Arc::new(Account::restored(&one)),
                },
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
            let cells = shard.slots().filter_map(|slot| {
                let digest = slot.digest;
                match &mut slot.counter {
                    Counter::Cell(cell) => cell.unkept(digest),
                    Counter::Account { .. } => None,
                }
            });
            unkept.extend(cells);
        }
        unkept
    }

    /// The same of budgets: what calls have taken, and what those under way hold.
    #[must_use]
    pub fn unkept_spending(&self) -> Vec<KeptSpending> {
        let mut unkept = Vec::new();
        if !self.quotas.load(Ordering::Relaxed) {
            return unkept;
        }
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            unkept.extend(shard.slots().filter_map(|slot| slot.unkept_spending()));
        }
        unkept
    }

    /// What keeping of a budget came to, in the same way as of a quota ([`kept`](Self::kept)).
    pub fn kept_spending(&self, sent: &KeptSpending, total: Option<i64>) {
        let Ok(mut shard) = self.lock(sent.digest) else {
            return;
        };
        if let Some(slot) = shard.find(sent.digest)
            && let Counter::Account { account, .. } = &slot.counter
        {
            account.kept(sent, total);
        }
    }

    /// What keeping came to: with what other processes have kept of the same window, `total` requests. Of
    /// what could not be kept (`None`), the requests are kept the next time.
    pub fn kept(&self, sent: &KeptQuota, total: Option<i64>) {
        let Some(shard) = self.shard(sent.digest) else {
            return;
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = shard.find(sent.digest)
            && let Counter::Cell(cell) = &mut slot.counter
        {
            let total = total.map(|total| u32::try_from(total).unwrap_or(u32::MAX));
            cell.kept_of(sent, total);
        }
    }

    /// How many cells there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let len = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.len()
        };
        self.shards.iter().map(len).sum()
    }

    /// How many there may be, [`Counted::Route`](super::Counted::Route) and the like beside them.
    #[must_use]
    pub fn max(&self) -> usize {
        self.shard_max.saturating_mul(SHARDS)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
