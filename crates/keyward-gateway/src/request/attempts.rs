//! The attempts of one call: at which target, over which connection, how often.

use super::Refusal;
use super::authenticate::Authenticated;
use super::forward::Call;
use crate::deadlines::{Deadline, Patience};
use crate::message::{Fields, Header, RequestHead};
use crate::trace::CallTrace;
use crate::upstream::{
    Circumstances, LeaseFailure, Occupied, Pool, RetryCause, Sent, Terms, Tried,
    UpstreamConnection, UpstreamPlan, hash_of,
};
use keyward_model::resource::upstream::{Balance, HashSource};
use keyward_model::{Code, Fault, Moment};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// When to come back to an upstream whose connections are all in use: nobody knows, but not at once.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A connection to one of the upstream's targets, for one attempt.
pub(super) struct Lease {
    pub(super) connection: UpstreamConnection,
    pub(super) occupied: Occupied,
    /// Whether it has carried a call before: it may be closed by the upstream in the very moment when it is
    /// used again.
    pub(super) reused: bool,
}

/// What became of one call so far.
pub(super) struct Attempts<'a> {
    call: &'a Call<'a>,
    pub(super) plan: &'a UpstreamPlan,
    /// Of the whole call.
    pub(super) deadline: Deadline,
    key: Option<u64>,
    made: u32,
    tried: Tried,
    /// When the attempt began that is made now: good enough for what is chosen, and no look at the clock.
    at: Moment,
    trace: Option<Rc<CallTrace>>,
    /// Where the next attempt goes, if that was looked for already.
    next: Option<usize>,
}

impl<'a> Attempts<'a> {
    /// `patience` is how long the client gives the call, where it says so.
    pub(super) fn new(
        call: &'a Call<'a>,
        plan: &'a UpstreamPlan,
        head: &RequestHead,
        patience: Option<Duration>,
        trace: Option<Rc<CallTrace>>,
    ) -> Self {
        // The record has just looked at the clock.
        let now = call.worker.deadlines.latest();
        plan.count_call(now);
        Self {
            call,
            plan,
            deadline: Deadline::after(shorter(plan.declared.total_timeout, patience), now),
            key: key(&plan.declared.balance, call, head),
            made: 0,
            tried: Tried::default(),
            at: now,
            trace,
            next: None,
        }
    }

    fn now(&self) -> Moment {
        self.call.worker.moment()
    }

    fn choose(&self, besides: &Tried) -> Option<usize> {
        let circumstances = Circumstances {
            now: self.at,
            turn: if self.plan.targets.len() > 1 {
                self.call.worker.turn()
            } else {
                0
            },
            key: self.key,
        };
        self.plan.choose(besides, &circumstances)
    }

    /// A connection for the next attempt. Targets that can't be connected to are passed over, as often as
    /// the upstream's retries allow.
    pub(super) async fn lease(&mut self) -> Result<Lease, Refusal> {
        let Some(mut target) = self.next.take().or_else(|| self.choose(&self.tried)) else {
            return Err(self.nobody());
        };
        loop {
            self.made += 1;
            let failure = match self.lease_with_room(&mut target).await {
                Ok(lease) => return Ok(lease),
                Err(failure) => failure,
            };
            self.tried.add(target);
            if let (Some(trace), LeaseFailure::Unreachable(_)) = (&self.trace, &failure) {
                let worker = self.call.worker;
                // The target's state was just told of it.
                let times = (self.at, worker.deadlines.latest());
                trace.unreachable(&worker.ids, self.plan, target, times);
            }
            let unsent = Sent {
                any: false,
                safe: true,
                replayable: true,
            };
            let refusal = match failure {
                LeaseFailure::Unreachable(error) => self.unreachable(target, &error),
                LeaseFailure::Full | LeaseFailure::TooManyWait => return Err(self.no_room()),
            };
            if !self.again(RetryCause::Connect, unsent) {
                return Err(refusal);
            }
            target = self.next.take().unwrap_or(target);
        }
    }

    /// A connection to the target, or to another one where it has no room; then `target` is that one. When
    /// none has room, it waits for the first.
    async fn lease_with_room(&self, target: &mut usize) -> Result<Lease, LeaseFailure> {
        let first = *target;
        let mut full = self.tried;
        loop {
            match self.lease_at(*target, false).await {
                Err(LeaseFailure::Full) => full.add(*target),
                other => return other,
            }
            match self.choose(&full) {
                Some(other) if !full.has(other) => *target = other,
                Some(_) | None => break,
            }
        }
        *target = first;
        self.lease_at(first, true).await
    }

