//! Whether a call may pass now: rate limits, taken in order. When a later one refuses, those before it
//! get back what was taken, so that a refused call uses nothing up.

use super::Refusal;
use super::authenticate::Authenticated;
use super::screen::CallOrigin;
use crate::http1::write_decimal;
use crate::message::{Fields, Header};
use crate::record::CallRecord;
use crate::snapshot::{LimitPolicy, Route};
use crate::worker::Worker;
use keyward_model::limit::LimitSubject;
use keyward_model::{Code, Fault, Moment, Permit};
use keyward_state::rate_limit::{Admission, Cell, Counted, Decision, Gcra, LimitKey, take_all};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// As many limits as a route has as a rule: their state needs no allocation.
const FEW: usize = 2;

/// A call that has passed every check. Only [`admit`] makes one, and what forwards a call takes it by
/// value.
#[derive(Debug)]
pub(crate) struct Admitted {
    authenticated: Authenticated,
    origin: CallOrigin,
    limits: LimitState,
}

impl Admitted {
    pub(crate) fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }

    pub(crate) fn origin(&self) -> CallOrigin {
        self.origin
    }

    /// The same for a copy of the call that nobody waits for: it uses no limit up a second time.
    pub(super) fn of_copy(&self) -> Self {
        Self {
            authenticated: self.authenticated.clone(),
            origin: self.origin,
            limits: LimitState::default(),
        }
    }

    /// For a question about a call that has its permit and is not admitted yet.
    pub(super) fn to_ask(
        _permit: &Permit,
        authenticated: &Authenticated,
        origin: CallOrigin,
    ) -> Self {
        Self {
            authenticated: authenticated.clone(),
            origin,
            limits: LimitState::default(),
        }
    }

    /// Tells the caller in the answer how much is left.
    pub(crate) fn tell_limits(&self, route: &Route, fields: &mut Fields) {
        self.limits.tell(route, fields);
    }
}

/// What each limit said, in order.
#[derive(Debug, Default)]
struct LimitState {
    left: SmallVec<[(u64, Duration); FEW]>,
}

/// Takes one call from each of the route's limits. The permit is spent on it: what may pass once is
/// counted once.
pub(crate) fn admit(
    worker: &Worker,
    route: &Route,
    permit: Permit,
    authenticated: Authenticated,
    origin: CallOrigin,
    record: &mut CallRecord,
) -> Result<Admitted, Refusal> {
    let mut limits = LimitState::default();
    if !route.limits.is_empty() {
        let now = record.begun();
        let counters = Counters {
            worker,
            route,
            permit: &permit,
            authenticated: &authenticated,
            origin,
            now,
        };
        limits = counters.take(record)?;
    }
    Ok(Admitted {
        authenticated,
        origin,
        limits,
    })
}

/// Whom this call counts for.
struct Counters<'a> {
    worker: &'a Worker,
    route: &'a Route,
    permit: &'a Permit,
    authenticated: &'a Authenticated,
    origin: CallOrigin,
    now: Moment,
}

