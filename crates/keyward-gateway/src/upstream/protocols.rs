//! The connection that carries a call to its target, in whichever protocol the two speak: the request's way
//! sees no difference but where it writes the head.

use super::http1::Http1Connection;
use super::http2::Http2Call;
use crate::http1::ReadFailure;
use crate::message::{AnswerHead, Fields};
use bytes::Bytes;
use http::Method;
use keyward_model::Fault;
use std::io;
use std::task::{Context, Poll};

/// What one call has of a connection: HTTP/1.1's as a whole, of HTTP/2's a stream.
#[derive(Debug)]
pub(crate) enum UpstreamConnection {
    /// It is handed about by its pointer: half a kilobyte moved ten times costs a call more than that.
    Http1(Box<Http1Connection>),
    Http2(Http2Call),
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerFailure {
    /// The connection broke or ended.
    #[error("it broke off: {0}")]
    Broken(io::Error),
    /// What came is no answer.
    #[error("what it sent is no answer: {0}")]
    Malformed(Fault),
    /// The target goes away, and says that it has done nothing of the request (RFC 9113, section 6.8).
    #[error("it goes away: {0}")]
    GoneAway(h2::Error),
    /// The target says that it has done nothing of the request (RFC 9113, section 8.7).
    #[error("it refused the request: {0}")]
    Refused(h2::Error),
}

impl AnswerFailure {
    /// Whether the request may be sent again whatever it asks for: nothing was done of it.
    pub(crate) fn is_unprocessed(&self) -> bool {
        match self {
            Self::Broken(_) | Self::Malformed(_) => false,
            Self::GoneAway(_) | Self::Refused(_) => true,
        }
    }
}

impl UpstreamConnection {
    /// Whether it has carried an answer before: then the target may close it in the very moment when it is
    /// used again.
    pub(crate) fn is_proven(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_proven(),
            Self::Http2(call) => call.is_proven(),
        }
    }

    /// Whether any byte of an answer has come.
    pub(crate) fn has_heard(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.has_heard(),
            Self::Http2(call) => call.has_heard(),
        }
    }

    /// The head of the answer to a request with this method. `hint` gets the interim ones before it (RFC 9110,
    /// section 15.2), which are few.
    pub(crate) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        method: &Method,
        hint: &mut dyn FnMut(AnswerHead),
    ) -> Poll<Result<AnswerHead, AnswerFailure>> {
        match self {
            Self::Http1(connection) => connection.poll_head(context, method, hint),
            Self::Http2(call) => call.poll_head(context, method, hint),
        }
    }

    /// The next piece of the answer's body: how many bytes are there; none at the end.
    pub(crate) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, ReadFailure>> {
        match self {
            Self::Http1(connection) => connection.poll_body(context),
            Self::Http2(call) => call.poll_body(context),
        }
    }

    /// Nobody takes what comes: it is not left where it could be in the way of others.
    pub(crate) fn absorb(&mut self, context: &mut Context<'_>) {
        match self {
            // It is in nobody's way.
            Self::Http1(_) => {}
            Self::Http2(call) => call.absorb(context),
        }
    }

    /// Moves bytes of the piece.
    pub(crate) fn move_body(&mut self, count: usize, out: &mut Vec<u8>) {
        match self {
            Self::Http1(connection) => connection.move_body(count, out),
            Self::Http2(call) => call.move_body(count, out),
        }
    }

    /// Takes the first `count` bytes of the piece out, without a copy where they are shared.
    pub(crate) fn take_body(&mut self, count: usize) -> Bytes {
        match self {
            Self::Http1(connection) => {
                let mut piece = Vec::with_capacity(count);
                connection.move_body(count, &mut piece);
                Bytes::from(piece)
            }
            Self::Http2(call) => call.take_body(count),
        }
    }

    pub(crate) fn body_left(&self) -> Option<u64> {
        match self {
            Self::Http1(connection) => connection.body_left(),
            Self::Http2(call) => call.body_left(),
        }
    }

    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        match self {
            Self::Http1(connection) => connection.take_trailers(),
            Self::Http2(call) => call.take_trailers(),
        }
    }

    /// Takes back the memory of the answer's head.
    pub(crate) fn recycle(&mut self, fields: Fields) {
        match self {
            Self::Http1(connection) => connection.recycle(fields),
            // It is shared with calls that are answered meanwhile.
            Self::Http2(_) => drop(fields),
        }
    }

    /// The target has kept the call waiting for too long.
    pub(crate) fn give_up(&self) {
        match self {
            // It is closed with the call.
            Self::Http1(_) => {}
            Self::Http2(call) => call.give_up(),
        }
    }
}
