//! Cohere's chat, version 2 (`POST /v2/chat`).

pub(super) mod failure;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;

use super::Dialect;
use super::ability::Ability;
use crate::error::Error;
use crate::fields::Fields;
use crate::form::{Failure, FailureKind, Stop, StopReason, Usage};

pub(super) const ABILITY: Ability = Ability {
    dialect: Dialect::Cohere,
    images: true,
    image_address: true,
    documents: false,
    document_address: false,
    audio: false,
    rich_tool_results: false,
    required_tool: true,
    named_tool: false,
    one_tool_at_once: false,
    json_output: true,
    schema_output: true,
    reasoning: true,
    // They are of pieces of text there, not of tokens.
    log_probabilities: false,
    seed: true,
    several_answers: false,
    stop_sequences: 5,
    top_k: true,
    penalties: true,
    logit_bias: false,
    late_instructions: true,
};

const STOPS: &[(&str, StopReason)] = &[
    ("COMPLETE", StopReason::End),
    ("STOP_SEQUENCE", StopReason::Sequence),
    ("MAX_TOKENS", StopReason::MaxTokens),
    ("TOOL_CALL", StopReason::ToolCalls),
    ("ERROR_TOXIC", StopReason::Filtered),
    ("ERROR_LIMIT", StopReason::ContextFull),
    ("USER_CANCEL", StopReason::End),
];

fn stop(word: &str) -> Stop {
    let reason = STOPS.iter().find(|(known, _)| *known == word);
    Stop::new(reason.map_or(StopReason::End, |(_, reason)| *reason), word)
}

/// The failure that a reason to finish tells of: what came before it is no answer.
pub(super) fn failed(word: &str) -> Option<Failure> {
    let kind = match word {
        "ERROR" => FailureKind::Server,
        "TIMEOUT" => FailureKind::Timeout,
        _ => return None,
    };
    let message = format!("The provider's answer ended with {word}");
    Some(Failure::new(kind, message).with_code(word))
}

/// What was read and written, with the provider's own beginning of each prompt; `billed_units` is less.
pub(super) fn read_usage(mut fields: Fields) -> Result<Usage, Error> {
    let cached_input = fields.whole("cached_tokens")?.unwrap_or_default();
    let tokens = fields.object("tokens")?;
    let billed = fields.object("billed_units")?;
    let mut usage = Usage {
        cached_input,
        ..Usage::default()
    };
    if let Some(mut counted) = tokens.or(billed) {
        // They are numbers with a fraction there, which is always none.
        usage.input = counted.whole("input_tokens")?.unwrap_or_default();
        usage.output = counted.whole("output_tokens")?.unwrap_or_default();
    }
    Ok(usage)
}
