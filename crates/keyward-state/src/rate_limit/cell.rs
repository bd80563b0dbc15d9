//! One limit of one subject, in one atomic number.

use keyward_model::Moment;
use keyward_model::limit::RateLimit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The longest interval and burst time, some 146 years of nanoseconds: sums of a moment and two of these
/// stay below [`EVICTED`].
const NANOS_MAX: u64 = 1 << 62;

/// The arrival time of a cell that is no longer in the index.
const EVICTED: u64 = u64::MAX;

/// A limit in the algorithm's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gcra {
    interval: u64,
    burst_time: u64,
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

    /// Both numbers, for a key.
    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (interval, burst_time) = bytes.split_at_mut(8);
        interval.copy_from_slice(&self.interval.to_ne_bytes());
        burst_time.copy_from_slice(&self.burst_time.to_ne_bytes());
        bytes
    }

    /// The time that one call uses up.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval)
    }
}

/// What a cell says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The call may pass, and has used up one.
    Allowed {
        /// How many more could pass at this moment.
        remaining: u32,
        /// When the whole burst is there again.
        reset: Duration,
        /// What [`Cell::give_back`] asks for.
        taken: Taken,
    },
    /// The call may not pass, and has used up nothing.
    Refused {
        /// When one call could pass.
        retry_after: Duration,
        /// When the whole burst is there again.
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

/// Proof of what was taken: the arrival time that taking led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken(u64);

/// The cell was evicted while it was idle. Look it up again: whoever took from it would count beside the
/// cell that the index holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted;

/// One limit of one subject.
///
/// The number is the only state, so every order of atomic accesses is the same to it: relaxed will do.
#[derive(Debug)]
pub struct Cell {
    arrival: AtomicU64,
}

impl Cell {
    pub(super) const fn idle() -> Self {
        Self {
            arrival: AtomicU64::new(0),
        }
    }

    /// Takes one call from the limit, or says when one can be had.
    ///
    /// # Errors
    /// [`Evicted`]: look the cell up again.
    pub fn take(&self, limit: &Gcra, now: Moment) -> Result<Decision, Evicted> {
        let now = now.as_nanos().min(NANOS_MAX);
        let mut arrival = self.arrival.load(Ordering::Relaxed);
        loop {
            if arrival == EVICTED {
                return Err(Evicted);
            }
            let next = arrival.max(now).saturating_add(limit.interval);
            let ahead = next.saturating_sub(now);
            if ahead > limit.burst_time {
                return Ok(Decision::Refused {
                    retry_after: Duration::from_nanos(ahead - limit.burst_time),
                    reset: Duration::from_nanos(arrival.saturating_sub(now)),
                });
            }
            match self.arrival.compare_exchange_weak(
                arrival,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    let remaining = (limit.burst_time - ahead) / limit.interval;
                    return Ok(Decision::Allowed {
                        remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
                        reset: Duration::from_nanos(ahead),
                        taken: Taken(next),
                    });
                }
                Err(current) => arrival = current,
            }
        }
    }

    /// Undoes a [`take`](Self::take): for a call that a later limit refused.
    ///
    /// Where the cell has been idle since, time has given the call back already and nothing is done:
    /// doing it twice would let one too many pass. That is seen by the arrival time: as long as calls
    /// only queue up behind one another it moves by whole intervals.
    pub fn give_back(&self, limit: &Gcra, taken: Taken) {
        let mut arrival = self.arrival.load(Ordering::Relaxed);
        loop {
            if arrival == EVICTED || !arrival.abs_diff(taken.0).is_multiple_of(limit.interval) {
                return;
            }
            let before = arrival.saturating_sub(limit.interval);
            match self.arrival.compare_exchange_weak(
                arrival,
                before,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(current) => arrival = current,
            }
        }
    }

    /// Marks the cell as evicted if its subject has its whole burst at `now`. `false`: it is in use.
    pub(super) fn evict_if_idle(&self, now: Moment) -> bool {
        let arrival = self.arrival.load(Ordering::Relaxed);
        arrival <= now.as_nanos().min(NANOS_MAX)
            && self
                .arrival
                .compare_exchange(arrival, EVICTED, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// What several limits say together. `index` counts in the order in which they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Each let the call pass.
    Allowed,
    /// One refused, and those before it got back what was taken: the call has used up nothing.
    Refused {
        /// Which one.
        index: usize,
        /// When it could let a call pass.
        retry_after: Duration,
        /// When its whole burst is there again.
        reset: Duration,
    },
    /// One was evicted, and those before it got back what was taken. Look it up and try again.
    Evicted {
        /// Which one.
        index: usize,
    },
}

/// Takes one call from each limit in order; when one refuses, gives back to those before it. `told` hears
/// what each one that allowed it said, in order, before the outcome is known.
pub fn take_all(
    limits: &[(&Cell, &Gcra)],
    now: Moment,
    mut told: impl FnMut(usize, &Decision),
) -> Admission {
    take_from(0, limits, now, &mut told)
}

/// The depth is the number of limits of one route, which the configuration bounds. What was taken waits
/// on the stack until those behind have spoken.
fn take_from(
    index: usize,
    limits: &[(&Cell, &Gcra)],
    now: Moment,
    told: &mut impl FnMut(usize, &Decision),
) -> Admission {
    let Some(((cell, limit), behind)) = limits.split_first() else {
        return Admission::Allowed;
    };
    match cell.take(limit, now) {
        Err(Evicted) => Admission::Evicted { index },
        Ok(Decision::Refused { retry_after, reset }) => Admission::Refused {
            index,
            retry_after,
            reset,
        },
        Ok(
            decision @ Decision::Allowed {
                remaining: _,
                reset: _,
                taken,
            },
        ) => {
            told(index, &decision);
            let admission = take_from(index + 1, behind, now, told);
            match admission {
                Admission::Allowed => {}
                Admission::Refused { .. } | Admission::Evicted { .. } => {
                    cell.give_back(limit, taken);
                }
            }
            admission
        }
    }
}
