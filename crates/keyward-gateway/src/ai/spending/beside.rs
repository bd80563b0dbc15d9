//! What is held besides for attempts that came to nothing and are charged all the same: more attempts may follow, and each
//! may take all that the call holds.

use super::amount::Took;
use super::{Attempts, CallSpending, FEW, Held, claims, now};
use crate::snapshot::BudgetPolicy;
use keyward_model::limit::Unit;
use keyward_state::limit::{Account, Holding, Now, hold_all};
use keyward_state::shared::{SharedClaim, SharedHolding};
use smallvec::SmallVec;
use std::sync::Arc;

/// What such attempts took, as far as it is held.
#[derive(Default)]
pub(super) struct FailedHold {
    took: Took,
    holds: Vec<Held>,
}

impl FailedHold {
    /// What they took stands in what the whole call took.
    pub(super) fn settle(&mut self, now: Now) {
        for held in self.holds.drain(..) {
            held.settle(now, Some(Took::default()));
        }
    }
}

impl CallSpending {
    /// Holds what attempts took up to now, so that the next one has all that the call held at first. Whether there is
    /// room for that: else there is none for another attempt.
    pub(in crate::ai) async fn hold_beside(&mut self, failed: Attempts) -> bool {
        let failed = Took::of_attempts(failed);
        let more = failed.less(self.failed.took);
        if more == Took::default() || self.held.is_none() {
            return true;
        }
        let plans = self.budgets.plans.clone();
        let policies = plans.iter().flat_map(|plan| plan.budgets.iter());
        let mut claimed: SmallVec<[&BudgetPolicy; FEW]> = SmallVec::new();
        let mut accounts: SmallVec<[Arc<Account>; FEW]> = SmallVec::new();
        let mut amounts: SmallVec<[u64; FEW]> = SmallVec::new();
        for (policy, account) in policies.zip(&self.budgets.accounts) {
            let unit = policy.rule.unit();
            // However many attempts it takes, it is one call.
            if unit != Unit::Requests && more.amount(unit) > 0 {
                claimed.push(policy);
                accounts.push(Arc::clone(account));
                amounts.push(more.amount(unit));
            }
        }
        let now = now(&self.worker);
        let claims = claims(&claimed, &accounts, &amounts);
        let held = match &self.worker.shared_limits {
            None => match hold_all(claims, now) {
                Holding::Held { holds, left: _ } => Some(Held::Here(holds)),
                Holding::Refused { .. } | Holding::Evicted { .. } => None,
            },
            Some(shared) => {
                let claims = claims
                    .into_iter()
                    .zip(&claimed)
                    .map(|(claim, policy)| SharedClaim {
                        claim,
                        on_outage: policy.on_outage,
                    });
                match Box::pin(shared.hold_all(claims.collect(), now)).await {
                    SharedHolding::Held { holds, left: _ } => Some(Held::Together(holds)),
                    SharedHolding::Refused { .. }
                    | SharedHolding::Unavailable { .. }
                    | SharedHolding::Evicted { .. } => None,
                }
            }
        };
        let Some(held) = held else {
            return false;
        };
        self.failed.holds.push(held);
        self.failed.took = failed;
        true
    }
}
