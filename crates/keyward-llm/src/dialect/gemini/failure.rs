//! Errors, `{"error": {"code", "message", "status", "details"}}`, as all of Google's interfaces have them.

use super::super::content::{by_words, plain_failure, shortened};
use crate::form::{Failure, FailureKind};
use crate::json::{Json, Object};

const STATUSES: &[(&str, FailureKind)] = &[
    ("INVALID_ARGUMENT", FailureKind::InvalidRequest),
    ("FAILED_PRECONDITION", FailureKind::InvalidRequest),
    ("OUT_OF_RANGE", FailureKind::InvalidRequest),
    ("UNAUTHENTICATED", FailureKind::Authentication),
    ("PERMISSION_DENIED", FailureKind::Permission),
    ("NOT_FOUND", FailureKind::NotFound),
    ("RESOURCE_EXHAUSTED", FailureKind::RateLimited),
    ("INTERNAL", FailureKind::Server),
    ("UNKNOWN", FailureKind::Server),
    ("UNAVAILABLE", FailureKind::Overloaded),
    ("DEADLINE_EXCEEDED", FailureKind::Timeout),
    ("CANCELLED", FailureKind::Server),
];

pub(in super::super) fn read(status: u16, body: &[u8]) -> Failure {
    let json = Json::parse(body).ok();
    // A stream that was asked for without server-sent events is an array.
    let first = json.as_ref().and_then(|json| match json {
        Json::Array(items) => items.first(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => {
            Some(json)
        }
    });
    match first.and_then(|json| json.get("error")) {
        Some(error) => of(Some(status), error),
        None => plain_failure(status, body),
    }
}

pub(in super::super) fn of(status: Option<u16>, error: &Json) -> Failure {
    let word = error.get("status").and_then(Json::as_str);
    let told = error.get("code").and_then(Json::as_u64);
    let told = told.and_then(|code| u16::try_from(code).ok());
    let message = error
        .get("message")
        .and_then(Json::as_str)
        .unwrap_or_default();
    let status = status.or(told.filter(|code| (400..600).contains(code)));
    let known = STATUSES.iter().find(|(known, _)| Some(*known) == word);
    let mut kind = known
        .map(|(_, kind)| *kind)
        .or(status.map(FailureKind::of_status))
        .unwrap_or(FailureKind::Server);
    if kind == FailureKind::InvalidRequest && message.contains("API key not valid") {
        // Told as an argument that is not valid.
        kind = FailureKind::Authentication;
    }
    kind = by_words(kind, message);
    Failure {
        kind,
        status: status.unwrap_or(kind.status()),
        message: shortened(message.to_owned()),
        code: word.map(str::to_owned),
        field: None,
        because: None,
    }
}

pub(in super::super) fn write(failure: &Failure) -> Json {
    let error = Object::new()
        .with("code", u64::from(failure.status))
        .with("message", &failure.message)
        .with("status", word(failure.kind));
    Json::Object(Object::new().with("error", error))
}

const fn word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::InvalidRequest
        | FailureKind::ContextLength
        | FailureKind::Filtered
        | FailureKind::OverLimit
        | FailureKind::TooLarge => "INVALID_ARGUMENT",
        FailureKind::Authentication => "UNAUTHENTICATED",
        FailureKind::Permission => "PERMISSION_DENIED",
        FailureKind::NotFound => "NOT_FOUND",
        FailureKind::RateLimited | FailureKind::QuotaExhausted | FailureKind::Unpaid => {
            "RESOURCE_EXHAUSTED"
        }
        FailureKind::Overloaded => "UNAVAILABLE",
        FailureKind::Timeout => "DEADLINE_EXCEEDED",
        FailureKind::Server | FailureKind::Cut => "INTERNAL",
    }
}
