//! OpenAI's chat completions (`POST /v1/chat/completions`), which most providers speak, each with its quirks.

mod calls;
pub(super) mod request;
mod request_read;
pub(super) mod response;
pub(super) mod stream;
mod thoughts;

use super::Dialect;
use super::ability::Ability;
use crate::error::Error;
use crate::fields::Fields;
use crate::form::{Failure, Stop, StopReason, Usage};
use crate::json::{Json, Object};

pub(super) const ABILITY: Ability = Ability {
    dialect: Dialect::OpenAiChat,
    images: true,
    image_address: true,
    documents: true,
    document_address: false,
    audio: true,
    rich_tool_results: false,
    required_tool: true,
    named_tool: true,
    one_tool_at_once: true,
    json_output: true,
    schema_output: true,
    reasoning: true,
    log_probabilities: true,
    seed: true,
    several_answers: true,
    stop_sequences: 4,
    top_k: false,
    penalties: true,
    logit_bias: true,
    late_instructions: true,
};

/// What ends an answer, in this dialect's words and in those of providers that speak it.
const STOPS: &[(&str, StopReason)] = &[
    ("stop", StopReason::End),
    ("length", StopReason::MaxTokens),
    ("tool_calls", StopReason::ToolCalls),
    ("content_filter", StopReason::Filtered),
    ("function_call", StopReason::ToolCalls),
    ("eos", StopReason::End),
    ("end_turn", StopReason::End),
    ("max_tokens", StopReason::MaxTokens),
    ("model_length", StopReason::ContextFull),
    ("sensitive", StopReason::Filtered),
];

fn stop(word: &str) -> Stop {
    let reason = STOPS.iter().find(|(known, _)| *known == word);
    Stop::new(reason.map_or(StopReason::End, |(_, reason)| *reason), word)
}

/// The failure that a choice tells of as its end (OpenRouter's): what came before it is no answer.
pub(super) fn failed_choice(choice: &Json) -> Option<Failure> {
    let failed = choice.get("finish_reason").and_then(Json::as_str) == Some("error");
    let error = choice.get("error").cloned().unwrap_or(Json::Null);
    failed.then(|| super::openai_error::of(None, error))
}

const fn stop_word(reason: StopReason) -> &'static str {
    match reason {
        // A refusal stands in the message itself, in `refusal`.
        StopReason::End | StopReason::Sequence | StopReason::Paused | StopReason::Refused => "stop",
        StopReason::MaxTokens | StopReason::ContextFull => "length",
        StopReason::ToolCalls => "tool_calls",
        StopReason::Filtered | StopReason::Malformed => "content_filter",
    }
}

pub(super) fn read_usage(mut fields: Fields) -> Result<Usage, Error> {
    let mut usage = Usage {
        input: fields.whole("prompt_tokens")?.unwrap_or_default(),
        output: fields.whole("completion_tokens")?.unwrap_or_default(),
        ..Usage::default()
    };
    // DeepSeek's and Moonshot's names for what comes from a cache.
    let hits = fields.whole("prompt_cache_hit_tokens")?;
    let cached = fields.whole("cached_tokens")?;
    usage.cached_input = hits.or(cached).unwrap_or_default();
    if let Some(mut details) = fields.object("prompt_tokens_details")? {
        if let Some(cached) = details.whole("cached_tokens")? {
            usage.cached_input = cached;
        }
        usage.cache_write = details.whole("cache_write_tokens")?.unwrap_or_default();
        usage.audio_input = details.whole("audio_tokens")?.unwrap_or_default();
    }
    if let Some(mut details) = fields.object("completion_tokens_details")? {
        usage.reasoning = details.whole("reasoning_tokens")?.unwrap_or_default();
        usage.audio_output = details.whole("audio_tokens")?.unwrap_or_default();
    }
    // Some count what was reasoned beside what was written (xAI): the total tells.
    let apart = usage.total().saturating_add(usage.reasoning);
    if usage.reasoning > 0 && fields.whole("total_tokens")? == Some(apart) {
        usage.output = usage.output.saturating_add(usage.reasoning);
    }
    Ok(usage)
}

fn write_usage(usage: &Usage) -> Json {
    let read = Object::new()
        .with("cached_tokens", usage.cached_input)
        .with("audio_tokens", usage.audio_input);
    let written = Object::new()
        .with("reasoning_tokens", usage.reasoning)
        .with("audio_tokens", usage.audio_output)
        .with("accepted_prediction_tokens", 0_u64)
        .with("rejected_prediction_tokens", 0_u64);
    Json::Object(
        Object::new()
            .with("prompt_tokens", usage.input)
            .with("completion_tokens", usage.output)
            .with("total_tokens", usage.total())
            .with("prompt_tokens_details", read)
            .with("completion_tokens_details", written),
    )
}

/// An id as callers of this dialect expect it.
fn answer_id(id: &str, context: &super::Context) -> String {
    if id.is_empty() {
        format!("chatcmpl-{}", context.id)
    } else {
        id.to_owned()
    }
}
