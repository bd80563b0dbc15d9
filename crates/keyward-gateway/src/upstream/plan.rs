//! An upstream, prepared when the configuration is compiled.

use super::endpoint::Endpoint;
use super::guard::UpstreamGuard;
use super::hash;
use super::state::{CallCounts, TargetState, UpstreamState};
use super::tls::UpstreamTls;
use http::HeaderValue;
use http::uri::{Authority, Scheme};
use keyward_model::resource::upstream::{Balance, Ejection, Protocol, Retries};
use keyward_model::resource::{Kind, Resource, Target, Upstream};
use keyward_model::{Clock, Moment, Name};
use std::sync::Arc;
use std::time::Duration;

/// A whole share in a slow start, to be divided by.
const WHOLE: u64 = 1024;
/// What a target gets at least in a slow start: else it would stay cold.
const SLOW_START_MIN: u64 = WHOLE / 10;

/// What is kept of a request's body where a target may say that it has done nothing of it: as much as is on its
/// way to a target before that can say so.
const UNPROCESSED_REPLAY: usize = 64 << 10;

/// Where calls of an upstream go, and what happens when one fails.
#[derive(Debug)]
pub(crate) struct UpstreamPlan {
    pub(crate) team: Name,
    pub(crate) name: Name,
    /// Whether it is a provider of AI models.
    pub(crate) is_provider: bool,
    pub(crate) declared: Upstream,
    /// At least one.
    pub(crate) targets: Box<[Arc<TargetPlan>]>,
    /// None where there is one target alone: calls would go to it all the same.
    pub(super) ejection: Option<Ejection>,
    pub(crate) counts: Arc<CallCounts>,
    /// Whether calls are counted, for the budget of retries.
    pub(super) budgeted: bool,
    tls: Option<Arc<UpstreamTls>>,
}

/// A target with what is sent to it, made once.
#[derive(Debug)]
pub(crate) struct TargetPlan {
    pub(crate) target: Target,
    pub(crate) host: HeaderValue,
    /// The same as HTTP/2 has it, and the scheme (RFC 9113, section 8.3.1).
    pub(crate) authority: Authority,
    pub(crate) scheme: Scheme,
    pub(crate) endpoint: Arc<Endpoint>,
    /// Where it stands among others for consistent hashing: the same on every node and after every start.
    pub(super) place: u64,
}

impl UpstreamPlan {
    /// Prepares an upstream. `before` is what it was prepared to last: given back if nothing has changed.
    pub(crate) fn new(
        resource: &Resource,
        declared: &Upstream,
        state: &mut UpstreamState,
        guard: &Arc<UpstreamGuard>,
        clock: &Arc<dyn Clock>,
        before: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, String> {
        let tls = if declared.targets.iter().any(|target| target.tls) {
            let tls = UpstreamTls::new(declared.tls.as_ref(), declared.protocol, clock);
            Some(Arc::new(tls.map_err(|error| error.to_string())?))
        } else {
            None
        };
        let guard = UpstreamGuard::is_for(resource).then(|| Arc::clone(guard));
        // What is said alike by an operator's file and by a team may not lead to the same places.
        let as_guarded = |plan: &Self| {
            let mut targets = plan.targets.iter();
            targets.all(|target| target.endpoint.guard.is_some() == guard.is_some())
        };
        if let Some(before) = before
            && before.tls == tls
            && before.declared == *declared
            && as_guarded(before)
        {
            return Ok(Arc::clone(before));
        }
        let targets = declared.targets.iter().map(|target| {
            let url = target.url();
            let host = HeaderValue::from_str(&target.authority())
                .map_err(|_| format!("`{}` can't stand in a `Host` header", target.host))?;
            let authority = Authority::from_maybe_shared(target.authority())
                .map_err(|_| format!("`{}` is no host", target.host))?;
            let place = hash::of(url.as_bytes());
            let state = state.targets.entry(url.into());
            let state = Arc::clone(state.or_insert_with(TargetState::new));
            Ok(Arc::new(TargetPlan {
                target: target.clone(),
                host,
                authority,
                scheme: if target.tls {
                    Scheme::HTTPS
                } else {
                    Scheme::HTTP
                },
                endpoint: Arc::new(Endpoint {
                    host: target.host.clone(),
                    port: target.port,
                    tls: tls.clone().filter(|_| target.tls),
                    protocol: declared.protocol,
                    guard: guard.clone(),
                    state,
                }),
                place,
            }))
        });
        let targets: Box<[_]> = targets.collect::<Result<_, String>>()?;
        let retries: &Retries = &declared.retries;
        let elsewhere = targets.len() > 1 || retries.same_target;
        Ok(Arc::new(Self {
            team: resource.team_name.clone(),
            name: resource.name.clone(),
            is_provider: resource.spec.kind() == Kind::Provider,
            declared: declared.clone(),
            ejection: declared.ejection.clone().filter(|_| targets.len() > 1),
            budgeted: elsewhere && retries.attempts.get() > 1,
            targets,
            counts: Arc::clone(&state.counts),
            tls,
        }))
    }

    /// Makes the states that outlive this plan fit it. Once it is served, and not before: a configuration
    /// that is refused must change nothing.
    pub(crate) fn take_effect(&self) {
        for target in &self.targets {
            let state = &target.endpoint.state;
            state.limit.resize(self.declared.max_connections);
            if self.declared.breaker.is_none() {
                state.breaker.close();
            }
            if self.declared.health_check.is_none() {
                state.health.forget();
            }
        }
    }

    pub(super) fn state(&self, target: usize) -> Option<&Arc<TargetState>> {
        self.targets
            .get(target)
            .map(|target| &target.endpoint.state)
    }

    /// Whether a target is left out, but for want of others.
    pub(crate) fn is_out(&self, state: &TargetState, now: Moment) -> bool {
        state.health.is_ill() || (self.ejection.is_some() && state.ejection.is_out(now))
    }

    /// A target's weight now: less than declared while it comes back.
    pub(super) fn weight(&self, target: &TargetPlan, now: Moment) -> u64 {
        let whole = u64::from(target.target.weight.get()) * WHOLE;
        let slow = self.declared.slow_start;
        if slow.is_zero() {
            return whole;
        }
        let state = &target.endpoint.state;
        let back = state.ejection.until().max(state.health.well_since());
        let since = now.since(back);
        if back == Moment::default() || since >= slow {
            return whole;
        }
        whole / WHOLE * part(since, slow).max(SLOW_START_MIN)
    }

    /// Whether calls may share connections.
    pub(crate) fn may_share(&self) -> bool {
        self.declared.protocol != Protocol::Http1
    }

    /// How much of a request's body is kept to be sent again.
    pub(crate) fn replay_bytes(&self) -> usize {
        let declared = self.declared.retries.replay_bytes;
        if self.may_share() {
            // Whatever is said of retries, a target that goes away gives back what it has not begun.
            declared.max(UNPROCESSED_REPLAY)
        } else {
            declared
        }
    }

    /// Whether the time of each answer has to be known exactly.
    pub(crate) fn needs_exact_time(&self) -> bool {
        self.watches_latency() || self.declared.breaker.is_some()
    }

    /// Whether the balance has to know how long answers take.
    pub(super) fn watches_latency(&self) -> bool {
        matches!(self.declared.balance, Balance::Latency)
    }
}

/// How much of the whole has passed, in parts of [`WHOLE`].
fn part(since: Duration, whole: Duration) -> u64 {
    let part = since.as_nanos() * u128::from(WHOLE) / whole.as_nanos().max(1);
    u64::try_from(part).unwrap_or(WHOLE).min(WHOLE)
}
