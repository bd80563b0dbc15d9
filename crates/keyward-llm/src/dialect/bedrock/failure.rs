//! Errors: a message alone, whose kind is told by the status, by `__type`, or by the name of an exception in a stream.

use super::super::content::{named_failure, plain_failure};
use crate::form::{Failure, FailureKind};
use crate::json::Json;

const EXCEPTIONS: &[(&str, FailureKind)] = &[
    ("validationexception", FailureKind::InvalidRequest),
    ("accessdeniedexception", FailureKind::Permission),
    ("unrecognizedclientexception", FailureKind::Authentication),
    ("expiredtokenexception", FailureKind::Authentication),
    ("resourcenotfoundexception", FailureKind::NotFound),
    ("throttlingexception", FailureKind::RateLimited),
    ("servicequotaexceededexception", FailureKind::QuotaExhausted),
    ("modeltimeoutexception", FailureKind::Timeout),
    ("modelnotreadyexception", FailureKind::Overloaded),
    ("serviceunavailableexception", FailureKind::Overloaded),
    ("internalserverexception", FailureKind::Server),
    ("modelerrorexception", FailureKind::Server),
    ("modelstreamerrorexception", FailureKind::Server),
];

pub(in super::super) fn read(status: u16, body: &[u8]) -> Failure {
    let json = Json::parse(body).ok();
    let text = |name| {
        json.as_ref()
            .and_then(|json| json.get(name))
            .and_then(Json::as_str)
    };
    let Some(message) = text("message").or(text("Message")) else {
        return plain_failure(status, body);
    };
    let class = text("__type").and_then(|name| name.rsplit('#').next());
    of(Some(status), class, message)
}

/// An exception amid a stream.
pub(super) fn exception(name: &str, data: &[u8]) -> Failure {
    let json = Json::parse(data).ok();
    let told = json
        .as_ref()
        .and_then(|json| json.get("message"))
        .and_then(Json::as_str);
    let plain = std::str::from_utf8(data).unwrap_or_default();
    of(None, Some(name), told.unwrap_or(plain))
}

fn of(status: Option<u16>, class: Option<&str>, message: &str) -> Failure {
    let lower = class.map(str::to_ascii_lowercase);
    let known = EXCEPTIONS
        .iter()
        .find(|(name, _)| lower.as_deref() == Some(name));
    named_failure(known.map(|(_, kind)| *kind), status, class, message)
}
