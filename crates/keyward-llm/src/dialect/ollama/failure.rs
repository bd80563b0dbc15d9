//! Errors, `{"error": "why"}`.

use super::super::content::{by_words, plain_failure, shortened};
use crate::form::{Failure, FailureKind};
use crate::json::Json;

pub(in super::super) fn read(status: u16, body: &[u8]) -> Failure {
    let json = Json::parse(body).ok();
    let text = json
        .as_ref()
        .and_then(|json| json.get("error"))
        .and_then(Json::as_str);
    match text {
        Some(text) => told(Some(status), text),
        None => plain_failure(status, body),
    }
}

/// What a text tells, in an answer or amid a stream (where there is no status).
pub(in super::super) fn told(status: Option<u16>, text: &str) -> Failure {
    let kind = status.map_or(FailureKind::Server, FailureKind::of_status);
    let kind = by_words(kind, text);
    Failure {
        status: status.unwrap_or(kind.status()),
        ..Failure::new(kind, shortened(text.to_owned()))
    }
}
