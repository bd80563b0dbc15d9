//! How often the site is called: by whom, and with what is not good.

use crate::problem::{Problem, ProblemKind};
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue};
use keyward_model::id::TeamId;
use keyward_model::limit::{Allowance as Counted, RateLimit};
use keyward_model::{Clock, Moment};
use keyward_state::failed_attempts::{Allowance, FailedAttempts};
use keyward_state::limit::{Counted as By, Decision, LimitCells, LimitKey, Now, Rule};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How many members are counted: more than manage any deployment, in some hundred kilobytes.
const MEMBERS_MAX: NonZeroUsize = match NonZeroUsize::new(1 << 14) {
    Some(max) => max,
    None => NonZeroUsize::MIN,
};

/// What a setup secret counts that is not the one, in tokens: there is one right, and nobody types it.
pub(crate) const SETUP_WEIGHT: u32 = 5;

/// How much may be asked of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteLimits {
    /// How many tokens and setup secrets of one address may not be good.
    pub failed_attempts: Allowance,
    /// How often each member may call.
    pub calls: RateLimit,
}

/// What counts.
#[derive(Debug)]
pub(crate) struct Limiter {
    limits: SiteLimits,
    failed: FailedAttempts,
    members: LimitCells,
    calls: Rule,
}

impl Limiter {
    pub(crate) fn new(limits: SiteLimits) -> Self {
        Self {
            failed: FailedAttempts::new(limits.failed_attempts),
            members: LimitCells::new(MEMBERS_MAX),
            calls: Rule::new(&Counted::Rate(limits.calls)),
            limits,
        }
    }

    /// That somebody at this address may show a credential: asked before any cryptography, and before the database.
    pub(crate) fn may_try(&self, address: IpAddr, now: Moment) -> Result<(), Problem> {
        let Allowance { attempts, per } = self.limits.failed_attempts;
        self.failed.check(address, now).map_err(|wait| {
            let why = "Too much that came from this address was not good: try again later";
            refusal("failed_attempts", (attempts.get(), per), (wait, per), why)
        })
    }

    /// Somebody at this address has shown what is not good.
    pub(crate) fn failed(&self, address: IpAddr, weight: u32, now: Moment) {
        self.failed.failed(address, weight, now);
    }

    /// That a member of a team may call once more. Names are each team's own: whoever is called so elsewhere counts apart.
    pub(crate) fn may_call(
        &self,
        team: TeamId,
        member: &str,
        clock: &dyn Clock,
    ) -> Result<(), Problem> {
        let now = Now::of(clock);
        let key = LimitKey {
            team,
            team_name: "",
            limit: "site/calls",
            rule: self.calls,
            counted: &[By::Subject {
                issuer: "self",
                subject: member,
            }],
        };
        // More members than are counted don't keep each other out.
        let Ok(cell) = self.members.cell(&key, now) else {
            return Ok(());
        };
        let Ok(Decision::Refused { retry_after, reset }) = cell.take(&self.calls, now) else {
            return Ok(());
        };
        let RateLimit { requests, per, .. } = self.limits.calls;
        let requests = usize::try_from(requests.get()).unwrap_or(usize::MAX);
        let why = "You have called too often: go on later";
        Err(refusal("calls", (requests, per), (retry_after, reset), why))
    }
}

fn refusal(
    limit: &'static str,
    (quota, per): (usize, Duration),
    (wait, reset): (Duration, Duration),
    why: &str,
) -> Problem {
    let seconds = |time: Duration| time.as_millis().div_ceil(1000).max(1);
    let policy = format!("\"{limit}\";q={quota};w={}", seconds(per));
    let left = format!("\"{limit}\";r=0;t={}", seconds(reset));
    let after = seconds(wait).to_string();
    let fields = [
        (RATE_LIMIT_POLICY, policy),
        (RATE_LIMIT, left),
        (RETRY_AFTER, after),
    ];
    let problem = Problem::new(ProblemKind::TooMany, why);
    fields.into_iter().fold(
        problem,
        |problem, (name, value)| match HeaderValue::from_str(&value) {
            Ok(value) => problem.header(name, value),
            Err(_) => problem,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::SystemClock;
    use std::num::NonZeroU32;

    fn limiter() -> Limiter {
        let two = NonZeroU32::new(2).unwrap();
        Limiter::new(SiteLimits {
            failed_attempts: Allowance {
                attempts: NonZeroUsize::new(10).unwrap(),
                per: Duration::from_secs(600),
            },
            calls: RateLimit {
                requests: two,
                per: Duration::from_secs(600),
                burst: two,
            },
        })
    }

    fn header<'p>(problem: &'p Problem, name: &str) -> &'p str {
        let mut headers = problem.headers().iter();
        let found = headers.find(|(known, _)| known == name);
        found.unwrap().1.to_str().unwrap()
    }

    #[test]
    fn each_member_has_calls_of_their_own_and_a_name_is_somebody_else_s_in_another_team() {
        let (limiter, clock) = (limiter(), SystemClock::new());
        let (team, other) = (TeamId::DEFAULT, TeamId::from_u128(7));
        for _ in 0..2 {
            limiter.may_call(team, "alice", &clock).unwrap();
        }
        let refused = limiter.may_call(team, "alice", &clock).unwrap_err();
        assert_eq!(header(&refused, "ratelimit-policy"), "\"calls\";q=2;w=600");
        assert!(header(&refused, "ratelimit").starts_with("\"calls\";r=0;t="));
        assert_eq!(header(&refused, "retry-after"), "300");
        limiter.may_call(team, "bob", &clock).unwrap();
        limiter.may_call(other, "alice", &clock).unwrap();
    }

    #[test]
    fn whoever_tries_too_often_is_told_when_they_may_again() {
        let limiter = limiter();
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let now = Moment::default();
        for _ in 0..2 {
            limiter.may_try(one, now).unwrap();
            limiter.failed(one, SETUP_WEIGHT, now);
        }
        let refused = limiter.may_try(one, now).unwrap_err();
        assert_eq!(header(&refused, "retry-after"), "60");
        assert_eq!(
            header(&refused, "ratelimit-policy"),
            "\"failed_attempts\";q=10;w=600"
        );
        limiter.may_try(other, now).unwrap();
    }
}
