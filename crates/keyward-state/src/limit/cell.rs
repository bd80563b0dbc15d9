//! What is counted for one limit of one subject, in one atomic number.

use super::gcra::{Gcra, NANOS_MAX};
use super::now::Now;
use super::quota::{QuotaWindow, Used};
use super::shared_part::SharedPart;
use keyward_model::limit::{Allowance, Period};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The number of a cell that is no longer in the index. No limit leads to it: arrival times stay below
/// [`NANOS_MAX`] and two more, windows come to this number in the year 10136, and calls are counted in 32 bits.
pub(super) const EVICTED: u64 = u64::MAX;

/// A limit in the terms of its algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Requests in a time, spread evenly.
    Rate(Gcra),
    /// Requests in a window of the calendar.
    Quota(QuotaWindow),
    /// Calls that are under way at one time.
    Concurrency(NonZeroU32),
}

/// What says when a cell is idle: when forgetting it changes nothing for anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rate,
    Quota(Period),
    Concurrency,
}

/// What a cell says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The call may pass, and has used up one.
    Allowed {
        /// How many more could pass at this moment.
        remaining: u32,
        /// When the whole allowance is there again; zero where time does not bring it.
        reset: Duration,
        /// What [`Cell::give_back`] asks for.
        taken: Taken,
    },
    /// The call may not pass, and has used up nothing.
    Refused {
        /// When one call could pass; zero where nobody can tell.
        retry_after: Duration,
        /// When the whole allowance is there again; zero where time does not bring it.
        reset: Duration,
    },
}

impl Decision {
    /// Whether the call may pass.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        match self {
            Self::Allowed { .. } => true,
            Self::Refused { .. } => false,
        }
    }
}

/// Proof of what was taken: the number that taking led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken(pub(super) u64);

/// The cell was evicted while it was idle. Look it up again: whoever took from it would count beside the
/// cell that the index holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted;

impl Taken {
    /// Of a quota, what had passed then.
    pub(crate) const fn used(self) -> Used {
        Used::of_number(self.0)
    }
}

impl Rule {
    /// The limit that was declared.
    #[must_use]
    pub fn new(allows: &Allowance) -> Self {
        match allows {
            Allowance::Rate(rate) => Self::Rate(Gcra::new(rate)),
            Allowance::Quota(quota) => Self::Quota(QuotaWindow::new(quota)),
            Allowance::Concurrency(calls) => Self::Concurrency(*calls),
        }
    }

    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Rate(_) => Kind::Rate,
            Self::Quota(quota) => Kind::Quota(quota.period),
            Self::Concurrency(_) => Kind::Concurrency,
        }
    }

    /// What tells it from others of the same name, for a key: a changed limit counts from the start, since
    /// the number in a cell means something else to it.
    pub(super) fn to_bytes(self) -> [u8; 17] {
        let mut bytes = [0; 17];
        let (kind, one, other) = match self {
            Self::Rate(gcra) => (0, gcra.interval, gcra.burst_time),
            // How many may pass is no part of it: who changes that does not forgive what was used.
            Self::Quota(quota) => (1, quota.period as u64, 0),
            // Calls under way are what they are, however many may be.
            Self::Concurrency(_) => (2, 0, 0),
        };
        let (first, rest) = bytes.split_at_mut(1);
        first.copy_from_slice(&[kind]);
        let (left, right) = rest.split_at_mut(8);
        left.copy_from_slice(&one.to_be_bytes());
        right.copy_from_slice(&other.to_be_bytes());
        bytes
    }
}

/// What is counted, to read: `rate-1ms-x100`, `day`, `calls`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(gcra) => {
                let burst = gcra.burst_time / gcra.interval;
                write!(f, "rate-{:?}-x{burst}", gcra.interval())
            }
            Self::Quota(quota) => f.write_str(quota.period.as_str()),
            Self::Concurrency(_) => f.write_str("calls"),
        }
    }
}

/// One limit of one subject.
///
/// The number is the only state that decides, so every order of atomic accesses is the same to it: relaxed
/// will do.
#[derive(Debug)]
pub struct Cell {
    pub(super) number: AtomicU64,
    /// What a cell has beside its number where several nodes count together.
    pub(crate) shared: Option<Box<SharedPart>>,
}

