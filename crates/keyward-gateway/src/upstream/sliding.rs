//! How often something happened lately.

use keyward_model::Moment;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bits of each of the two counts.
const BITS: u32 = 24;
const COUNT: u64 = (1 << BITS) - 1;
const EPOCH: u64 = (1 << 16) - 1;

/// Counts what happened within about the last window: all of the window that runs, and of the one before
/// it the part that is not over yet. One number, so that workers share it without a lock; counts stop at
/// sixteen million.
#[derive(Debug, Default)]
pub(crate) struct SlidingCount(AtomicU64);

/// What the number holds.
#[derive(Clone, Copy)]
struct Counts {
    epoch: u64,
    before: u64,
    current: u64,
}

impl SlidingCount {
    /// Counts one.
    pub(crate) fn add(&self, now: Moment, window: Duration) {
        let epoch = place(now, window).0;
        // The closure always has an answer.
        let _counted = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |packed| {
                let mut counts = Counts::unpack(packed).rolled(epoch);
                counts.current = (counts.current + 1).min(COUNT);
                Some(counts.pack())
            });
    }

    /// How often it happened.
    pub(crate) fn read(&self, now: Moment, window: Duration) -> u64 {
        let (epoch, past) = place(now, window);
        let counts = Counts::unpack(self.0.load(Ordering::Relaxed)).rolled(epoch);
        counts.current + (counts.before * (1024 - past)) / 1024
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Which window it is, and how much of it has passed, in 1,024th.
fn place(now: Moment, window: Duration) -> (u64, u64) {
    let window = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX).max(1);
    let now = now.as_nanos();
    let past = u128::from(now % window) * 1024 / u128::from(window);
    ((now / window) & EPOCH, u64::try_from(past).unwrap_or(1024))
}

impl Counts {
    fn unpack(packed: u64) -> Self {
        Self {
            epoch: packed >> (2 * BITS),
            before: (packed >> BITS) & COUNT,
            current: packed & COUNT,
        }
    }

    fn pack(self) -> u64 {
        (self.epoch << (2 * BITS)) | (self.before << BITS) | self.current
    }

    /// The same, seen from a later window.
    fn rolled(self, epoch: u64) -> Self {
        if self.epoch == epoch {
            return self;
        }
        let next = (self.epoch + 1) & EPOCH == epoch;
        Self {
            epoch,
            before: if next { self.current } else { 0 },
            current: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_fades_over_the_next_window() {
        let window = Duration::from_secs(10);
        let at = |seconds: u64| Moment::from_nanos(seconds * 1_000_000_000);
        let count = SlidingCount::default();
        for _ in 0..100 {
            count.add(at(21), window);
        }
        for (seconds, expected) in [(21, 100), (29, 100), (30, 100), (35, 50), (39, 10), (40, 0)] {
            let read = count.read(at(seconds), window);
            assert!(
                read.abs_diff(expected) <= 1,
                "{seconds}: {read}, not {expected}"
            );
        }
        count.add(at(35), window);
        assert_eq!(count.read(at(35), window), 51);
        count.add(at(95), window);
        assert_eq!(count.read(at(95), window), 1);
        count.clear();
        assert_eq!(count.read(at(95), window), 0);
    }
}
