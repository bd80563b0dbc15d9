//! Targets of whose calls too many fail are spared.

use super::sliding::SlidingCount;
use keyward_model::Moment;
use keyward_model::resource::upstream::Breaker;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A target's breaker, as its calls have left it.
#[derive(Debug, Default)]
pub(crate) struct BreakerState {
    calls: SlidingCount,
    failures: SlidingCount,
    /// Nanoseconds; 0: closed.
    open_until: AtomicU64,
    /// Whether the one call that may try is under way.
    trying: AtomicBool,
}

/// A call that the breaker has let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Closed,
    /// It tries whether the target is well again.
    Trying,
}

impl BreakerState {
    /// Whether it is open, or only tried.
    pub(crate) fn is_open(&self) -> bool {
        self.open_until.load(Ordering::Relaxed) != 0
    }

    /// Whether a call would be let through.
    pub(super) fn lets_through(&self, now: Moment) -> bool {
        let until = self.open_until.load(Ordering::Relaxed);
        until == 0 || (now.as_nanos() >= until && !self.trying.load(Ordering::Relaxed))
    }

    /// How long no call will be let through.
    pub(super) fn left(&self, now: Moment) -> Duration {
        Moment::from_nanos(self.open_until.load(Ordering::Relaxed)).since(now)
    }

    /// Lets a call through, if it may. Who passes says what became of it.
    pub(super) fn enter(&self, now: Moment) -> Option<Passage> {
        let until = self.open_until.load(Ordering::Relaxed);
        if until == 0 {
            return Some(Passage::Closed);
        }
        let first = now.as_nanos() >= until && !self.trying.swap(true, Ordering::Relaxed);
        first.then_some(Passage::Trying)
    }

    /// The call has succeeded.
    pub(super) fn succeeded(&self, passage: Passage, now: Moment, policy: &Breaker) {
        match passage {
            Passage::Closed => self.calls.add(now, policy.window),
            Passage::Trying => {
                self.calls.clear();
                self.failures.clear();
                self.open_until.store(0, Ordering::Relaxed);
                self.trying.store(false, Ordering::Relaxed);
            }
        }
    }

    /// The call has failed. Whether that opens the breaker.
    pub(super) fn failed(&self, passage: Passage, now: Moment, policy: &Breaker) -> bool {
        let end = now.plus(policy.open).as_nanos();
        match passage {
            Passage::Closed => {
                self.calls.add(now, policy.window);
                self.failures.add(now, policy.window);
                let calls = self.calls.read(now, policy.window);
                let failures = self.failures.read(now, policy.window);
                let too_many = calls >= u64::from(policy.calls.get())
                    && failures * 100 >= calls * u64::from(policy.percent);
                too_many
                    && self
                        .open_until
                        .compare_exchange(0, end, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
            }
            Passage::Trying => {
                self.open_until.store(end, Ordering::Relaxed);
                self.trying.store(false, Ordering::Relaxed);
                true
            }
        }
    }

    /// Nobody will ever know: the client left, say. Another call may try.
    pub(super) fn abandoned(&self, passage: Passage) {
        match passage {
            Passage::Closed => {}
            Passage::Trying => self.trying.store(false, Ordering::Relaxed),
        }
    }

    /// The configuration has no breaker any more.
    pub(super) fn close(&self) {
        self.open_until.store(0, Ordering::Relaxed);
        self.trying.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    fn policy() -> Breaker {
        Breaker {
            percent: 50,
            calls: NonZeroU32::new(10).unwrap(),
            window: Duration::from_secs(10),
            open: Duration::from_secs(5),
        }
    }

    fn opened() -> BreakerState {
        let (state, policy) = (BreakerState::default(), policy());
        for _ in 0..5 {
            state.succeeded(Passage::Closed, at(100), &policy);
        }
        for _ in 0..4 {
            assert!(!state.failed(Passage::Closed, at(100), &policy));
        }
        assert!(state.failed(Passage::Closed, at(100), &policy));
        state
    }

    #[test]
    fn half_of_enough_calls_open_it() {
        let state = opened();
        assert!(state.is_open());
        assert!(!state.lets_through(at(104)));
        assert_eq!(state.enter(at(104)), None);
        assert_eq!(state.left(at(103)), Duration::from_secs(2));
    }

    #[test]
    fn then_one_call_at_a_time_tries_and_the_first_good_one_closes_it() {
        let (state, policy) = (opened(), policy());
        assert_eq!(state.enter(at(105)), Some(Passage::Trying));
        assert_eq!(state.enter(at(105)), None);
        state.abandoned(Passage::Trying);
        assert_eq!(state.enter(at(106)), Some(Passage::Trying));
        assert!(state.failed(Passage::Trying, at(106), &policy));
        assert_eq!(state.enter(at(110)), None);
        assert_eq!(state.enter(at(111)), Some(Passage::Trying));
        state.succeeded(Passage::Trying, at(111), &policy);
        assert!(!state.is_open());
        assert_eq!(state.enter(at(111)), Some(Passage::Closed));
        // What was before is forgotten.
        assert!(!state.failed(Passage::Closed, at(111), &policy));
    }

    #[test]
    fn a_few_failures_among_many_calls_or_few_calls_leave_it_closed() {
        let (state, policy) = (BreakerState::default(), policy());
        for _ in 0..9 {
            assert!(!state.failed(Passage::Closed, at(1), &policy));
        }
        let state = BreakerState::default();
        for _ in 0..100 {
            state.succeeded(Passage::Closed, at(1), &policy);
            state.succeeded(Passage::Closed, at(1), &policy);
            assert!(!state.failed(Passage::Closed, at(1), &policy));
        }
    }
}
