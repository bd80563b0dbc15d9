//! The call's way to the upstream and back.

mod exchange;
mod incoming;
mod outgoing;

use super::admit::Admitted;
use super::attempts::Attempts;
use super::match_route::Matched;
use super::{Answer, Client, Refusal, compression, grpc, headers, mirror};
use crate::body::{RequestBody, Upload};
use crate::capture::CallCapture;
use crate::deadlines::{Patience, Seat};
use crate::message::{Header, RequestHead};
use crate::record::CallRecord;
use crate::replay::Replay;
use crate::upstream::{AnswerFailure, RetryCause, Sent};
use crate::worker::Worker;
use exchange::{Attempt, Waiting, exchange};
use http::{Method, StatusCode};
use keyward_model::{Code, Fault};
use outgoing::{Outgoing, target_of, told_length};
use std::rc::Rc;
use std::sync::Arc;

/// Pooled connections that may turn out to be closed before a call is given up.
const STALE_TRIES: usize = 3;

/// A call that has passed every check. It holds [`Admitted`] by value: there is no other way to an upstream.
pub(crate) struct Call<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) client: &'a Rc<Client>,
    pub(crate) seat: &'a Rc<Seat>,
    pub(crate) matched: &'a Matched,
    pub(crate) admitted: Admitted,
    /// Whether it asks for a tunnel that it may have.
    pub(crate) upgrades: bool,
}

/// Sends the call on and streams the answer back.
pub(crate) async fn forward(
    call: Call<'_>,
    head: RequestHead,
    body: RequestBody,
    record: &mut CallRecord,
) -> Result<Answer, Refusal> {
    let finish = Finish::of(&call, &head);
    let mut answer = fetch(&call, head, body, record).await?;
    finish.apply(&call, &mut answer);
    Ok(answer)
}

/// What is done to an answer before its client gets it, whether it comes from an upstream or was kept.
pub(crate) struct Finish {
    compressible: Option<compression::Wanted>,
    method: Method,
}

impl Finish {
    /// `head` is as the client sent it.
    pub(crate) fn of(call: &Call<'_>, head: &RequestHead) -> Self {
        Self {
            compressible: compression::wanted(&call.matched.route.route, head),
            method: head.method.clone(),
        }
    }

    /// The route's changes to the answer's headers, what is left of limits, and the coding.
    pub(crate) fn apply(&self, call: &Call<'_>, answer: &mut Answer) {
        if answer.tunnel.is_some() {
            return;
        }
        let route = &call.matched.route.route;
        route.plan.response_headers.apply(&mut answer.fields);
        call.admitted.tell_limits(route, &mut answer.fields);
        if let Some(wanted) = &self.compressible {
            compression::compress(call.worker, wanted, &self.method, answer);
        }
    }
}

