//! The budgets of a provider's keys: a key whose budget has no room for a call is passed over.

use super::amount::{Took, at_target};
use super::{CallSpending, Held, Outcome, claims, now};
use crate::ai::provider::ProviderPlan;
use crate::snapshot::BudgetPolicy;
use keyward_model::limit::Unpriced;
use keyward_state::limit::{Account, Counted, Holding, LimitKey, Spent, hold_all};
use keyward_state::shared::{SharedClaim, SharedHolding};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// A key that is passed over is told to be free again no sooner than this: a call waits less for one, and what others hold may
/// be held for long.
const UNKNOWN: Duration = Duration::from_secs(6);

impl CallSpending {
    /// Holds what the call may take at this target of the key's budgets.
    ///
    /// # Errors
    /// When the key may have room again.
    pub(in crate::ai) async fn take_key(
        &mut self,
        provider: &ProviderPlan,
        key: usize,
        target: usize,
    ) -> Result<(), Duration> {
        self.give_back_key(Took::default());
        let Some((plan, hash)) = provider.keys.budgets(key) else {
            return Ok(());
        };
        let policies: SmallVec<[&BudgetPolicy; 4]> = plan.budgets.iter().collect();
        let mut accounts: SmallVec<[Arc<Account>; 4]> = SmallVec::new();
        let mut amounts: SmallVec<[u64; 4]> = SmallVec::new();
        let target = self.model.targets.get(target).ok_or(UNKNOWN)?;
        let now = now(&self.worker);
        for policy in &policies {
            let of = LimitKey {
                team: provider.team,
                team_name: provider.team_name.as_str(),
                limit: &policy.id,
                rule: policy.rule,
                counted: &[Counted::ProviderKey(hash)],
            };
            let limits = &self.worker.shared.limits;
            accounts.push(limits.account(&of, now).map_err(|_full| UNKNOWN)?);
            let amount = at_target(policy.rule.unit(), target, self.bound.as_ref(), None);
            amounts.push(match (amount, policy.unpriced) {
                (Some(amount), _) => amount,
                (None, Unpriced::Free) => 0,
                (None, Unpriced::Refuse) => return Err(UNKNOWN),
            });
        }
        let claims = claims(&policies, &accounts, &amounts);
        let outcome = match &self.worker.shared_limits {
            None => match hold_all(claims, now) {
                Holding::Held { holds, left: _ } => {
                    self.key = Some(Held::Here(holds));
                    Outcome::Held
                }
                Holding::Refused { index, spent } => Outcome::Refused { index, spent },
                Holding::Evicted { index } => Outcome::Evicted { index },
            },
            Some(shared) => {
                let claims = claims
                    .into_iter()
                    .zip(&policies)
                    .map(|(claim, policy)| SharedClaim {
                        claim,
                        on_outage: policy.on_outage,
                    });
                match Box::pin(shared.hold_all(claims.collect(), now)).await {
                    SharedHolding::Held { holds, left: _ } => {
                        self.key = Some(Held::Together(holds));
                        Outcome::Held
                    }
                    SharedHolding::Refused { index, spent } => Outcome::Refused { index, spent },
                    SharedHolding::Unavailable { index } => Outcome::Unavailable { index },
                    SharedHolding::Evicted { index } => Outcome::Evicted { index },
                }
            }
        };
        match outcome {
            Outcome::Held => Ok(()),
            Outcome::Refused {
                spent: Spent { retry_after, .. },
                ..
            } => Err(retry_after.max(UNKNOWN)),
            Outcome::Unavailable { .. } | Outcome::Evicted { .. } => Err(UNKNOWN),
        }
    }

    /// Nothing more is asked with the key.
    pub(super) fn give_back_key(&mut self, took: Took) {
        if let Some(held) = self.key.take() {
            held.settle(now(&self.worker), Some(took));
        }
    }
}
