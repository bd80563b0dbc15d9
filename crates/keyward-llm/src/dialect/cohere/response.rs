//! Answers.

use super::{ABILITY, read_usage, stop};
use crate::error::{Error, Within as _};
use crate::fields::{Fields, each};
use crate::form::{Answer, Candidate, Feature, Part, Stop, Thought, ToolCall};
use crate::json::Json;

pub(in super::super) fn read(mut fields: Fields) -> Result<Answer, Error> {
    let mut message = fields.need_object("message")?;
    let mut parts = Vec::new();
    let plan = message.string("tool_plan").within("message")?;
    if let Some(text) = plan.filter(|plan| !plan.is_empty()) {
        parts.push(thought(text));
    }
    let content = match message.take("content") {
        Some(Json::String(text)) => vec![Part::Text(text)],
        Some(Json::Array(items)) => each(items, "content", |mut item| {
            match item.need_string("type")?.as_str() {
                "text" => Ok(Part::Text(item.string("text")?.unwrap_or_default())),
                "thinking" => Ok(thought(item.string("thinking")?.unwrap_or_default())),
                _ => Err(ABILITY.lack(Feature::AnswerPart)),
            }
        })?,
        Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_)) | None => Vec::new(),
    };
    parts.extend(content);
    let calls = message.items("tool_calls")?;
    parts.extend(each(calls, "tool_calls", |mut call| {
        let mut function = call.need_object("function")?;
        Ok(Part::ToolCall(ToolCall {
            id: call.string("id")?.unwrap_or_default(),
            name: function.need_string("name")?,
            arguments: function.string("arguments")?.unwrap_or_default(),
            signature: None,
        }))
    })?);
    let word = fields.string("finish_reason")?;
    Ok(Answer {
        id: fields.string("id")?.unwrap_or_default(),
        usage: fields
            .object("usage")?
            .map(|usage| read_usage(usage).within("usage"))
            .transpose()?,
        candidates: vec![Candidate {
            parts,
            stop: word.map_or_else(Stop::default, |word| stop(&word)),
            log_probabilities: Vec::new(),
        }],
        ..Answer::default()
    })
}

fn thought(text: String) -> Part {
    Part::Thought(Thought {
        text,
        ..Thought::default()
    })
}
