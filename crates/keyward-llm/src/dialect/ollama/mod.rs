//! Ollama's own chat (`POST /api/chat`).

pub(super) mod failure;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;

use super::Dialect;
use super::ability::Ability;
use crate::error::Error;
use crate::fields::Fields;
use crate::form::{Stop, StopReason, Usage};

pub(super) const ABILITY: Ability = Ability {
    dialect: Dialect::Ollama,
    images: true,
    image_address: false,
    documents: false,
    document_address: false,
    audio: false,
    rich_tool_results: false,
    required_tool: false,
    named_tool: false,
    one_tool_at_once: false,
    json_output: true,
    schema_output: true,
    reasoning: true,
    log_probabilities: true,
    seed: true,
    several_answers: false,
    stop_sequences: 1_000,
    top_k: true,
    penalties: true,
    logit_bias: false,
    late_instructions: true,
};

const STOPS: &[(&str, StopReason)] =
    &[("stop", StopReason::End), ("length", StopReason::MaxTokens)];

fn stop(word: &str, calls: bool) -> Stop {
    let reason = STOPS.iter().find(|(known, _)| *known == word);
    let mut reason = reason.map_or(StopReason::End, |(_, reason)| *reason);
    if calls && reason == StopReason::End {
        reason = StopReason::ToolCalls;
    }
    Stop::new(reason, word)
}

pub(super) fn read_usage(fields: &mut Fields) -> Result<Option<Usage>, Error> {
    // What is kept in the prompt cache is not counted, and then there is no figure at all.
    let input = fields.whole("prompt_eval_count")?;
    let output = fields.whole("eval_count")?;
    Ok((input.is_some() || output.is_some()).then(|| Usage {
        input: input.unwrap_or_default(),
        output: output.unwrap_or_default(),
        ..Usage::default()
    }))
}