impl Cell {
    pub(super) const fn new(number: u64, shared: Option<Box<SharedPart>>) -> Self {
        Self {
            number: AtomicU64::new(number),
            shared,
        }
    }

    #[cfg(test)]
    pub(crate) const fn idle() -> Self {
        Self::new(0, None)
    }

    /// Takes one call from the limit, or says when one can be had.
    ///
    /// # Errors
    /// [`Evicted`]: look the cell up again.
    pub fn take(&self, rule: &Rule, now: Now) -> Result<Decision, Evicted> {
        match rule {
            Rule::Rate(gcra) => gcra.take(self, now.moment),
            Rule::Quota(quota) => quota.take(self, now.civil),
            Rule::Concurrency(calls) => self.begin(*calls),
        }
    }

    /// Undoes a [`take`](Self::take): for a call that a later limit refused, and for one under way that has
    /// ended.
    pub fn give_back(&self, rule: &Rule, taken: Taken) {
        match rule {
            Rule::Rate(gcra) => gcra.give_back(self, taken),
            Rule::Quota(_) => QuotaWindow::give_back(self, taken),
            Rule::Concurrency(_) => self.end(),
        }
    }

    /// Of a limit on concurrency, how many more calls could begin on this node.
    pub(crate) fn left(&self, rule: &Rule) -> u32 {
        let Rule::Concurrency(calls) = rule else {
            return 0;
        };
        let under_way = self.number.load(Ordering::Relaxed);
        u32::try_from(under_way).map_or(0, |under_way| calls.get().saturating_sub(under_way))
    }

    fn begin(&self, calls: NonZeroU32) -> Result<Decision, Evicted> {
        let most = u64::from(calls.get());
        self.change(|under_way| {
            if under_way >= most {
                let refused = Decision::Refused {
                    retry_after: Duration::ZERO,
                    reset: Duration::ZERO,
                };
                return Err(refused);
            }
            let next = under_way + 1;
            let allowed = Decision::Allowed {
                remaining: u32::try_from(most - next).unwrap_or(u32::MAX),
                reset: Duration::ZERO,
                taken: Taken(next),
            };
            Ok((next, allowed))
        })
    }

    /// A call that [`take`](Self::take) let begin under a limit on concurrency has ended.
    pub fn end(&self) {
        // One that is counted keeps its cell from being evicted.
        let _ended = self.change(|under_way| Ok((under_way.saturating_sub(1), ())));
    }

    /// Replaces the number by what `next` makes of it, unless that says that there is nothing to change.
    pub(super) fn change<T>(
        &self,
        mut next: impl FnMut(u64) -> Result<(u64, T), T>,
    ) -> Result<T, Evicted> {
        let mut number = self.number.load(Ordering::Relaxed);
        loop {
            if number == EVICTED {
                return Err(Evicted);
            }
            let (changed, outcome) = match next(number) {
                Ok(changed) => changed,
                Err(outcome) => return Ok(outcome),
            };
            match self.number.compare_exchange_weak(
                number,
                changed,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(outcome),
                Err(current) => number = current,
            }
        }
    }

    /// Marks the cell of a quota that nodes share as evicted, if all that passed here has been told. `false`: it
    /// has not, or this node counts by itself.
    pub(super) fn evict_if_told(&self) -> bool {
        let number = self.number.load(Ordering::Relaxed);
        let told = self.shared.as_ref().is_some_and(|shared| {
            Used::of_number(shared.aside.load(Ordering::Relaxed)).requests == 0
                && shared.heard.load(Ordering::Relaxed) > 0
        });
        told && number != EVICTED
            && self
                .number
                .compare_exchange(number, EVICTED, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Marks the cell as evicted if its subject has its whole allowance at `now`. `false`: it is in use.
    pub(super) fn evict_if_idle(&self, kind: Kind, now: Now) -> bool {
        let number = self.number.load(Ordering::Relaxed);
        let idle = match kind {
            Kind::Rate => number <= now.moment.as_nanos().min(NANOS_MAX),
            Kind::Quota(period) => QuotaWindow::is_over(period, number, now.civil),
            Kind::Concurrency => number == 0,
        };
        idle && self
            .number
            .compare_exchange(number, EVICTED, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}
