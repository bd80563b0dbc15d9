//! Anthropic's messages (`POST /v1/messages`).

pub(super) mod blocks;
pub(super) mod failure;
pub(super) mod request;
mod request_read;
pub(super) mod response;
pub(super) mod stream;

use super::Dialect;
use super::ability::Ability;
use crate::error::Error;
use crate::fields::Fields;
use crate::form::{Stop, StopReason, Usage};
use crate::json::{Json, Object};

pub(super) const ABILITY: Ability = Ability {
    dialect: Dialect::Anthropic,
    images: true,
    image_address: true,
    documents: true,
    document_address: true,
    audio: false,
    rich_tool_results: true,
    required_tool: true,
    named_tool: true,
    one_tool_at_once: true,
    json_output: false,
    schema_output: true,
    reasoning: true,
    log_probabilities: false,
    seed: false,
    several_answers: false,
    stop_sequences: 8_191,
    top_k: true,
    penalties: false,
    logit_bias: false,
    late_instructions: false,
};

const STOPS: &[(&str, StopReason)] = &[
    ("end_turn", StopReason::End),
    ("max_tokens", StopReason::MaxTokens),
    ("stop_sequence", StopReason::Sequence),
    ("tool_use", StopReason::ToolCalls),
    ("pause_turn", StopReason::Paused),
    ("refusal", StopReason::Refused),
    ("model_context_window_exceeded", StopReason::ContextFull),
];

fn stop(word: &str, sequence: Option<String>) -> Stop {
    let reason = STOPS.iter().find(|(known, _)| *known == word);
    Stop {
        sequence,
        ..Stop::new(reason.map_or(StopReason::End, |(_, reason)| *reason), word)
    }
}

const fn stop_word(stop: &Stop) -> &'static str {
    match stop.reason {
        // Which sequence it was has to be told with it.
        StopReason::Sequence if stop.sequence.is_some() => "stop_sequence",
        StopReason::End | StopReason::Sequence | StopReason::Malformed => "end_turn",
        StopReason::MaxTokens => "max_tokens",
        StopReason::ToolCalls => "tool_use",
        StopReason::Filtered | StopReason::Refused => "refusal",
        StopReason::Paused => "pause_turn",
        StopReason::ContextFull => "model_context_window_exceeded",
    }
}

/// What `usage` says over what is known: a stream tells a part at its beginning and the rest at its end.
pub(super) fn read_usage(mut fields: Fields, known: Usage) -> Result<Usage, Error> {
    let plain = fields
        .whole("input_tokens")?
        .unwrap_or_else(|| known.plain_input());
    let cached_input = fields
        .whole("cache_read_input_tokens")?
        .unwrap_or(known.cached_input);
    let written = fields.whole("cache_creation_input_tokens")?;
    let (mut cache_write, mut cache_write_hour) = (known.cache_write, known.cache_write_hour);
    // A stream's end may say the sum again without its parts, which stay as its beginning told them.
    if let Some(written) = written
        && written != known.cache_write.saturating_add(known.cache_write_hour)
    {
        (cache_write, cache_write_hour) = (written, 0);
    }
    if let Some(mut creation) = fields.object("cache_creation")? {
        let short = creation.whole("ephemeral_5m_input_tokens")?;
        let hour = creation.whole("ephemeral_1h_input_tokens")?;
        if short.is_some() || hour.is_some() {
            (cache_write, cache_write_hour) = (short.unwrap_or_default(), hour.unwrap_or_default());
        }
    }
    let mut usage = Usage {
        input: [plain, cached_input, cache_write, cache_write_hour]
            .into_iter()
            .fold(0, u64::saturating_add),
        cached_input,
        cache_write,
        cache_write_hour,
        output: fields.whole("output_tokens")?.unwrap_or(known.output),
        reasoning: known.reasoning,
        audio_input: 0,
        audio_output: 0,
    };
    if let Some(mut details) = fields.object("output_tokens_details")?
        && let Some(thinking) = details.whole("thinking_tokens")?
    {
        usage.reasoning = thinking;
    }
    Ok(usage)
}

fn write_usage(usage: &Usage) -> Object {
    let written = usage.cache_write.saturating_add(usage.cache_write_hour);
    let creation = Object::new()
        .with("ephemeral_5m_input_tokens", usage.cache_write)
        .with("ephemeral_1h_input_tokens", usage.cache_write_hour);
    let mut object = Object::new()
        .with("input_tokens", usage.plain_input())
        .with("cache_creation_input_tokens", written)
        .with("cache_read_input_tokens", usage.cached_input)
        .with("cache_creation", creation)
        .with("output_tokens", usage.output);
    if usage.reasoning > 0 {
        let details = Object::new().with("thinking_tokens", usage.reasoning);
        object.set("output_tokens_details", details);
    }
    object
}

fn answer_id(id: &str, context: &super::Context) -> String {
    if id.is_empty() {
        format!("msg_{}", context.id)
    } else {
        id.to_owned()
    }
}

/// An id of a call as this dialect takes it (`^[a-zA-Z0-9_-]+$`): what it does not take is written in hexadecimal, so
/// that two ids stay two.
fn call_id(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !id.is_empty() && id.bytes().all(plain) {
        return id.to_owned();
    }
    let mut made = "call_".to_owned();
    for byte in id.bytes() {
        if plain(byte) {
            made.push(char::from(byte));
        } else {
            made.push_str(&format!("_{byte:02x}"));
        }
    }
    made
}

fn null_or(text: Option<&str>) -> Json {
    text.map_or(Json::Null, Json::from)
}
