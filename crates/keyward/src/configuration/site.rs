//! What `keyward.yaml` says of the site: how much may be asked of it.

use super::node::allowance;
use keyward_gateway::Allowance;
use keyward_model::limit::RateLimit;
use keyward_model::resource::raw::{Field, Problems};
use keyward_web::SiteLimits;
use serde_json::{Value, json};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// How many tokens and setup secrets of one address may not be good unless said otherwise: people and machines that
/// manage have one each, and it is right.
const FAILED_ATTEMPTS: Allowance = Allowance {
    attempts: match NonZeroUsize::new(60) {
        Some(attempts) => attempts,
        None => NonZeroUsize::MIN,
    },
    per: Duration::from_secs(60),
};

/// How often a member may call unless said otherwise: a pipeline makes some hundred calls, and each may take the database
/// and a compilation.
const CALLS: NonZeroU32 = match NonZeroU32::new(1_200) {
    Some(calls) => calls,
    None => NonZeroU32::MIN,
};
const CALLS_PER: Duration = Duration::from_secs(60);

/// More holds nobody back.
const CALLS_MAX: u64 = 1_000_000;

/// Longer, and whoever has used theirs up waits for hours.
const CALLS_PER_MAX: Duration = Duration::from_secs(3_600);

pub(super) fn default_limits() -> SiteLimits {
    SiteLimits {
        failed_attempts: FAILED_ATTEMPTS,
        calls: calls_of(CALLS, CALLS_PER),
    }
}

fn calls_of(requests: NonZeroU32, per: Duration) -> RateLimit {
    RateLimit {
        requests,
        per,
        burst: requests,
    }
}

pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<SiteLimits> {
    let fields = field.fields(&["failed_attempts", "calls"], problems)?;
    let failed_attempts = match fields.optional("failed_attempts") {
        Some(field) => allowance(field, FAILED_ATTEMPTS, problems),
        None => Some(FAILED_ATTEMPTS),
    };
    let calls = match fields.optional("calls") {
        Some(field) => calls(field, problems),
        None => Some(calls_of(CALLS, CALLS_PER)),
    };
    Some(SiteLimits {
        failed_attempts: failed_attempts?,
        calls: calls?,
    })
}

fn calls(field: Field<'_>, problems: &mut Problems) -> Option<RateLimit> {
    let fields = field.fields(&["requests", "per"], problems)?;
    let requests = match fields.optional("requests") {
        Some(field) => {
            let requests = field.whole(1..=CALLS_MAX, problems)?;
            NonZeroU32::new(u32::try_from(requests).ok()?)?
        }
        None => CALLS,
    };
    let per = match fields.optional("per") {
        Some(field) => {
            let per = field.positive_duration(problems)?;
            if per > CALLS_PER_MAX {
                let why =
                    "is more than 1h: whoever has used up what they have would wait for as long";
                field.refuse(why, problems);
                return None;
            }
            per
        }
        None => CALLS_PER,
    };
    Some(calls_of(requests, per))
}

/// For `check --json`. Durations are in seconds.
pub(super) fn to_json(limits: &SiteLimits) -> Value {
    json!({
        "failed_attempts": {
            "attempts": limits.failed_attempts.attempts,
            "per": limits.failed_attempts.per.as_secs_f64(),
        },
        "calls": {
            "requests": limits.calls.requests,
            "per": limits.calls.per.as_secs_f64(),
        },
    })
}
