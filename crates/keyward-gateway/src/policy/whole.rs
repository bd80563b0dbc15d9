//! Bodies that are read whole, for policies that look into them: within a bound each, and one over all calls of
//! the node.

use super::memory::{Memory, Reservation};
use crate::body::{AnswerBody, BodyFailure, RequestBody};
use crate::coding::Pieces as _;
use crate::deadlines::{Deadline, Patience, Seat};
use crate::record::CallRecord;
use crate::request::Refusal;
use crate::request::forward::Call;
use bytes::Bytes;
use keyward_model::{Code, Fault};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

/// Memory for bodies that are read whole, over all calls of a node.
pub(crate) const BODIES_MAX: usize = 256 << 20;
/// How much of it one route may have: those of other teams want some too.
pub(crate) const BODIES_OF_ROUTE_MAX: usize = BODIES_MAX / 4;
/// The same for bodies of answers, which have memory of their own: clients that read their answers slowly keep nobody's
/// request from being read.
pub(crate) const ANSWERS_MAX: usize = 256 << 20;
pub(crate) const ANSWERS_OF_ROUTE_MAX: usize = ANSWERS_MAX / 4;
/// For how much of a body that says its length memory is asked for before it is there.
const AHEAD_MAX: usize = 256 << 10;
/// How long a body may take to arrive, where the route's upstream has no time for a whole call: who sends a byte now
/// and then keeps its memory no longer.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);

/// Why a body was not read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    NoMemory,
    Failed(BodyFailure),
}

/// Why an answer's body was not read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnreadAnswer {
    TooLarge,
    /// What this node, or the route, may keep of bodies is in use.
    NoMemory,
    Late,
    Broken(BodyFailure),
}

impl UnreadAnswer {
    /// For the operator.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "the answer is larger than what is looked into (`max_body`)",
            Self::NoMemory => "too many bodies are being looked into",
            Self::Late => "the answer did not arrive in time",
            Self::Broken(_) => "the answer broke off",
        }
    }
}

/// A body with the memory that it counts for, until nobody has it any more.
struct Counted {
    bytes: Vec<u8>,
    _reserved: Reserved,
}

/// What a body takes of the node's memory and of the route's.
#[derive(Debug)]
pub(crate) struct Reserved {
    of_route: Reservation,
    of_node: Reservation,
}

impl Reserved {
    /// Nothing yet, for a request's body.
    fn of_request(call: &Call<'_>) -> Option<Self> {
        let content = call.matched.route.route.content.as_ref()?;
        Some(Self::nothing(content.bodies(), &call.worker.shared.bodies))
    }

    /// Nothing yet, for an answer's body.
    pub(super) fn of_answer(call: &Call<'_>) -> Option<Self> {
        let content = call.matched.route.route.content.as_ref()?;
        Some(Self::nothing(
            content.answers(),
            &call.worker.shared.answers,
        ))
    }

    pub(crate) fn nothing(of_route: &Arc<Memory>, of_node: &Arc<Memory>) -> Self {
        Self {
            of_route: of_route.nothing(),
            of_node: of_node.nothing(),
        }
    }

    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        self.of_route.resize(bytes, || false) && self.of_node.resize(bytes, || false)
    }
}

/// Until when a body is waited for, which begins to be read now.
fn deadline(call: &Call<'_>) -> Deadline {
    let upstream = call.matched.route.route.upstream.as_ref();
    let total = upstream.and_then(|plan| plan.declared.total_timeout);
    let now = call.worker.deadlines.now();
    Deadline::after(Some(total.unwrap_or(WHOLE_WITHIN)), now)
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a request's body. What follows it in trailers is dropped: it goes on with its length.
pub(super) async fn read(
    call: &Call<'_>,
    body: RequestBody,
    bound: usize,
) -> Result<Bytes, Unread> {
    let reserved = Reserved::of_request(call).ok_or(Unread::NoMemory)?;
    let terms = Terms {
        seat: call.seat,
        deadline: deadline(call),
        idle: call.matched.route.route.body_idle,
    };
    read_within(terms, body, bound, reserved).await
}

/// How long a body may take to arrive.
pub(crate) struct Terms<'a> {
    pub(crate) seat: &'a Seat,
    pub(crate) deadline: Deadline,
    /// Without a byte.
    pub(crate) idle: Duration,
}

/// Reads a request's body into memory that is `reserved` as it grows.
pub(crate) async fn read_within(
    terms: Terms<'_>,
    mut body: RequestBody,
    bound: usize,
    mut reserved: Reserved,
) -> Result<Bytes, Unread> {
    if body.left().is_some_and(|left| left > bound as u64) {
        return Err(Unread::TooLarge);
    }
    // Grown piece by piece, a large body would be copied once more. Memory that nothing is written to costs nothing.
    let told = usize::try_from(body.left().unwrap_or_default()).unwrap_or(AHEAD_MAX);
    let mut bytes = Vec::with_capacity(told.min(AHEAD_MAX));
    let Terms {
        seat,
        deadline,
        idle,
    } = terms;
    let mut patience = Patience::new(idle);
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
                    if !reserved.resize(size) {
                        return Poll::Ready(Err(Unread::NoMemory));
                    }
                    body.move_piece(count, &mut bytes);
                    if body.left() == Some(0) {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(Unread::Failed(failure))),
                Poll::Pending => {
                    if deadline.poll(seat).is_pending() {
                        ready!(patience.poll(seat));
                    }
                    return Poll::Ready(Err(Unread::Failed(BodyFailure::ClientIdle)));
                }
            }
        }
    })
    .await?;
    Ok(Bytes::from_owner(Counted {
        bytes,
        _reserved: reserved,
    }))
}

/// Reads an answer's body.
pub(super) async fn read_answer(
    call: &Call<'_>,
    body: &mut AnswerBody,
    bound: usize,
) -> Result<Bytes, UnreadAnswer> {
    let reserved = Reserved::of_answer(call).ok_or(UnreadAnswer::NoMemory)?;
    read_answer_within(call.seat, deadline(call), body, bound, reserved).await
}

/// Reads an answer's body into memory that is `reserved` as it grows.
pub(crate) async fn read_answer_within(
    seat: &Seat,
    deadline: Deadline,
    body: &mut AnswerBody,
    bound: usize,
    mut reserved: Reserved,
) -> Result<Bytes, UnreadAnswer> {
    if body.left().is_some_and(|left| left > bound as u64) {
        return Err(UnreadAnswer::TooLarge);
    }
    let mut bytes = Vec::new();
    poll_fn(|context| {
        loop {
            let Poll::Ready(piece) = body.poll_piece(context) else {
                ready!(deadline.poll(seat));
                return Poll::Ready(Err(UnreadAnswer::Late));
            };
            match piece {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(count) => {
                    let size = bytes.len() + count;
                    if size > bound {
                        return Poll::Ready(Err(UnreadAnswer::TooLarge));
                    }
                    if !reserved.resize(size) {
                        return Poll::Ready(Err(UnreadAnswer::NoMemory));
                    }
                    body.move_piece(count, &mut bytes);
                }
                Err(failure) => return Poll::Ready(Err(UnreadAnswer::Broken(failure))),
            }
        }
    })
    .await?;
    body.end();
    Ok(Bytes::from_owner(Counted {
        bytes,
        _reserved: reserved,
    }))
}

impl Unread {
    pub(crate) fn refusal(self, bound: usize, record: &mut CallRecord) -> Refusal {
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
