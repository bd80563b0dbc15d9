//! `Converse` and `ConverseStream` of AWS Bedrock.

mod content;
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
    dialect: Dialect::Bedrock,
    images: true,
    image_address: false,
    documents: true,
    document_address: false,
    audio: false,
    rich_tool_results: true,
    required_tool: true,
    named_tool: true,
    one_tool_at_once: false,
    json_output: false,
    schema_output: true,
    reasoning: true,
    log_probabilities: false,
    seed: false,
    several_answers: false,
    stop_sequences: 2_500,
    top_k: false,
    penalties: false,
    logit_bias: false,
    late_instructions: false,
};

const STOPS: &[(&str, StopReason)] = &[
    ("end_turn", StopReason::End),
    ("tool_use", StopReason::ToolCalls),
    ("max_tokens", StopReason::MaxTokens),
    ("stop_sequence", StopReason::Sequence),
    ("guardrail_intervened", StopReason::Filtered),
    ("content_filtered", StopReason::Filtered),
    ("malformed_model_output", StopReason::Malformed),
    ("malformed_tool_use", StopReason::Malformed),
    ("model_context_window_exceeded", StopReason::ContextFull),
];

fn stop(word: &str) -> Stop {
    let reason = STOPS.iter().find(|(known, _)| *known == word);
    Stop::new(reason.map_or(StopReason::End, |(_, reason)| *reason), word)
}

/// What was read from a cache or written to one is counted beside `inputTokens`.
pub(super) fn read_usage(mut fields: Fields) -> Result<Usage, Error> {
    let plain = fields.whole("inputTokens")?.unwrap_or_default();
    let cached_input = fields.whole("cacheReadInputTokens")?.unwrap_or_default();
    let written = fields.whole("cacheWriteInputTokens")?.unwrap_or_default();
    let mut hour = 0;
    for mut detail in crate::fields::each(fields.items("cacheDetails")?, "cacheDetails", Ok)? {
        if detail.string("ttl")?.as_deref() == Some("1h") {
            hour = detail.whole("inputTokens")?.unwrap_or_default();
        }
    }
    Ok(Usage {
        input: plain.saturating_add(cached_input).saturating_add(written),
        cached_input,
        cache_write: written.saturating_sub(hour),
        cache_write_hour: hour.min(written),
        output: fields.whole("outputTokens")?.unwrap_or_default(),
        ..Usage::default()
    })
}

/// The most letters of a call's id.
const MOST_ID: usize = 64;

/// An id of a call as this dialect takes it. One that is too long keeps its beginning, and a checksum of the whole.
fn call_id(id: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-') {
            letter
        } else {
            '_'
        }
    };
    let sound: String = id.chars().map(plain).collect();
    if sound == id && !id.is_empty() && id.len() <= MOST_ID {
        return sound;
    }
    let begin: String = sound.chars().take(MOST_ID - 9).collect();
    format!("{begin}_{:08x}", crc32fast::hash(id.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::call_id;

    #[test]
    fn ids_fit_and_stay_apart() {
        assert_eq!(call_id("toolu_01A-b"), "toolu_01A-b");
        let long = "x".repeat(100);
        for id in [long.as_str(), "a.b", "a/b", "", "é"] {
            let made = call_id(id);
            assert!(made.len() <= 64, "{made}");
            assert!(
                made.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
            );
        }
        assert_ne!(call_id("a.b"), call_id("a/b"));
        assert_ne!(call_id(&long), call_id(&(long.clone() + "y")));
    }
}
