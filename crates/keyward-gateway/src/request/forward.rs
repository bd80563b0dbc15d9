//! The call's way to the upstream and back.

use super::admit::Admitted;
use super::attempts::{Attempts, Lease};
use super::authenticate::Authenticated;
use super::match_route::Matched;
use super::{Answer, Client, Refusal, compression, grpc, headers, mirror, upgrade};
use crate::body::{AnswerBody, BodyFailure, Download, RequestBody, Upload, UploadStop};
use crate::capture::{CallCapture, Side};
use crate::deadlines::{Deadline, Patience, Seat};
use crate::http1::write_decimal;
use crate::message::fields::write_field;
use crate::message::{AnswerHead, Fields, Header, RequestHead};
use crate::record::CallRecord;
use crate::replay::Replay;
use crate::trace::AttemptFailure;
use crate::tunnel::Tunnel;
use crate::upstream::{
    AnswerFailure, RequestParts, RetryCause, Sent, TargetPlan, UpstreamConnection, UpstreamPlan,
};
use crate::worker::Worker;
use bytes::Bytes;
use http::{Method, StatusCode};
use keyward_model::{Code, Fault};
use std::fmt::Write as _;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

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
    let compressible = compression::wanted(route, &head);
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
    let mut attempts = Attempts::new(&call, plan, &head, patience, trace.clone());
    let mut lease = attempts.lease().await?;
    upload.copied_by(mirror::copy(&call, &head, upload.length(), record));
    call.edit(&mut head, record);
    let mut stale = 0;
    let answer = loop {
        let target = lease.occupied.target();
        attempts.begins(target, &mut head.fields);
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
        let outcome = exchange(
            &call,
            &head.method,
            &mut lease.connection,
            &mut upload,
            waiting,
        );
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
    if let Some(wanted) = compressible {
        compression::compress(call.worker, &wanted, &head.method, &mut answer);
    }
    answer.spent = head.fields;
    Ok(answer)
}

