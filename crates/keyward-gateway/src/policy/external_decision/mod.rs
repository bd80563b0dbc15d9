//! Another service decides whether a call may pass: it is asked as an upstream is, with its own targets, health,
//! time-outs, and guard against addresses that are not to be reached.
//!
//! It comes behind our own authorization, so that nobody asks about calls that may not pass anyway, and before
//! limits: a call that is refused uses none up.

mod memory;
mod question;

pub(crate) use memory::Memory;

use crate::body::AnswerBody;
use crate::deadlines::{Patience, Seat};
use crate::message::{Fields, Header, RequestHead};
use crate::metrics::PolicyEvent;
use crate::request::admit::Admitted;
use crate::request::headers::is_spelling_of;
use crate::request::{Answer, Client, Refusal};
use crate::snapshot::{LocalRoute, Route};
use crate::worker::Worker;
use bytes::BytesMut;
use http::{Method, StatusCode};
use keyward_model::id::RequestId;
use keyward_model::resource::policy::ExternalDecision;
use keyward_model::{Code, Fault};
use memory::{Key, Remembered};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// So much of an answer is given to a caller who is refused: more than a page to log in has.
const ANSWER_MAX: usize = 64 * 1024;

/// Who decides about a route's calls.
#[derive(Debug)]
pub(crate) struct DecisionRoute {
    declared: Arc<ExternalDecision>,
    memory: Option<Memory>,
    /// The variant of the route that goes to the upstream that is asked.
    pub(crate) route: Arc<Route>,
}

impl DecisionRoute {
    pub(crate) fn new(declared: &Arc<ExternalDecision>, route: Arc<Route>) -> Self {
        Self {
            declared: Arc::clone(declared),
            memory: declared.cache.as_ref().map(Memory::new),
            route,
        }
    }

    /// Whether a header of this name tells the service who calls, or the upstream what it has said of that.
    pub(crate) fn tells_callers_by(&self, name: &[u8]) -> bool {
        let asked_with = self.declared.request_headers.iter();
        let mut names = asked_with.chain(&self.declared.set_headers);
        names.any(|known| known.as_bytes() == name)
    }
}

/// A call that is asked about.
pub(crate) struct Asked<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) client: &'a Rc<Client>,
    pub(crate) seat: &'a Rc<Seat>,
    pub(crate) local: &'a LocalRoute,
    pub(crate) admitted: Admitted,
    pub(crate) request_id: RequestId,
    pub(crate) is_grpc: bool,
}

/// What a service said.
enum Verdict {
    /// The call passes, with these headers.
    Pass(Fields),
    /// The caller gets this.
    Refuse(Box<Answer>),
}

/// Asks whether the call may pass, and changes its head as the answer says. An answer of `Some` is the caller's.
pub(crate) async fn decide(
    asked: Asked<'_>,
    decision: &DecisionRoute,
    head: &mut RequestHead,
) -> Result<Option<Answer>, Refusal> {
    let worker = asked.worker;
    let declared = &decision.declared;
    let memory = decision.memory.as_ref().map(|memory| {
        let scheme = asked.client.scheme();
        let key = Key::of(declared.cache.as_ref(), head, &asked.admitted, scheme);
        (memory, key)
    });
    let now = worker.deadlines.latest();
    if let Some((memory, key)) = &memory
        && let Some(fields) = memory.find(key, now)
    {
        worker.metrics.policy(PolicyEvent::DecisionRemembered);
        put(declared, &fields.0, head);
        return Ok(None);
    }
    let is_grpc = asked.is_grpc;
    match ask(asked, decision, head).await {
        Ok(Verdict::Pass(fields)) => {
            worker.metrics.policy(PolicyEvent::DecisionPassed);
            put(declared, &fields, head);
            if let Some((memory, key)) = memory {
                memory.keep(key, Remembered(fields), worker.deadlines.latest());
            }
            Ok(None)
        }
        Ok(Verdict::Refuse(answer)) => {
            worker.metrics.policy(PolicyEvent::DecisionRefused);
            given(*answer, is_grpc).map(Some)
        }
        Err(why) if declared.allow_on_failure => {
            worker.metrics.policy(PolicyEvent::DecisionFailedOpen);
            tracing::debug!(%why, upstream = %declared.upstream, "a call passed without a decision");
            put(declared, &Fields::new(), head);
            Ok(None)
        }
        Err(why) => {
            worker.metrics.policy(PolicyEvent::DecisionFailed);
            let fault = Fault::new(
                Code::DecisionUnavailable,
                "It can't be decided just now whether the call may pass; try again later",
            );
            Err(fault
                .because(format_args!("upstream `{}`: {why}", declared.upstream))
                .into())
        }
    }
}

