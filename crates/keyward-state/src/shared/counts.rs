//! What is counted of what nodes share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counted by all workers of a node, each at its round trips: seldom enough for one place.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connected: AtomicU64,
    pub(super) outages: AtomicU64,
    pub(super) unreachable: AtomicU64,
    pub(super) slots_failed: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) micros: AtomicU64,
    pub(super) leased: AtomicU64,
    pub(super) known_refusals: AtomicU64,
    pub(super) allowed_locally: AtomicU64,
    pub(super) refused_locally: AtomicU64,
    pub(super) unavailable: AtomicU64,
    pub(super) slots: AtomicU64,
    /// 1 while the server may forget, else 0.
    pub(super) evicts: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What was counted of what nodes share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedCounts {
    /// Workers of this node that are connected.
    pub connected: u64,
    /// How often a worker lost its connection, or an answer did not come in time.
    pub outages: u64,
    /// Attempts to connect that failed.
    pub unreachable: u64,
    /// How often the server, which was there, did not keep or give back a slot.
    pub slots_failed: u64,
    /// Round trips that were answered.
    pub answered: u64,
    /// Round trips that failed.
    pub failed: u64,
    /// Round trips that were given up since they took too long.
    pub late: u64,
    /// How long those took that were answered, all together.
    pub time: Duration,
    /// Calls that needed no round trip for a rate, since they were leased.
    pub leased: u64,
    /// Calls refused without a round trip, since what refused them was known.
    pub known_refusals: u64,
    /// Calls and proofs let through by this node alone, during outages.
    pub allowed_locally: u64,
    /// Calls refused by this node alone, during outages.
    pub refused_locally: u64,
    /// Calls and proofs refused during outages since that is what a limit or an API says.
    pub unavailable: u64,
    /// Slots of calls under way that this node holds.
    pub slots: u64,
    /// Whether the server forgets what it likes when its memory is full.
    pub evicts: bool,
}

impl Counters {
    pub(super) fn read(&self) -> SharedCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SharedCounts {
            connected: read(&self.connected),
            outages: read(&self.outages),
            unreachable: read(&self.unreachable),
            slots_failed: read(&self.slots_failed),
            answered: read(&self.answered),
            failed: read(&self.failed),
            late: read(&self.late),
            time: Duration::from_micros(read(&self.micros)),
            leased: read(&self.leased),
            known_refusals: read(&self.known_refusals),
            allowed_locally: read(&self.allowed_locally),
            refused_locally: read(&self.refused_locally),
            unavailable: read(&self.unavailable),
            slots: read(&self.slots),
            evicts: read(&self.evicts) != 0,
        }
    }
}
