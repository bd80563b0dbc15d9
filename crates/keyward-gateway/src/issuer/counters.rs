//! What is counted for an issuer.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one issuer. They are written by its one task and, rarely, by workers that met an unknown
/// kid.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) changed: Counter,
    pub(super) unchanged: Counter,
    pub(super) failed: Counter,
    pub(super) refused: Counter,
    pub(super) asked_by_unknown_kid: Counter,
    pub(super) suppressed: Counter,
    pub(super) waiters_refused: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What was counted since the issuer was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IssuerCounts {
    /// Readings (fetches, looks at a file) that brought other keys.
    pub changed: u64,
    /// Fetches that brought the same keys.
    pub unchanged: u64,
    /// Readings that brought nothing: network, status, file.
    pub failed: u64,
    /// Readings that brought something which is no usable key set; the keys before were kept.
    pub refused: u64,
    /// Fetches that an unknown kid caused.
    pub asked_by_unknown_kid: u64,
    /// Unknown kids that caused none: looked up before, or too many.
    pub suppressed: u64,
    /// Calls that did not wait for a fetch because too many waited.
    pub waiters_refused: u64,
}

impl Counters {
    pub(super) fn read(&self) -> IssuerCounts {
        IssuerCounts {
            changed: self.changed.read(),
            unchanged: self.unchanged.read(),
            failed: self.failed.read(),
            refused: self.refused.read(),
            asked_by_unknown_kid: self.asked_by_unknown_kid.read(),
            suppressed: self.suppressed.read(),
            waiters_refused: self.waiters_refused.read(),
        }
    }
}
