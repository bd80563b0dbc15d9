//! How much a call may take, and took, in each unit.

use super::super::answering::Spent as Attempts;
use super::super::plan::{AiTarget, ModelPlan};
use crate::snapshot::BudgetPolicy;
use keyward_llm::bound::RequestBound;
use keyward_model::limit::{Unit, Unpriced};
use keyward_model::usage::ModelUse;

/// What a call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Took {
    pub(super) tokens: u64,
    pub(super) cost: u64,
}

impl Took {
    pub(super) fn of(used: &ModelUse) -> Self {
        Self {
            tokens: used.tokens.input.saturating_add(used.tokens.output),
            cost: u64::try_from(used.cost.0).unwrap_or_default(),
        }
    }

    pub(super) fn of_attempts(attempts: Attempts) -> Self {
        Self {
            tokens: attempts.tokens(),
            cost: attempts.cost(),
        }
    }

    /// Without what others took.
    pub(super) const fn less(self, others: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(others.tokens),
            cost: self.cost.saturating_sub(others.cost),
        }
    }

    pub(super) const fn amount(self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => 1,
            Unit::Tokens => self.tokens,
            Unit::Cost => self.cost,
        }
    }
}

/// The most that a call may take.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) tokens: RequestBound,
    pub(super) cost: CostBound,
}

/// What a call may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CostBound {
    /// What its tokens cost.
    OfTokens,
    /// Something that is not known, since it is not priced in tokens.
    Unknown,
    /// Nothing here: the caller pays the provider.
    Nothing,
}

/// Why it can't be said how much a call may cost.
pub(super) enum Unbounded<'a> {
    /// Nobody knows the target's price.
    Target(&'a AiTarget),
    /// It asks for a service that has a price of its own.
    Service(&'a str),
}

/// The most that a call may take of one target.
pub(super) fn at_target(
    unit: Unit,
    target: &AiTarget,
    bound: Option<&Bound>,
    output: Option<u64>,
) -> Option<u64> {
    let Some(bound) = bound else {
        return Some(u64::from(unit == Unit::Requests));
    };
    let input = bound.tokens.input(target.context);
    let output = match output {
        Some(each) => bound.tokens.of_each(each),
        None => bound.tokens.output(target.asked.max_output),
    };
    match unit {
        Unit::Requests => Some(1),
        Unit::Tokens => Some(input.saturating_add(output)),
        Unit::Cost => {
            match bound.cost {
                CostBound::OfTokens => {}
                CostBound::Unknown => return None,
                CostBound::Nothing => return Some(0),
            }
            let price = target.price.as_ref()?;
            let cost = price.upper_bound(input, output, Default::default())?;
            u64::try_from(cost.0).ok()
        }
    }
}

/// The most that a call may take, whichever target answers. `output` is said where each answer is to have so much at most.
pub(super) fn at_most<'a>(
    policy: &BudgetPolicy,
    model: &'a ModelPlan,
    bound: Option<&'a Bound>,
    output: Option<u64>,
) -> Result<u64, Unbounded<'a>> {
    let unit = policy.rule.unit();
    let priced = bound.filter(|bound| bound.cost != CostBound::Nothing);
    let service = priced.and_then(|bound| bound.tokens.service());
    let mut most = 0;
    for target in &model.targets {
        match at_target(unit, target, bound, output) {
            Some(amount) => most = most.max(amount),
            None if policy.unpriced == Unpriced::Free => {}
            None => return Err(Unbounded::Target(target)),
        }
    }
    if model.hedge.is_some() && unit != Unit::Requests {
        // Two may be asked at once, and both be paid.
        most = most.saturating_mul(2);
    }
    match service {
        Some(service) if unit == Unit::Cost && policy.unpriced == Unpriced::Refuse => {
            Err(Unbounded::Service(service))
        }
        Some(_) | None => Ok(most),
    }
}