impl Call<'_> {
    /// Fields as the upstream gets them, but for those that depend on the target.
    fn edit(&self, head: &mut RequestHead, record: &CallRecord) {
        let version = head.version;
        let fields = &mut head.fields;
        headers::strip_hop_by_hop(fields);
        fields.remove(Header::Expect);
        let trusted = self.admitted.origin().trusted_proxy;
        headers::set_forwarded(fields, version, self.client, trusted);
        self.matched.route.route.plan.edit_request(fields);
        fields.set(Header::RequestId, record.request_id_text());
        if let Some(trace) = &record.trace {
            trace.edit(fields);
        }
        // These are written anew for each target.
        fields.retain(|field| !matches!(field.header, Header::Host | Header::ContentLength));
        if let Authenticated::Caller(verified) = self.admitted.authenticated() {
            fields.append_all(&verified.identity);
        }
        if self.upgrades {
            upgrade::ask(fields);
        }
    }

    /// Gives the request's head to the connection, in the form of its protocol.
    fn write_head(
        &self,
        outgoing: Outgoing<'_>,
        connection: &mut UpstreamConnection,
    ) -> Result<(), Fault> {
        let Outgoing { head, target, .. } = outgoing;
        match connection {
            UpstreamConnection::Http1(connection) => {
                let out = connection.begin();
                out.extend_from_slice(head.method.as_str().as_bytes());
                out.push(b' ');
                self.write_path(target, out);
                out.extend_from_slice(b" HTTP/1.1\r\n");
                write_field(out, b"host", target.host.as_bytes());
                head.fields.write(out);
                match outgoing.length {
                    Told::Nothing => {}
                    Told::Length(length) => {
                        out.extend_from_slice(b"content-length: ");
                        write_decimal(out, length);
                        out.extend_from_slice(b"\r\n");
                    }
                    Told::Open => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
                }
                out.extend_from_slice(b"\r\n");
            }
            UpstreamConnection::Http2(call) => {
                let mut path = Vec::new();
                self.write_path(target, &mut path);
                let parts = RequestParts {
                    method: &head.method,
                    scheme: &target.scheme,
                    authority: &target.authority,
                    path,
                    fields: &head.fields,
                    length: match outgoing.length {
                        Told::Length(length) => Some(length),
                        Told::Nothing | Told::Open => None,
                    },
                    takes_trailers: outgoing.takes_trailers,
                };
                call.begin(parts.into_request()?);
            }
        }
        Ok(())
    }

    /// The path and query as the target gets them.
    fn write_path(&self, target: &TargetPlan, out: &mut Vec<u8>) {
        let path_prefix = &*target.target.path_prefix;
        let rest = &*self.matched.path;
        out.extend_from_slice(path_prefix.as_bytes());
        if path_prefix.is_empty() && !rest.starts_with('/') {
            out.push(b'/');
        }
        out.extend_from_slice(rest.as_bytes());
    }

    /// The tunnel that the upstream has agreed to. `asked` are the fields of the request.
    fn switched(
        &self,
        lease: Lease,
        head: AnswerHead,
        asked: &Fields,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        let failed = |why| {
            let fault = Fault::new(
                Code::UpstreamFailed,
                "The API's upstream answered what it was not asked",
            );
            Refusal::from(fault.because(why))
        };
        let Some(plan) = self
            .matched
            .route
            .route
            .plan
            .websocket
            .as_ref()
            .filter(|_| self.upgrades)
        else {
            return Err(failed("101 Switching Protocols"));
        };
        upgrade::check(asked, &head).map_err(failed)?;
        let UpstreamConnection::Http1(connection) = lease.connection else {
            return Err(failed("101, which HTTP/2 does not have"));
        };
        let mut fields = head.fields;
        headers::strip_hop_by_hop(&mut fields);
        fields.remove(Header::ContentLength);
        let route = &self.matched.route.route;
        route.plan.response_headers.apply(&mut fields);
        self.admitted.tell_limits(route, &mut fields);
        record.answered(head.status.as_u16());
        let tunnel = Tunnel::new(
            connection,
            lease.occupied,
            plan,
            self.admitted.authenticated(),
            Rc::clone(self.worker),
            Rc::clone(self.seat),
        );
        let mut answer = Answer::own(head.status, fields, AnswerBody::full(Bytes::new()));
        answer.declared_length = None;
        answer.tunnel = Some(Box::new(tunnel));
        Ok(answer)
    }

    /// The answer as the client gets it.
    fn answered(
        &self,
        attempts: &Attempts<'_>,
        lease: Lease,
        upload: Upload,
        head: AnswerHead,
        method: &Method,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        let route = &self.matched.route.route;
        let mut fields = head.fields;
        let declared_length = if *method == Method::HEAD || head.status == StatusCode::NOT_MODIFIED
        {
            fields
                .get(Header::ContentLength)
                .and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
        } else {
            None
        };
        headers::strip_hop_by_hop(&mut fields);
        fields.remove(Header::ContentLength);
        route.plan.response_headers.apply(&mut fields);
        self.admitted.tell_limits(route, &mut fields);
        record.answered(head.status.as_u16());
        if let Some(capture) = &record.capture {
            capture.body(Side::Response, &fields);
        }
        if record.is_grpc {
            record.grpc_status = grpc::status_in(&fields);
        }
        let body = AnswerBody::upstream(Download {
            connection: Some(lease.connection),
            occupied: Some(lease.occupied),
            worker: Rc::clone(self.worker),
            seat: Rc::clone(self.seat),
            keep: attempts.plan.declared.idle_timeout,
            upload,
            idle: Patience::new(route.body_idle),
            deadline: attempts.deadline,
            trailers: None,
        });
        Ok(Answer {
            status: head.status,
            fields,
            body,
            declared_length,
            closes: false,
            spent: Fields::new(),
            tunnel: None,
        })
    }
}

/// A request as one target gets it.
#[derive(Clone, Copy)]
struct Outgoing<'a> {
    head: &'a RequestHead,
    target: &'a TargetPlan,
    length: Told,
    takes_trailers: bool,
}

/// What the upstream is told of the body's length.
#[derive(Clone, Copy)]
enum Told {
    Nothing,
    Length(u64),
    /// It ends when it ends.
    Open,
}

/// A request without a body says nothing of its length, unless its method means one (RFC 9110, section 8.6).
fn told_length(method: &Method, upload: &Upload) -> Told {
    match upload.length() {
        Some(0) if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) => Told::Nothing,
        Some(length) => Told::Length(length),
        None => Told::Open,
    }
}

fn target_of(plan: &UpstreamPlan, target: usize) -> Result<&TargetPlan, Fault> {
    let target = plan.targets.get(target);
    target
        .map(|target| &**target)
        .ok_or_else(|| Fault::new(Code::Internal, "Something went wrong here"))
}

/// What went wrong with one attempt.
enum Attempt {
    /// The client's body; [`Upload::failure`] says how.
    Client,
    Failed(AnswerFailure),
    TimedOut,
    /// The time for the whole call is over.
    Late,
}

impl Attempt {
    fn refusal(self, upload: &Upload, record: &mut CallRecord) -> Refusal {
        record.bytes_in = upload.bytes_in();
        if upload.failure == Some(BodyFailure::ClientLeft) {
            record.client_left();
        }
        self.fault(upload).into()
    }

    fn for_trace(&self) -> AttemptFailure {
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

/// How long an attempt may take.
struct Waiting {
    /// From when the request has been sent; until then, it has to move.
    answer: Patience,
    whole: Deadline,
}

/// One request and the head of its answer.
async fn exchange(
    call: &Call<'_>,
    method: &Method,
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
        if let Poll::Ready(head) = connection.poll_head(context, method) {
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
