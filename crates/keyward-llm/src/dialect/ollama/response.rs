//! Answers, and the pieces of one.

use super::super::content::made_call_id;
use super::super::{Context, tokens};
use super::{read_usage, stop};
use crate::error::{Error, Within as _};
use crate::fields::{Fields, each, missing};
use crate::form::{Answer, Candidate, Part, Stop, Thought, TokenProbability, ToolCall};
use crate::json::{Json, Object};

pub(in super::super) fn read(mut fields: Fields, context: &Context) -> Result<Answer, Error> {
    if !fields.has("message") {
        return Err(missing("message"));
    }
    let mut made = 0;
    let piece = piece(&mut fields, context, &mut made)?;
    let calls = piece
        .parts
        .iter()
        .any(|part| matches!(part, Part::ToolCall(_)));
    let word = fields.string("done_reason")?;
    Ok(Answer {
        model: fields.string("model")?.unwrap_or_default(),
        usage: read_usage(&mut fields)?,
        candidates: vec![Candidate {
            parts: piece.parts,
            stop: word.map_or_else(Stop::default, |word| stop(&word, calls)),
            log_probabilities: piece.log_probabilities,
        }],
        ..Answer::default()
    })
}

/// What one document says.
pub(super) struct Piece {
    pub(super) parts: Vec<Part>,
    pub(super) log_probabilities: Vec<TokenProbability>,
}

pub(super) fn piece(
    fields: &mut Fields,
    context: &Context,
    made: &mut u32,
) -> Result<Piece, Error> {
    let mut parts = Vec::new();
    if let Some(mut message) = fields.object("message")? {
        let thought = message.string("thinking").within("message")?;
        if let Some(text) = thought.filter(|text| !text.is_empty()) {
            parts.push(Part::Thought(Thought {
                text,
                ..Thought::default()
            }));
        }
        let text = message.string("content").within("message")?;
        parts.extend(text.filter(|text| !text.is_empty()).map(Part::Text));
        let calls = message.items("tool_calls")?;
        parts.extend(each(calls, "tool_calls", |mut call| {
            let id = call.string("id")?.unwrap_or_else(|| {
                *made += 1;
                made_call_id(context, *made)
            });
            let mut function = call.need_object("function")?;
            let arguments = function.take("arguments");
            let arguments = arguments.unwrap_or(Json::Object(Object::new()));
            Ok(Part::ToolCall(ToolCall {
                id,
                name: function.need_string("name")?,
                arguments: arguments.to_text(),
                signature: None,
            }))
        })?);
    }
    Ok(Piece {
        parts,
        log_probabilities: tokens::read(fields, "logprobs")?,
    })
}
