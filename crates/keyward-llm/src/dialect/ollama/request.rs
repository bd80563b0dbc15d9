//! A provider's request.

use super::super::content::arguments;
use super::super::{Outgoing, Target};
use super::ABILITY;
use crate::error::Error;
use crate::form::{
    Effort, Feature, Image, Message, Output, Part, Reasoning, Request, Role, Source, Tool,
    ToolChoice,
};
use crate::json::{Json, Object};

pub(in super::super) fn write(request: &Request, target: &Target) -> Result<Outgoing, Error> {
    ABILITY.check(request)?;
    let mut notes = request.notes.clone();
    let mut messages: Vec<Json> = Vec::new();
    for message in &request.messages {
        self::message(message, &mut messages, &mut notes)?;
    }
    let mut body = Object::new()
        .with("model", &target.model)
        .with("messages", messages)
        // Left out, it is true there.
        .with("stream", request.stream);
    // Without tools, none is called.
    if request.tool_choice != Some(ToolChoice::Never) && !request.tools.is_empty() {
        let tools: Vec<Json> = request
            .tools
            .iter()
            .map(|tool| self::tool(tool, &mut notes).into())
            .collect();
        body.set("tools", tools);
    }
    match &request.output {
        Output::Text => {}
        Output::Json => body.set("format", "json"),
        Output::Schema(schema) => {
            if schema.name.is_some() || schema.description.is_some() {
                notes.push("the name and description of the answer's schema".to_owned());
            }
            body.set("format", schema.schema.clone());
        }
    }
    if let Some(think) = request.reasoning.as_ref().and_then(think) {
        body.set("think", think);
    }
    if let Some(top) = request.log_probabilities {
        body.set("logprobs", true);
        if top > 0 {
            body.set("top_logprobs", top);
        }
    }
    let options = options(request);
    if !options.is_empty() {
        body.set("options", options);
    }
    Ok(Outgoing::new("/api/chat", body, notes))
}

fn options(request: &Request) -> Object {
    let sampling = &request.sampling;
    let mut options = Object::new()
        .with_some("num_predict", request.max_tokens)
        .with_some("temperature", sampling.temperature.as_ref())
        .with_some("top_p", sampling.top_p.as_ref())
        .with_some("top_k", sampling.top_k)
        .with_some("frequency_penalty", sampling.frequency_penalty.as_ref())
        .with_some("presence_penalty", sampling.presence_penalty.as_ref())
        .with_some("seed", request.seed);
    if !request.stop.is_empty() {
        let stop: Vec<Json> = request.stop.iter().map(Json::from).collect();
        options.set("stop", stop);
    }
    options
}

/// Whether to think; how much is a matter of few models.
fn think(reasoning: &Reasoning) -> Option<Json> {
    if reasoning.is_off() {
        return Some(false.into());
    }
    Some(match reasoning.as_effort()? {
        Effort::None => false.into(),
        Effort::Minimal | Effort::Low => "low".into(),
        Effort::Medium => "medium".into(),
        Effort::High | Effort::ExtraHigh | Effort::Most => "high".into(),
    })
}

fn tool(tool: &Tool, notes: &mut Vec<String>) -> Object {
    if tool.cache.is_some() {
        notes.push(KEPT.to_owned());
    }
    if tool.strict == Some(true) {
        notes.push("`strict` of tools, which models are not held to there".to_owned());
    }
    let function = Object::new()
        .with("name", &tool.name)
        .with_some("description", tool.description.as_ref())
        .with_some("parameters", tool.parameters.clone());
    Object::new()
        .with("type", "function")
        .with("function", function)
}

const KEPT: &str = "what the provider may keep: it decides by itself";

fn message(
    message: &Message,
    messages: &mut Vec<Json>,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let role = match message.role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let (mut text, mut thought) = (String::new(), String::new());
    let (mut images, mut calls) = (Vec::new(), Vec::new());
    let mut results = 0_usize;
    for part in &message.parts {
        match part {
            Part::Text(more) | Part::Refusal(more) => text.push_str(more),
            Part::Thought(one) => thought.push_str(&one.text),
            Part::Image(image) => images.push(self::image(image)?),
            Part::ToolCall(call) => {
                let function = Object::new()
                    .with("name", &call.name)
                    .with("arguments", arguments(call)?);
                calls.push(Object::new().with("function", function).into());
            }
            Part::ToolResult(result) => {
                if result.is_error {
                    notes.push(
                        "that a tool's result is an error: its text has to say so".to_owned(),
                    );
                }
                let content = result
                    .as_text()
                    .ok_or_else(|| ABILITY.lack(Feature::RichToolResult))?;
                results += 1;
                messages.push(
                    Object::new()
                        .with("role", "tool")
                        .with("content", content)
                        .with_some("tool_name", result.name.as_ref())
                        .into(),
                );
            }
            Part::CachePoint(_) => notes.push(KEPT.to_owned()),
            Part::Document(_) => return Err(ABILITY.lack(Feature::Documents)),
            Part::Audio(_) => return Err(ABILITY.lack(Feature::AudioInput)),
        }
    }
    let nothing = text.is_empty() && images.is_empty() && calls.is_empty();
    if nothing && results > 0 {
        return Ok(());
    }
    let mut object = Object::new().with("role", role).with("content", text);
    if !thought.is_empty() {
        object.set("thinking", thought);
    }
    if !images.is_empty() {
        object.set("images", images);
    }
    if !calls.is_empty() {
        object.set("tool_calls", calls);
    }
    messages.push(object.into());
    Ok(())
}

fn image(image: &Image) -> Result<Json, Error> {
    match &image.source {
        Source::Inline { data, .. } => Ok(data.into()),
        Source::Address(_) => Err(ABILITY.lack(Feature::ImageAddress)),
        Source::File(_) | Source::Text(_) => Err(ABILITY.lack(Feature::Files)),
    }
}
