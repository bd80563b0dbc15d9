//! A millisecond's worth of a high rate, taken at once and used up here; and for how long a rate that was
//! refused is not asked again. Both are one atomic number beside the cell's own.

use crate::limit::Gcra;
use keyward_model::Moment;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The longest time for which one lease takes calls: the most of a limit that a node may have in hand.
pub const LEASED_AT_ONCE: Duration = Duration::from_millis(1);

/// When what is left of a lease lapses. Longer than it takes to use one up at the rate it is meant for, short
/// against what anyone would notice of calls that pass late.
pub const LEASE_LASTS: Duration = Duration::from_millis(10);

/// The longest time that a refusal is believed without asking again.
pub const REFUSAL_LASTS: Duration = Duration::from_secs(1);

/// A lease has no more calls than its twelve bits count.
const CALLS_MAX: u64 = 0xfff;

/// Moments are kept in units of 2¹⁶ ns, so that 39 bits hold a year; they are compared as on a clock face.
const UNIT_BITS: u32 = 16;
const UNTIL_MASK: u64 = (1 << 39) - 1;
const REFUSED: u64 = 1 << 24;

/// What the number beside a rate's cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    until: u64,
    refused: bool,
    /// How many calls the last one was for; 0 while one call asks for the next, and others for themselves.
    size: u64,
    /// How many of them are left.
    calls: u64,
}

/// What a call finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// One call of a lease, which is taken.
    Leased,
    /// A refusal that still holds.
    Refused(Duration),
    /// Nothing: so many calls are worth asking for.
    Ask(u64),
}

impl Lease {
    fn of_number(number: u64) -> Self {
        Self {
            until: number >> 25,
            refused: number & REFUSED != 0,
            size: (number >> 12) & CALLS_MAX,
            calls: number & CALLS_MAX,
        }
    }

    fn to_number(self) -> u64 {
        let refused = if self.refused { REFUSED } else { 0 };
        (self.until << 25) | refused | (self.size << 12) | self.calls
    }

    /// How long it holds from `now` on.
    fn left(self, now: Moment) -> Option<Duration> {
        let ahead = self.until.wrapping_sub(units(now)) & UNTIL_MASK;
        let holds = ahead != 0 && ahead <= UNTIL_MASK / 2;
        holds.then(|| Duration::from_nanos(ahead << UNIT_BITS))
    }
}

fn units(moment: Moment) -> u64 {
    (moment.as_nanos() >> UNIT_BITS) & UNTIL_MASK
}

/// The most calls that one lease is for: what passes in a millisecond, and a quarter of the burst at most,
/// so that one node can't have all of it. Below 2 there are no leases: each call asks.
pub(super) fn size_max(gcra: &Gcra) -> u64 {
    let interval = gcra.interval().as_nanos().max(1);
    let at_once = LEASED_AT_ONCE.as_nanos() / interval;
    let at_once = u64::try_from(at_once).unwrap_or(CALLS_MAX);
    at_once.min(gcra.burst() / 4).clamp(1, CALLS_MAX)
}

/// Takes a call from the lease, or says what to ask for: twice as much where the last lease was used up
/// before it lapsed, half of it where some was left, so that a node that has few calls has few in hand.
///
/// One call at a time asks for more than itself: if all those did that come before its answer, each would bring
/// a lease of its own. It says [`put`], [`refuse`] or [`give_up`] in the end.
pub(super) fn take(aside: &AtomicU64, size_max: u64, now: Moment) -> Found {
    let mut number = aside.load(Ordering::Relaxed);
    loop {
        let lease = Lease::of_number(number);
        let (found, next) = match lease.left(now) {
            Some(left) if lease.refused => return Found::Refused(left),
            Some(_) if lease.calls > 0 => (Found::Leased, number - 1),
            holds => {
                let size = match holds {
                    Some(_) => lease.size * 2,
                    None if lease.calls > 0 => lease.size / 2,
                    None => lease.size,
                };
                let found = Found::Ask(size.clamp(1, size_max));
                if found == Found::Ask(1) && lease.size <= 1 {
                    return found;
                }
                (found, Lease { size: 0, ..lease }.to_number())
            }
        };
        match aside.compare_exchange_weak(number, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return found,
            Err(current) => number = current,
        }
    }
}

/// A call of a lease was not made after all.
pub(super) fn give_back(aside: &AtomicU64) {
    let mut number = aside.load(Ordering::Relaxed);
    loop {
        let lease = Lease::of_number(number);
        if lease.refused || lease.calls >= CALLS_MAX {
            return;
        }
        match aside.compare_exchange_weak(number, number + 1, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => return,
            Err(current) => number = current,
        }
    }
}

/// What was asked for did not come: the next one asks for as much.
pub(super) fn give_up(aside: &AtomicU64, asked: u64) {
    let mut number = aside.load(Ordering::Relaxed);
    loop {
        let lease = Lease::of_number(number);
        if lease.size >= asked {
            return;
        }
        let size = asked.min(CALLS_MAX);
        let next = Lease { size, ..lease }.to_number();
        match aside.compare_exchange_weak(number, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(current) => number = current,
        }
    }
}

