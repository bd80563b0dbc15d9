//! A part of the index, behind one lock: its cells, and how many each limit has of them.

use super::account::{Account, AccountKind, KeptSpending};
use super::cell::{Cell, EVICTED, Kind};
use super::index::KeptQuota;
use super::key::limit_of;
use super::now::Now;
use super::quota::{QuotaWindow, Used};
use hashbrown::{HashMap, HashTable};
use keyward_model::Moment;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Shards smaller than this are not swept: there is nothing to gain.
const SWEEP_MIN: usize = 64;

/// A subject that rests for less than this will call again: dropping its cell while there is room would only
/// have it looked up and made anew.
const RESTED: Duration = Duration::from_secs(60);

/// How long is waited at least between sweeps for want of room, so that a flood of new subjects can't make each of its
/// calls walk the whole shard.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// So much longer for each cell: a sweep looks at all of them behind the lock, in a fraction of this time.
const SWEEP_PAUSE_EACH: Duration = Duration::from_micros(10);

/// How long is waited after a sweep of so many cells.
pub(super) fn pause_after(cells: usize) -> Duration {
    let cells = u32::try_from(cells).unwrap_or(u32::MAX);
    SWEEP_PAUSE.max(SWEEP_PAUSE_EACH.saturating_mul(cells))
}

/// A limit may have one cell for so many that are free: a quarter of all where it is the only one.
const FREE_FOR_EACH: usize = 3;

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All cells are taken.
    Shard,
    /// The limit has as many as it may.
    Share,
}

/// Cells that are found together.
#[derive(Debug, Default)]
pub(super) struct Shard {
    slots: HashTable<Slot>,
    /// How many each limit has, by its part of the digest.
    shares: HashMap<u32, usize>,
    /// The length at which idle cells are looked for; [`SWEEP_MIN`] at least.
    sweep_at: usize,
    /// No sweep for want of room before this.
    not_before: Moment,
}

impl Shard {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn slots(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut()
    }

    pub(super) fn find(&mut self, digest: u128) -> Option<&mut Slot> {
        self.slots
            .find_mut(table_hash(digest), |slot| slot.digest == digest)
    }

    pub(super) fn insert(&mut self, slot: Slot) {
        let hash = table_hash(slot.digest);
        *self.shares.entry(limit_of(slot.digest)).or_default() += 1;
        self.slots
            .insert_unique(hash, slot, |slot| table_hash(slot.digest));
    }

    /// Why this one, which has no cell, can have none of `max`.
    pub(super) fn full_for(&self, digest: u128, max: usize) -> Option<Full> {
        let free = max.saturating_sub(self.slots.len());
        let share = self.shares.get(&limit_of(digest)).copied();
        if free == 0 {
            Some(Full::Shard)
        } else if is_full(share.unwrap_or_default(), free) {
            Some(Full::Share)
        } else {
            None
        }
    }

    /// Sees to it that there is room for this one, where that can be done without forgetting anyone: drops cells
    /// that have long been idle once the shard has doubled since the last time, so that each new cell pays for a
    /// fixed number of looks; where there is no room, all idle ones of those who have none, at most once in
    /// [`pause_after`] as many. What is said is why there is no room after that.
    pub(super) fn make_room(&mut self, digest: u128, max: usize, now: Now) -> Option<Full> {
        let full = self.full_for(digest, max);
        let due = match full {
            Some(_) => now.moment >= self.not_before,
            None => self.slots.len() >= self.sweep_at.max(SWEEP_MIN),
        };
        if !due {
            return full;
        }
        let swept = self.slots.len();
        self.sweep(max, now);
        if full.is_some() {
            self.not_before = now.moment.plus(pause_after(swept));
        }
        self.full_for(digest, max)
    }

    fn sweep(&mut self, max: usize, now: Now) {
        let long_ago = Now {
            moment: now.moment.minus(RESTED),
            civil: now.civil.minus(RESTED),
        };
        let free = max.saturating_sub(self.slots.len());
        let shares = &self.shares;
        self.slots.retain(|slot| {
            let share = shares.get(&limit_of(slot.digest)).copied();
            let full = free == 0 || is_full(share.unwrap_or_default(), free);
            !slot.evict(if full { now } else { long_ago }, full)
        });
        self.shares.clear();
        for slot in &self.slots {
            *self.shares.entry(limit_of(slot.digest)).or_default() += 1;
        }
        self.sweep_at = self.slots.len().saturating_mul(2);
    }
}

