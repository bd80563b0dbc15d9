//! The number that tells of changed keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that is raised with every change of any key set, so that what was concluded from keys before
/// (a verified token in a cache) is dropped at once.
///
/// Read it *before* the keys, and keep what it was with the conclusion: a change in between then makes the
/// conclusion void, never a stale one valid.
#[derive(Clone, Debug, Default)]
pub struct KeyEpoch(Arc<AtomicU64>);

impl KeyEpoch {
    /// The number now.
    #[must_use]
    pub fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Says that keys have changed. Called after they were published.
    pub(super) fn raise(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}