    async fn lease_at(&self, target: usize, waits: bool) -> Result<Lease, LeaseFailure> {
        let worker = self.call.worker;
        let now = self.at;
        let Some(mut occupied) = Occupied::enter(&self.call.matched.route, target, now) else {
            // Another call was quicker to try a target that is spared.
            return Err(LeaseFailure::Full);
        };
        let Some(pool) = self.call.matched.route.pools.get(target) else {
            return Err(LeaseFailure::Full);
        };
        let pooled = poll_fn(|context| Poll::Ready(pool.take(context, now))).await;
        if let Some(connection) = pooled {
            worker.metrics.leased(connection.is_proven());
            if self.plan.may_share() {
                let bounded = self.plan.declared.max_connections.is_some();
                pool.spread(bounded, now, self.terms(), &worker.clock);
            }
            return Ok(Lease {
                reused: connection.is_proven(),
                connection,
                occupied,
            });
        }
        let within = self.deadline.bound(self.plan.declared.connect_timeout, now);
        let bounded = self.plan.declared.max_connections.is_some();
        let connected = if waits {
            self.wait(pool, within).await
        } else if pool.is_shared() {
            self.join(pool, bounded, within).await
        } else {
            let (terms, clock) = (self.terms(), worker.clock.as_ref());
            pool.connect(bounded, within, terms, clock).await
        };
        match connected {
            Ok(connection) => {
                let reused = connection.is_proven();
                worker.metrics.leased(reused);
                Ok(Lease {
                    connection,
                    occupied,
                    reused,
                })
            }
            Err(failure) => {
                if let LeaseFailure::Unreachable(_) = &failure {
                    occupied.failed(self.now());
                }
                Err(failure)
            }
        }
    }

    fn terms(&self) -> Terms {
        Terms::from(&self.plan.declared)
    }

    async fn wait(
        &self,
        pool: &Rc<Pool>,
        within: Duration,
    ) -> Result<UpstreamConnection, LeaseFailure> {
        let most = self.plan.declared.max_pending;
        let clock = &self.call.worker.clock;
        let waiting = Box::pin(pool.wait(most, within, self.terms(), clock));
        let found = self.patiently(waiting, within).await;
        found.unwrap_or(Err(LeaseFailure::Full))
    }

    /// A place on a connection that several calls wait for.
    async fn join(
        &self,
        pool: &Rc<Pool>,
        bounded: bool,
        within: Duration,
    ) -> Result<UpstreamConnection, LeaseFailure> {
        let clock = &self.call.worker.clock;
        let joining = Box::pin(pool.join(bounded, self.terms(), clock));
        let found = self.patiently(joining, within).await;
        found.unwrap_or_else(|| {
            let why = format!("no connection within {within:?}");
            let late = std::io::Error::new(std::io::ErrorKind::TimedOut, why);
            Err(LeaseFailure::Unreachable(late))
        })
    }

    /// What comes of it, if anything does in this time.
    async fn patiently<F: Future + Unpin>(
        &self,
        mut coming: F,
        within: Duration,
    ) -> Option<F::Output> {
        let mut patience = Patience::new(within);
        poll_fn(|context| {
            if let Poll::Ready(come) = Pin::new(&mut coming).poll(context) {
                return Poll::Ready(Some(come));
            }
            patience.poll(self.call.seat).map(|()| None)
        })
        .await
    }

    /// Whether another attempt is to be made after this failure. It is taken from the budget then.
    pub(super) fn again(&mut self, cause: RetryCause, sent: Sent) -> bool {
        let now = self.now();
        self.at = now;
        if !self.plan.may_retry(cause, sent, self.made) || self.deadline.is_over(now) {
            return false;
        }
        let Some(next) = self.choose(&self.tried) else {
            return false;
        };
        if !self.plan.take_retry(cause, now) {
            return false;
        }
        self.next = Some(next);
        true
    }

    /// An attempt's request is about to be written: it names the attempt in the call's trace.
    pub(super) fn begins(&self, target: usize, fields: &mut Fields) {
        if let Some(trace) = &self.trace {
            trace.attempt(&self.call.worker.ids, fields, self.plan, target, self.at);
        }
    }

    /// The target of an attempt has failed.
    pub(super) fn failed_at(&mut self, target: usize) {
        self.tried.add(target);
    }

