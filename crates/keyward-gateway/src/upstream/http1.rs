//! A connection to a target over HTTP/1.1, driven by the task of the call that uses it.
//!
//! There is no task of its own behind it: no wake-ups between tasks, and when the call is dropped, so is
//! the connection, which cancels the call at the upstream.

use super::endpoint::{Endpoint, Reached};
use super::limit::ConnectionPlace;
use super::protocols::AnswerFailure;
use super::state::OpenConnection;
use super::tls::UpstreamTransport;
use crate::http1::{BodyDecoder, Framing, HeadBounds, HeadParser, ReadFailure, Stream};
use crate::message::{AnswerHead, Fields, Version};
use http::{Method, StatusCode};
use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll, ready};

/// Bounds on the head of an answer: as wide as those on what clients send, since upstreams set cookies.
const BOUNDS: HeadBounds = HeadBounds {
    line: 8 * 1024,
    head: 64 * 1024,
    fields: 128,
};
/// Interim answers (1xx) before the one that counts: more are no hints but a fault.
const INTERIM_MAX: usize = 16;

/// A connection that carries one call at a time.
#[derive(Debug)]
pub(crate) struct Http1Connection {
    stream: Stream<UpstreamTransport>,
    parser: Option<HeadParser>,
    decoder: BodyDecoder,
    /// Whether the upstream lets it be used again.
    keep: bool,
    /// Whether bytes of an answer have come.
    heard: bool,
    interim: usize,
    /// Memory for the places of the next head's fields, and for its bytes.
    places: Fields,
    spare: Vec<u8>,
    address: IpAddr,
    /// Of the target's addresses, when it was made.
    generation: u32,
    _counted: Option<OpenConnection>,
    _place: Option<ConnectionPlace>,
}

impl Http1Connection {
    /// A connection that was made, in the `place` that was found for it where connections are bounded.
    pub(super) fn new(
        reached: Reached,
        counted: Option<OpenConnection>,
        place: Option<ConnectionPlace>,
    ) -> Self {
        Self {
            stream: Stream::new(reached.transport),
            parser: None,
            decoder: BodyDecoder::empty(),
            keep: true,
            heard: false,
            interim: 0,
            places: Fields::new(),
            spare: Vec::new(),
            address: reached.address,
            generation: reached.generation,
            _counted: counted,
            _place: place,
        }
    }

    /// Whether the target is still where this leads.
    pub(super) fn leads_to(&self, endpoint: &Endpoint) -> bool {
        let addresses = &endpoint.state.addresses;
        self.generation == addresses.generation() || addresses.has(self.address)
    }

    pub(crate) fn stream(&mut self) -> &mut Stream<UpstreamTransport> {
        &mut self.stream
    }

    /// Whether another call can be sent now: the upstream has neither closed nor said anything unasked.
    pub(crate) fn is_reusable(&mut self, context: &mut Context<'_>) -> bool {
        self.stream.is_quiet(context)
    }

    /// Whether the connection is at the end of an answer that another call may follow.
    pub(crate) fn may_be_kept(&self) -> bool {
        self.keep && self.decoder.is_done() && !self.stream.has_unread()
    }

    /// Whether it has carried an answer, asked before a call begins on it.
    pub(crate) fn is_proven(&self) -> bool {
        self.heard
    }

    /// Whether any byte of an answer has come.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard
    }

    /// Begins a call: what [`stream`](Self::stream) is given from now on is a request.
    pub(crate) fn begin(&mut self) -> &mut Vec<u8> {
        let places = std::mem::take(&mut self.places);
        self.parser = Some(HeadParser::of_answer(BOUNDS, places));
        self.heard = false;
        self.interim = 0;
        self.stream.output()
    }

    /// The head of the answer to a request with this method. `hint` gets the interim ones before it.
    pub(crate) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        method: &Method,
        hint: &mut dyn FnMut(AnswerHead),
    ) -> Poll<Result<AnswerHead, AnswerFailure>> {
        loop {
            let parser = self
                .parser
                .get_or_insert_with(|| HeadParser::of_answer(BOUNDS, Fields::new()));
            let whole = parser
                .advance(self.stream.unread())
                .map_err(AnswerFailure::Malformed)?;
            let Some(length) = whole else {
                let read =
                    ready!(self.stream.poll_read_head(context)).map_err(AnswerFailure::Broken)?;
                if read == 0 {
                    let error = io::ErrorKind::UnexpectedEof.into();
                    return Poll::Ready(Err(AnswerFailure::Broken(error)));
                }
                self.heard = true;
                continue;
            };
            let framing = parser.framing();
            let spare = std::mem::take(&mut self.spare);
            let bytes = self.stream.split_off(length, spare);
            let head = self
                .parser
                .take()
                .and_then(|parser| parser.into_answer(bytes));
            let Some(head) = head else {
                let error = io::ErrorKind::InvalidData.into();
                return Poll::Ready(Err(AnswerFailure::Broken(error)));
            };
            if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
                self.interim += 1;
                if self.interim > INTERIM_MAX {
                    let error = io::Error::other("interim answers without end");
                    return Poll::Ready(Err(AnswerFailure::Broken(error)));
                }
                hint(head);
                continue;
            }
            self.decoder = body_of(method, &head, framing);
            self.keep = match head.version {
                Version::Http11 | Version::Http2 | Version::Http3 => !framing.close,
                Version::Http10 => framing.keep_alive && !framing.close,
            } && !self.decoder.ends_with_connection();
            return Poll::Ready(Ok(head));
        }
    }

    /// The next piece of the answer's body: how many bytes are there; none at the end.
    pub(crate) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, ReadFailure>> {
        self.stream.poll_body(context, &mut self.decoder)
    }

    /// Moves bytes of the piece.
    pub(crate) fn move_body(&mut self, count: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.stream.piece(count));
        self.stream.use_body(&mut self.decoder, count);
    }

    pub(crate) fn body_left(&self) -> Option<u64> {
        self.decoder.left()
    }

    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        self.decoder.take_trailers()
    }

    /// Takes back the memory of the answer's head.
    pub(crate) fn recycle(&mut self, fields: Fields) {
        (self.places, self.spare) = fields.recycle();
    }

    /// Gives memory back that a waiting connection does not need.
    pub(crate) fn shrink(&mut self) {
        self.stream.shrink();
    }
}

/// Where the answer's body ends (RFC 9112, section 6.3).
fn body_of(method: &Method, head: &AnswerHead, framing: Framing) -> BodyDecoder {
    let none = *method == Method::HEAD
        || head.status.is_informational()
        || matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    match (none, framing.chunked, framing.content_length) {
        (true, ..) => BodyDecoder::empty(),
        (false, true, _) => BodyDecoder::chunked(),
        (false, false, Some(length)) => BodyDecoder::of_length(length),
        (false, false, None) => BodyDecoder::until_close(),
    }
}
