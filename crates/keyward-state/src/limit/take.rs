//! Several limits of one call.

use super::cell::{Cell, Decision, Evicted, Rule, Taken};
use super::now::Now;
use std::time::Duration;

/// What several limits say together. `index` counts in the order in which they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Each let the call pass.
    Allowed,
    /// One refused, and those before it got back what was taken: the call has used up nothing.
    Refused {
        /// Which one.
        index: usize,
        /// When it could let a call pass; zero where nobody can tell.
        retry_after: Duration,
        /// When its whole allowance is there again; zero where time does not bring it.
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
    limits: &[(&Cell, &Rule)],
    now: Now,
    mut told: impl FnMut(usize, &Decision),
) -> Admission {
    take_from(0, limits, now, &mut told)
}

/// The depth is the number of limits of one route, which the configuration bounds. What was taken waits
/// on the stack until those behind have spoken.
fn take_from(
    index: usize,
    limits: &[(&Cell, &Rule)],
    now: Now,
    told: &mut impl FnMut(usize, &Decision),
) -> Admission {
    let Some(((cell, rule), behind)) = limits.split_first() else {
        return Admission::Allowed;
    };
    match cell.take(rule, now) {
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
                    give_back(cell, rule, taken);
                }
            }
            admission
        }
    }
}

fn give_back(cell: &Cell, rule: &Rule, taken: Taken) {
    cell.give_back(rule, taken);
}
