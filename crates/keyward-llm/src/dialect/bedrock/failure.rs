//! Errors: a message alone, whose kind is told by a header, by `__type`, by the name of an exception in a stream, or else by
//! the status.

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

/// In which header of an answer the kind of its error stands.
pub(in super::super) const TYPE_HEADER: &str = "x-amzn-errortype";

/// `told` is what that header says: the exception's name, and behind `:` where it is written down.
pub(in super::super) fn read(status: u16, told: Option<&str>, body: &[u8]) -> Failure {
    let json = Json::parse(body).ok();
    let text = |name| {
        json.as_ref()
            .and_then(|json| json.get(name))
            .and_then(Json::as_str)
    };
    let class = told
        .or(text("__type"))
        .and_then(|name| name.split(':').next())
        .and_then(|name| name.rsplit('#').next())
        .map(str::trim);
    match text("message").or(text("Message")) {
        Some(message) => of(Some(status), class, message),
        None => {
            let plain = plain_failure(status, body);
            match class {
                Some(_) => of(Some(status), class, &plain.message),
                None => plain,
            }
        }
    }
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
