//! Answers.

use super::super::Context;
use super::items::{self, Item, call_item, output_text, refusal, told_reasoning};
use super::request::{output, tool, tool_choice};
use super::{ABILITY, incomplete, read_usage, stop, write_usage};
use crate::error::{Error, Within as _};
use crate::fields::{Fields, each, missing};
use crate::form::{
    Answer, Candidate, Effort, Feature, Part, Request, StopReason, TokenProbability, Usage,
};
use crate::json::{Json, Object};

pub(in super::super) fn read(fields: Fields) -> Result<Answer, Error> {
    if !fields.has("output") {
        return Err(missing("output"));
    }
    of(fields)
}

pub(super) fn of(mut fields: Fields) -> Result<Answer, Error> {
    let (mut parts, mut log_probabilities) = (Vec::new(), Vec::new());
    let all = each(fields.items("output")?, "output", items::read)?;
    for item in all {
        match item {
            Item::Own(own, logs) => {
                parts.extend(own);
                log_probabilities.extend(logs);
            }
            Item::Message(..) | Item::Result(..) => {
                return Err(ABILITY.lack(Feature::AnswerPart));
            }
        }
    }
    let status = fields.string("status")?.unwrap_or_default();
    let why = match fields.object("incomplete_details")? {
        Some(mut details) => details.string("reason")?,
        None => None,
    };
    let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let refused = parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    Ok(Answer {
        id: fields.string("id")?.unwrap_or_default(),
        model: fields.string("model")?.unwrap_or_default(),
        created: fields.whole("created_at")?,
        candidates: vec![Candidate {
            parts,
            stop: stop(&status, why.as_deref(), calls, refused),
            log_probabilities,
        }],
        usage: fields
            .object("usage")?
            .map(|usage| read_usage(usage).within("usage"))
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
    let mut items: Vec<Json> = Vec::new();
    let mut said: Vec<Json> = Vec::new();
    let mut logs: &[TokenProbability] = &candidate.log_probabilities;
    for part in &candidate.parts {
        let number = items.len();
        match part {
            Part::Text(text) => {
                said.push(output_text(text, logs).into());
                logs = &[];
                continue;
            }
            Part::Refusal(text) => {
                said.push(refusal(text).into());
                continue;
            }
            Part::CachePoint(_) => continue,
            Part::ToolCall(_)
            | Part::Thought(_)
            | Part::Image(_)
            | Part::Document(_)
            | Part::Audio(_)
            | Part::ToolResult(_) => flush(&mut said, &mut items, context),
        }
        match part {
            Part::ToolCall(call) => {
                let item = call_item(call)
                    .with("id", format!("fc_{}_{number}", context.id))
                    .with("status", "completed");
                items.push(item.into());
                if let Some(signature) = &call.signature {
                    // There is no place for it on the call: the caller gives it back with this.
                    let thought = crate::form::Thought {
                        text: String::new(),
                        signature: Some(signature.clone()),
                        redacted: true,
                    };
                    let id = format!("rs_{}_{}", context.id, items.len());
                    items.push(told_reasoning(&thought, &id).into());
                }
            }
            Part::Thought(thought) => {
                let id = format!("rs_{}_{number}", context.id);
                items.push(told_reasoning(thought, &id).into());
            }
            Part::Text(_) | Part::Refusal(_) | Part::CachePoint(_) => {}
            Part::Image(_) | Part::Document(_) | Part::Audio(_) | Part::ToolResult(_) => {
                return Err(ABILITY.lack(Feature::AnswerPart));
            }
        }
    }
    flush(&mut said, &mut items, context);
    let envelope = Envelope::new(asked, context).of(answer);
    let said = |part: &Part| matches!(part, Part::Refusal(_));
    let refused = candidate.parts.iter().any(said);
    Ok(Json::Object(envelope.ended(
        candidate.stop.reason.with_refusal(refused),
        items,
        answer.usage,
    )))
}

fn flush(said: &mut Vec<Json>, items: &mut Vec<Json>, context: &Context) {
    if !said.is_empty() {
        let id = format!("msg_{}_{}", context.id, items.len());
        items.push(message(&id, "completed", std::mem::take(said)).into());
    }
}

pub(super) fn message(id: &str, status: &str, content: Vec<Json>) -> Object {
    Object::new()
        .with("id", id)
        .with("type", "message")
        .with("status", status)
        .with("role", "assistant")
        .with("content", content)
}

/// What stands around the items of an answer, at its beginning as at its end.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    id: String,
    model: String,
    created: u64,
    asked: Object,
}

impl Envelope {
    pub(super) fn new(asked: &Request, context: &Context) -> Self {
        let sampling = &asked.sampling;
        let tools: Vec<Json> = asked.tools.iter().map(|one| tool(one).into()).collect();
        let choice = asked
            .tool_choice
            .as_ref()
            .map_or("auto".into(), tool_choice);
        let text = output(&asked.output).unwrap_or_else(|| Object::new().with("type", "text"));
        let effort = asked
            .reasoning
            .as_ref()
            .and_then(crate::form::Reasoning::as_effort);
        let effort = effort.map_or(Json::Null, |effort| Effort::as_str(effort).into());
        let number = |number: Option<&crate::json::Number>| number.map_or(Json::Null, Json::from);
        let echoed = Object::new()
            .with("instructions", Json::Null)
            .with(
                "max_output_tokens",
                asked.max_tokens.map_or(Json::Null, Json::from),
            )
            .with("metadata", Object::new())
            .with("parallel_tool_calls", asked.parallel_tools.unwrap_or(true))
            .with("previous_response_id", Json::Null)
            .with(
                "reasoning",
                Object::new()
                    .with("effort", effort)
                    .with("summary", Json::Null),
            )
            .with("store", false)
            .with("temperature", number(sampling.temperature.as_ref()))
            .with("text", Object::new().with("format", text))
            .with("tool_choice", choice)
            .with("tools", tools)
            .with("top_p", number(sampling.top_p.as_ref()))
            .with("truncation", "disabled");
        Self {
            id: format!("resp_{}", context.id),
            model: asked.model.clone(),
            created: context.now,
            asked: echoed,
        }
    }

    fn of(self, answer: &Answer) -> Self {
        self.named(&answer.id, &answer.model, answer.created)
    }

    pub(super) fn named(mut self, id: &str, model: &str, created: Option<u64>) -> Self {
        if !id.is_empty() {
            id.clone_into(&mut self.id);
        }
        if !model.is_empty() {
            model.clone_into(&mut self.model);
        }
        self.created = created.unwrap_or(self.created);
        self
    }

    pub(super) fn object(&self, status: &str, items: Vec<Json>) -> Object {
        let mut object = Object::new()
            .with("id", &self.id)
            .with("object", "response")
            .with("created_at", self.created)
            .with("status", status)
            .with("error", Json::Null)
            .with("incomplete_details", Json::Null)
            .with("model", &self.model)
            .with("output", items);
        for (name, value) in self.asked.iter() {
            object.set(name, value.clone());
        }
        object
    }

    pub(super) fn ended(
        &self,
        reason: StopReason,
        items: Vec<Json>,
        usage: Option<Usage>,
    ) -> Object {
        let why = incomplete(reason);
        let status = if why.is_some() {
            "incomplete"
        } else {
            "completed"
        };
        let mut object = self.object(status, items);
        if let Some(why) = why {
            object.set("incomplete_details", Object::new().with("reason", why));
        }
        object.set(
            "usage",
            usage.map_or(Json::Null, |usage| write_usage(&usage).into()),
        );
        object
    }
}
