//! The generic cell rate algorithm: a cell's number is the *theoretical arrival time*, at which its subject
//! will have its whole burst again.

use super::cell::{Cell, Decision, EVICTED, Evicted, Taken};
use keyward_model::Moment;
use keyward_model::limit::RateLimit;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The longest interval and burst time, some 146 years of nanoseconds: sums of a moment and two of these
/// stay below [`EVICTED`].
pub(super) const NANOS_MAX: u64 = 1 << 62;

/// A rate limit in the algorithm's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gcra {
    pub(super) interval: u64,
    pub(super) burst_time: u64,
}

impl Gcra {
    /// One call every `per / requests`, rounded up to whole nanoseconds, and `burst` calls at once.
    #[must_use]
    pub fn new(limit: &RateLimit) -> Self {
        let exact = limit
            .per
            .as_nanos()
            .div_ceil(u128::from(limit.requests.get()));
        let interval = u64::try_from(exact).map_or(NANOS_MAX, |nanos| nanos.clamp(1, NANOS_MAX));
        let burst_time = interval
            .saturating_mul(u64::from(limit.burst.get()))
            .min(NANOS_MAX);
        Self {
            interval,
            burst_time,
        }
    }

    /// The time that one call uses up.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    /// The time that a whole burst uses up.
    #[must_use]
    pub const fn burst_time(&self) -> Duration {
        Duration::from_nanos(self.burst_time)
    }

    /// How many calls may come at once.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.burst_time / self.interval
    }

    /// How many calls could pass now, and when the whole burst is there again, by what is known here.
    pub(crate) fn left(&self, cell: &Cell, now: Moment) -> (u32, Duration) {
        let ahead = Self::ahead(cell, now);
        let room = self.burst_time().saturating_sub(ahead).as_nanos();
        let left = room / u128::from(self.interval.max(1));
        (u32::try_from(left).unwrap_or(u32::MAX), ahead)
    }

    pub(super) fn take(&self, cell: &Cell, now: Moment) -> Result<Decision, Evicted> {
        let now = now.as_nanos().min(NANOS_MAX);
        cell.change(|arrival| {
            let next = arrival.max(now).saturating_add(self.interval);
            let ahead = next.saturating_sub(now);
            if ahead > self.burst_time {
                return Err(Decision::Refused {
                    retry_after: Duration::from_nanos(ahead - self.burst_time),
                    reset: Duration::from_nanos(arrival.saturating_sub(now)),
                });
            }
            let remaining = (self.burst_time - ahead) / self.interval;
            let allowed = Decision::Allowed {
                remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
                reset: Duration::from_nanos(ahead),
                taken: Taken(next),
            };
            Ok((next, allowed))
        })
    }

    /// Where the cell has been idle since, time has given the call back already and nothing is done:
    /// doing it twice would let one too many pass. That is seen by the arrival time: as long as calls
    /// only queue up behind one another it moves by whole intervals.
    pub(super) fn give_back(&self, cell: &Cell, taken: Taken) {
        let _evicted = cell.change(|arrival| {
            if !arrival.abs_diff(taken.0).is_multiple_of(self.interval) {
                return Err(());
            }
            Ok((arrival.saturating_sub(self.interval), ()))
        });
    }

    /// How far ahead of `now` the whole burst is there again.
    pub(crate) fn ahead(cell: &Cell, now: Moment) -> Duration {
        match cell.number.load(Ordering::Relaxed) {
            EVICTED => Duration::ZERO,
            arrival => Duration::from_nanos(arrival.saturating_sub(now.as_nanos())),
        }
    }

    /// What another says of the subject: its whole burst is there no earlier than `ahead` after `now`.
    pub(crate) fn learn(cell: &Cell, now: Moment, ahead: Duration) {
        let told = now.plus(ahead).as_nanos().min(NANOS_MAX);
        let _evicted = cell.change(|arrival| {
            if arrival >= told {
                return Err(());
            }
            Ok((told, ()))
        });
    }
}
