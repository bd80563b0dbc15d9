//! Answers.

use super::super::content::made_call_id;
use super::super::{Context, tokens};
use super::{answer_id, read_usage, stop, stop_word, thoughts, write_usage};
use crate::error::{Error, Within as _};
use crate::fields::{Fields, each, wrong};
use crate::form::{Answer, Candidate, Feature, Part, Request, Stop, Thought, ToolCall};
use crate::json::{Json, Object};

pub(in super::super) fn read(mut fields: Fields) -> Result<Answer, Error> {
    let mut choices = each(fields.need_items("choices")?, "choices", |mut choice| {
        let index = choice.whole("index")?.unwrap_or_default();
        Ok((index, candidate(&mut choice)?))
    })?;
    if choices.is_empty() {
        return Err(Error::field("choices", "has no answer"));
    }
    choices.sort_by_key(|(index, _)| *index);
    Ok(Answer {
        id: fields.string("id")?.unwrap_or_default(),
        model: fields.string("model")?.unwrap_or_default(),
        created: fields.whole("created")?,
        candidates: choices.into_iter().map(|(_, choice)| choice).collect(),
        usage: fields.object("usage")?.map(read_usage).transpose()?,
    })
}

fn candidate(choice: &mut Fields) -> Result<Candidate, Error> {
    let mut message = choice.need_object("message")?;
    let mut parts: Vec<Part> = thoughts::read(&mut message)
        .within("message")?
        .into_iter()
        .map(Part::Thought)
        .collect();
    for piece in message
        .take("content")
        .map(pieces)
        .transpose()?
        .into_iter()
        .flatten()
    {
        parts.push(match piece {
            Piece::Text(text) => Part::Text(text),
            Piece::Thought(text) => Part::Thought(Thought {
                text,
                ..Thought::default()
            }),
        });
    }
    if let Some(refusal) = message.string("refusal")? {
        parts.push(Part::Refusal(refusal));
    }
    if message.has("audio") {
        return Err(super::ABILITY.lack(Feature::OtherOutput));
    }
    parts.extend(each(
        message.items("tool_calls")?,
        "tool_calls",
        |mut call| {
            let signature = thoughts::read_call_signature(&mut call)?;
            let mut function = call.need_object("function")?;
            Ok(Part::ToolCall(ToolCall {
                id: call.string("id")?.unwrap_or_default(),
                name: function.need_string("name")?,
                arguments: arguments(function.take("arguments")),
                signature,
            }))
        },
    )?);
    let log_probabilities = match choice.object("logprobs")? {
        Some(mut logprobs) => tokens::read(&mut logprobs, "content").within("logprobs")?,
        None => Vec::new(),
    };
    let reason = choice.string("finish_reason")?;
    Ok(Candidate {
        parts,
        stop: reason.map_or_else(Stop::default, |word| stop(&word)),
        log_probabilities,
    })
}

/// Text, though there are servers that give the object itself.
pub(super) fn arguments(json: Option<Json>) -> String {
    match json {
        Some(Json::String(text)) => text,
        Some(Json::Null) | None => String::new(),
        Some(other @ (Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_))) => {
            other.to_text()
        }
    }
}

/// What an answer's content is made of.
pub(super) enum Piece {
    Text(String),
    Thought(String),
}

/// A text, or a list of texts and thoughts (Mistral's).
pub(super) fn pieces(content: Json) -> Result<Vec<Piece>, Error> {
    match content {
        Json::String(text) if text.is_empty() => Ok(Vec::new()),
        Json::String(text) => Ok(vec![Piece::Text(text)]),
        Json::Array(items) => each(items, "content", |mut item| {
            if item.peek("type") != Some("thinking") {
                return Ok(Piece::Text(item.string("text")?.unwrap_or_default()));
            }
            let inner = match item.take("thinking") {
                Some(Json::String(text)) => text,
                Some(Json::Array(items)) => {
                    each(items, "thinking", |mut item| item.string("text"))?
                        .into_iter()
                        .flatten()
                        .collect()
                }
                Some(other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_))) => {
                    return Err(wrong("thinking", "a string or an array", &other));
                }
                None => String::new(),
            };
            Ok(Piece::Thought(inner))
        }),
        Json::Null => Ok(Vec::new()),
        Json::Bool(_) | Json::Number(_) | Json::Object(_) => {
            Err(wrong("content", "a string or an array", &content))
        }
    }
}

pub(in super::super) fn write(
    answer: &Answer,
    asked: &Request,
    context: &Context,
) -> Result<Json, Error> {
    let choices: Result<Vec<Json>, Error> = answer
        .candidates
        .iter()
        .zip(0_u64..)
        .map(|(candidate, index)| write_choice(candidate, index, context))
        .collect();
    let model = if answer.model.is_empty() {
        &asked.model
    } else {
        &answer.model
    };
    Ok(Json::Object(
        Object::new()
            .with("id", answer_id(&answer.id, context))
            .with("object", "chat.completion")
            .with("created", answer.created.unwrap_or(context.now))
            .with("model", model)
            .with("choices", choices?)
            .with_some("usage", answer.usage.as_ref().map(write_usage)),
    ))
}

fn write_choice(candidate: &Candidate, index: u64, context: &Context) -> Result<Json, Error> {
    let (mut text, mut refusal) = (None::<String>, None::<String>);
    let mut calls = Vec::new();
    for part in &candidate.parts {
        match part {
            Part::Text(more) => text.get_or_insert_default().push_str(more),
            Part::Refusal(more) => refusal.get_or_insert_default().push_str(more),
            Part::ToolCall(call) => {
                let number = u32::try_from(calls.len()).unwrap_or(u32::MAX);
                calls.push(Json::Object(write_call(call, number, context)));
            }
            Part::Thought(_) | Part::CachePoint(_) => {}
            Part::Image(_) | Part::Document(_) | Part::Audio(_) | Part::ToolResult(_) => {
                return Err(super::ABILITY.lack(Feature::AnswerPart));
            }
        }
    }
    let reason = candidate.stop.reason.with_refusal(refusal.is_some());
    let nothing = || Json::Null;
    let mut message = Object::new()
        .with("role", "assistant")
        .with("content", text.map_or_else(nothing, Json::String))
        .with("refusal", refusal.map_or_else(nothing, Json::String));
    message = thoughts::write(&thoughts::among(&candidate.parts), message);
    if !calls.is_empty() {
        message.set("tool_calls", calls);
    }
    let logprobs = if candidate.log_probabilities.is_empty() {
        Json::Null
    } else {
        let content = tokens::write(&candidate.log_probabilities);
        Json::Object(
            Object::new()
                .with("content", content)
                .with("refusal", Json::Null),
        )
    };
    Ok(Json::Object(
        Object::new()
            .with("index", index)
            .with("message", message)
            .with("logprobs", logprobs)
            .with("finish_reason", stop_word(reason)),
    ))
}

fn write_call(call: &ToolCall, number: u32, context: &Context) -> Object {
    let id = if call.id.is_empty() {
        made_call_id(context, number)
    } else {
        call.id.clone()
    };
    let function = Object::new()
        .with("name", &call.name)
        .with("arguments", &call.arguments);
    Object::new()
        .with("id", id)
        .with("type", "function")
        .with("function", function)
        .with_some(
            "extra_content",
            call.signature.as_ref().map(thoughts::call_signature),
        )
}
