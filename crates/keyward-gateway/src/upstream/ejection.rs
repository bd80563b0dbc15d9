//! Targets that fail are left out for a while.

use keyward_model::Moment;
use keyward_model::resource::upstream::Ejection;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The back-off doubles no more often than this; its longest time is reached before.
const DOUBLINGS_MAX: u32 = 16;

/// What a target's failures have led to.
#[derive(Debug, Default)]
pub(crate) struct EjectionState {
    /// In a row.
    failures: AtomicU32,
    /// Nanoseconds; 0: never was.
    until: AtomicU64,
    /// How often lately: the next is the longer for it.
    times: AtomicU32,
    total: AtomicU64,
}

impl EjectionState {
    /// Whether the target is left out.
    pub(crate) fn is_out(&self, now: Moment) -> bool {
        now.as_nanos() < self.until.load(Ordering::Relaxed)
    }

    /// When it came back, or will; the clock's start if it never was out.
    pub(super) fn until(&self) -> Moment {
        Moment::from_nanos(self.until.load(Ordering::Relaxed))
    }

    /// How often it was left out since the process was started.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// A call has failed. Whether that takes the target out.
    pub(crate) fn failed(&self, now: Moment, policy: &Ejection) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        if now.as_nanos() < until {
            // Calls that were under way when it was taken out tell nothing new.
            return false;
        }
        let failures = self
            .failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        if failures < policy.failures.get() {
            return false;
        }
        let times = self.times.load(Ordering::Relaxed);
        let end = now.plus(time_out(policy, times)).as_nanos();
        let taken = self
            .until
            .compare_exchange(until, end, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if taken {
            self.failures.store(0, Ordering::Relaxed);
            self.times.store(times.saturating_add(1), Ordering::Relaxed);
            self.total.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// A call has succeeded. A target that was well for as long as it was out last is trusted as before.
    pub(crate) fn succeeded(&self, now: Moment, policy: &Ejection) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        let times = self.times.load(Ordering::Relaxed);
        if times != 0 && now >= self.until().plus(time_out(policy, times.saturating_sub(1))) {
            self.times.store(0, Ordering::Relaxed);
        }
    }
}

fn time_out(policy: &Ejection, times: u32) -> Duration {
    let doubled = policy.time.saturating_mul(1 << times.min(DOUBLINGS_MAX));
    doubled.min(policy.max_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    fn policy() -> Ejection {
        Ejection {
            failures: NonZeroU32::new(3).unwrap(),
            time: Duration::from_secs(10),
            max_time: Duration::from_secs(25),
            ..Ejection::default()
        }
    }

    #[test]
    fn failures_in_a_row_take_a_target_out_longer_each_time() {
        let (state, policy) = (EjectionState::default(), policy());
        let mut now = 100;
        for out in [10, 20, 25, 25] {
            assert!(!state.failed(at(now), &policy));
            assert!(!state.failed(at(now), &policy));
            assert!(state.failed(at(now), &policy));
            // What was under way counts no more.
            assert!(!state.failed(at(now), &policy));
            assert!(state.is_out(at(now + out - 1)), "{out}");
            assert!(!state.is_out(at(now + out)), "{out}");
            now += out;
        }
        assert_eq!(state.total(), 4);
    }

    #[test]
    fn a_success_between_failures_begins_the_count_anew() {
        let (state, policy) = (EjectionState::default(), policy());
        for _ in 0..10 {
            assert!(!state.failed(at(1), &policy));
            assert!(!state.failed(at(1), &policy));
            state.succeeded(at(1), &policy);
        }
    }

    #[test]
    fn a_target_that_stays_well_is_trusted_as_before() {
        let (state, policy) = (EjectionState::default(), policy());
        let fail = |now| (0..3).any(|_| state.failed(at(now), &policy));
        assert!(fail(100));
        // Back since 110: well, but not for long.
        state.succeeded(at(112), &policy);
        assert!(fail(112));
        assert!(state.is_out(at(131)));
        state.succeeded(at(152), &policy);
        assert!(fail(160));
        assert!(state.is_out(at(169)));
        assert!(!state.is_out(at(170)));
    }
}
