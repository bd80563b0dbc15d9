//! The record of one call while it runs.

use crate::body::BodyFailure;
use crate::request::{Answering, Client};
use crate::snapshot::RouteRef;
use crate::worker::Worker;
use bytes::Bytes;
use http::HeaderValue;
use keyward_model::id::RequestId;
use keyward_model::usage::{Times, UsageRecord};
use keyward_model::{Blame, Caller, Code, Fault, Moment, Timestamp};
use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// Filled in as the call goes its way, written when it is dropped: with the answer's body at its end,
/// or wherever the client left.
pub(crate) struct CallRecord {
    worker: Rc<Worker>,
    /// The connection is answering as long as the record lives.
    _answering: Answering,
    pub(crate) request_id: RequestId,
    /// The id as a header's value, made once for upstream and client.
    pub(crate) request_id_value: HeaderValue,
    started: Timestamp,
    begun: Moment,
    first_byte: Option<Moment>,
    upstream_since: Option<Moment>,
    upstream_done: Option<Moment>,
    address: IpAddr,
    method: http::Method,
    uri: http::Uri,
    pub(crate) route: Option<RouteRef>,
    pub(crate) caller: Option<Arc<Caller>>,
    status: u16,
    code: Option<Code>,
    because: Option<Box<str>>,
    pub(crate) limit: Option<Box<str>>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Whether the answer's body was handed over whole.
    pub(crate) complete: bool,
    left: bool,
}

impl CallRecord {
    pub(crate) fn begin<B>(
        worker: Rc<Worker>,
        client: &Client,
        request: &http::Request<B>,
    ) -> Self {
        let request_id = worker.request_id();
        Self {
            _answering: client.begin_answer(),
            request_id,
            request_id_value: hexadecimal(request_id),
            started: worker.clock.now(),
            begun: worker.clock.moment(),
            first_byte: None,
            upstream_since: None,
            upstream_done: None,
            address: client.address(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            route: None,
            caller: None,
            status: 0,
            code: None,
            because: None,
            limit: None,
            bytes_in: 0,
            bytes_out: 0,
            complete: false,
            left: false,
            worker,
        }
    }

    /// The call has an id already, from whom we believe.
    pub(crate) fn set_request_id(&mut self, id: RequestId) {
        self.request_id = id;
        self.request_id_value = hexadecimal(id);
    }

    pub(crate) fn started(&self) -> Timestamp {
        self.started
    }

    pub(crate) fn begun(&self) -> Moment {
        self.begun
    }

    pub(crate) fn set_address(&mut self, address: IpAddr) {
        self.address = address;
    }

    pub(crate) fn upstream_begins(&mut self) {
        self.upstream_since = Some(self.worker.clock.moment());
    }

    /// The answer's head is there.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
        let now = self.worker.clock.moment();
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

    /// The client broke its request off: what it would be told counts as unsaid.
    pub(crate) fn client_left(&mut self) {
        self.left = true;
    }

    /// The answer's body stopped before its end.
    pub(crate) fn cut_short(&mut self, failure: BodyFailure) {
        self.code = Some(match failure {
            BodyFailure::Client => Code::BadRequest,
            BodyFailure::ClientLeft => Code::ClientLeft,
            BodyFailure::ClientIdle => Code::RequestTimeout,
            BodyFailure::TooLarge => Code::BodyTooLarge,
            BodyFailure::Upstream => Code::UpstreamFailed,
            BodyFailure::UpstreamIdle => Code::UpstreamTimeout,
        });
        self.because = Some(failure.to_string().into_boxed_str());
        self.complete = true;
    }

    fn finish(&mut self) -> UsageRecord {
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
        let end = self.worker.clock.moment();
        let route = self.route.as_ref().map(|route| Arc::clone(&route.labels));
        UsageRecord {
            request_id: self.request_id,
            trace_id: None,
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
            method: method_name(&self.method),
            path: self.uri.path().into(),
            status: self.status,
            blame: self
                .code
                .map(Code::blame)
                .or_else(|| (self.status >= 500).then_some(Blame::Upstream)),
            code: self.code,
            because: self.because.take(),
            limit: self.limit.take(),
            model: None,
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
        let usage = self.finish();
        self.worker.record(self.route.as_ref(), usage);
    }
}

/// An id as its 32 digits, without the formatting machinery.
fn hexadecimal(id: RequestId) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits: Vec<u8> = id
        .as_u128()
        .to_be_bytes()
        .into_iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .filter_map(|digit| DIGITS.get(usize::from(digit)).copied())
        .collect();
    // Digits: this can't fail.
    HeaderValue::from_maybe_shared(Bytes::from(digits))
        .unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The standard methods without an allocation.
fn method_name(method: &http::Method) -> Cow<'static, str> {
    const STANDARD: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
    STANDARD
        .into_iter()
        .find(|name| *name == method.as_str())
        .map_or_else(|| Cow::Owned(method.as_str().to_owned()), Cow::Borrowed)
}
