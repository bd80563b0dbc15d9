//! One call's trace while it runs, and what is handed on when it has ended.

use super::context::TraceParent;
use super::{Decision, Ids, Tracing};
use crate::message::{Fields, Header, RequestHead, Version};
use crate::request::Client;
use crate::upstream::{TargetPlan, UpstreamPlan};
use keyward_model::{Moment, Name, UsageRecord};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How much is kept of what a client says that its call is from, and for whom: as much as names anything.
const TEXT_MAX: usize = 256;
/// Attempts that are recorded of one call: more than a call makes.
const ATTEMPTS_MAX: usize = 16;

/// A call's place in a trace.
#[derive(Debug)]
pub(crate) struct CallTrace {
    /// This call's span: what it is to those that it calls.
    own: TraceParent,
    parent: Option<u64>,
    state: Option<Box<[u8]>>,
    /// Whether it is that of a copy for a mirror: no span of ours, but the call's own for whoever gets it.
    is_copy: bool,
    /// There when the call is recorded.
    recorded: Option<Box<Recorded>>,
}

/// What a record needs beyond the usage record.
#[derive(Debug)]
struct Recorded {
    scheme: &'static str,
    host: Option<Box<str>>,
    user_agent: Option<Box<str>>,
    version: Version,
    /// In their order; the last one may still run.
    attempts: RefCell<Vec<RunningAttempt>>,
}

#[derive(Debug)]
struct RunningAttempt {
    span_id: u64,
    upstream: Name,
    target: Option<Arc<TargetPlan>>,
    begun: Moment,
    ended: Option<Moment>,
    status: Option<u16>,
    failure: Option<AttemptFailure>,
}

/// Why an attempt at an upstream failed, for `error.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptFailure {
    /// No connection could be made.
    Unreachable,
    /// The connection broke before there was an answer.
    Broken,
    /// What came was no answer.
    Malformed,
    /// The upstream said that it does nothing of the request.
    Refused,
    /// No answer came in time.
    TimedOut,
    /// The client's body broke off.
    ClientBody,
}

impl AttemptFailure {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "connection_failed",
            Self::Broken => "connection_broken",
            Self::Malformed => "answer_malformed",
            Self::Refused => "refused",
            Self::TimedOut => "timeout",
            Self::ClientBody => "client_body",
        }
    }
}

impl CallTrace {
    /// The trace of a call that begins.
    pub(crate) fn begin(
        tracing: &Tracing,
        ids: &Ids,
        client: &Client,
        head: &RequestHead,
        trusted: bool,
    ) -> Rc<Self> {
        let Decision {
            parent,
            state,
            sampled,
        } = tracing.decide(&head.fields, trusted, ids.chance());
        let recorded = || {
            Box::new(Recorded {
                scheme: client.scheme(),
                host: text(
                    head.authority()
                        .map(str::as_bytes)
                        .or_else(|| head.fields.get(Header::Host)),
                ),
                user_agent: text(head.fields.get(Header::UserAgent)),
                version: head.version,
                attempts: RefCell::default(),
            })
        };
        Rc::new(Self {
            own: TraceParent {
                trace_id: parent.map_or_else(|| ids.trace(), |parent| parent.trace_id),
                span_id: ids.span(),
                sampled,
                random: parent.is_none_or(|parent| parent.random),
            },
            parent: parent.map(|parent| parent.span_id),
            state,
            is_copy: false,
            recorded: sampled.then(recorded),
        })
    }

    /// What goes with a copy of the call: the mirror's spans stand below the call's.
    pub(crate) fn of_copy(&self) -> Rc<Self> {
        Rc::new(Self {
            own: self.own,
            parent: self.parent,
            state: self.state.clone(),
            is_copy: true,
            recorded: None,
        })
    }

    pub(crate) fn trace_id(&self) -> u128 {
        self.own.trace_id
    }

    /// Replaces what the client said of traces: what every attempt's request says, but for the span.
    pub(crate) fn edit(&self, fields: &mut Fields) {
        fields.retain(|field| !matches!(field.header, Header::Traceparent | Header::Tracestate));
        if let Some(state) = &self.state {
            fields.append(Header::Tracestate, state);
        }
    }

    /// An attempt begins: its request names its own span.
    pub(crate) fn attempt(
        &self,
        ids: &Ids,
        fields: &mut Fields,
        plan: &UpstreamPlan,
        target: usize,
        at: Moment,
    ) {
        let span_id = if self.is_copy {
            self.own.span_id
        } else {
            ids.span()
        };
        let parent = TraceParent {
            span_id,
            ..self.own
        };
        fields.set(Header::Traceparent, &parent.to_value());
        self.note(plan, target, span_id, at);
    }

