//! The record of one call while it runs.

use crate::ai::{CallSpending, FiredNames};
use crate::body::BodyFailure;
use crate::capture::CallCapture;
use crate::load::InFlight;
use crate::message::{RequestHead, Version};
use crate::policy::CallPolicies;
use crate::request::{Client, HeldCalls};
use crate::snapshot::RouteRef;
use crate::trace::CallTrace;
use crate::tunnel::TunnelEnd;
use crate::worker::Worker;
use http::StatusCode;
use keyward_llm::Dialect;
use keyward_model::id::RequestId;
use keyward_model::usage::{ModelUse, Times, UsageRecord};
use keyward_model::{Blame, Caller, Code, Fault, Moment, Timestamp};
use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// Filled in as the call goes its way, written when it is dropped: with the answer's body at its end,
/// or wherever the client left.
pub(crate) struct CallRecord {
    worker: Rc<Worker>,
    pub(crate) request_id: RequestId,
    /// The call counts as one in flight as long as its record lives.
    pub(crate) in_flight: Option<InFlight>,
    /// The id in digits, made once for upstream and client.
    request_id_text: [u8; 32],
    started: Timestamp,
    begun: Moment,
    first_byte: Option<Moment>,
    upstream_since: Option<Moment>,
    upstream_done: Option<Moment>,
    address: IpAddr,
    version: Version,
    /// Whether it is a call of gRPC, and the status of gRPC that the client was told.
    pub(crate) is_grpc: bool,
    pub(crate) grpc_status: Option<u32>,
    method: http::Method,
    path: Box<str>,
    /// `None` where calls are not traced.
    pub(crate) trace: Option<Rc<CallTrace>>,
    /// `None` where the call's bodies are not captured.
    pub(crate) capture: Option<Rc<CallCapture>>,
    /// What its answer has to carry; `None` on most routes.
    pub(crate) policies: Option<Box<CallPolicies>>,
    pub(crate) route: Option<RouteRef>,
    pub(crate) caller: Option<Arc<Caller>>,
    status: u16,
    code: Option<Code>,
    because: Option<Box<str>>,
    pub(crate) limit: Option<Box<str>>,
    /// What counts as long as the call is under way, where a limit on concurrency lets it be.
    pub(crate) held: Option<Box<HeldCalls>>,
    /// What it holds of limits in tokens and money, until it is known what it took.
    pub(crate) spending: Option<Box<CallSpending>>,
    /// What its caller speaks, where AI models answer.
    pub(crate) dialect: Option<Dialect>,
    /// Which model was asked, which answered, and what that took.
    pub(crate) model: Option<Box<ModelUse>>,
    /// The guardrails that fired.
    pub(crate) guardrails: FiredNames,
    /// What the cache of AI answers did.
    pub(crate) answer_cache: Option<&'static str>,
    /// The access policies that decided, where any are attached.
    pub(crate) policy: Option<Arc<str>>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// A nonce that the caller is told for its next proofs.
    nonce: Option<Box<str>>,
    /// Whether the answer's body was handed over whole.
    pub(crate) complete: bool,
    left: bool,
    /// Whether the upstream may have seen anything of the call, and so may have done what it asks for.
    pub(crate) sent: bool,
    /// The status that the upstream answered with last, before anything was made of its answer.
    pub(crate) upstream_answered: Option<StatusCode>,
    /// Whether nothing is to be written: the call is a copy of another, or its record is another one.
    silent: bool,
    copy: bool,
}

impl CallRecord {
    /// Of a copy of the call with this id. It is counted where copies are, and nowhere else.
    pub(crate) fn of_copy(
        worker: Rc<Worker>,
        client: &Client,
        head: &RequestHead,
        id: RequestId,
    ) -> Box<Self> {
        let mut record = Box::new(Self::begin(worker, client, head));
        record.set_request_id(id);
        record.silent = true;
        record.copy = true;
        record
    }

    /// A record of the same call for a task that goes on when the client leaves: it takes along what counts as long as
    /// the call is under way, writes nothing, and is to be [given back](Self::take_back).
    pub(crate) fn lend(&mut self, client: &Client, head: &RequestHead) -> Box<Self> {
        let mut lent = Box::new(Self::begin(Rc::clone(&self.worker), client, head));
        lent.set_request_id(self.request_id);
        lent.silent = true;
        lent.is_grpc = self.is_grpc;
        lent.trace = self.trace.clone();
        lent.route = self.route.clone();
        lent.in_flight = self.in_flight.take();
        lent.held = self.held.take();
        lent
    }