/// Puts what was granted beside what others were granted meanwhile.
pub(super) fn put(aside: &AtomicU64, asked: u64, calls: u64, now: Moment) {
    let mut number = aside.load(Ordering::Relaxed);
    loop {
        let before = Lease::of_number(number);
        let in_hand = match before.left(now) {
            Some(_) if !before.refused => before.calls,
            Some(_) | None => 0,
        };
        let next = Lease {
            until: units(now.plus(LEASE_LASTS)),
            refused: false,
            size: asked.max(before.size).min(CALLS_MAX),
            calls: (in_hand + calls).min(CALLS_MAX),
        };
        match aside.compare_exchange_weak(
            number,
            next.to_number(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            Ok(_) => return,
            Err(current) => number = current,
        }
    }
}

/// Nothing passes for so long: nobody need ask again before. What is in hand stays.
pub(super) fn refuse(aside: &AtomicU64, asked: u64, retry_after: Duration, now: Moment) {
    let mut number = aside.load(Ordering::Relaxed);
    loop {
        let before = Lease::of_number(number);
        if before.left(now).is_some() && !before.refused && before.calls > 0 {
            return give_up(aside, asked);
        }
        let next = Lease {
            // Rounded down: a moment early asks once too often, late would refuse too much.
            until: units(now.plus(retry_after.min(REFUSAL_LASTS))),
            refused: true,
            size: asked.max(before.size).min(CALLS_MAX),
            calls: 0,
        };
        match aside.compare_exchange_weak(
            number,
            next.to_number(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            Ok(_) => return,
            Err(current) => number = current,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::limit::RateLimit;
    use std::num::NonZeroU32;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * MS)
    }

    fn rate(requests: u32, burst: u32) -> Gcra {
        Gcra::new(&RateLimit {
            requests: NonZeroU32::new(requests).unwrap(),
            per: Duration::from_secs(1),
            burst: NonZeroU32::new(burst).unwrap(),
        })
    }

    #[test]
    fn a_lease_is_for_a_millisecond_and_a_quarter_of_the_burst_at_most() {
        for (requests, burst, size) in [
            (1, 1, 1),
            (1_000, 1_000, 1),
            (2_000, 2_000, 2),
            (100_000, 100_000, 100),
            (100_000, 40, 10),
            (100_000, 1, 1),
            (1_000_000_000, 1_000_000_000, 4_095),
        ] {
            assert_eq!(size_max(&rate(requests, burst)), size, "{requests} {burst}");
        }
    }

    #[test]
    fn leases_grow_with_what_is_used_and_shrink_with_what_is_not() {
        let aside = AtomicU64::new(0);
        let mut asked = Vec::new();
        // Each is used up at once.
        for _ in 0..6 {
            let Found::Ask(want) = take(&aside, 20, at(1)) else {
                panic!("nothing was granted yet");
            };
            asked.push(want);
            put(&aside, want, want - 1, at(1));
            for _ in 1..want {
                assert_eq!(take(&aside, 20, at(1)), Found::Leased);
            }
        }
        assert_eq!(asked, [1, 2, 4, 8, 16, 20]);
        // What lapses was too much.
        put(&aside, 20, 19, at(1));
        assert_eq!(take(&aside, 20, at(10)), Found::Leased);
        assert_eq!(take(&aside, 20, at(12)), Found::Ask(10));
    }

    #[test]
    fn of_many_calls_at_once_one_asks_for_more_than_itself() {
        let aside = AtomicU64::new(0);
        put(&aside, 20, 0, at(1));
        let ask = |aside: &AtomicU64| match take(aside, 64, at(1)) {
            Found::Ask(want) => want,
            other @ (Found::Leased | Found::Refused(_)) => panic!("{other:?}"),
        };
        let asked: Vec<u64> = (0..64).map(|_| ask(&aside)).collect();
        assert_eq!(asked.iter().sum::<u64>(), 40 + 63, "{asked:?}");
        // The others' answers come first, and the next one asks for a little more than itself.
        put(&aside, 1, 0, at(1));
        assert_eq!(ask(&aside), 2);
        put(&aside, 40, 39, at(1));
        put(&aside, 2, 1, at(1));
        for _ in 0..40 {
            assert_eq!(take(&aside, 64, at(1)), Found::Leased);
        }
        assert_eq!(ask(&aside), 64);
        // Whoever asked was refused, or left: the next one asks for as much.
        assert_eq!(ask(&aside), 1);
        give_up(&aside, 64);
        assert_eq!(ask(&aside), 64);
        refuse(&aside, 64, Duration::from_millis(1), at(1));
        assert_eq!(take(&aside, 64, at(5)), Found::Ask(64));
    }

    #[test]
    fn a_refusal_holds_until_its_time_and_a_second_at_most() {
        let aside = AtomicU64::new(0);
        refuse(&aside, 1, Duration::from_millis(5), at(100));
        assert!(matches!(take(&aside, 1, at(104)), Found::Refused(_)));
        assert_eq!(take(&aside, 1, at(105)), Found::Ask(1));
        refuse(&aside, 1, Duration::from_secs(3_600), at(200));
        assert!(matches!(take(&aside, 1, at(1_100)), Found::Refused(_)));
        assert_eq!(take(&aside, 1, at(1_201)), Found::Ask(1));
        // What another has in hand is not taken from it.
        put(&aside, 4, 3, at(2_000));
        refuse(&aside, 1, Duration::from_millis(5), at(2_000));
        assert_eq!(take(&aside, 4, at(2_000)), Found::Leased);
    }

    #[test]
    fn the_end_of_the_clock_face_is_passed_unnoticed() {
        let year = (UNTIL_MASK << UNIT_BITS) / MS;
        let aside = AtomicU64::new(0);
        put(&aside, 4, 3, at(year - 1));
        assert_eq!(take(&aside, 4, at(year + 5)), Found::Leased);
        assert_eq!(take(&aside, 4, at(year + 20)), Found::Ask(2));
    }
}
