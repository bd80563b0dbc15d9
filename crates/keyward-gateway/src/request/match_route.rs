//! Which route a call is for.

use super::Refusal;
use super::path::RequestPath;
use crate::snapshot::{
    AnswerPlan, LocalSnapshot, Lookup, MatchedPath, Occurrence, RequestView, RouteRef,
};
use crate::worker::Worker;
use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, HOST, HeaderMap, HeaderValue, LOCATION, ORIGIN,
};
use http::request::Parts;
use http::{Method, Response};
use keyward_model::{Code, Fault};
use std::borrow::Cow;

/// A call's route, and what of its path goes on.
#[derive(Debug)]
pub(crate) struct Matched {
    pub(crate) route: RouteRef,
    /// Path and query for the upstream, without the target's own prefix.
    pub(crate) path: Box<str>,
    /// Where a redirect leads.
    location: Option<HeaderValue>,
}

/// Finds the most specific route that takes the call.
pub(crate) fn match_route(
    worker: &Worker,
    snapshot: &LocalSnapshot,
    head: &Parts,
    path: &RequestPath,
) -> Result<Matched, Refusal> {
    let method = called_method(head);
    let host = called_host(head);
    let header = |name: &str| {
        let values = head.headers.get_all(name).iter();
        Occurrence::of(values.map(HeaderValue::as_bytes))
    };
    let view = RequestView {
        host,
        path: path.for_matching(),
        method: &method,
        header: &header,
        query: path.query(),
    };
    let found = match snapshot.shared.table.find(&view, || worker.turn()) {
        Lookup::Found(found) => found,
        Lookup::OtherMethods(allow) => {
            let fault = Fault::new(
                Code::MethodNotAllowed,
                format!(
                    "The method {method} is not served at this path; `Allow` lists those that are"
                ),
            );
            return Err(Refusal::with(fault, HeaderMap::from_iter([(ALLOW, allow)])));
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
    let matched = MatchedPath {
        path,
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
            let location = HeaderValue::try_from(location).map_err(|error| {
                Fault::new(Code::BadRequest, "The request's target can't be read").because(error)
            })?;
            (Box::default(), Some(location))
        }
    };
    Ok(Matched {
        route,
        path: target,
        location,
    })
}

impl Matched {
    /// The answer of a route that needs no upstream.
    pub(crate) fn answer<B>(&self, body: impl FnOnce(bytes::Bytes) -> B) -> Option<Response<B>> {
        match self.route.route.plan.answer.as_ref()? {
            AnswerPlan::Fixed(fixed) => {
                let mut answer = Response::new(body(fixed.body.clone()));
                *answer.status_mut() = fixed.status;
                *answer.headers_mut() = fixed.headers.clone();
                Some(answer)
            }
            AnswerPlan::Redirect(redirect) => {
                let mut answer = Response::new(body(bytes::Bytes::new()));
                *answer.status_mut() = redirect.status;
                let location = self.location.clone()?;
                answer.headers_mut().insert(LOCATION, location);
                Some(answer)
            }
        }
    }
}

/// With a target in absolute form, its authority is what is called, whatever `Host` says (RFC 9112,
/// section 3.2.2).
fn called_host(head: &Parts) -> Option<&str> {
    match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => head.headers.get(HOST)?.to_str().ok(),
    }
}

/// A CORS preflight is for the route of the method that it asks for: that one says who may call it.
fn called_method(head: &Parts) -> Cow<'_, Method> {
    if head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && let Some(asked) = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)
        && let Ok(asked) = Method::from_bytes(asked.as_bytes())
    {
        return Cow::Owned(asked);
    }
    Cow::Borrowed(&head.method)
}
