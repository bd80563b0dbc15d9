//! When a token with an unknown kid may make us ask the issuer again.
//!
//! A token's header is a stranger's word. A kid that nobody knows may be a key that was rotated in a moment
//! ago, and then the token should pass; or it is made up, ten thousand times a second, and then the issuer
//! must hardly notice.

use keyward_model::Moment;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// Of the requests that unknown kids may cause: one comes back in this time. A flood of made-up kids costs
/// the issuer six requests a minute, and a key that is rotated in meanwhile is known after ten seconds.
pub(super) const REFETCH_EVERY: Duration = Duration::from_secs(10);
/// How many there are at most: a single made-up kid does not keep the next real one waiting.
const REFETCHES_MAX: u32 = 2;
/// How long a kid that a fetch did not find is no reason for another. After that it is one again, since
/// some issuers sign with a key a little before all of their servers publish it.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// How many such kids are remembered, 16 bytes each. What is beyond is not remembered: the bucket bounds the
/// requests all the same.
const UNKNOWN_MAX: usize = 1024;

/// Whether to ask, and who may. Kept under a lock that is held for a look-up.
#[derive(Debug)]
pub(super) struct Refetches {
    /// Keyed, so that nobody can choose kids that collide.
    hasher: RandomState,
    /// Until when a kid, by its hash, is no reason to ask.
    unknown: HashMap<u64, Moment>,
    left: u32,
    /// From when on the time to the next one is counted.
    counted_from: Moment,
    /// After a failure: no sooner than this.
    not_before: Moment,
    in_flight: bool,
    requested: bool,
}

/// What a worker with an unknown kid is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Wake the task, and wait for it: what it finds is the answer about this kid.
    Start,
    /// A request is in flight: wait for it. It may have been sent before the kid was published.
    Join,
    /// Don't wait.
    Refuse,
}

impl Refetches {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            hasher: RandomState::new(),
            unknown: HashMap::new(),
            left: REFETCHES_MAX,
            counted_from: now,
            not_before: now,
            in_flight: false,
            requested: false,
        }
    }

    /// What to do about a kid that the current keys don't have.
    pub(super) fn ask(&mut self, kid: &str, now: Moment) -> Decision {
        if self.in_flight {
            return Decision::Join;
        }
        let known_to_be_unknown = self
            .unknown
            .get(&self.hasher.hash_one(kid))
            .is_some_and(|until| now < *until);
        if known_to_be_unknown || now < self.not_before {
            return Decision::Refuse;
        }
        self.refill(now);
        if self.left == 0 {
            return Decision::Refuse;
        }
        self.left -= 1;
        self.in_flight = true;
        self.requested = true;
        Decision::Start
    }

    fn refill(&mut self, now: Moment) {
        while self.left < REFETCHES_MAX {
            let next = self.counted_from.plus(REFETCH_EVERY);
            if now < next {
                return;
            }
            self.left += 1;
            self.counted_from = next;
        }
        // Full: the time to the next one begins when one is taken.
        self.counted_from = now;
    }

    /// Whether someone asked and the task has not yet begun.
    pub(super) fn is_requested(&self) -> bool {
        self.requested
    }

    /// Whether a request is on its way, or asked for.
    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight
    }

    /// The task sends a request, for whatever reason.
    pub(super) fn begin(&mut self) {
        self.in_flight = true;
        self.requested = false;
    }

    /// The request brought an answer; with other keys than before, every kid may be among them.
    pub(super) fn succeeded(&mut self, changed: bool) {
        self.in_flight = false;
        if changed {
            self.unknown.clear();
        }
    }

    /// The request brought nothing. Until `not_before` no kid is a reason for another.
    pub(super) fn failed(&mut self, not_before: Moment) {
        self.in_flight = false;
        self.not_before = not_before;
    }

    /// A fetch that began after this kid was asked for did not bring it.
    pub(super) fn remember(&mut self, kid: &str, now: Moment) {
        if self.unknown.len() >= UNKNOWN_MAX {
            self.unknown.retain(|_, until| now < *until);
        }
        if self.unknown.len() < UNKNOWN_MAX {
            let hash = self.hasher.hash_one(kid);
            self.unknown.insert(hash, now.plus(UNKNOWN_FOR));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_nanos(1_000_000_000_000);

    fn at(seconds: u64) -> Moment {
        START.plus(Duration::from_secs(seconds))
    }

    /// Asks, and lets the request that may follow end at once without other keys.
    fn ask(refetches: &mut Refetches, kid: &str, seconds: u64) -> Decision {
        let decision = refetches.ask(kid, at(seconds));
        if decision == Decision::Start {
            refetches.begin();
            refetches.succeeded(false);
            refetches.remember(kid, at(seconds));
        }
        decision
    }

    #[test]
    fn made_up_kids_cause_two_requests_and_then_one_in_ten_seconds() {
        let mut refetches = Refetches::new(START);
        let mut started = 0;
        for kid in 0..10_000 {
            // Ten thousand kids within 100 s.
            let decision = ask(&mut refetches, &kid.to_string(), kid / 100);
            started += u64::from(decision == Decision::Start);
        }
        assert_eq!(started, 2 + 9);
        assert!(refetches.unknown.len() <= 11);
    }

    #[test]
    fn a_kid_that_was_looked_up_is_no_reason_until_the_keys_change_or_time_passes() {
        let mut refetches = Refetches::new(START);
        assert_eq!(ask(&mut refetches, "a", 0), Decision::Start);
        assert_eq!(ask(&mut refetches, "a", 1), Decision::Refuse);
        assert_eq!(ask(&mut refetches, "a", 59), Decision::Refuse);
        assert_eq!(ask(&mut refetches, "a", 60), Decision::Start);
        assert_eq!(ask(&mut refetches, "a", 61), Decision::Refuse);
        refetches.begin();
        refetches.succeeded(true);
        assert_eq!(ask(&mut refetches, "a", 62), Decision::Start);
    }

    #[test]
    fn one_request_is_in_flight_at_a_time() {
        let mut refetches = Refetches::new(START);
        assert_eq!(refetches.ask("a", START), Decision::Start);
        assert!(refetches.is_requested());
        assert_eq!(refetches.ask("b", START), Decision::Join);
        refetches.begin();
        assert!(!refetches.is_requested());
        assert_eq!(refetches.ask("a", START), Decision::Join);
        refetches.succeeded(false);
        assert_eq!(refetches.ask("b", START), Decision::Start);
    }

    #[test]
    fn after_a_failure_no_kid_is_a_reason_for_a_while() {
        let mut refetches = Refetches::new(START);
        refetches.begin();
        refetches.failed(at(4));
        assert_eq!(refetches.ask("a", at(3)), Decision::Refuse);
        assert_eq!(refetches.ask("a", at(4)), Decision::Start);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut refetches = Refetches::new(START);
        for kid in 0..2 * UNKNOWN_MAX {
            refetches.remember(&kid.to_string(), START);
        }
        assert_eq!(refetches.unknown.len(), UNKNOWN_MAX);
        refetches.remember("late", at(61));
        assert_eq!(refetches.unknown.len(), 1);
    }
}
