//! Several budgets of one call.

use super::account::{Account, Hold, Spent, Verdict};
use super::cell::Evicted;
use super::now::Now;
use super::spending::Spending;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// Most calls have few budgets.
const FEW: usize = 4;

/// One budget of a call.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The subject's account.
    pub account: Arc<Account>,
    /// The budget.
    pub rule: Spending,
    /// The most that the call may take of it.
    pub amount: u64,
}

/// What a call holds of its budgets. It is settled by what the call took; dropped before, it counts as taken whole, so that
/// what is lost on the way is never lost for the budget.
#[derive(Debug)]
#[must_use]
pub struct Holds {
    held: Vec<(Claimed, Hold)>,
    now: Now,
}

/// What several budgets say together. `index` counts in the order in which they were given.
#[derive(Debug)]
pub enum Holding {
    /// Each has room.
    Held {
        /// What the call holds.
        holds: Holds,
        /// What is left of each, and when all of it is there again.
        left: SmallVec<[(u64, Duration); FEW]>,
    },
    /// One has none, and the others have got back what was held.
    Refused {
        /// Which one.
        index: usize,
        /// What is left of it.
        spent: Spent,
    },
    /// One was evicted. Look it up and try again.
    Evicted {
        /// Which one.
        index: usize,
    },
}

/// Holds what a call may take of each budget, in order; when one refuses, gives back to those before it.
pub fn hold_all(claims: SmallVec<[Claimed; FEW]>, now: Now) -> Holding {
    let mut holds = Holds {
        held: Vec::with_capacity(claims.len()),
        now,
    };
    let mut left = SmallVec::new();
    for (index, claim) in claims.into_iter().enumerate() {
        match claim.account.hold(&claim.rule, claim.amount, now) {
            Ok(Verdict::Held {
                hold,
                left: room,
                reset,
            }) => {
                holds.held.push((claim, hold));
                left.push((room, reset));
            }
            Ok(Verdict::Refused(spent)) => {
                holds.release(now);
                return Holding::Refused { index, spent };
            }
            Err(Evicted) => {
                holds.release(now);
                return Holding::Evicted { index };
            }
        }
    }
    Holding::Held { holds, left }
}

impl Holds {
    /// The call has ended: `took` says how much it took of each, in order.
    pub fn settle(mut self, now: Now, took: impl Fn(&Spending, u64) -> u64) {
        for (claim, hold) in std::mem::take(&mut self.held) {
            let amount = took(&claim.rule, hold.amount);
            claim.account.settle(&claim.rule, hold, amount, now);
        }
    }

    /// The call was not made.
    pub fn release(self, now: Now) {
        self.settle(now, |_, _| 0);
    }
}

impl Drop for Holds {
    fn drop(&mut self) {
        for (claim, hold) in &self.held {
            claim
                .account
                .settle(&claim.rule, *hold, hold.amount, self.now);
        }
    }
}
