//! Bodies that are written down: of a sample of a route's calls, up to a bound, as they pass.
//!
//! Each byte is looked at once, when it comes from the client or from the upstream: what is sent again to
//! another target is not captured again. Headers are not captured. What a body holds that nobody should read
//! is masked by whoever writes it, with what [`CapturedCall::declared`] says; until then it is in memory
//! alone, of which all captures together have [`CaptureSettings::memory`].

mod memory;

use crate::message::{Fields, Header};
use crate::queue::{Queue, QueueEnd};
use crate::trace::Ids;
use keyward_model::UsageRecord;
use keyward_model::resource::Capture;
use memory::{Held, Memory};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// The longest content type that is told: longer ones are made up.
const CONTENT_TYPE_MAX: usize = 256;

/// Where captured calls go.
pub type CaptureQueue = Queue<CapturedCall>;
/// Where they come out.
pub type CaptureReceiver = QueueEnd<CapturedCall>;

/// How bodies are captured.
#[derive(Clone, Debug)]
pub struct CaptureSettings {
    memory: Memory,
    pub(crate) queue: CaptureQueue,
}

impl CaptureSettings {
    /// All captures together take `bytes` at most until they are written; those that would take more are cut.
    #[must_use]
    pub fn new(bytes: usize, queue: CaptureQueue) -> Self {
        Self {
            memory: Memory::of(bytes),
            queue,
        }
    }

    /// From now on all captures together may take so many bytes, those under way included.
    pub fn resize(&self, bytes: usize) {
        self.memory.resize(bytes);
    }

    /// How much memory captures take that are not written yet, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory.held()
    }
}

/// A call whose bodies are captured.
#[derive(Debug)]
pub(crate) struct CallCapture {
    declared: Arc<Capture>,
    memory: Memory,
    bodies: RefCell<Bodies>,
}

#[derive(Debug, Default)]
struct Bodies {
    request: Option<CapturedBody>,
    response: Option<CapturedBody>,
}

/// Which of a call's bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

impl CallCapture {
    /// Begins with the request, if the route's calls are captured and this one is of the sample.
    pub(crate) fn begin(
        settings: Option<&CaptureSettings>,
        declared: &Arc<Capture>,
        ids: &Ids,
        request: &Fields,
    ) -> Option<Rc<Self>> {
        let settings = settings?;
        let place = (u128::from(ids.chance()) * u128::from(Capture::EVERY_CALL)) >> 64;
        if place >= u128::from(declared.sample) {
            return None;
        }
        let capture = Self {
            declared: Arc::clone(declared),
            memory: settings.memory.clone(),
            bodies: RefCell::default(),
        };
        capture.body(Side::Request, request);
        Some(Rc::new(capture))
    }

    /// A body with these header fields follows.
    pub(crate) fn body(&self, side: Side, fields: &Fields) {
        let wanted = match side {
            Side::Request => self.declared.requests,
            Side::Response => self.declared.responses,
        };
        let content_type = fields
            .get(Header::ContentType)
            .and_then(|value| std::str::from_utf8(value).ok())
            .filter(|value| value.len() <= CONTENT_TYPE_MAX && self.declared.takes(value));
        let Some(content_type) = content_type.filter(|_| wanted) else {
            return;
        };
        let coded = fields
            .all(Header::ContentEncoding)
            .any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
        let body = CapturedBody {
            content_type: content_type.into(),
            bytes: Vec::new(),
            length: 0,
            end: if coded { End::Coded } else { End::Whole },
            held: self.memory.hold(),
        };
        let mut bodies = self.bodies.borrow_mut();
        match side {
            Side::Request => bodies.request = Some(body),
            Side::Response => bodies.response = Some(body),
        }
    }

    /// Bytes of a body that pass for the first time.
    pub(crate) fn keep(&self, side: Side, bytes: &[u8]) {
        let mut bodies = self.bodies.borrow_mut();
        let body = match side {
            Side::Request => &mut bodies.request,
            Side::Response => &mut bodies.response,
        };
        if let Some(body) = body {
            body.keep(bytes, self.declared.max_bytes);
        }
    }

    /// What is handed on when the call has ended; `None` where neither body was of a kind that is captured.
    pub(crate) fn finish(&self, usage: &UsageRecord) -> Option<CapturedCall> {
        let Bodies { request, response } = self.bodies.take();
        let some = |body: Option<CapturedBody>| body.filter(|body| body.length > 0);
        let (request, response) = (some(request), some(response));
        if request.is_none() && response.is_none() {
            return None;
        }
        Some(CapturedCall {
            declared: Arc::clone(&self.declared),
            usage: usage.clone(),
            request,
            response,
        })
    }
}

/// A call with what was captured of its bodies. Not masked.
#[derive(Debug)]
pub struct CapturedCall {
    /// What the route says of captures: which members are masked.
    pub declared: Arc<Capture>,
    /// What the call was.
    pub usage: UsageRecord,
    /// The request's body.
    pub request: Option<CapturedBody>,
    /// The answer's body.
    pub response: Option<CapturedBody>,
}

/// What was captured of a body. It counts against the memory of all captures until it is dropped.
#[derive(Debug)]
pub struct CapturedBody {
    /// Its media type, with parameters, as it was sent.
    pub content_type: Box<str>,
    /// Its beginning.
    pub bytes: Vec<u8>,
    /// How many bytes of it have passed.
    pub length: u64,
    /// Where `bytes` end.
    pub end: End,
    held: Held,
}

/// Where a captured body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where the body ended that passed.
    Whole,
    /// At the bound of a body.
    Bound,
    /// Where all captures together had no memory left.
    Memory,
    /// Before its first byte: it is compressed, so that nothing in it could be masked.
    Coded,
}

impl CapturedBody {
    fn keep(&mut self, bytes: &[u8], bound: usize) {
        self.length = self.length.saturating_add(bytes.len() as u64);
        if self.end != End::Whole {
            return;
        }
        let room = bound.saturating_sub(self.bytes.len());
        let kept = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        if !self.held.more(kept.len()) {
            self.end = End::Memory;
            return;
        }
        self.bytes.extend_from_slice(kept);
        if kept.len() < bytes.len() {
            self.end = End::Bound;
        }
    }
}

#[cfg(test)]
mod tests;
