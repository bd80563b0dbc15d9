//! Errors, `{"error": {"message", "type", "param", "code"}}`, as both of OpenAI's dialects and most providers have them.

use super::content::{by_words, plain_failure, shortened};
use crate::fields::Fields;
use crate::form::{Failure, FailureKind};
use crate::json::{Json, Object};

/// What codes and types tell, before the status does.
const CODES: &[(&str, FailureKind)] = &[
    ("context_length_exceeded", FailureKind::ContextLength),
    ("string_above_max_length", FailureKind::ContextLength),
    ("content_filter", FailureKind::Filtered),
    ("content_policy_violation", FailureKind::Filtered),
    ("insufficient_quota", FailureKind::QuotaExhausted),
    ("billing_hard_limit_reached", FailureKind::QuotaExhausted),
    ("exceeded_current_quota_error", FailureKind::QuotaExhausted),
    ("invalid_api_key", FailureKind::Authentication),
    ("model_not_found", FailureKind::NotFound),
    ("rate_limit_exceeded", FailureKind::RateLimited),
    ("rate_limit_error", FailureKind::RateLimited),
    ("engine_overloaded_error", FailureKind::Overloaded),
    ("server_is_overloaded", FailureKind::Overloaded),
    ("slow_down", FailureKind::Overloaded),
    ("server_error", FailureKind::Server),
    ("invalid_prompt", FailureKind::InvalidRequest),
    ("invalid_request_error", FailureKind::InvalidRequest),
];

pub(super) fn read(status: u16, body: &[u8]) -> Failure {
    let error = Fields::parse(body)
        .ok()
        .and_then(|mut fields| fields.take("error").or_else(|| fields.take("detail")));
    match error {
        Some(error) => of(Some(status), error),
        None => plain_failure(status, body),
    }
}

/// The failure that an `error` tells of, in an answer or amid a stream (where there is no status).
pub(super) fn of(status: Option<u16>, error: Json) -> Failure {
    let (mut message, mut code, mut class, mut field) = (None, None, None, None);
    match error {
        Json::String(text) => message = Some(text),
        Json::Object(object) => {
            for (name, value) in object.into_members() {
                let text = match value {
                    Json::String(text) => text,
                    Json::Number(number) => number.as_str().to_owned(),
                    Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => continue,
                };
                match name.as_str() {
                    "message" => message = Some(text),
                    "code" => code = Some(text),
                    "type" => class = Some(text),
                    "param" => field = Some(text),
                    _ => {}
                }
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => {}
    }
    let by_word = |word: &Option<String>| {
        let word = word.as_deref()?;
        CODES
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, kind)| *kind)
    };
    // Some put the status where the code is.
    let told = code.as_deref().and_then(|code| code.parse().ok());
    let status = status.or(told.filter(|status| (400..600).contains(status)));
    let by_status = status.map(FailureKind::of_status);
    let plain = |kind: &FailureKind| *kind == FailureKind::InvalidRequest;
    // That the request is wrong is the least that some say, whatever it is.
    let telling = |word| by_word(word).filter(|kind| !plain(kind));
    let mut kind = telling(&code)
        .or(telling(&class))
        .or(by_status)
        .or(by_word(&code))
        .or(by_word(&class))
        .unwrap_or(FailureKind::Server);
    let words = message.as_deref().unwrap_or_default();
    let wrong = by_word(&class).is_some_and(|kind| plain(&kind));
    if kind == FailureKind::NotFound && wrong && !tells_of_model(code.as_deref(), words) {
        kind = FailureKind::InvalidRequest;
    }
    kind = by_words(kind, words);
    Failure {
        kind,
        status: status.unwrap_or(kind.status()),
        message: message.map_or_else(|| "The provider told no reason".to_owned(), shortened),
        code: code.or(class),
        field,
        because: None,
    }
}

/// Whether what is not found is the model, or the address: else it is something that the caller names, such as an answer
/// that was to be kept, and neither the target nor another caller has to do with it. What stands in quotes may be the
/// caller's own words.
fn tells_of_model(code: Option<&str>, message: &str) -> bool {
    let quote = |letter: char| "'\"`\u{2018}\u{2019}\u{201c}\u{201d}".contains(letter);
    let before = message.split(quote).next().unwrap_or_default();
    let behind = message.rsplit(quote).next().unwrap_or_default();
    [code.unwrap_or_default(), before, behind]
        .into_iter()
        .map(str::to_ascii_lowercase)
        .any(|words| {
            let known = ["model", "deployment", "engine", "url", "endpoint"];
            known.iter().any(|known| words.contains(known))
        })
}

pub(super) fn write(failure: &Failure) -> Json {
    Json::Object(Object::new().with("error", error(failure)))
}

fn error(failure: &Failure) -> Object {
    let class = match failure.kind {
        FailureKind::InvalidRequest
        | FailureKind::ContextLength
        | FailureKind::Filtered
        | FailureKind::NotFound
        | FailureKind::OverLimit
        | FailureKind::TooLarge => "invalid_request_error",
        FailureKind::Authentication => "authentication_error",
        FailureKind::Permission => "permission_error",
        FailureKind::RateLimited => "rate_limit_error",
        FailureKind::QuotaExhausted | FailureKind::Unpaid => "insufficient_quota",
        FailureKind::Overloaded | FailureKind::Timeout | FailureKind::Server | FailureKind::Cut => {
            "server_error"
        }
    };
    let own = match failure.kind {
        FailureKind::ContextLength => Some("context_length_exceeded"),
        FailureKind::Filtered => Some("content_filter"),
        FailureKind::NotFound => Some("model_not_found"),
        FailureKind::RateLimited => Some("rate_limit_exceeded"),
        FailureKind::QuotaExhausted | FailureKind::Unpaid => Some("insufficient_quota"),
        FailureKind::OverLimit => Some("request_too_large"),
        FailureKind::Authentication => Some("invalid_api_key"),
        FailureKind::Cut => Some("stream_cut"),
        FailureKind::InvalidRequest
        | FailureKind::Permission
        | FailureKind::TooLarge
        | FailureKind::Overloaded
        | FailureKind::Timeout
        | FailureKind::Server => None,
    };
    let code = own.or(failure.code.as_deref());
    Object::new()
        .with("message", &failure.message)
        .with("type", class)
        .with(
            "param",
            failure.field.as_deref().map_or(Json::Null, Json::from),
        )
        .with("code", code.map_or(Json::Null, Json::from))
}
