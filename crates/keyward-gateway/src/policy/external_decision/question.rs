//! The question about a call.

use super::{Asked, METHOD, whole};
use crate::body::RequestBody;
use crate::message::{Class, Fields, Header, RequestHead};
use crate::record::CallRecord;
use crate::request::forward::{self, Call};
use crate::request::match_route::Matched;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use keyward_model::resource::policy::ExternalDecision;
use std::rc::Rc;

/// Asks, and reads the answer to its end, so that the connection can carry the next question.
pub(super) async fn ask(
    asked: Asked<'_>,
    declared: &ExternalDecision,
    about: &RequestHead,
) -> Result<(StatusCode, Fields, BytesMut), String> {
    let Asked {
        worker,
        client,
        seat,
        local,
        admitted,
        request_id,
        is_grpc: _,
    } = asked;
    let Some(route) = &local.decision else {
        return Err("it can't be asked".to_owned());
    };
    let head = RequestHead::of_own(METHOD, about.version, fields(declared, about));
    let matched = Matched::of_copy(Rc::clone(route), declared.path.clone());
    let mut record = CallRecord::of_copy(Rc::clone(worker), client, &head, request_id);
    let call = Call {
        worker,
        client,
        seat,
        matched: &matched,
        admitted,
        upgrades: false,
    };
    let body = RequestBody::whole(Bytes::new());
    match Box::pin(forward::forward(call, head, body, &mut record)).await {
        Ok(answer) => whole(answer).await,
        Err(refusal) => Err(refusal.for_operator()),
    }
}

/// What is told of the call: what is chosen of its headers, and in the way of other gateways which call it is. Who
/// stands in front of us is told as to any upstream.
fn fields(declared: &ExternalDecision, about: &RequestHead) -> Fields {
    let mut fields = Fields::new();
    for field in about.fields.iter() {
        let chosen = || {
            let mut names = declared.request_headers.iter();
            names.any(|name| name.as_bytes() == field.name)
        };
        let in_front = field.header == Header::Host || field.is(Class::SET_HERE);
        // A tunnel is asked about, not opened.
        if (in_front && field.header != Header::Via) || chosen() && !field.is(Class::HOP) {
            fields.append_field(field);
        }
    }
    fields.append_named("x-forwarded-method", about.method.as_str().as_bytes());
    fields.append_named("x-forwarded-uri", about.path_and_query().as_bytes());
    fields
}
