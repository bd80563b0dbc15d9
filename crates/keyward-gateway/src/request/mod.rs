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

mod admit;
mod authenticate;
mod authorize;
mod bearer;
mod client;
mod forward;
pub(crate) mod headers;
pub(crate) mod identity;
mod match_route;
mod own;
mod path;
mod screen;
pub(crate) mod token_cache;

pub(crate) use client::{Answering, Client};

use crate::body::AnswerBody;
use crate::problem;
use crate::record::CallRecord;
use crate::worker::Worker;
use http::header::HeaderMap;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use keyward_model::{Code, Fault};
use std::rc::Rc;

/// A call that goes no further: what the caller is told, and the headers that go with it.
#[derive(Debug)]
pub(crate) struct Refusal(Box<(Fault, HeaderMap)>);

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::with(fault, HeaderMap::new())
    }
}

impl Refusal {
    pub(crate) fn with(fault: Fault, headers: HeaderMap) -> Self {
        Self(Box::new((fault, headers)))
    }
}

/// Serves one call.
pub(crate) async fn serve_call(
    worker: Rc<Worker>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let mut record = Box::new(CallRecord::begin(Rc::clone(&worker), &client, &request));
    if let Some(id) = screen::believed_request_id(&worker, &client, request.headers()) {
        record.set_request_id(id);
    }
    let request_id = record.request_id;
    let outcome = way(&worker, &client, request, &mut record).await;
    let mut answer = outcome.unwrap_or_else(|refusal| {
        let (fault, headers) = *refusal.0;
        record.refused(&fault);
        let mut answer = problem::answer(&fault, request_id, headers);
        if fault.code() == Code::BodyTooLarge {
            // The rest of the body is not read: the connection can't carry another call.
            answer
                .headers_mut()
                .insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    });
    let id = record.request_id_value.clone();
    answer.headers_mut().insert(headers::REQUEST_ID, id);
    answer.map(|body| body.with_record(record))
}

async fn way(
    worker: &Rc<Worker>,
    client: &Client,
    request: Request<Incoming>,
    record: &mut CallRecord,
) -> Result<Response<AnswerBody>, Refusal> {
    let (mut head, body) = request.into_parts();
    let snapshot = worker.snapshot();
    let path = path::RequestPath::parse(&head)?;
    if let Some(answer) = own::answer(&snapshot, &head, &path)? {
        record.answered(answer.status().as_u16());
        return Ok(answer);
    }
    if let Some(answer) = own::challenge_answer(&worker.shared.challenges, &path) {
        record.answered(answer.status().as_u16());
        return Ok(answer);
    }
    let matched = match_route::match_route(&snapshot, &path)?;
    record.route = Some(Rc::clone(&matched.route));
    let route = &matched.route.route;
    let origin = screen::screen(worker, route, client, &mut head, &body)?;
    record.set_address(origin.address);
    let authenticated = authenticate::authenticate(worker, route, &mut head, record).await?;
    record.caller = authenticated.caller_of_record();
    let permit = authorize::authorize(route, &authenticated)?;
    let admitted = admit::admit(worker, route, permit, authenticated, origin, record)?;
    forward::forward(worker, client, matched, admitted, head, body, record).await
}
