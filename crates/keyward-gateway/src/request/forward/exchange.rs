//! One attempt at one target: the request goes out and the answer's head comes in.

use super::Call;
use crate::body::{BodyFailure, Upload, UploadStop};
use crate::deadlines::{Deadline, Patience};
use crate::message::{AnswerHead, RequestHead};
use crate::record::CallRecord;
use crate::request::Refusal;
use crate::trace::AttemptFailure;
use crate::upstream::{AnswerFailure, UpstreamConnection};
use keyward_model::{Code, Fault};
use std::fmt::Write as _;
use std::future::poll_fn;
use std::task::Poll;

/// How long an attempt may take.
pub(super) struct Waiting {
    /// From when the request has been sent; until then, it has to move.
    pub(super) answer: Patience,
    pub(super) whole: Deadline,
}

/// One request and the head of its answer.
pub(super) async fn exchange(
    call: &Call<'_>,
    head: &RequestHead,
    connection: &mut UpstreamConnection,
    upload: &mut Upload,
    mut waiting: Waiting,
) -> Result<AnswerHead, Attempt> {
    let mut refused = false;
    poll_fn(|context| {
        if !refused {
            match upload.poll_send(context, call.seat, connection) {
                Poll::Pending | Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(UploadStop::Client)) => return Poll::Ready(Err(Attempt::Client)),
                Poll::Ready(Err(UploadStop::Stalled)) => {
                    return Poll::Ready(Err(Attempt::TimedOut));
                }
                // It may have answered before it closed: too large, say.
                Poll::Ready(Err(UploadStop::Upstream)) => refused = true,
            }
        }
        let hint = &mut |hint| call.hint(hint, head);
        if let Poll::Ready(head) = connection.poll_head(context, &head.method, hint) {
            return Poll::Ready(head.map_err(Attempt::Failed));
        }
        if (upload.is_done() || refused) && waiting.answer.poll(call.seat).is_ready() {
            return Poll::Ready(Err(Attempt::TimedOut));
        }
        if waiting.whole.poll(call.seat).is_ready() {
            return Poll::Ready(Err(Attempt::Late));
        }
        Poll::Pending
    })
    .await
}

/// What went wrong with one attempt.
pub(super) enum Attempt {
    /// The client's body; [`Upload::failure`] says how.
    Client,
    Failed(AnswerFailure),
    TimedOut,
    /// The time for the whole call is over.
    Late,
}

impl Attempt {
    pub(super) fn refusal(self, upload: &Upload, record: &mut CallRecord) -> Refusal {
        record.bytes_in = upload.bytes_in();
        if upload.failure == Some(BodyFailure::ClientLeft) {
            record.client_left();
        }
        self.fault(upload).into()
    }

    pub(super) fn for_trace(&self) -> AttemptFailure {
        match self {
            Self::Client => AttemptFailure::ClientBody,
            Self::Failed(AnswerFailure::Broken(_)) => AttemptFailure::Broken,
            Self::Failed(AnswerFailure::Malformed(_)) => AttemptFailure::Malformed,
            Self::Failed(AnswerFailure::GoneAway(_) | AnswerFailure::Refused(_)) => {
                AttemptFailure::Refused
            }
            Self::TimedOut | Self::Late => AttemptFailure::TimedOut,
        }
    }

    fn fault(self, upload: &Upload) -> Fault {
        match (upload.failure, self) {
            (Some(BodyFailure::TooLarge), _) => {
                Fault::new(Code::BodyTooLarge, "The body is larger than this API takes")
            }
            (Some(BodyFailure::Undecodable(why)), _) => why.fault(),
            (Some(BodyFailure::ClientIdle), _) => Fault::new(
                Code::RequestTimeout,
                "The body did not arrive in time; send it again",
            ),
            (Some(failure), _) => {
                Fault::new(Code::BadRequest, "The body could not be read").because(failure)
            }
            (None, Self::Late) if !upload.is_done() => Fault::new(
                Code::RequestTimeout,
                "The call took longer in all than it may, and its body had not arrived; send it again",
            ),
            (None, Self::TimedOut | Self::Late) => Fault::new(
                Code::UpstreamTimeout,
                "The API's upstream did not answer in time; try again later",
            ),
            (None, Self::Failed(AnswerFailure::Broken(error))) => Fault::new(
                Code::UpstreamFailed,
                "The API's upstream broke off before it answered; try again later",
            )
            .because(with_causes(&error)),
            (
                None,
                Self::Failed(failure @ (AnswerFailure::GoneAway(_) | AnswerFailure::Refused(_))),
            ) => Fault::new(
                Code::UpstreamFailed,
                "The API's upstream did not take the call; try again later",
            )
            .because(failure),
            (None, Self::Failed(AnswerFailure::Malformed(fault))) => Fault::new(
                Code::UpstreamFailed,
                "The API's upstream sent an answer that can't be read",
            )
            .because(fault.detail()),
            (None, Self::Client) => Fault::new(Code::BadRequest, "The body could not be read"),
        }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string does not fail.
        let _infallible = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
