//! How soon a target answers.

use keyward_model::Moment;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long an answer counts: after this time another one weighs as much, and without another one it counts
/// half.
const FADES: u64 = 10_000_000_000;

/// A moving average that weighs by time: seldom answers count more, each, than frequent ones. It rises at
/// once and falls slowly, so that a target which has become slow is left alone before many calls have
/// found out. What is known fades, so that a target which was slow once is asked again.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// Nanoseconds; 0 while nothing is known.
    average: AtomicU64,
    at: AtomicU64,
}

impl Latency {
    /// Nanoseconds; 0 while nothing is known.
    pub(crate) fn nanos(&self, now: Moment) -> u64 {
        let at = self.at.load(Ordering::Relaxed);
        let halves = now.as_nanos().saturating_sub(at) / FADES;
        self.average.load(Ordering::Relaxed) >> halves.min(63)
    }

    /// An answer took so long. Workers that write at once may lose one of their answers: it is an average.
    pub(crate) fn took(&self, time: Duration, now: Moment) {
        let new = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let old = self.nanos(now);
        let since = now
            .as_nanos()
            .saturating_sub(self.at.swap(now.as_nanos(), Ordering::Relaxed));
        let average = if new >= old {
            new
        } else {
            let falls =
                u128::from(old - new) * u128::from(since) / (u128::from(FADES) + u128::from(since));
            old - u64::try_from(falls).unwrap_or(0)
        };
        self.average.store(average, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_rises_at_once_and_falls_with_time() {
        let latency = Latency::default();
        let ms = Duration::from_millis;
        let at = |seconds: u64| Moment::from_nanos(seconds * 1_000_000_000);
        latency.took(ms(10), at(1));
        assert_eq!(latency.nanos(at(1)), 10_000_000);
        latency.took(ms(100), at(2));
        assert_eq!(latency.nanos(at(2)), 100_000_000);
        latency.took(ms(20), at(2));
        assert_eq!(latency.nanos(at(2)), 100_000_000);
        latency.took(ms(20), at(7));
        assert_eq!(latency.nanos(at(7)), 73_333_334);
        assert_eq!(latency.nanos(at(17)), 36_666_667);
        assert_eq!(latency.nanos(at(7_000)), 0);
    }
}