/// Whether a limit that has so many cells may have no other one where so many are free.
const fn is_full(share: usize, free: usize) -> bool {
    share.saturating_mul(FREE_FOR_EACH) >= free
}

/// The half of a digest by which the table inside a shard goes.
const fn table_hash(digest: u128) -> u64 {
    (digest & u64::MAX as u128) as u64
}

/// There may be as many as there are callers, so each is small: its key takes no memory of its own.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) digest: u128,
    pub(super) is_of_api: bool,
    pub(super) counter: Counter,
}

/// What counts for one limit of one subject.
#[derive(Debug)]
pub(super) enum Counter {
    /// Calls.
    Cell(CellSlot),
    /// What calls take.
    Account {
        kind: AccountKind,
        account: Arc<Account>,
    },
}

/// A cell, and what was kept of it.
#[derive(Debug)]
pub(super) struct CellSlot {
    pub(super) kind: Kind,
    /// Of a quota, what was kept of it the last time: the requests of its window.
    pub(super) kept: u32,
    /// That window.
    pub(super) window: u32,
    pub(super) cell: Arc<Cell>,
}

impl Slot {
    /// The cell, made of what was restored where nobody has asked for it yet.
    pub(super) fn cell(&mut self, kind: Kind) -> Arc<Cell> {
        let used = match &self.counter {
            Counter::Cell(slot) => return Arc::clone(&slot.cell),
            Counter::Account { account, .. } => account.as_used(),
        };
        let cell = Arc::new(Cell::new(used.to_number(), None));
        self.counter = Counter::Cell(CellSlot {
            kind,
            kept: used.requests,
            window: used.window,
            cell: Arc::clone(&cell),
        });
        cell
    }

    /// A route's cell stays while a worker or snapshot holds it: at the bound it could not come back.
    fn evict(&self, now: Now, full: bool) -> bool {
        match &self.counter {
            Counter::Cell(slot) => {
                let held = self.is_of_api && Arc::strong_count(&slot.cell) > 1;
                !held && (slot.cell.evict_if_idle(slot.kind, now) || (full && slot.evict_if_told()))
            }
            // What is looked up for each call is held by none but those under way.
            Counter::Account { kind, account } => {
                account.evict_if_idle(*kind, now) || (full && account.evict_if_told())
            }
        }
    }

    /// What calls have taken since it was kept the last time, and counts as kept from now on.
    pub(super) fn unkept_spending(&self) -> Option<KeptSpending> {
        match &self.counter {
            Counter::Account {
                kind: AccountKind::Window(period),
                account,
            } => account.unkept(self.digest, *period),
            Counter::Account {
                kind: AccountKind::Rate { .. },
                ..
            }
            | Counter::Cell(_) => None,
        }
    }
}

impl CellSlot {
    /// A quota that nodes share is counted where they share it: at the bound, one that owes nothing there may
    /// go, and is asked for again. Otherwise a month's subjects would keep all others out until its end.
    fn evict_if_told(&self) -> bool {
        matches!(self.kind, Kind::Quota(_)) && self.cell.evict_if_told()
    }

    fn used(&self) -> Used {
        Used::of_number(self.cell.number.load(Ordering::Relaxed))
    }

    /// What has passed since it was kept the last time, and counts as kept from now on.
    pub(super) fn unkept(&mut self, digest: u128) -> Option<KeptQuota> {
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
            digest,
            period,
            used: Used { requests, ..used },
        })
    }

    /// What keeping came to, as [`LimitCells::kept`](super::LimitCells::kept) has it.
    pub(super) fn kept_of(&mut self, sent: &KeptQuota, total: Option<u32>) {
        let Some(total) = total else {
            self.kept = self.kept.saturating_sub(sent.used.requests);
            return;
        };
        let elsewhere = total.saturating_sub(self.kept);
        if elsewhere > 0 && sent.used.window == self.used().window {
            self.kept += elsewhere;
            QuotaWindow::add(
                &self.cell,
                Used {
                    window: sent.used.window,
                    requests: elsewhere,
                },
            );
        }
    }
}
