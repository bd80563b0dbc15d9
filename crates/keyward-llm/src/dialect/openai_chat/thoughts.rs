//! Reasoning, for which this dialect has no place of its own: `reasoning_content` (DeepSeek's, which many took over),
//! `reasoning` and `reasoning_details` (OpenRouter's, which carry signatures), `extra_content` (Google's, of calls).

use super::super::Dialect;
use crate::error::Error;
use crate::fields::{Fields, each};
use crate::form::{Part, Signature, Thought};
use crate::json::{Json, Object};

/// Whose signature a format's is. What is not here is nobody's we know, and goes back to where it came from alone.
const FORMATS: &[(&str, Dialect)] = &[
    ("openai-responses-v1", Dialect::OpenAiResponses),
    ("anthropic-claude-v1", Dialect::Anthropic),
    ("google-gemini-v1", Dialect::Gemini),
    ("bedrock-converse", Dialect::Bedrock),
];

fn maker(format: Option<&str>) -> Dialect {
    FORMATS
        .iter()
        .find(|(known, _)| Some(*known) == format)
        .map_or(Dialect::OpenAiChat, |(_, maker)| *maker)
}

fn format(maker: Dialect) -> &'static str {
    FORMATS
        .iter()
        .find(|(_, known)| *known == maker)
        .map_or("unknown", |(format, _)| *format)
}

/// What a message or a delta says of what was thought: the details where there are any, since they say it all.
pub(super) fn read(fields: &mut Fields) -> Result<Vec<Thought>, Error> {
    let details = fields.items("reasoning_details")?;
    let content = fields.string("reasoning_content")?;
    let plain = match fields.take("reasoning") {
        Some(Json::String(text)) => Some(text),
        Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_))
        | None => None,
    };
    if !details.is_empty() {
        return each(details, "reasoning_details", detail);
    }
    let text = content.or(plain).filter(|text| !text.is_empty());
    Ok(text
        .map(|text| Thought {
            text,
            ..Thought::default()
        })
        .into_iter()
        .collect())
}

fn detail(mut fields: Fields) -> Result<Thought, Error> {
    let maker = maker(fields.string("format")?.as_deref());
    let text = fields.string("text")?;
    let text = text.or(fields.string("summary")?).unwrap_or_default();
    let hidden = fields.string("data")?;
    let redacted = hidden.is_some();
    let value = fields.string("signature")?.or(hidden);
    Ok(Thought {
        text,
        signature: value.map(|value| Signature { maker, value }),
        redacted,
    })
}

/// The members of an answer's message, or of a delta of it, that say what was thought.
pub(super) fn write(thoughts: &[&Thought], mut message: Object) -> Object {
    let text: String = thoughts
        .iter()
        .map(|thought| thought.text.as_str())
        .collect();
    if !text.is_empty() {
        message.set("reasoning_content", text);
    }
    if thoughts.iter().any(|thought| thought.signature.is_some()) {
        let details = thoughts.iter().map(|thought| write_detail(thought));
        message.set("reasoning_details", details.collect::<Vec<_>>());
    }
    message
}

fn write_detail(thought: &Thought) -> Json {
    let signature = thought.signature.as_ref();
    let value = signature.map(|signature| &signature.value);
    let detail = if thought.redacted {
        Object::new()
            .with("type", "reasoning.encrypted")
            .with_some("data", value)
    } else {
        Object::new()
            .with("type", "reasoning.text")
            .with("text", &thought.text)
            .with_some("signature", value)
    };
    Json::Object(detail.with_some("format", signature.map(|signature| format(signature.maker))))
}

/// A piece of a thought in a stream: its text, or what it is signed with.
pub(super) fn piece(
    index: u32,
    text: Option<&str>,
    signature: Option<&Signature>,
    redacted: bool,
) -> Json {
    let value = signature.map(|signature| &signature.value);
    let (kind, name) = if redacted {
        ("reasoning.encrypted", "data")
    } else {
        ("reasoning.text", "signature")
    };
    Json::Object(
        Object::new()
            .with("type", kind)
            .with_some("text", text)
            .with_some(name, value)
            .with_some("format", signature.map(|signature| format(signature.maker)))
            .with("index", index),
    )
}

/// The thoughts among parts.
pub(super) fn among(parts: &[Part]) -> Vec<&Thought> {
    parts
        .iter()
        .filter_map(|part| {
            if let Part::Thought(thought) = part {
                Some(thought)
            } else {
                None
            }
        })
        .collect()
}

/// Google's signature of a call.
pub(super) fn read_call_signature(call: &mut Fields) -> Result<Option<Signature>, Error> {
    let Some(mut extra) = call.object("extra_content")? else {
        return Ok(None);
    };
    let Some(mut google) = extra.object("google")? else {
        return Ok(None);
    };
    let value = google.string("thought_signature")?;
    Ok(value.map(|value| Signature {
        maker: Dialect::Gemini,
        value,
    }))
}

pub(super) fn call_signature(signature: &Signature) -> Object {
    let google = Object::new().with("thought_signature", &signature.value);
    Object::new().with("google", google)
}
