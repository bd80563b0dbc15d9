//! Which route a call is for.

use super::path::RequestPath;
use super::{Answer, Refusal};
use crate::body::AnswerBody;
use crate::message::{Fields, Header, RequestHead};
use crate::snapshot::{
    AnswerPlan, LocalSnapshot, Lookup, MatchedPath, Occurrence, RequestView, RouteRef,
};
use crate::worker::Worker;
use bytes::Bytes;
use http::Method;
use keyward_model::{Code, Fault};

/// A call's route, and what of its path goes on.
#[derive(Debug)]
pub(crate) struct Matched {
    pub(crate) route: RouteRef,
    /// Path and query for the upstream, without the target's own prefix.
    pub(crate) path: Box<str>,
    /// Where a redirect leads.
    location: Option<Box<str>>,
}

/// Finds the most specific route that takes the call.
pub(crate) fn match_route(
    worker: &Worker,
    snapshot: &LocalSnapshot,
    head: &RequestHead,
    path: &RequestPath<'_>,
) -> Result<Matched, Refusal> {
    let host = called_host(head);
    let asked = method_of_preflight(head);
    let mut method = asked.as_ref().unwrap_or(&head.method);
    let mut looked_up = find(worker, snapshot, (head, host), path, method);
    if asked.is_some()
        && let Lookup::Found(found) = &looked_up
        && !found.route.answers_preflights()
    {
        // Where nothing answers preflights this is a call of its own method: whoever may make the one that it
        // asks for has not been asked about `OPTIONS`.
        method = &head.method;
        looked_up = find(worker, snapshot, (head, host), path, method);
    }
    let found = match looked_up {
        Lookup::Found(found) => found,
        Lookup::OtherMethods(allow) => {
            let fault = Fault::new(
                Code::MethodNotAllowed,
                format!(
                    "The method {method} is not served at this path; `Allow` lists those that are"
                ),
            );
            let mut fields = Fields::new();
            fields.append(Header::Allow, allow.as_bytes());
            return Err(Refusal::with(fault, fields));
        }
        Lookup::Nothing => {
            let fault = Fault::new(
                Code::NotFound,
                "No API is published under this path; check the address",
            );
            return Err(fault.into());
        }
    };
    let Some(route) = snapshot.route(&found, &worker.pools) else {
        return Err(Fault::new(Code::Internal, "Something went wrong here").into());
    };
    // A key that stands in the query goes no further, whatever becomes of the rest.
    let without_key = route
        .route
        .key_parameter
        .as_deref()
        .and_then(|name| path.without(name));
    let matched = MatchedPath {
        path: without_key.as_ref().unwrap_or(path),
        parameters: &found.parameters,
    };
    let plan = &route.route.plan;
    let (target, location) = match &plan.answer {
        None => (plan.target(&matched).into(), None),
        Some(AnswerPlan::Fixed(_)) => (Box::default(), None),
        Some(AnswerPlan::Redirect(redirect)) => {
            let location = plan.location(redirect, &matched, host).ok_or_else(|| {
                Fault::new(
                    Code::BadRequest,
                    "The request names no host to be sent on to; send `Host`",
                )
            })?;
            (Box::default(), Some(location.into()))
        }
    };
    Ok(Matched {
        route,
        path: target,
        location,
    })
}

fn find<'s>(
    worker: &Worker,
    snapshot: &'s LocalSnapshot,
    (head, host): (&RequestHead, Option<&str>),
    path: &RequestPath<'_>,
    method: &Method,
) -> Lookup<'s> {
    let header = |name: &str| Occurrence::of(head.fields.all_named(name));
    let view = RequestView {
        host,
        path: path.for_matching(),
        method,
        header: &header,
        query: path.query(),
    };
    snapshot.shared.table.find(&view, || worker.turn())
}

impl Matched {
    /// Of a copy of a call, or of a question about one.
    pub(crate) fn of_copy(route: RouteRef, path: Box<str>) -> Self {
        Self {
            route,
            path,
            location: None,
        }
    }

    /// The answer of a route that needs no upstream.
    pub(crate) fn answer(&self) -> Option<Answer> {
        match self.route.route.plan.answer.as_ref()? {
            AnswerPlan::Fixed(fixed) => Some(Answer::own(
                fixed.status,
                fixed.fields.clone(),
                AnswerBody::full(fixed.body.clone()),
            )),
            AnswerPlan::Redirect(redirect) => {
                let mut fields = Fields::new();
                fields.append(Header::Location, self.location.as_ref()?.as_bytes());
                let body = AnswerBody::full(Bytes::new());
                Some(Answer::own(redirect.status, fields, body))
            }
        }
    }
}

/// With a target in absolute form, its authority is what is called, whatever `Host` says (RFC 9112,
/// section 3.2.2).
pub(crate) fn called_host(head: &RequestHead) -> Option<&str> {
    match head.authority() {
        Some(authority) => Some(authority),
        None => std::str::from_utf8(head.fields.get(Header::Host)?).ok(),
    }
}

/// The method that a CORS preflight asks for, whose route says which pages may call it.
fn method_of_preflight(head: &RequestHead) -> Option<Method> {
    if head.method != Method::OPTIONS || !head.fields.has(Header::Origin) {
        return None;
    }
    let asked = head.fields.get(Header::AccessControlRequestMethod)?;
    Method::from_bytes(asked).ok()
}
