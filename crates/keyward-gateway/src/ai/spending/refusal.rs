//! What a caller is told whose call a budget refuses: which, what is left of it, and when to come again.

use super::super::plan::ModelPlan;
use super::amount::Unbounded;
use crate::message::{Fields, Header};
use crate::request::Refusal;
use crate::snapshot::{BudgetPolicy, told};
use keyward_model::{Code, Fault};
use keyward_state::limit::{Now, Spent};
use std::time::Duration;

/// Libraries come again by themselves after a 429: where that is of no use for as long as this, they are told so.
const WORTH_WAITING: Duration = Duration::from_secs(60);

/// The budget has less left than the call may take.
pub(super) fn spent(policy: &BudgetPolicy, amount: u64, spent: &Spent, now: Now) -> Refusal {
    let (name, rule) = (policy.name.as_str(), &policy.rule);
    let unit = rule.unit();
    let (wanted, left) = (unit.amount(amount), unit.amount(spent.left));
    let mut fields = Fields::new();
    let own = left_of(policy, spent.left, spent.reset);
    fields.append(Header::RateLimit, own.as_bytes());
    if amount > rule.most() {
        let all = unit.amount(rule.most());
        let fault = Fault::new(
            Code::CallOverLimit,
            format!(
                "The call may take up to {wanted}, more than the limit `{name}` ever has at once ({all}); ask for a shorter answer (`max_tokens` or its like), or send less"
            ),
        );
        return Refusal::with(fault, fields);
    }
    let wait = seconds(spent.retry_after).max(1);
    fields.append(Header::RetryAfter, wait.to_string().as_bytes());
    if spent.retry_after > WORTH_WAITING {
        fields.append_named("x-should-retry", b"false");
    }
    let fault = match rule.period() {
        None => Fault::new(
            Code::RateLimited,
            format!(
                "The limit `{name}` has {left} left just now, and the call may take up to {wanted}; try again in {wait} s, or ask for a shorter answer"
            ),
        ),
        Some(period) => Fault::new(
            Code::QuotaExceeded,
            format!(
                "Of the {} that the quota `{name}` has for this {}, {left} is left, and the call may take up to {wanted}; it begins anew at {}, or ask for a shorter answer",
                unit.amount(rule.most()),
                period.as_str(),
                period.window(now.civil).ends,
            ),
        ),
    };
    Refusal::with(fault, fields)
}

/// Nobody can say how much the call may cost.
pub(super) fn unpriced(policy: &BudgetPolicy, model: &ModelPlan, why: &Unbounded<'_>) -> Refusal {
    let name = policy.name.as_str();
    let (detail, reason) = match why {
        Unbounded::Target(target) => (
            format!(
                "The price of the model `{}` is not known, and the limit `{name}` counts money; ask for another model, or tell the API's publisher",
                model.name
            ),
            format!(
                "the catalogue has no price of `{}`; `unpriced: free` of the limit lets its calls pass for nothing",
                target.asked.model
            ),
        ),
        Unbounded::Service(service) => (
            format!(
                "The service `{}` has a price of its own that is not known here, and the limit `{name}` counts money; leave `service_tier` and `speed` out",
                service.escape_debug()
            ),
            "the request asks for a service beside the catalogue's prices".to_owned(),
        ),
    };
    Fault::new(Code::ModelUnpriced, detail)
        .because(reason)
        .into()
}

/// `"name";r=left;t=seconds`.
pub(super) fn left_of(policy: &BudgetPolicy, left: u64, reset: Duration) -> String {
    let left = told(policy.rule.unit(), left);
    let name = &policy.name;
    if reset.is_zero() {
        format!("\"{name}\";r={left}")
    } else {
        format!("\"{name}\";r={left};t={}", seconds(reset))
    }
}

/// Whole seconds, rounded up: who comes back then is not too early.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
