//! OpenAI's responses (`POST /v1/responses`).

mod items;
pub(super) mod request;
mod request_read;
pub(super) mod response;
pub(super) mod stream;
mod stream_read;

use super::Dialect;
use super::ability::Ability;
use crate::error::Error;
use crate::fields::Fields;
use crate::form::{Stop, StopReason, Usage};
use crate::json::Object;

pub(super) const ABILITY: Ability = Ability {
    dialect: Dialect::OpenAiResponses,
    images: true,
    image_address: true,
    documents: true,
    document_address: true,
    audio: false,
    rich_tool_results: true,
    required_tool: true,
    named_tool: true,
    one_tool_at_once: true,
    json_output: true,
    schema_output: true,
    reasoning: true,
    log_probabilities: true,
    seed: false,
    several_answers: false,
    stop_sequences: 0,
    top_k: false,
    penalties: false,
    logit_bias: false,
    late_instructions: true,
};

/// What is not whole, and why.
const INCOMPLETE: &[(&str, StopReason)] = &[
    ("max_output_tokens", StopReason::MaxTokens),
    ("content_filter", StopReason::Filtered),
];

/// Why an answer ended: from its state, from why it is not whole, and from what it holds.
fn stop(status: &str, why: Option<&str>, calls: bool, refused: bool) -> Stop {
    let known = INCOMPLETE.iter().find(|(known, _)| Some(*known) == why);
    let reason = match (known, calls, refused) {
        (Some((_, reason)), _, _) => *reason,
        (None, true, _) => StopReason::ToolCalls,
        (None, false, true) => StopReason::Refused,
        (None, false, false) => StopReason::End,
    };
    Stop::new(reason, why.unwrap_or(status))
}

/// Why an answer is not whole; nothing when it is.
const fn incomplete(reason: StopReason) -> Option<&'static str> {
    match reason {
        StopReason::MaxTokens | StopReason::ContextFull => Some("max_output_tokens"),
        StopReason::Filtered | StopReason::Malformed => Some("content_filter"),
        StopReason::End
        | StopReason::Sequence
        | StopReason::ToolCalls
        | StopReason::Refused
        | StopReason::Paused => None,
    }
}

pub(super) fn read_usage(mut fields: Fields) -> Result<Usage, Error> {
    let mut usage = Usage {
        input: fields.whole("input_tokens")?.unwrap_or_default(),
        output: fields.whole("output_tokens")?.unwrap_or_default(),
        ..Usage::default()
    };
    if let Some(mut details) = fields.object("input_tokens_details")? {
        usage.cached_input = details.whole("cached_tokens")?.unwrap_or_default();
        usage.cache_write = details.whole("cache_write_tokens")?.unwrap_or_default();
    }
    if let Some(mut details) = fields.object("output_tokens_details")? {
        usage.reasoning = details.whole("reasoning_tokens")?.unwrap_or_default();
    }
    Ok(usage)
}

fn write_usage(usage: &Usage) -> Object {
    Object::new()
        .with("input_tokens", usage.input)
        .with(
            "input_tokens_details",
            Object::new()
                .with("cached_tokens", usage.cached_input)
                .with(
                    "cache_write_tokens",
                    usage.cache_write.saturating_add(usage.cache_write_hour),
                ),
        )
        .with("output_tokens", usage.output)
        .with(
            "output_tokens_details",
            Object::new().with("reasoning_tokens", usage.reasoning),
        )
        .with("total_tokens", usage.total())
}