    /// Takes over what became of the call in the task, and what the task no longer holds.
    pub(crate) fn take_back(&mut self, mut lent: Box<Self>) {
        self.first_byte = lent.first_byte;
        self.upstream_since = lent.upstream_since;
        self.upstream_done = lent.upstream_done;
        self.status = lent.status;
        self.grpc_status = lent.grpc_status;
        self.bytes_in = lent.bytes_in;
        self.sent = lent.sent;
        self.capture = lent.capture.take();
        self.in_flight = lent.in_flight.take();
        self.held = lent.held.take();
    }

    /// Whether it is a copy's, of which nothing is told.
    pub(crate) fn is_of_copy(&self) -> bool {
        self.copy
    }

    pub(crate) fn begin(worker: Rc<Worker>, client: &Client, head: &RequestHead) -> Self {
        let request_id = worker.request_id();
        let begun = worker.moment();
        Self {
            request_id,
            in_flight: None,
            request_id_text: hexadecimal(request_id),
            started: worker.civil(begun),
            begun,
            first_byte: None,
            upstream_since: None,
            upstream_done: None,
            address: client.address(),
            version: head.version,
            is_grpc: false,
            grpc_status: None,
            method: head.method.clone(),
            path: head.path().into(),
            trace: None,
            capture: None,
            policies: None,
            route: None,
            caller: None,
            status: 0,
            code: None,
            because: None,
            limit: None,
            nonce: None,
            held: None,
            spending: None,
            dialect: None,
            model: None,
            guardrails: FiredNames::default(),
            answer_cache: None,
            policy: None,
            bytes_in: 0,
            bytes_out: 0,
            complete: false,
            left: false,
            sent: false,
            upstream_answered: None,
            silent: false,
            copy: false,
            worker,
        }
    }

    /// The call has an id already, from whom we believe.
    pub(crate) fn set_request_id(&mut self, id: RequestId) {
        self.request_id = id;
        self.request_id_text = hexadecimal(id);
    }

    /// The request's id as a header's value.
    pub(crate) fn request_id_text(&self) -> &[u8] {
        &self.request_id_text
    }

    pub(crate) fn started(&self) -> Timestamp {
        self.started
    }

    pub(crate) fn begun(&self) -> Moment {
        self.begun
    }

    pub(crate) fn tell_nonce(&mut self, nonce: String) {
        self.nonce = Some(nonce.into());
    }

    pub(crate) fn told_nonce(&mut self) -> Option<Box<str>> {
        self.nonce.take()
    }

    pub(crate) fn set_address(&mut self, address: IpAddr) {
        self.address = address;
    }

    pub(crate) fn upstream_begins(&mut self) {
        self.upstream_since = Some(self.worker.moment());
    }

