//! The event in which a provider tells of an error amid a stream, with words that callers may read.

use crate::form::Failure;
use crate::framing::{Frame, sse};
use crate::json::{Json, Object};

/// What of an error stays, where it is a word or a number: everything else may name the operator's account.
const STABLE: &[&str] = &["type", "code", "status"];

/// The same event with the message exchanged for what is told. `failure` is what the event tells of, veiled.
pub(super) fn veiled(frame: Frame<'_>, failure: &Failure, out: &mut Vec<u8>) {
    let told = match Json::parse(frame.data) {
        Ok(Json::Object(event)) => event_of(event, failure),
        Ok(Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_))
        | Err(_) => Object::new().with("error", error(&Json::Null, failure)),
    };
    sse::write(frame.name, &Json::Object(told).to_text(), out);
}

fn event_of(event: Object, failure: &Failure) -> Object {
    let mut out = Object::new();
    let alone = event.get("error").is_none_or(Json::is_null);
    for (name, value) in event.into_members() {
        let value = match (name.as_str(), value) {
            ("error", value) if !value.is_null() => error(&value, failure),
            // OpenAI's responses: the failed answer, or an event that is the error itself.
            ("response", Json::Object(response)) => event_of(response, failure).into(),
            ("message" | "detail", Json::String(_)) if alone => Json::from(&failure.message),
            ("code", Json::String(code)) if alone => kept(&code, failure),
            ("param", _) if alone => Json::Null,
            ("choices", Json::Array(choices)) => choices
                .into_iter()
                .map(|choice| match choice {
                    Json::Object(choice) => event_of(choice, failure).into(),
                    other @ (Json::Null
                    | Json::Bool(_)
                    | Json::Number(_)
                    | Json::String(_)
                    | Json::Array(_)) => other,
                })
                .collect::<Vec<Json>>()
                .into(),
            (_, value) => value,
        };
        out.set(&name, value);
    }
    out
}

/// The error with what programs compare, and words of ours.
fn error(given: &Json, failure: &Failure) -> Json {
    let Json::Object(given) = given else {
        return match given {
            Json::String(_) => Json::from(&failure.message),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                Object::new().with("message", &failure.message).into()
            }
        };
    };
    let mut told = Object::new();
    for (name, value) in given.iter() {
        match value {
            _ if name == "message" => told.set(name, &failure.message),
            Json::Number(_) if STABLE.contains(&name) => told.set(name, value.clone()),
            Json::String(word) if name == "code" => told.set(name, kept(word, failure)),
            Json::String(word) if STABLE.contains(&name) && is_word(word) => {
                told.set(name, value.clone());
            }
            Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::String(_)
            | Json::Array(_)
            | Json::Object(_) => {}
        }
    }
    if told.get("message").is_none() {
        told.set("message", &failure.message);
    }
    told.into()
}

/// A code, where what is told has it too.
fn kept(code: &str, failure: &Failure) -> Json {
    if failure.code.as_deref() == Some(code) {
        Json::from(code)
    } else {
        Json::Null
    }
}

fn is_word(text: &str) -> bool {
    text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}