    /// No connection could be made for an attempt.
    pub(crate) fn unreachable(
        &self,
        ids: &Ids,
        plan: &UpstreamPlan,
        target: usize,
        (begun, ended): (Moment, Moment),
    ) {
        self.note(plan, target, ids.span(), begun);
        self.failed(AttemptFailure::Unreachable);
        self.close(ended);
    }

    fn note(&self, plan: &UpstreamPlan, target: usize, span_id: u64, begun: Moment) {
        let Some(recorded) = &self.recorded else {
            return;
        };
        self.close(begun);
        let mut attempts = recorded.attempts.borrow_mut();
        if attempts.len() < ATTEMPTS_MAX {
            attempts.push(RunningAttempt {
                span_id,
                upstream: plan.name.clone(),
                target: plan.targets.get(target).map(Arc::clone),
                begun,
                ended: None,
                status: None,
                failure: None,
            });
        }
    }

    /// The attempt that runs has an answer. It lasts until another one begins, or the call has ended.
    pub(crate) fn answered(&self, status: u16) {
        self.running(|attempt| attempt.status = Some(status));
    }

    /// The attempt that runs has failed.
    pub(crate) fn failed(&self, failure: AttemptFailure) {
        self.running(|attempt| attempt.failure = Some(failure));
    }

    fn close(&self, at: Moment) {
        self.running(|attempt| attempt.ended = Some(at));
    }

    fn running(&self, change: impl FnOnce(&mut RunningAttempt)) {
        let Some(recorded) = &self.recorded else {
            return;
        };
        let mut attempts = recorded.attempts.borrow_mut();
        if let Some(last) = attempts.last_mut().filter(|last| last.ended.is_none()) {
            change(last);
        }
    }

    /// What is handed on of a call that has ended, if it is recorded.
    pub(crate) fn finish(
        &self,
        usage: &UsageRecord,
        (begun, end): (Moment, Moment),
    ) -> Option<TracedCall> {
        let recorded = self.recorded.as_ref()?;
        let attempts = std::mem::take(&mut *recorded.attempts.borrow_mut());
        let attempts = attempts.into_iter().map(|attempt| TracedAttempt {
            span_id: attempt.span_id,
            upstream: attempt.upstream,
            target: attempt.target,
            after: attempt.begun.since(begun),
            took: attempt.ended.unwrap_or(end).since(attempt.begun),
            status: attempt.status,
            failure: attempt.failure,
        });
        Some(TracedCall {
            trace_id: self.own.trace_id,
            span_id: self.own.span_id,
            parent: self.parent,
            flags: self.own.flags(),
            state: self
                .state
                .as_deref()
                .and_then(|state| std::str::from_utf8(state).ok())
                .map(Into::into),
            usage: usage.clone(),
            scheme: recorded.scheme,
            host: recorded.host.clone(),
            user_agent: recorded.user_agent.clone(),
            protocol_version: recorded.version.as_str(),
            attempts: attempts.collect(),
        })
    }
}

/// Bytes of a header, as far as they are text and not too long.
fn text(value: Option<&[u8]>) -> Option<Box<str>> {
    let text = std::str::from_utf8(value?).ok()?;
    Some(text.chars().take(TEXT_MAX).collect::<String>().into())
}

/// A call that is recorded, when it has ended.
#[derive(Clone, Debug)]
pub struct TracedCall {
    /// Of the whole trace.
    pub trace_id: u128,
    /// Of the call.
    pub span_id: u64,
    /// Of whoever called, where that is believed.
    pub parent: Option<u64>,
    /// The flags that went on to upstreams.
    pub flags: u8,
    /// The states of other systems.
    pub state: Option<Box<str>>,
    /// What it was.
    pub usage: UsageRecord,
    /// `http` or `https`, as the client spoke to us.
    pub scheme: &'static str,
    /// Whom it was for, as the client wrote it, with its port if any.
    pub host: Option<Box<str>>,
    /// What the client says that it is.
    pub user_agent: Option<Box<str>>,
    /// The version of HTTP that the client spoke.
    pub protocol_version: &'static str,
    /// The attempts at upstreams, in their order.
    pub attempts: Vec<TracedAttempt>,
}

/// An attempt at an upstream.
#[derive(Clone, Debug)]
pub struct TracedAttempt {
    /// Of the attempt.
    pub span_id: u64,
    /// The upstream's name.
    pub upstream: Name,
    target: Option<Arc<TargetPlan>>,
    /// When it began: so long after the call.
    pub after: Duration,
    /// How long it took: to the end of the answer, if that was passed on.
    pub took: Duration,
    /// The status of its answer.
    pub status: Option<u16>,
    /// Why there was none.
    pub failure: Option<AttemptFailure>,
}

impl TracedAttempt {
    /// The target's host and port, and whether it is spoken to in TLS.
    #[must_use]
    pub fn server(&self) -> Option<(&str, u16, bool)> {
        let target = &self.target.as_ref()?.target;
        Some((&target.host, target.port, target.tls))
    }
}
