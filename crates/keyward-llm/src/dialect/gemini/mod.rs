//! Google's `generateContent` and `streamGenerateContent`, of the Gemini API and of Vertex.

pub(super) mod failure;
mod parts;
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
    dialect: Dialect::Gemini,
    images: true,
    image_address: false,
    documents: true,
    document_address: false,
    audio: true,
    rich_tool_results: false,
    required_tool: true,
    named_tool: true,
    one_tool_at_once: false,
    json_output: true,
    schema_output: true,
    reasoning: true,
    log_probabilities: true,
    seed: true,
    several_answers: true,
    stop_sequences: 5,
    top_k: true,
    penalties: true,
    logit_bias: false,
    late_instructions: false,
};

const STOPS: &[(&str, StopReason)] = &[
    ("STOP", StopReason::End),
    ("MAX_TOKENS", StopReason::MaxTokens),
    ("SAFETY", StopReason::Filtered),
    ("RECITATION", StopReason::Filtered),
    ("LANGUAGE", StopReason::Filtered),
    ("BLOCKLIST", StopReason::Filtered),
    ("PROHIBITED_CONTENT", StopReason::Filtered),
    ("SPII", StopReason::Filtered),
    ("MODEL_ARMOR", StopReason::Filtered),
    ("IMAGE_SAFETY", StopReason::Filtered),
    ("IMAGE_PROHIBITED_CONTENT", StopReason::Filtered),
    ("IMAGE_RECITATION", StopReason::Filtered),
    ("IMAGE_OTHER", StopReason::Filtered),
    ("NO_IMAGE", StopReason::Malformed),
    ("MALFORMED_FUNCTION_CALL", StopReason::Malformed),
    ("UNEXPECTED_TOOL_CALL", StopReason::Malformed),
    ("TOO_MANY_TOOL_CALLS", StopReason::Malformed),
    ("MALFORMED_RESPONSE", StopReason::Malformed),
    ("MISSING_THOUGHT_SIGNATURE", StopReason::Malformed),
    ("OTHER", StopReason::Filtered),
    ("FINISH_REASON_UNSPECIFIED", StopReason::End),
];

/// Calls end with `STOP` too: that there were some tells them apart.
fn stop(word: &str, calls: bool) -> Stop {
    let reason = STOPS.iter().find(|(known, _)| *known == word);
    let mut reason = reason.map_or(StopReason::End, |(_, reason)| *reason);
    if calls && reason == StopReason::End {
        reason = StopReason::ToolCalls;
    }
    Stop::new(reason, word)
}

const fn stop_word(reason: StopReason) -> &'static str {
    match reason {
        StopReason::End | StopReason::Sequence | StopReason::ToolCalls | StopReason::Paused => {
            "STOP"
        }
        StopReason::MaxTokens | StopReason::ContextFull => "MAX_TOKENS",
        StopReason::Filtered | StopReason::Refused => "SAFETY",
        StopReason::Malformed => "MALFORMED_FUNCTION_CALL",
    }
}

pub(super) fn read_usage(mut fields: Fields) -> Result<Usage, Error> {
    let prompt = fields.whole("promptTokenCount")?.unwrap_or_default();
    let tools = fields.whole("toolUsePromptTokenCount")?.unwrap_or_default();
    let written = fields.whole("candidatesTokenCount")?.unwrap_or_default();
    let thought = fields.whole("thoughtsTokenCount")?.unwrap_or_default();
    let total = fields.whole("totalTokenCount")?;
    // Whether thoughts are counted among what was written differs between versions: the total tells.
    let apart = [prompt, tools, written, thought]
        .into_iter()
        .fold(0, u64::saturating_add);
    let among = thought > 0 && thought <= written && total == Some(apart.saturating_sub(thought));
    let output = if among {
        written
    } else {
        written.saturating_add(thought)
    };
    let mut usage = Usage {
        input: prompt.saturating_add(tools),
        cached_input: fields.whole("cachedContentTokenCount")?.unwrap_or_default(),
        output,
        reasoning: thought,
        ..Usage::default()
    };
    for detail in fields.items("promptTokensDetails")? {
        if detail.get("modality").and_then(Json::as_str) == Some("AUDIO") {
            usage.audio_input = detail
                .get("tokenCount")
                .and_then(Json::as_u64)
                .unwrap_or_default();
        }
    }
    Ok(usage)
}

fn write_usage(usage: &Usage) -> Object {
    let mut object = Object::new()
        .with("promptTokenCount", usage.input)
        .with(
            "candidatesTokenCount",
            usage.output.saturating_sub(usage.reasoning),
        )
        .with("totalTokenCount", usage.total());
    if usage.cached_input > 0 {
        object.set("cachedContentTokenCount", usage.cached_input);
    }
    if usage.reasoning > 0 {
        object.set("thoughtsTokenCount", usage.reasoning);
    }
    object
}
