//! Windows of the calendar: a cell's number is the window, and how many requests have passed in it.

use super::cell::{Cell, Decision, EVICTED, Evicted, Taken};
use keyward_model::Timestamp;
use keyward_model::limit::{Period, Quota};
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

/// A quota, compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuotaWindow {
    pub(super) requests: NonZeroU32,
    pub(super) period: Period,
}

/// How many requests have passed in which window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The window's number.
    pub window: u32,
    /// Requests that have passed in it.
    pub requests: u32,
}

impl Used {
    pub(crate) const fn of_number(number: u64) -> Self {
        Self {
            window: (number >> 32) as u32,
            requests: (number & u32::MAX as u64) as u32,
        }
    }

    pub(crate) const fn to_number(self) -> u64 {
        ((self.window as u64) << 32) | self.requests as u64
    }
}

impl QuotaWindow {
    /// The quota that was declared.
    #[must_use]
    pub const fn new(quota: &Quota) -> Self {
        Self {
            requests: quota.requests,
            period: quota.per,
        }
    }

    /// How many requests pass in a window.
    #[must_use]
    pub const fn requests(&self) -> NonZeroU32 {
        self.requests
    }

    /// Which windows.
    #[must_use]
    pub const fn period(&self) -> Period {
        self.period
    }

    pub(super) fn take(&self, cell: &Cell, now: Timestamp) -> Result<Decision, Evicted> {
        let window = self.period.window(now);
        cell.change(|number| {
            let mut used = Used::of_number(number);
            let mut left = window.ends.since(now);
            if used.window < window.number {
                used = Used {
                    window: window.number,
                    requests: 0,
                };
            } else if used.window > window.number {
                // A clock that was set back makes no window begin anew: the later one counts until it ends.
                left = self.period.ends(used.window).since(now);
            }
            if used.requests >= self.requests.get() {
                return Err(Decision::Refused {
                    retry_after: left,
                    reset: left,
                });
            }
            used.requests += 1;
            let next = used.to_number();
            let allowed = Decision::Allowed {
                remaining: self.requests.get() - used.requests,
                reset: left,
                taken: Taken(next),
            };
            Ok((next, allowed))
        })
    }

    /// Where the window is over, there is nothing to give back to.
    pub(super) fn give_back(cell: &Cell, taken: Taken) {
        let window = Used::of_number(taken.0).window;
        let _evicted = cell.change(|number| {
            let used = Used::of_number(number);
            if used.window != window || used.requests == 0 {
                return Err(());
            }
            Ok((number - 1, ()))
        });
    }

    pub(super) fn is_over(period: Period, number: u64, now: Timestamp) -> bool {
        let used = Used::of_number(number);
        number != EVICTED && (used.requests == 0 || used.window < period.window(now).number)
    }

    /// What has passed here; `None` of a cell that was evicted.
    pub(crate) fn used(cell: &Cell) -> Option<Used> {
        let number = cell.number.load(Ordering::Relaxed);
        (number != EVICTED).then(|| Used::of_number(number))
    }

    /// What another says of the subject: so many have passed at least.
    pub(crate) fn learn(cell: &Cell, used: Used) {
        let told = used.to_number();
        let _evicted = cell.change(|number| {
            if number >= told {
                return Err(());
            }
            Ok((told, ()))
        });
    }

    /// Adds what passed elsewhere in the cell's window.
    pub(super) fn add(cell: &Cell, elsewhere: Used) {
        let _evicted = cell.change(|number| {
            let mut used = Used::of_number(number);
            if used.window != elsewhere.window {
                return Err(());
            }
            used.requests = used.requests.saturating_add(elsewhere.requests);
            Ok((used.to_number(), ()))
        });
    }
}