/// Puts the headers of an answer into the call, in the place of whatever the client sent under their names.
fn put(declared: &ExternalDecision, from: &Fields, head: &mut RequestHead) {
    if declared.set_headers.is_empty() {
        return;
    }
    head.fields.retain(|field| {
        let mut names = declared.set_headers.iter();
        !names.any(|name| is_spelling_of(field.name, name.as_bytes()))
    });
    head.fields.append_all(from);
}

/// A refusal as the caller gets it: the service's own body, or else a problem.
fn given(answer: Answer, is_grpc: bool) -> Result<Answer, Refusal> {
    let status = answer.status;
    let empty = answer.body.left() == Some(0);
    if status.is_redirection() && !is_grpc {
        return Ok(answer);
    }
    if !empty && !is_grpc {
        return Ok(answer);
    }
    let (code, detail) = match status {
        StatusCode::UNAUTHORIZED => (
            Code::DecisionUnauthorized,
            "The service that decides about this call asks for a credential",
        ),
        _ => (
            Code::DecisionRefused,
            "The service that decides about this call has refused it",
        ),
    };
    let mut fields = answer.fields;
    fields.remove(Header::ContentType);
    fields.remove(Header::ContentEncoding);
    Err(Refusal::with(Fault::new(code, detail), fields))
}

/// What the service says, or in words why it says nothing.
async fn ask(
    asked: Asked<'_>,
    decision: &DecisionRoute,
    head: &RequestHead,
) -> Result<Verdict, String> {
    let declared = &decision.declared;
    let (worker, seat) = (asked.worker, asked.seat);
    let answered = Box::pin(question::ask(asked, declared, head));
    let answer = within(declared.timeout, worker, seat, answered)
        .await
        .ok_or_else(|| format!("no answer within {:?}", declared.timeout))??;
    let (status, mut fields, body) = answer;
    let chosen = |fields: &mut Fields, names: &[Box<str>]| {
        fields.retain(|field| names.iter().any(|name| name.as_bytes() == field.name));
    };
    if status.is_success() {
        chosen(&mut fields, &declared.set_headers);
        return Ok(Verdict::Pass(fields));
    }
    if !status.is_redirection() && !status.is_client_error() {
        return Err(format!("it answered {status}"));
    }
    // Without these nobody could read the body.
    let of_body = [Header::ContentType, Header::ContentEncoding];
    let of_body = of_body.map(|header| (header, fields.get(header).map(<[u8]>::to_vec)));
    chosen(&mut fields, &declared.answer_headers);
    for (header, value) in of_body {
        if let Some(value) = value.filter(|_| !body.is_empty()) {
            fields.set(header, &value);
        }
    }
    // It speaks of this caller at this moment.
    fields.set(Header::CacheControl, b"no-store");
    let answer = Answer::own(status, fields, AnswerBody::full(body.freeze()));
    Ok(Verdict::Refuse(Box::new(answer)))
}

/// The whole of an answer, its body up to the bound.
async fn whole(answer: Answer) -> Result<(StatusCode, Fields, BytesMut), String> {
    let Answer {
        status,
        fields,
        mut body,
        ..
    } = answer;
    let mut read = BytesMut::new();
    loop {
        match poll_fn(|context| body.poll_piece(context)).await {
            Ok(0) => {
                body.end();
                return Ok((status, fields, read));
            }
            Ok(count) => {
                let piece = body.take_piece(count);
                if status.is_success() {
                    // What lets a call pass has nothing more to say.
                    read.clear();
                }
                if read.len() + piece.len() > ANSWER_MAX {
                    return Err(format!("its answer has more than {ANSWER_MAX} bytes"));
                }
                read.extend_from_slice(&piece);
            }
            Err(failure) => return Err(failure.to_string()),
        }
    }
}

/// Waits as long as a decision may take.
async fn within<T>(
    time: std::time::Duration,
    worker: &Worker,
    seat: &Seat,
    answered: impl Future<Output = T>,
) -> Option<T> {
    let mut answered = pin!(answered);
    let mut patience = Patience::new(time);
    poll_fn(|context| {
        if let Poll::Ready(answered) = answered.as_mut().poll(context) {
            return Poll::Ready(Some(answered));
        }
        if worker.drain.cut() || patience.poll(seat).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

/// The method of a question: it changes nothing, and has no body.
const METHOD: Method = Method::GET;
