//! A provider's request.

use super::super::content::data_url;
use super::super::{Outgoing, Target};
use super::ABILITY;
use crate::error::Error;
use crate::form::{
    Feature, Image, Message, Output, Part, Reasoning, Request, Role, Source, Tool, ToolChoice,
};
use crate::json::{Json, Object};

pub(in super::super) fn write(request: &Request, target: &Target) -> Result<Outgoing, Error> {
    ABILITY.check(request)?;
    let mut notes = request.notes.clone();
    let mut messages: Vec<Json> = Vec::new();
    for message in &request.messages {
        self::message(message, &mut messages, &mut notes)?;
    }
    let sampling = &request.sampling;
    let mut body = Object::new()
        .with("model", &target.model)
        .with("messages", messages)
        .with("stream", request.stream)
        .with_some("max_tokens", request.max_tokens)
        .with_some("temperature", sampling.temperature.as_ref())
        .with_some("p", sampling.top_p.as_ref())
        .with_some("k", sampling.top_k)
        .with_some("frequency_penalty", sampling.frequency_penalty.as_ref())
        .with_some("presence_penalty", sampling.presence_penalty.as_ref())
        .with_some("seed", request.seed);
    if !request.stop.is_empty() {
        let stop: Vec<Json> = request.stop.iter().map(Json::from).collect();
        body.set("stop_sequences", stop);
    }
    if !request.tools.is_empty() {
        let tools: Vec<Json> = request
            .tools
            .iter()
            .map(|tool| self::tool(tool, &mut notes).into())
            .collect();
        body.set("tools", tools);
        if request.tools.iter().any(|tool| tool.strict == Some(true)) {
            if !request.tools.iter().all(|tool| tool.strict == Some(true)) {
                notes.push("`strict` of some tools: here it is of all".to_owned());
            }
            body.set("strict_tools", true);
        }
        match &request.tool_choice {
            None | Some(ToolChoice::Auto) => {}
            Some(ToolChoice::Never) => body.set("tool_choice", "NONE"),
            Some(ToolChoice::Required) => body.set("tool_choice", "REQUIRED"),
            Some(ToolChoice::Tool(_)) => return Err(ABILITY.lack(Feature::NamedTool)),
        }
    }
    match &request.output {
        Output::Text => {}
        Output::Json => body.set("response_format", Object::new().with("type", "json_object")),
        Output::Schema(schema) => {
            if schema.name.is_some() || schema.description.is_some() {
                notes.push("the name and description of the answer's schema".to_owned());
            }
            let format = Object::new()
                .with("type", "json_object")
                .with("json_schema", schema.schema.clone());
            body.set("response_format", format);
        }
    }
    if let Some(thinking) = request.reasoning.as_ref().and_then(thinking) {
        body.set("thinking", thinking);
    }
    Ok(Outgoing::new("/chat", body, notes))
}

fn thinking(reasoning: &Reasoning) -> Option<Object> {
    if reasoning.is_off() {
        return Some(Object::new().with("type", "disabled"));
    }
    let budget = reasoning.as_budget()?;
    Some(
        Object::new()
            .with("type", "enabled")
            .with("token_budget", budget),
    )
}

const KEPT: &str = "what the provider may keep: it decides by itself";

fn tool(tool: &Tool, notes: &mut Vec<String>) -> Object {
    if tool.cache.is_some() {
        notes.push(KEPT.to_owned());
    }
    let nothing = || {
        Json::Object(
            Object::new()
                .with("type", "object")
                .with("properties", Object::new()),
        )
    };
    let function = Object::new()
        .with("name", &tool.name)
        .with_some("description", tool.description.as_ref())
        .with(
            "parameters",
            tool.parameters.clone().unwrap_or_else(nothing),
        );
    Object::new()
        .with("type", "function")
        .with("function", function)
}

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
    let mut content: Vec<Json> = Vec::new();
    let mut calls: Vec<Json> = Vec::new();
    let mut plan = String::new();
    let mut results = 0_usize;
    for part in &message.parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                content.push(Object::new().with("type", "text").with("text", text).into());
            }
            Part::Image(image) => content.push(self::image(image)?.into()),
            Part::ToolCall(call) => {
                if call.signature.is_some() {
                    notes.push(
                        "the signature of a tool call, which is its maker's alone".to_owned(),
                    );
                }
                let arguments = if call.arguments.trim().is_empty() {
                    "{}"
                } else {
                    &call.arguments
                };
                let function = Object::new()
                    .with("name", &call.name)
                    .with("arguments", arguments);
                calls.push(
                    Object::new()
                        .with("id", &call.id)
                        .with("type", "function")
                        .with("function", function)
                        .into(),
                );
            }
            Part::Thought(thought) if thought.signature.is_none() => plan.push_str(&thought.text),
            Part::Thought(_) => notes.push("the reasoning of another maker's model".to_owned()),
            Part::ToolResult(result) => {
                if result.is_error {
                    notes.push(
                        "that a tool's result is an error: its text has to say so".to_owned(),
                    );
                }
                let text = result
                    .as_text()
                    .ok_or_else(|| ABILITY.lack(Feature::RichToolResult))?;
                results += 1;
                messages.push(
                    Object::new()
                        .with("role", "tool")
                        .with("tool_call_id", &result.id)
                        .with("content", text)
                        .into(),
                );
            }
            Part::CachePoint(_) => notes.push(KEPT.to_owned()),
            Part::Document(_) => return Err(ABILITY.lack(Feature::Documents)),
            Part::Audio(_) => return Err(ABILITY.lack(Feature::AudioInput)),
        }
    }
    if content.is_empty() && calls.is_empty() && results > 0 {
        return Ok(());
    }
    let mut object = Object::new().with("role", role);
    if calls.is_empty() {
        if !plan.is_empty() {
            notes.push(
                "the reasoning of earlier turns, which the provider does not take".to_owned(),
            );
        }
    } else {
        // What was thought before a call has a place of its own.
        if !plan.is_empty() {
            object.set("tool_plan", plan);
        }
        object.set("tool_calls", calls);
    }
    let only = match content.as_slice() {
        [one] => one.get("text").and_then(Json::as_str).map(str::to_owned),
        [] | [_, ..] => None,
    };
    match only {
        Some(text) => object.set("content", text),
        None if content.is_empty() => {}
        None => object.set("content", content),
    }
    messages.push(object.into());
    Ok(())
}

fn image(image: &Image) -> Result<Object, Error> {
    let url = match &image.source {
        Source::Inline { media_type, data } => data_url(media_type, data),
        Source::Address(url) => url.clone(),
        Source::File(_) | Source::Text(_) => return Err(ABILITY.lack(Feature::Files)),
    };
    let url = Object::new()
        .with("url", url)
        .with_some("detail", image.detail.as_ref());
    Ok(Object::new()
        .with("type", "image_url")
        .with("image_url", url))
}
