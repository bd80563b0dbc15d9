//! What callers are told when there is no answer: in their own dialect.

use crate::body::AnswerBody;
use crate::message::{Fields, Header};
use crate::request::Answer;
use bytes::Bytes;
use http::StatusCode;
use keyward_llm::form::{Failure, FailureKind};
use keyward_llm::{Context, Dialect};
use keyward_model::id::RequestId;
use keyward_model::{Code, Fault};

/// A refusal of this gateway's own, as callers of `form` read it. `fields` are what the refusing step adds.
pub(crate) fn refusal_answer(
    fault: &Fault,
    form: Dialect,
    request_id: RequestId,
    mut fields: Fields,
) -> Answer {
    tell_code(&mut fields, fault.code().as_str());
    let status = fault.code().status();
    let kind = if fault.code() == Code::QuotaExceeded {
        // Dialects have a word for what waiting a moment does not help.
        FailureKind::QuotaExhausted
    } else {
        FailureKind::of_status(status)
    };
    let failure = Failure {
        status,
        ..Failure::new(kind, fault.detail()).with_code(fault.code().as_str())
    };
    let context = Context {
        id: request_id.to_string(),
        now: 0,
    };
    answer(&failure, form, &context, fields)
}

/// Tells the code of what went wrong beside the body: only OpenAI's errors have a place for it.
pub(super) fn tell_code(fields: &mut Fields, code: &str) {
    fields.append_named("keyward-code", code.as_bytes());
}

/// A failure as callers of `form` read it.
pub(super) fn answer(
    failure: &Failure,
    form: Dialect,
    context: &Context,
    mut fields: Fields,
) -> Answer {
    // Nobody comes here who speaks a dialect of providers alone.
    let body = form.write_failure(failure, context).unwrap_or_default();
    fields.set(Header::ContentType, b"application/json");
    fields.set(Header::CacheControl, b"no-store");
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::BAD_GATEWAY);
    Answer::own(status, fields, AnswerBody::full(Bytes::from(body)))
}

/// The same of a call with a key of the caller's own: that it is not good is theirs to hear.
pub(super) fn told_of_own_key(failure: Failure) -> (Code, Failure) {
    let refused = |message: &str| {
        let mut told = Failure::new(failure.kind, message);
        told.because.clone_from(&failure.because);
        (Code::ProviderRefused, told)
    };
    match failure.kind {
        FailureKind::Authentication => {
            refused("The provider does not accept the key in `keyward-provider-key`")
        }
        FailureKind::Permission => {
            refused("The provider does not let the key in `keyward-provider-key` make this call")
        }
        FailureKind::InvalidRequest
        | FailureKind::ContextLength
        | FailureKind::Filtered
        | FailureKind::NotFound
        | FailureKind::TooLarge
        | FailureKind::OverLimit
        | FailureKind::RateLimited
        | FailureKind::QuotaExhausted
        | FailureKind::Unpaid
        | FailureKind::Overloaded
        | FailureKind::Timeout
        | FailureKind::Server
        | FailureKind::Cut => told(failure),
    }
}

/// A provider's failure as it is told: what is wrong with the operator's key or configuration is no fault of the
/// caller's, who would look for it with themselves.
pub(super) fn told(mut failure: Failure) -> (Code, Failure) {
    let (code, status) = match failure.kind {
        FailureKind::InvalidRequest
        | FailureKind::ContextLength
        | FailureKind::Filtered
        | FailureKind::TooLarge
        | FailureKind::OverLimit => {
            let status = match failure.status {
                // 429 would have the caller come again with the same, and that is of no use.
                429 | 402 => failure.kind.status(),
                status @ 400..=499 => status,
                _ => failure.kind.status(),
            };
            (Code::ProviderRefused, status)
        }
        FailureKind::RateLimited | FailureKind::QuotaExhausted | FailureKind::Unpaid => {
            (Code::ProviderBusy, Code::ProviderBusy.status())
        }
        FailureKind::Overloaded => (Code::ProviderFailed, FailureKind::Overloaded.status()),
        FailureKind::Timeout => (Code::ProviderTimeout, Code::ProviderTimeout.status()),
        FailureKind::Authentication | FailureKind::Permission | FailureKind::NotFound => {
            failure.kind = FailureKind::Server;
            (Code::ProviderFailed, Code::ProviderFailed.status())
        }
        FailureKind::Server | FailureKind::Cut => {
            (Code::ProviderFailed, Code::ProviderFailed.status())
        }
    };
    failure.status = status;
    (code, failure)
}
