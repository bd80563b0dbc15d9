//! What a caller is told of limits: `RateLimit`, `RateLimit-Policy` (IETF draft ratelimit-headers,
//! version 11) and `Retry-After` (RFC 9110, section 10.2.3).

use super::{LimitState, Refusal};
use crate::http1::write_decimal;
use crate::message::{Fields, Header};
use crate::snapshot::{LimitPlan, LimitPolicy};
use keyward_model::{Code, Fault};
use keyward_state::limit::{Now, Rule};
use std::time::Duration;

impl LimitState {
    pub(super) fn tell(&self, plan: &LimitPlan, fields: &mut Fields) {
        let Some(policy) = &plan.header else {
            return;
        };
        let mut text = Vec::with_capacity(64 * self.left.len());
        for (limit, (left, reset)) in plan.limits.iter().zip(&self.left) {
            if !text.is_empty() {
                text.extend_from_slice(b", ");
            }
            write_limit(&mut text, limit.name.as_str(), *left, *reset);
        }
        fields.set(Header::RateLimitPolicy, policy.as_bytes());
        if !text.is_empty() {
            fields.set(Header::RateLimit, &text);
        }
    }
}

/// The answer to a call that `limit` refused: it names the limit, and says when to come again.
pub(super) fn refusal(
    plan: &LimitPlan,
    limit: &LimitPolicy,
    retry_after: Duration,
    reset: Duration,
    now: Now,
) -> Refusal {
    let mut fields = Fields::new();
    if let Some(policy) = &plan.header {
        fields.append(Header::RateLimitPolicy, policy.as_bytes());
    }
    let name = limit.name.as_str();
    let mut text = Vec::new();
    write_limit(&mut text, name, 0, reset);
    fields.append(Header::RateLimit, &text);
    // At least a second: sooner is as good as at once, and that is what was refused.
    let wait = seconds(retry_after).max(1);
    fields.append(Header::RetryAfter, wait.to_string().as_bytes());
    let fault = match limit.rule {
        Rule::Rate(_) => Fault::new(
            Code::RateLimited,
            format!("The limit `{name}` is used up; try again in {wait} s"),
        ),
        Rule::Quota(quota) => Fault::new(
            Code::QuotaExceeded,
            format!(
                "All {} requests that the quota `{name}` has for this {} are used; it begins anew at {} (in {wait} s)",
                quota.requests(),
                quota.period().as_str(),
                quota.period().window(now.civil).ends,
            ),
        ),
        Rule::Concurrency(calls) => Fault::new(
            Code::TooManyCalls,
            format!(
                "As many calls are under way as the limit `{name}` lets be at one time ({calls}); try again when one has ended"
            ),
        ),
    };
    Refusal::with(fault, fields)
}

/// The answer to a call whose limit can't be asked.
pub(crate) fn unavailable(name: &str) -> Refusal {
    let mut fields = Fields::new();
    fields.append(Header::RetryAfter, b"1");
    let fault = Fault::new(
        Code::LimitsUnavailable,
        format!("The limit `{name}` can't be checked just now; try again in a second"),
    );
    Refusal::with(
        fault.because("the shared state can't be reached, and the limit says `on_outage: refuse`"),
        fields,
    )
}

/// `"name";r=left;t=seconds`; without `t` where time brings nothing back.
fn write_limit(out: &mut Vec<u8>, name: &str, left: u32, reset: Duration) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\";r=");
    write_decimal(out, u64::from(left));
    if !reset.is_zero() {
        out.extend_from_slice(b";t=");
        write_decimal(out, seconds(reset));
    }
}

/// Whole seconds, rounded up: who comes back then is not too early.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
