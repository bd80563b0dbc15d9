//! What a worker does, over all routes.

use super::counter::Counter;
use super::policy::PolicyEvent;
use crate::tls::HandshakeFailure;
use crate::transport::AcceptFailure;
use keyward_model::{Code, UsageRecord};
use std::array;
use std::time::Duration;

const CODES: usize = Code::ALL.len();
const POLICY_EVENTS: usize = PolicyEvent::ALL.len();

/// What one worker counts over all routes. Two cache lines apart from the next worker's.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct WorkerMetrics {
    opened: Counter,
    closed: Counter,
    unrouted: Counter,
    token_hits: Counter,
    token_misses: Counter,
    shed: Counter,
    codes: [Counter; CODES],
    policies: [Counter; POLICY_EVENTS],
    handshakes: Handshakes,
    balancer_failures: Counter,
    upstream_opened: Counter,
    upstream_reused: Counter,
    cached_tokens: Counter,
    idle_upstream: Counter,
    in_flight: Counter,
    delay_us: Counter,
    busy_us: Counter,
}

#[derive(Debug, Default)]
struct Handshakes {
    full: Counter,
    resumed: Counter,
    failed: Counter,
    late: Counter,
    refused: Counter,
}

impl Default for WorkerMetrics {
    fn default() -> Self {
        Self {
            opened: Counter::default(),
            closed: Counter::default(),
            unrouted: Counter::default(),
            token_hits: Counter::default(),
            token_misses: Counter::default(),
            shed: Counter::default(),
            codes: array::from_fn(|_| Counter::default()),
            policies: array::from_fn(|_| Counter::default()),
            handshakes: Handshakes::default(),
            balancer_failures: Counter::default(),
            upstream_opened: Counter::default(),
            upstream_reused: Counter::default(),
            cached_tokens: Counter::default(),
            idle_upstream: Counter::default(),
            in_flight: Counter::default(),
            delay_us: Counter::default(),
            busy_us: Counter::default(),
        }
    }
}

/// How a worker is at a tick.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    pub(crate) cached_tokens: usize,
    pub(crate) idle_upstream: usize,
    pub(crate) in_flight: usize,
    pub(crate) delay: Duration,
    pub(crate) busy: Duration,
}

impl WorkerMetrics {
    pub(crate) fn connection_opened(&self) {
        self.opened.add(1);
    }

    pub(crate) fn connection_closed(&self) {
        self.closed.add(1);
    }

    /// A TLS handshake was finished.
    pub(crate) fn handshake(&self, resumed: bool) {
        let counts = &self.handshakes;
        if resumed {
            &counts.resumed
        } else {
            &counts.full
        }
        .add(1);
    }

    /// A connection ended before its first request.
    pub(crate) fn accept_failed(&self, failure: &AcceptFailure) {
        let counts = &self.handshakes;
        match failure {
            AcceptFailure::Late(_) => &counts.late,
            AcceptFailure::ProxyProtocol(_) => &self.balancer_failures,
            AcceptFailure::Handshake(failure) => match failure {
                HandshakeFailure::TooMany => &counts.refused,
                // Served, though it carries no call.
                HandshakeFailure::Validated => &counts.full,
                HandshakeFailure::Io(_)
                | HandshakeFailure::Resumed(_)
                | HandshakeFailure::Unreadable
                | HandshakeFailure::NoChallenge => &counts.failed,
            },
        }
        .add(1);
    }

    pub(crate) fn token_hit(&self) {
        self.token_hits.add(1);
    }

    pub(crate) fn token_miss(&self) {
        self.token_misses.add(1);
    }

    pub(crate) fn call_shed(&self) {
        self.shed.add(1);
    }

    /// A policy has decided.
    pub(crate) fn policy(&self, event: PolicyEvent) {
        if let Some(counter) = self.policies.get(event as usize) {
            counter.add(1);
        }
    }

