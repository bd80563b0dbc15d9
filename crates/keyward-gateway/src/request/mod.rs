//! A request's way. The order of the steps is fixed, and each takes what the one before it proved:
//!
//! 1. [`match_route`]: first, because the route says which credentials it takes.
//! 2. [`screen`]: before authentication, so that what is refused anyway costs no cryptography.
//! 3. [`authenticate`]: who calls.
//! 4. [`authorize`]: whether they may; the answer is a [`Permit`](keyward_model::Permit).
//! 5. [`admit`]: whether they may now. Last before forwarding, so that a refused call uses nothing up.
//! 6. [`forward`]: takes [`Admitted`](admit::Admitted) by value, so that it can't be called without them.
//!
//! The call's record rides in the answer's body and is written when that ends or the client leaves.

pub(crate) mod admit;
mod attempts;
pub(crate) mod authenticate;
mod authorize;
mod client;
pub(crate) mod client_certificate;
mod compression;
mod decompression;
pub(crate) mod forward;
mod forwarded;
pub(crate) mod grpc;
pub(crate) mod headers;
pub(crate) mod identity;
pub(crate) mod match_route;
pub(crate) mod mirror;
mod own;
pub(crate) mod path;
mod protected_resource;
mod screen;
pub(crate) mod token_cache;
mod upgrade;
mod verified_caller;

pub(crate) use admit::{Counting, HeldCalls, limits_unavailable};
pub(crate) use authenticate::Authenticated;
pub(crate) use client::Client;
pub use forwarded::client_address;
pub(crate) use match_route::Matched;
pub(crate) use screen::{CallOrigin, is_trusted};
pub(crate) use verified_caller::VerifiedCaller;

use crate::ai;
use crate::body::{AnswerBody, RequestBody};
use crate::deadlines::Seat;
use crate::message::{Fields, Header, RequestHead};
use crate::policy::{self, Asked};
use crate::problem;
use crate::record::CallRecord;
use crate::tunnel::Tunnel;
use crate::worker::Worker;
use authenticate::Attempt;
use client_certificate::ProxiedCertificate;
use http::{Method, StatusCode};
use keyward_model::{Code, Fault};
use serde_json::Value;
use std::rc::Rc;

/// A call that goes no further: what the caller is told, and the headers that go with it.
#[derive(Debug)]
pub(crate) struct Refusal(Box<(Fault, Fields, Vec<Value>)>);

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::with(fault, Fields::new())
    }
}

impl Refusal {
    pub(crate) fn with(fault: Fault, fields: Fields) -> Self {
        Self(Box::new((fault, fields, Vec::new())))
    }

    /// The same with all that is wrong, as `errors` of the problem (RFC 9457, section 3).
    pub(crate) fn with_errors(fault: Fault, errors: Vec<Value>) -> Self {
        Self(Box::new((fault, Fields::new(), errors)))
    }

    pub(crate) fn fault(&self) -> &Fault {
        &self.0.0
    }

    /// The headers that go with it.
    fn fields_mut(&mut self) -> &mut Fields {
        &mut self.0.1
    }

    /// What the operator's log says of it.
    pub(crate) fn for_operator(&self) -> String {
        let fault = self.fault();
        match fault.reason() {
            Some(reason) => format!("{}: {reason}", fault.code()),
            None => fault.to_string(),
        }
    }
}

/// What the client gets.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Neither framing nor connection options: those are for whoever writes it.
    pub(crate) fields: Fields,
    pub(crate) body: AnswerBody,
    /// The length to tell where no body follows: to `HEAD`, and with 304.
    pub(crate) declared_length: Option<u64>,
    /// Whether the connection can't carry another call afterwards.
    pub(crate) closes: bool,
    /// The request's fields, for their memory.
    pub(crate) spent: Fields,
    /// What the connection, or the stream, becomes after the answer's head.
    pub(crate) tunnel: Option<Box<Tunnel>>,
}

