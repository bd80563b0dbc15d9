//! Answers.

use super::super::content::{seal, with_whole_calls};
use super::super::{Context, Dialect};
use super::{ABILITY, answer_id, blocks, null_or, read_usage, stop, stop_word, write_usage};
use crate::error::{Error, Within as _};
use crate::fields::Fields;
use crate::form::{Answer, Candidate, Feature, Part, Request, Signature, Stop, Thought, Usage};
use crate::json::{Json, Object};

pub(in super::super) fn read(mut fields: Fields) -> Result<Answer, Error> {
    let sequence = fields.string("stop_sequence")?;
    let reason = fields.string("stop_reason")?;
    Ok(Answer {
        id: fields.string("id")?.unwrap_or_default(),
        model: fields.string("model")?.unwrap_or_default(),
        created: None,
        candidates: vec![Candidate {
            parts: blocks::read_answer(fields.need_items("content")?)?,
            stop: reason.map_or_else(Stop::default, |word| stop(&word, sequence)),
            log_probabilities: Vec::new(),
        }],
        usage: fields
            .object("usage")?
            .map(|usage| read_usage(usage, Usage::default()).within("usage"))
            .transpose()?,
    })
}

pub(in super::super) fn write(
    answer: &Answer,
    asked: &Request,
    context: &Context,
) -> Result<Json, Error> {
    let candidate = match answer.candidates.as_slice() {
        [] => Candidate::default(),
        [one] => one.clone(),
        [_, ..] => return Err(ABILITY.lack(Feature::SeveralAnswers)),
    };
    let candidate = with_whole_calls(candidate);
    let model = if answer.model.is_empty() {
        &asked.model
    } else {
        &answer.model
    };
    let mut content: Vec<Json> = Vec::with_capacity(candidate.parts.len());
    for part in &candidate.parts {
        match part {
            Part::Thought(thought) => content.push(write_thought(thought).into()),
            Part::Text(_) | Part::Refusal(_) | Part::ToolCall(_) | Part::CachePoint(_) => {
                content.extend(blocks::write(std::slice::from_ref(part), &mut Vec::new())?);
            }
            Part::Image(_) | Part::Document(_) | Part::Audio(_) | Part::ToolResult(_) => {
                return Err(ABILITY.lack(Feature::AnswerPart));
            }
        }
        if let Part::ToolCall(call) = part
            && let Some(signature) = &call.signature
        {
            // There is no place for it on the call: the caller gives it back with this.
            content.push(hidden(signature).into());
        }
    }
    let usage = answer.usage.unwrap_or_default();
    Ok(Json::Object(
        Object::new()
            .with("id", answer_id(&answer.id, context))
            .with("type", "message")
            .with("role", "assistant")
            .with("model", model)
            .with("content", content)
            .with("stop_reason", stop_word(&candidate.stop))
            .with("stop_sequence", null_or(told_sequence(&candidate.stop)))
            .with("usage", write_usage(&usage)),
    ))
}

fn write_thought(thought: &Thought) -> Object {
    let signature = thought.signature.as_ref();
    match signature {
        Some(signature) if thought.redacted => hidden(signature),
        Some(_) | None => {
            let value = signature.map(|signature| seal(signature, Dialect::Anthropic));
            Object::new()
                .with("type", "thinking")
                .with("thinking", &thought.text)
                .with("signature", value.unwrap_or_default())
        }
    }
}

/// A block that shows nothing and carries a signature.
pub(super) fn hidden(signature: &Signature) -> Object {
    Object::new()
        .with("type", "redacted_thinking")
        .with("data", seal(signature, Dialect::Anthropic))
}

pub(super) fn told_sequence(stop: &Stop) -> Option<&str> {
    (stop_word(stop) == "stop_sequence")
        .then_some(stop.sequence.as_deref())
        .flatten()
}
