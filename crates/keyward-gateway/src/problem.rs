//! Refusals as `application/problem+json` (RFC 9457).

use crate::body::AnswerBody;
use crate::message::{Fields, Header};
use crate::request::Answer;
use bytes::Bytes;
use http::StatusCode;
use keyward_model::Fault;
use keyward_model::id::RequestId;
use serde::Serialize;
use serde_json::Value;

/// Where the documents describe each code; the code is its last part.
const TYPE_BASE: &str = "https://keyward.dev/problems/";

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    request_id: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Value],
}

/// The problem's JSON.
pub(crate) fn body(fault: &Fault, request_id: RequestId, errors: &[Value]) -> Bytes {
    let code = fault.code();
    let problem = Problem {
        r#type: format!("{TYPE_BASE}{code}"),
        title: code.title(),
        status: code.status(),
        detail: fault.detail(),
        code: code.as_str(),
        request_id: request_id.to_string(),
        errors,
    };
    // Strings and numbers alone: this can't fail.
    Bytes::from(serde_json::to_vec(&problem).unwrap_or_default())
}

/// The answer to a call that is refused. `fields` are what the refusing step adds: a challenge, limits.
pub(crate) fn answer(
    fault: &Fault,
    request_id: RequestId,
    mut fields: Fields,
    errors: &[Value],
) -> Answer {
    fields.append(Header::ContentType, b"application/problem+json");
    // In the place of what the refusing step says of it, so that it stands there once.
    fields.set(Header::CacheControl, b"no-store");
    Answer::own(
        status(fault),
        fields,
        AnswerBody::full(body(fault, request_id, errors)),
    )
}

fn status(fault: &Fault) -> StatusCode {
    StatusCode::from_u16(fault.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The whole answer as bytes, for a connection whose request could not even be read.
pub(crate) fn raw_answer(fault: &Fault, request_id: RequestId) -> Vec<u8> {
    let body = body(fault, request_id, &[]);
    let status = status(fault);
    let mut answer = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\nrequest-id: {request_id}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        status.as_str(),
        status.canonical_reason().unwrap_or("Error"),
        body.len(),
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    answer
}