/// Sends the call on, and gives the answer as it came, but for what ends at a hop.
pub(crate) async fn fetch(
    call: &Call<'_>,
    mut head: RequestHead,
    body: RequestBody,
    record: &mut CallRecord,
) -> Result<Answer, Refusal> {
    let route = &call.matched.route.route;
    let Some(plan) = &route.upstream else {
        return Err(Fault::new(Code::Internal, "Something went wrong here").into());
    };
    record.upstream_begins();
    let safe = headers::is_safe(&head.method);
    let takes_trailers =
        plan.may_share() && (record.is_grpc || headers::takes_trailers(&head.fields));
    let mut upload = Upload::new(
        body,
        route.max_body_bytes,
        route.body_idle,
        Arc::clone(&route.forged),
        Replay::new(plan.replay_bytes(), safe),
    );
    if let Some(declared) = &route.capture
        && !record.is_of_copy()
    {
        let settings = call.worker.settings.captures.as_ref();
        record.capture = CallCapture::begin(settings, declared, &call.worker.ids, &head.fields);
        upload = upload.captured(record.capture.clone());
    }
    let trace = record.trace.clone();
    let patience = if record.is_grpc {
        grpc::timeout(&head.fields)
    } else {
        None
    };
    let mut attempts = Attempts::new(call, plan, &head, patience, trace.clone());
    let mut lease = attempts.lease().await?;
    upload.copied_by(mirror::copy(call, &head, upload.length(), record));
    call.edit(&mut head, record);
    let mut stale = 0;
    let answer = loop {
        let target = lease.occupied.target();
        attempts.begins(target, &mut head.fields);
        if route.is_to_provider {
            // A trace is its caller's business, and not a stranger's.
            head.fields.remove(Header::Traceparent);
            head.fields.remove(Header::Tracestate);
        }
        let outgoing = Outgoing {
            head: &head,
            target: target_of(plan, target)?,
            length: told_length(&head.method, &upload),
            takes_trailers,
        };
        call.write_head(outgoing, &mut lease.connection)?;
        let waiting = Waiting {
            answer: Patience::new(plan.declared.response_timeout),
            whole: attempts.deadline,
        };
        let outcome = exchange(call, &head, &mut lease.connection, &mut upload, waiting);
        let outcome = outcome.await;
        if let Some(trace) = &trace {
            match &outcome {
                Ok(answer) => trace.answered(answer.status.as_u16()),
                Err(attempt) => trace.failed(attempt.for_trace()),
            }
        }
        let (unprocessed, tries) = match &outcome {
            // It may have reasons to refuse that don't pass: once more, then by the upstream's own rules.
            Err(Attempt::Failed(AnswerFailure::Refused(_))) => (true, 1),
            Err(Attempt::Failed(failure)) => (failure.is_unprocessed(), STALE_TRIES),
            Ok(_) | Err(Attempt::Client | Attempt::TimedOut | Attempt::Late) => {
                (false, STALE_TRIES)
            }
        };
        let sent = Sent {
            any: upload.was_sent() && !unprocessed,
            safe,
            replayable: upload.can_start_again(),
        };
        record.sent |= sent.any;
        // The upstream closed an old connection just when it was used, or says that it has done nothing of the
        // request: not the call's fault, and nothing has been done that doing it again would do twice.
        let was_stale = matches!(outcome, Err(Attempt::Failed(_)))
            && (lease.reused || unprocessed)
            && stale < tries
            && !lease.connection.has_heard()
            && sent.replayable
            && (safe || !sent.any);
        if was_stale {
            stale += 1;
            attempts.was_stale();
        } else {
            let now = if plan.needs_exact_time() || outcome.is_err() {
                call.worker.moment()
            } else {
                call.worker.deadlines.latest()
            };
            let cause = match &outcome {
                Ok(answer) => {
                    let mut status = answer.status.as_u16();
                    if record.is_grpc {
                        status = grpc::http_status(status, grpc::status_in(&answer.fields));
                    }
                    lease.occupied.answered(status, now);
                    RetryCause::Status(status)
                }
                // At nobody's fault behind us, as far as anyone can tell.
                Err(Attempt::Client) => return Err(Attempt::Client.refusal(&upload, record)),
                Err(Attempt::Late) if !upload.is_done() => {
                    return Err(Attempt::Late.refusal(&upload, record));
                }
                Err(Attempt::Failed(_)) => {
                    lease.occupied.failed(now);
                    RetryCause::Reset
                }
                Err(Attempt::TimedOut | Attempt::Late) => {
                    lease.connection.give_up();
                    lease.occupied.failed(now);
                    RetryCause::Timeout
                }
            };
            match outcome {
                Ok(answer)
                    if !plan
                        .declared
                        .retries
                        .on
                        .statuses
                        .contains(&answer.status.as_u16()) =>
                {
                    break answer;
                }
                outcome => {
                    attempts.failed_at(target);
                    if !attempts.again(cause, sent) {
                        match outcome {
                            Ok(answer) => break answer,
                            Err(attempt) => return Err(attempt.refusal(&upload, record)),
                        }
                    }
                }
            }
            // What the failed attempt holds is no longer needed.
            drop(lease);
            attempts.back_off(cause).await;
        }
        upload.start_again();
        lease = attempts.lease().await?;
    };
    record.bytes_in = upload.bytes_in();
    if answer.status == StatusCode::SWITCHING_PROTOCOLS {
        return call.switched(lease, answer, &head.fields, record);
    }
    let mut answer = call.answered(&attempts, lease, upload, answer, &head.method, record)?;
    answer.spent = head.fields;
    Ok(answer)
}