impl Counters<'_> {
    fn take(&self, record: &mut CallRecord) -> Result<LimitState, Refusal> {
        let mut cells = self
            .route
            .limits
            .iter()
            .enumerate()
            .map(|(index, limit)| self.cell(index, limit))
            .collect::<Result<SmallVec<[_; FEW]>, _>>()?;
        loop {
            let taking: SmallVec<[(&Cell, &Gcra); FEW]> = cells
                .iter()
                .zip(self.route.limits.iter())
                .map(|(cell, limit)| (&**cell, &limit.rate))
                .collect();
            let mut left = SmallVec::new();
            let admission = take_all(&taking, self.now, |_, decision| match decision {
                Decision::Allowed {
                    remaining,
                    reset,
                    taken: _,
                } => {
                    left.push((u64::from(*remaining), *reset));
                }
                Decision::Refused { .. } => {}
            });
            drop(taking);
            match admission {
                Admission::Allowed => return Ok(LimitState { left }),
                Admission::Refused {
                    index,
                    retry_after,
                    reset,
                } => {
                    return Err(self.refuse(index, retry_after, reset, record));
                }
                Admission::Evicted { index } => {
                    if let (Some(place), Some(limit)) =
                        (cells.get_mut(index), self.route.limits.get(index))
                    {
                        *place = self.look_up(limit)?;
                        self.remember(index, place);
                    }
                }
            }
        }
    }

    fn cell(&self, index: usize, limit: &LimitPolicy) -> Result<Arc<Cell>, Refusal> {
        let known = match limit.by {
            LimitSubject::Subject => self.authenticated.cell(index),
            LimitSubject::Route => limit.cell.get().cloned(),
            LimitSubject::Address => None,
        };
        if let Some(cell) = known {
            return Ok(cell);
        }
        let cell = self.look_up(limit)?;
        self.remember(index, &cell);
        Ok(cell)
    }

    fn remember(&self, index: usize, cell: &Arc<Cell>) {
        let Some(limit) = self.route.limits.get(index) else {
            return;
        };
        match limit.by {
            LimitSubject::Subject => self.authenticated.remember_cell(index, cell),
            // The index keeps a route's cell as long as someone holds it.
            LimitSubject::Route => {
                limit.cell.get_or_init(|| Arc::clone(cell));
            }
            LimitSubject::Address => {}
        }
    }

    fn look_up(&self, limit: &LimitPolicy) -> Result<Arc<Cell>, Refusal> {
        let caller = self.permit.caller();
        let counted = match limit.by {
            LimitSubject::Route => Counted::Route,
            LimitSubject::Address => Counted::address(self.origin.address),
            LimitSubject::Subject => match (caller.issuer.as_deref(), caller.subject()) {
                (Some(issuer), Some(subject)) => Counted::Subject {
                    issuer: issuer.into(),
                    subject: subject.into(),
                },
                _ => Counted::address(self.origin.address),
            },
        };
        let key = LimitKey {
            team: self.route.labels.team,
            limit: &limit.id,
            rate: limit.rate,
            counted,
        };
        self.worker
            .shared
            .rate_limits
            .cell(&key, self.now)
            .map_err(|error| {
                Refusal::from(
                    Fault::new(
                        Code::Overloaded,
                        "Too many callers are being counted; try again later",
                    )
                    .because(error),
                )
            })
    }

    fn refuse(
        &self,
        index: usize,
        retry_after: Duration,
        reset: Duration,
        record: &mut CallRecord,
    ) -> Refusal {
        let mut fields = Fields::new();
        let limit = self.route.limits.get(index);
        if let Some(limit) = limit {
            limit.metrics.refused(self.worker.index);
        }
        let name = limit.map_or("limit", |limit| limit.name.as_str());
        record.limit = Some(name.into());
        if let Some(policy) = &self.route.limit_header {
            fields.append(Header::RateLimitPolicy, policy.as_bytes());
        }
        let mut text = Vec::new();
        write_limit(&mut text, name, 0, reset);
        fields.append(Header::RateLimit, &text);
        fields.append(
            Header::RetryAfter,
            seconds(retry_after).to_string().as_bytes(),
        );
        let fault = Fault::new(
            Code::RateLimited,
            format!(
                "The limit `{name}` is used up; try again in {} s",
                seconds(retry_after)
            ),
        );
        Refusal::with(fault, fields)
    }
}

impl LimitState {
    fn tell(&self, route: &Route, fields: &mut Fields) {
        let Some(policy) = &route.limit_header else {
            return;
        };
        let mut text = Vec::with_capacity(32 * self.left.len());
        for (limit, (left, reset)) in route.limits.iter().zip(&self.left) {
            if !text.is_empty() {
                text.extend_from_slice(b", ");
            }
            write_limit(&mut text, limit.name.as_str(), *left, *reset);
        }
        fields.set(Header::RateLimitPolicy, policy.as_bytes());
        fields.set(Header::RateLimit, &text);
    }
}

/// `"name";r=left;t=seconds` (IETF draft ratelimit-headers).
fn write_limit(out: &mut Vec<u8>, name: &str, left: u64, reset: Duration) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\";r=");
    write_decimal(out, left);
    out.extend_from_slice(b";t=");
    write_decimal(out, seconds(reset));
}

/// Whole seconds, rounded up: who comes back then is not too early.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
