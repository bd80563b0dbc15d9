//! A budget in the terms of its algorithm.

use keyward_model::limit::{Budget, Period, Span, Unit};
use std::fmt;
use std::time::Duration;

/// The longest time of a rate, some 146 years of nanoseconds: products with amounts stay within 128 bits.
const NANOS_MAX: u64 = 1 << 62;

/// A budget, compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spending {
    pub(crate) unit: Unit,
    pub(crate) amount: u64,
    pub(crate) over: Over,
}

/// In which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Over {
    /// Evenly.
    Rate {
        /// The time in which the whole amount comes back, in nanoseconds.
        per: u64,
        /// How much may be used at once.
        burst: u64,
    },
    /// In each window of the calendar.
    Window(Period),
}

impl Spending {
    /// The budget that was declared.
    #[must_use]
    pub fn new(budget: &Budget) -> Self {
        Self {
            unit: budget.unit,
            amount: budget.amount.get(),
            over: match budget.over {
                Span::Rate { per, burst } => Over::Rate {
                    per: u64::try_from(per.as_nanos())
                        .map_or(NANOS_MAX, |nanos| nanos.clamp(1, NANOS_MAX)),
                    burst: burst.get(),
                },
                Span::Window(period) => Over::Window(period),
            },
        }
    }

    /// What is counted.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// How much may be used at once: of a window all of it, of a rate its burst.
    #[must_use]
    pub const fn most(&self) -> u64 {
        match self.over {
            Over::Rate { burst, .. } => burst,
            Over::Window(_) => self.amount,
        }
    }

    /// Its windows; `None` of a rate.
    #[must_use]
    pub const fn period(&self) -> Option<Period> {
        match self.over {
            Over::Rate { .. } => None,
            Over::Window(period) => Some(period),
        }
    }

    /// Of a rate, the time that brings its burst back.
    #[must_use]
    pub fn whole_after(&self) -> Option<Duration> {
        match self.over {
            Over::Rate { per, burst } => {
                let nanos = u128::from(per) * u128::from(burst) / u128::from(self.amount.max(1));
                Some(Duration::from_nanos(
                    u64::try_from(nanos).unwrap_or(u64::MAX),
                ))
            }
            Over::Window(_) => None,
        }
    }

    /// What tells it from others of the same name. How much may be used is no part of it: who changes that does not
    /// forgive what was used.
    pub(super) fn to_bytes(self) -> [u8; 17] {
        let (kind, time) = match self.over {
            Over::Rate { per, .. } => (3, per),
            Over::Window(period) => (4, period as u64),
        };
        let mut bytes = [0; 17];
        let (first, rest) = bytes.split_at_mut(1);
        first.copy_from_slice(&[kind]);
        let (left, right) = rest.split_at_mut(8);
        left.copy_from_slice(&time.to_be_bytes());
        right.copy_from_slice(&(self.unit as u64).to_be_bytes());
        bytes
    }
}

/// What is counted, to read: `tokens-60s`, `cost-month`.
impl fmt::Display for Spending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.unit.as_str();
        match self.over {
            Over::Rate { per, .. } => write!(f, "{unit}-{:?}", Duration::from_nanos(per)),
            Over::Window(period) => write!(f, "{unit}-{}", period.as_str()),
        }
    }
}
