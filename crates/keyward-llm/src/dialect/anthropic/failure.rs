//! Errors, `{"type": "error", "error": {"type", "message"}, "request_id"}`.

use super::super::Context;
use super::super::content::{named_failure, plain_failure};
use crate::fields::Fields;
use crate::form::{Failure, FailureKind, Feature};
use crate::json::{Json, Object};

const TYPES: &[(&str, FailureKind)] = &[
    ("invalid_request_error", FailureKind::InvalidRequest),
    ("authentication_error", FailureKind::Authentication),
    ("billing_error", FailureKind::QuotaExhausted),
    ("permission_error", FailureKind::Permission),
    ("not_found_error", FailureKind::NotFound),
    ("request_too_large", FailureKind::TooLarge),
    ("rate_limit_error", FailureKind::RateLimited),
    ("timeout_error", FailureKind::Timeout),
    ("api_error", FailureKind::Server),
    ("overloaded_error", FailureKind::Overloaded),
];

pub(in super::super) fn read(status: u16, body: &[u8]) -> Failure {
    let error = Fields::parse(body)
        .ok()
        .and_then(|mut fields| fields.take("error"));
    match error.map(|error| of(Some(status), error)) {
        Some(failure) => failure,
        None => plain_failure(status, body),
    }
}

/// The failure that an `error` tells of, in an answer or amid a stream (where there is no status).
pub(in super::super) fn of(status: Option<u16>, error: Json) -> Failure {
    let word = error.get("type").and_then(Json::as_str);
    let message = error
        .get("message")
        .and_then(Json::as_str)
        .unwrap_or_default();
    let known = TYPES.iter().find(|(known, _)| Some(*known) == word);
    named_failure(known.map(|(_, kind)| *kind), status, word, message)
}

pub(in super::super) fn write(failure: &Failure, context: &Context) -> Json {
    let mut error = Object::new()
        .with("type", word(failure.kind))
        .with("message", &failure.message);
    if failure.code.as_deref() == Some(Feature::KeptConversation.refusal()) {
        // The vendor's libraries look for this, and go on by sending the whole conversation.
        let details = Object::new()
            .with("error_code", "thread_unsupported_request")
            .with("unsupported", vec![Json::from("thread")]);
        error = error.with("details", details);
    }
    Json::Object(
        Object::new()
            .with("type", "error")
            .with("error", error)
            .with("request_id", &context.id),
    )
}

const fn word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::InvalidRequest | FailureKind::ContextLength | FailureKind::Filtered => {
            "invalid_request_error"
        }
        FailureKind::Authentication => "authentication_error",
        FailureKind::Permission => "permission_error",
        FailureKind::NotFound => "not_found_error",
        FailureKind::TooLarge | FailureKind::OverLimit => "request_too_large",
        FailureKind::RateLimited => "rate_limit_error",
        FailureKind::QuotaExhausted | FailureKind::Unpaid => "billing_error",
        FailureKind::Overloaded => "overloaded_error",
        FailureKind::Timeout => "timeout_error",
        FailureKind::Server | FailureKind::Cut => "api_error",
    }
}