    /// An attempt has a connection: a new one, or one that has carried a call before.
    pub(crate) fn leased(&self, reused: bool) {
        if reused {
            &self.upstream_reused
        } else {
            &self.upstream_opened
        }
        .add(1);
    }

    pub(crate) fn count(&self, usage: &UsageRecord) {
        if usage.route.is_none() {
            self.unrouted.add(1);
        }
        if let Some(code) = usage.code
            && let Some(counter) = self.codes.get(code as usize)
        {
            counter.add(1);
        }
    }

    /// How it is now.
    pub(crate) fn state(&self, state: State) {
        self.cached_tokens.set(state.cached_tokens as u64);
        self.idle_upstream.set(state.idle_upstream as u64);
        self.in_flight.set(state.in_flight as u64);
        self.delay_us.set(micros(state.delay));
        self.busy_us.set(micros(state.busy));
    }

    /// What it has counted.
    pub(crate) fn read(&self) -> WorkerCounts {
        WorkerCounts {
            connections_opened: self.opened.read(),
            connections_closed: self.closed.read(),
            unrouted: self.unrouted.read(),
            token_cache_hits: self.token_hits.read(),
            token_cache_misses: self.token_misses.read(),
            shed: self.shed.read(),
            codes: array::from_fn(|code| self.codes.get(code).map_or(0, Counter::read)),
            policies: array::from_fn(|event| self.policies.get(event).map_or(0, Counter::read)),
            handshakes: HandshakeCounts {
                full: self.handshakes.full.read(),
                resumed: self.handshakes.resumed.read(),
                failed: self.handshakes.failed.read(),
                late: self.handshakes.late.read(),
                refused: self.handshakes.refused.read(),
            },
            balancer_failures: self.balancer_failures.read(),
            upstream_opened: self.upstream_opened.read(),
            upstream_reused: self.upstream_reused.read(),
            cached_tokens: self.cached_tokens.read(),
            idle_upstream: self.idle_upstream.read(),
            in_flight: self.in_flight.read(),
            delay_us: self.delay_us.read(),
            busy_us: self.busy_us.read(),
        }
    }
}

/// What one worker has counted since it started, and how it was a tenth of a second ago at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerCounts {
    /// Connections accepted.
    pub connections_opened: u64,
    /// Of these, closed.
    pub connections_closed: u64,
    /// Requests that no route took, or that could not be read.
    pub unrouted: u64,
    /// Tokens found among those verified before.
    pub token_cache_hits: u64,
    /// Tokens that were verified.
    pub token_cache_misses: u64,
    /// Calls that were refused because the worker had too much to do.
    pub shed: u64,
    /// Calls that were refused or failed, by their code's place in [`Code::ALL`].
    pub codes: [u64; CODES],
    /// Decisions of policies, by their place in [`PolicyEvent::ALL`].
    pub policies: [u64; POLICY_EVENTS],
    /// TLS handshakes with clients.
    pub handshakes: HandshakeCounts,
    /// Connections of trusted balancers that did not begin as the PROXY protocol wants.
    pub balancer_failures: u64,
    /// Attempts at upstreams on a connection that was made for them.
    pub upstream_opened: u64,
    /// Attempts at upstreams on a connection that had carried a call before.
    pub upstream_reused: u64,
    /// Verified tokens that are remembered.
    pub cached_tokens: u64,
    /// Connections to upstreams that wait for a call.
    pub idle_upstream: u64,
    /// Calls that are not answered to their end.
    pub in_flight: u64,
    /// How long what was ready waited for its turn when that was last measured, in microseconds.
    pub delay_us: u64,
    /// For how long it has worked, rather than waited, in microseconds.
    pub busy_us: u64,
}

/// How TLS handshakes with clients ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandshakeCounts {
    /// With a full handshake.
    pub full: u64,
    /// With the session of an earlier connection.
    pub resumed: u64,
    /// By a failure of either side.
    pub failed: u64,
    /// Not within the bound of time.
    pub late: u64,
    /// Refused, since too many were unfinished.
    pub refused: u64,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
