//! Bodies that are read whole, for policies that look into them: within a bound each, and one over all calls of
//! the node.

use super::memory::{Memory, Reservation};
use crate::body::{AnswerBody, BodyFailure, RequestBody};
use crate::coding::Pieces as _;
use crate::deadlines::Patience;
use crate::record::CallRecord;
use crate::request::Refusal;
use crate::request::forward::Call;
use bytes::Bytes;
use keyward_model::{Code, Fault};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};

/// Memory for bodies that are read whole, over all calls of a node.
pub(crate) const BODIES_MAX: usize = 256 << 20;

/// Why a body was not read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    TooLarge,
    NoMemory,
    Failed(BodyFailure),
}

/// A body with the memory that it counts for, until nobody has it any more.
struct Counted {
    bytes: Vec<u8>,
    _memory: Reservation,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a request's body. What follows it in trailers is dropped: it goes on with its length.
pub(super) async fn read(
    call: &Call<'_>,
    mut body: RequestBody,
    bound: usize,
    memory: &Arc<Memory>,
) -> Result<Bytes, Unread> {
    if body.left().is_some_and(|left| left > bound as u64) {
        return Err(Unread::TooLarge);
    }
    let mut bytes = Vec::new();
    let mut reserved = memory.nothing();
    let mut patience = Patience::new(call.matched.route.route.body_idle);
    poll_fn(|context| {
        loop {
            match body.poll_piece(context) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(count)) => {
                    patience.moved();
                    let size = bytes.len() + count;
                    if size > bound {
                        return Poll::Ready(Err(Unread::TooLarge));
                    }
                    if !reserved.resize(size, || false) {
                        return Poll::Ready(Err(Unread::NoMemory));
                    }
                    body.move_piece(count, &mut bytes);
                    if body.left() == Some(0) {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(Unread::Failed(failure))),
                Poll::Pending => {
                    ready!(patience.poll(call.seat));
                    return Poll::Ready(Err(Unread::Failed(BodyFailure::ClientIdle)));
                }
            }
        }
    })
    .await?;
    Ok(Bytes::from_owner(Counted {
        bytes,
        _memory: reserved,
    }))
}

/// Reads an answer's body. The error is for the operator.
pub(super) async fn read_answer(
    body: &mut AnswerBody,
    bound: usize,
    memory: &Arc<Memory>,
) -> Result<Bytes, &'static str> {
    const TOO_LARGE: &str = "the answer is larger than what is made anew (`max_body`)";
    if body.left().is_some_and(|left| left > bound as u64) {
        return Err(TOO_LARGE);
    }
    let mut bytes = Vec::new();
    let mut reserved = memory.nothing();
    poll_fn(|context| {
        loop {
            match ready!(body.poll_piece(context)) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(count) => {
                    let size = bytes.len() + count;
                    if size > bound {
                        return Poll::Ready(Err(TOO_LARGE));
                    }
                    if !reserved.resize(size, || false) {
                        return Poll::Ready(Err("too many bodies are being looked into"));
                    }
                    body.move_piece(count, &mut bytes);
                }
                Err(_) => return Poll::Ready(Err("the answer broke off")),
            }
        }
    })
    .await?;
    body.end();
    Ok(Bytes::from_owner(Counted {
        bytes,
        _memory: reserved,
    }))
}

impl Unread {
    pub(super) fn refusal(self, bound: usize, record: &mut CallRecord) -> Refusal {
        let fault = match self {
            Self::TooLarge => Fault::new(
                Code::BodyTooLarge,
                format!("The body is larger than the {bound} bytes that are looked into here"),
            ),
            Self::NoMemory => Fault::new(
                Code::Overloaded,
                "Too many bodies are being looked into; try again later",
            ),
            Self::Failed(BodyFailure::ClientIdle) => Fault::new(
                Code::RequestTimeout,
                "The body did not arrive in time; send it again",
            ),
            Self::Failed(BodyFailure::Undecodable(why)) => why.fault(),
            Self::Failed(failure) => {
                if failure == BodyFailure::ClientLeft {
                    record.client_left();
                }
                Fault::new(Code::BadRequest, "The body could not be read").because(failure)
            }
        };
        fault.into()
    }
}