    /// The answer's head is there.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
        let now = self.worker.moment();
        self.first_byte = Some(now);
        if self.upstream_since.is_some() {
            self.upstream_done = Some(now);
        }
    }

    /// The call was refused or failed.
    pub(crate) fn refused(&mut self, fault: &Fault) {
        let code = if self.left {
            Code::ClientLeft
        } else {
            fault.code()
        };
        self.code = Some(code);
        self.because = fault.reason().map(Into::into);
        self.answered(code.status());
    }

    /// The call failed, and its caller was told so with this status.
    pub(crate) fn failed(&mut self, code: Code, because: &str, status: u16) {
        self.code = Some(code);
        self.because = Some(because.into());
        self.answered(status);
    }

    /// The answer failed while it was given.
    pub(crate) fn failed_in_stream(&mut self, code: Code, because: &str) {
        self.code = Some(code);
        self.because = Some(because.into());
    }

    /// A refusal was told in gRPC's way: with a status of its own, inside an answer of 200.
    pub(crate) fn told_grpc(&mut self, status: u32) {
        self.grpc_status = Some(status);
        if !self.left {
            self.status = 200;
        }
    }

    /// Whether what happens to an answer after its head can still be told in trailers.
    pub(crate) fn ends_with_trailers(&self) -> bool {
        self.is_grpc && matches!(self.version, Version::Http2 | Version::Http3)
    }

    /// The client broke its request off: what it would be told counts as unsaid.
    pub(crate) fn client_left(&mut self) {
        self.left = true;
    }

    /// The tunnel that the call became has ended.
    pub(crate) fn tunnel_ended(&mut self, end: TunnelEnd) {
        let code = match end {
            TunnelEnd::Closed | TunnelEnd::Idle | TunnelEnd::Goodbye => None,
            TunnelEnd::ClientBroke => Some(Code::ClientLeft),
            TunnelEnd::UpstreamBroke => Some(Code::UpstreamFailed),
            TunnelEnd::TokenOver => Some(Code::TokenExpired),
            TunnelEnd::TokenRevoked => Some(Code::TokenRevoked),
            TunnelEnd::CredentialGone => Some(Code::CredentialInvalid),
            TunnelEnd::ShuttingDown => Some(Code::ShuttingDown),
        };
        self.code = code;
        if end != TunnelEnd::Closed {
            self.because = Some(end.to_string().into_boxed_str());
        }
        self.complete = true;
    }

    /// The answer's body stopped before its end.
    pub(crate) fn cut_short(&mut self, failure: BodyFailure) {
        self.code = Some(match failure {
            BodyFailure::Client => Code::BadRequest,
            BodyFailure::ClientLeft => Code::ClientLeft,
            BodyFailure::ClientIdle => Code::RequestTimeout,
            BodyFailure::TooLarge => Code::BodyTooLarge,
            BodyFailure::Undecodable(why) => why.code(),
            BodyFailure::Coder => Code::Internal,
            BodyFailure::Upstream => Code::UpstreamFailed,
            BodyFailure::UpstreamIdle | BodyFailure::UpstreamLate => Code::UpstreamTimeout,
        });
        self.because = Some(failure.to_string().into_boxed_str());
        self.complete = true;
    }

    fn finish(&mut self, end: Moment) -> UsageRecord {
        if !self.complete && self.code.is_none() {
            let code = if self.worker.drain.cut() {
                Code::ShuttingDown
            } else {
                Code::ClientLeft
            };
            self.code = Some(code);
            if self.status == 0 {
                self.status = code.status();
            }
        }
        let route = self.route.as_ref().map(|route| Arc::clone(&route.labels));
        let guardrails = self.guardrails.take(&self.worker, route.as_deref());
        UsageRecord {
            request_id: self.request_id,
            trace_id: self.trace.as_ref().map(|trace| trace.trace_id()),
            node: self.worker.settings.node,
            revision: self
                .route
                .as_ref()
                .map_or_else(|| self.worker.revision(), |route| route.revision),
            started: self.started,
            route,
            address: Some(self.address),
            application: self.caller.as_ref().and_then(|caller| caller.application),
            credential: self.caller.as_ref().and_then(|caller| caller.credential),
            caller: self.caller.take(),
            protocol: self.version.of_usage(),
            method: method_name(&self.method),
            path: std::mem::take(&mut self.path),
            status: self.status,
            grpc_status: self.grpc_status,
            blame: self
                .code
                .map(Code::blame)
                .or_else(|| (self.status >= 500).then_some(Blame::Upstream)),
            code: self.code,
            because: self.because.take(),
            limit: self.limit.take(),
            policy: self.policy.take(),
            guardrails,
            answer_cache: self.answer_cache.take(),
            model: self.model.take(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            times: Times {
                total: end.since(self.begun),
                upstream: self
                    .upstream_since
                    .map(|since| self.upstream_done.unwrap_or(end).since(since))
                    .unwrap_or_default(),
                first_byte: self
                    .first_byte
                    .map(|at| at.since(self.begun))
                    .unwrap_or_default(),
            },
        }
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        if self.silent {
            return;
        }
        let end = self.worker.moment();
        if let Some(spending) = self.spending.take() {
            spending.finish(&mut self.model);
        }
        let usage = self.finish(end);
        let trace = self.trace.take();
        if let Some(traced) = trace.and_then(|trace| trace.finish(&usage, (self.begun, end))) {
            self.worker.record_trace(traced);
        }
        let capture = self.capture.take();
        if let Some(captured) = capture.and_then(|capture| capture.finish(&usage)) {
            self.worker.record_capture(captured);
        }
        self.worker.record(self.route.as_ref(), usage);
    }
}

/// An id as its 32 digits, without the formatting machinery.
fn hexadecimal(id: RequestId) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let number = id.as_u128();
    std::array::from_fn(|at| {
        let digit = (number >> (4 * (31 - at))) & 0xf;
        DIGITS.get(digit as usize).copied().unwrap_or(b'0')
    })
}

/// The standard methods without an allocation.
fn method_name(method: &http::Method) -> Cow<'static, str> {
    const STANDARD: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
    STANDARD
        .into_iter()
        .find(|name| *name == method.as_str())
        .map_or_else(|| Cow::Owned(method.as_str().to_owned()), Cow::Borrowed)
}