impl Answer {
    /// Whether a body follows the head in an answer to `method` (RFC 9110, section 6.4.1).
    pub(crate) fn has_body(&self, method: &Method) -> bool {
        let bodiless = self.status.is_informational()
            || matches!(
                self.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        !bodiless && *method != Method::HEAD
    }

    /// The length to tell, where there is one.
    pub(crate) fn length(&self, has_body: bool) -> Option<u64> {
        if has_body {
            self.body.left()
        } else if self.status == StatusCode::NO_CONTENT {
            // RFC 9110, section 8.6: not even that it is none.
            None
        } else {
            self.declared_length
        }
    }

    /// An answer of this node's own.
    pub(crate) fn own(status: StatusCode, fields: Fields, body: AnswerBody) -> Self {
        Self {
            status,
            fields,
            declared_length: body.left().filter(|_| status != StatusCode::NOT_MODIFIED),
            body,
            closes: false,
            spent: Fields::new(),
            tunnel: None,
        }
    }
}

/// Serves one call.
pub(crate) async fn serve_call(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    seat: &Rc<Seat>,
    head: RequestHead,
    body: RequestBody,
) -> Answer {
    let mut record = Box::new(CallRecord::begin(Rc::clone(worker), client, &head));
    if let Some(id) = screen::believed_request_id(worker, client, &head.fields) {
        record.set_request_id(id);
    }
    record.trace = worker.trace(client, &head);
    record.is_grpc = grpc::is_call(&head);
    // Before everything: refusing costs a worker that can't keep up next to nothing.
    let outcome = match worker.gate.enter() {
        Ok(in_flight) => {
            record.in_flight = Some(in_flight);
            way(worker, client, seat, head, body, &mut record).await
        }
        Err(overload) => Err(overload.refusal(&worker.metrics)),
    };
    let mut answer = outcome.unwrap_or_else(|refusal| {
        let (fault, fields, errors) = *refusal.0;
        record.refused(&fault);
        let mut answer = if record.is_grpc {
            record.told_grpc(grpc::Status::of(fault.code()).number());
            grpc::answer(&fault, fields)
        } else if let Some(dialect) = record.dialect {
            ai::refusal_answer(&fault, dialect, record.request_id, fields)
        } else {
            problem::answer(&fault, record.request_id, fields, &errors)
        };
        // The rest of a body is not read, and a connection keeps its certificate: neither can carry another call.
        answer.closes = matches!(
            fault.code(),
            Code::BodyTooLarge | Code::CertificateExpired | Code::CertificateRevoked
        );
        answer
    });
    if let Some(nonce) = record.told_nonce() {
        answer.fields.append_named("dpop-nonce", nonce.as_bytes());
    }
    if let Some(policies) = record.policies.take() {
        policies.finish(&mut answer.fields);
    }
    answer
        .fields
        .set(Header::RequestId, record.request_id_text());
    if let Some(alternative) = client.alternative() {
        // In place of what an upstream says: it speaks of its own ports.
        answer.fields.set_named("alt-svc", alternative.as_bytes());
    }
    answer.body = answer.body.with_record(record);
    answer
}

async fn way(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    seat: &Rc<Seat>,
    mut head: RequestHead,
    mut body: RequestBody,
    record: &mut CallRecord,
) -> Result<Answer, Refusal> {
    let snapshot = worker.snapshot();
    let path = path::RequestPath::parse(&head)?;
    if let Some(answer) = own::answer(&worker.shared.published, &head, &path)? {
        record.answered(answer.status.as_u16());
        return Ok(answer);
    }
    if let Some(answer) = own::challenge_answer(&worker.shared.challenges, &path) {
        record.answered(answer.status.as_u16());
        return Ok(answer);
    }
    if let Some(answer) = protected_resource::answer(worker, &snapshot, &head, &path)? {
        record.answered(answer.status.as_u16());
        return Ok(answer);
    }
    let matched = match_route::match_route(worker, &snapshot, &head, &path)?;
    record.route = Some(Rc::clone(&matched.route));
    let route = &matched.route.route;
    // From here on, who calls a model is told of what is wrong in their own dialect.
    record.dialect = route.ai.as_ref().and_then(|ai| ai.refuses_in(&head));
    // Before forged names are taken out, of which this would be one.
    let certificate = ProxiedCertificate::take(worker, route, client, &head);
    // Before anything reads what proxies say of the call.
    forwarded::take(worker, client, &mut head.fields)?;
    let policies = route.policies.as_ref();
    if let Some(policies) = policies {
        record.policies = policies.begins(worker, client, &head.fields);
        policies.bounds(worker, &head, &body)?;
    }
    let origin = screen::screen(worker, route, client, &mut head, &body)?;
    record.set_address(origin.address);
    if let Some(policies) = policies {
        let call = record.policies.as_deref_mut();
        // Before authentication: a preflight has no token, and a barred address costs no cryptography.
        if let Some(answer) = policies.screens(worker, client, &origin, &head, call)? {
            record.answered(answer.status.as_u16());
            return Ok(answer);
        }
    }
    let upgrades = upgrade::screen(route, client, &head, &body)?;
    let attempt = Attempt {
        worker,
        route,
        client,
        origin,
        certificate: certificate.as_deref(),
        now: record.started(),
        begun: record.begun(),
    };
    let authenticated = authenticate::authenticate(&attempt, &mut head, record).await?;
    record.caller = authenticated.caller_of_record();
    // Before it is decided whether the caller may: which model is asked is a part of the question.
    let mut intent = match &route.ai {
        Some(ai) => {
            if let Some(plan) = &route.decompression {
                body = decompression::decompress(worker, plan, &mut head, body)?;
            }
            let body = std::mem::replace(&mut body, RequestBody::Empty);
            let ways = (&**worker, &**seat);
            let allowed =
                |model: &ai::ModelPlan| authorize::allows(&attempt, &authenticated, &head, model);
            let read = ai::read_intent(ways, (route, ai, &allowed), &head, body, record);
            Some(Box::pin(read).await?)
        }
        None => None,
    };
    let model = intent.as_ref().and_then(ai::Intent::model);
    let permit = authorize::authorize(&attempt, &authenticated, &head, model, record)?;
    if let Some(intent) = &mut intent {
        intent.keep(|model| authorize::allows(&attempt, &authenticated, &head, model));
    }
    if let Some(decision) = &route.decision {
        // Behind our own rules, so that nobody is asked about calls that may not pass anyway; before limits,
        // so that what is refused uses none up.
        let asked = Asked {
            worker,
            client,
            seat,
            local: &matched.route,
            admitted: admit::Admitted::to_ask(&permit, &authenticated, origin),
            request_id: record.request_id,
            is_grpc: record.is_grpc,
        };
        if let Some(answer) = Box::pin(policy::decide(asked, decision, &mut head)).await? {
            record.answered(answer.status.as_u16());
            return Ok(answer);
        }
    }
    if let Some(plan) = &route.decompression
        && intent.is_none()
    {
        // Before limits: a body that is not taken uses none up.
        body = decompression::decompress(worker, plan, &mut head, body)?;
    }
    if let Some(intent) = &mut intent {
        // Behind all that decides who may: what is wrong with a body tells of a prompt's variables, and rendering it takes
        // time. Before limits, which count what it comes to.
        intent.render(&head)?;
    }
    // Before the limits that count calls: what holds the most is asked first, and given back if they refuse.
    let spending = match (&mut intent, &route.ai) {
        (Some(intent), Some(ai)) => {
            let asking = ai::Asking {
                worker,
                route,
                ai,
                authenticated: &authenticated,
                caller: permit.caller(),
                origin,
                head: &head,
            };
            Box::pin(ai::hold(asking, intent, record)).await?
        }
        (_, _) => None,
    };
    let asking = admit::Asking {
        worker,
        route,
        permit,
        authenticated,
        origin,
        head: &head,
        model: intent
            .as_ref()
            .and_then(ai::Intent::model)
            .map(|model| &*model.name),
    };
    let admitted = match &worker.shared_limits {
        None => admit::admit(asking, record)?,
        // In a box: calls of a node that counts by itself don't carry its state along.
        Some(shared) => Box::pin(admit::admit_together(shared, asking, record)).await?,
    };
    record.spending = spending;
    if let Some(mut answer) = matched.answer() {
        admitted.tell_limits(route, &mut answer.fields);
        record.answered(answer.status.as_u16());
        return Ok(answer);
    }
    let call = forward::Call {
        worker,
        client,
        seat,
        matched: &matched,
        admitted,
        upgrades,
    };
    if let Some(intent) = intent {
        return Box::pin(ai::infer(call, intent, &head, record)).await;
    }
    if let Some(plan) = &route.content {
        return plan.answer(call, head, body, record).await;
    }
    forward::forward(call, head, body, record).await
}