    /// The last attempt does not count: its connection was stale.
    pub(super) fn was_stale(&mut self) {
        self.at = self.now();
        self.made = self.made.saturating_sub(1);
    }

    /// Waits before the next attempt where that goes to a target that has just failed, or where the last
    /// answer said that it is too much.
    pub(super) async fn back_off(&mut self, cause: RetryCause) {
        let answered = matches!(cause, RetryCause::Status(_));
        if !answered && self.next.is_none_or(|next| !self.tried.has(next)) {
            return;
        }
        let chance = u64::from(self.call.worker.turn().wrapping_mul(0x9e37_79b9) >> 16);
        let now = self.now();
        let time = self
            .deadline
            .bound(self.plan.backoff(self.made, chance), now);
        let mut patience = Patience::new(time);
        poll_fn(|_| patience.poll(self.call.seat)).await;
        self.at = self.now();
    }

    fn unreachable(&self, target: usize, error: &std::io::Error) -> Refusal {
        let target = self
            .plan
            .targets
            .get(target)
            .map(|target| target.target.url());
        let target = target.unwrap_or_default();
        let fault = Fault::new(
            Code::UpstreamUnreachable,
            "The API's upstream can't be reached; try again later",
        );
        fault.because(format_args!("{target}: {error}")).into()
    }

    fn no_room(&self) -> Refusal {
        // Another call may have been quicker to try the one target that is not quite spared.
        if self.plan.spared_for(self.now()).is_some() {
            return self.nobody();
        }
        let fault = Fault::new(
            Code::UpstreamBusy,
            "The API's upstream has as many calls as it takes; try again later",
        )
        .because(format_args!(
            "upstream `{}`: {}",
            self.plan.name,
            LeaseFailure::Full
        ));
        later(fault, BUSY_RETRY_AFTER)
    }

    /// There is no target that may be called.
    fn nobody(&self) -> Refusal {
        let name = &self.plan.name;
        match self.plan.spared_for(self.now()) {
            Some(left) => later(
                Fault::new(
                    Code::UpstreamSpared,
                    "The API's upstream has failed too often and is left alone for a while; try again later",
                )
                .because(format_args!("upstream `{name}`: every breaker is open")),
                left,
            ),
            None => Fault::new(
                Code::UpstreamUnreachable,
                "The API's upstream can't be reached; try again later",
            )
            .because(format_args!("upstream `{name}`: no target is left to try"))
            .into(),
        }
    }
}

fn shorter(one: Option<Duration>, two: Option<Duration>) -> Option<Duration> {
    match (one, two) {
        (Some(one), Some(two)) => Some(one.min(two)),
        (one, two) => one.or(two),
    }
}

/// A refusal that says when to come back.
fn later(fault: Fault, after: Duration) -> Refusal {
    let mut fields = Fields::new();
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    fields.append(Header::RetryAfter, seconds.max(1).to_string().as_bytes());
    Refusal::with(fault, fields)
}

/// What has to be alike for calls to go to the same target.
fn key(balance: &Balance, call: &Call<'_>, head: &RequestHead) -> Option<u64> {
    let Balance::ConsistentHash(source) = balance else {
        return None;
    };
    match source {
        HashSource::Header(name) => head.fields.all_named(name).next().map(hash_of),
        HashSource::Cookie(name) => cookie(head, name).map(hash_of),
        HashSource::Address => Some(match call.admitted.origin().address {
            IpAddr::V4(address) => hash_of(&address.octets()),
            IpAddr::V6(address) => hash_of(&address.octets()),
        }),
        HashSource::Subject => match call.admitted.authenticated() {
            Authenticated::Open => None,
            Authenticated::Caller(verified) => {
                let caller = &verified.caller;
                let subject = caller.subject()?;
                let issuer = caller.issuer.as_deref().unwrap_or_default();
                // A line break stands in neither.
                Some(hash_of(format!("{issuer}\n{subject}").as_bytes()))
            }
        },
    }
}

/// The value of the first cookie of this name (RFC 6265, section 4.2.1).
fn cookie<'h>(head: &'h RequestHead, name: &str) -> Option<&'h [u8]> {
    head.fields
        .all(Header::Cookie)
        .flat_map(|value| value.split(|byte| *byte == b';'))
        .find_map(|pair| {
            let pair = pair.trim_ascii_start();
            let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(value.trim_ascii_end())
        })
}
