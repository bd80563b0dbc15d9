//! A provider's request.

use super::super::content::{alternating, split_instructions, thinking_within};
use super::super::{Outgoing, Target};
use super::ABILITY;
use super::blocks::{self, write_cache_control};
pub(in super::super) use super::request_read::read;
use crate::error::Error;
use crate::form::{Effort, Feature, Output, Part, Reasoning, Request, Role, Tool, ToolChoice};
use crate::json::{Json, Object};

/// What is written at most where the caller names no bound and the model's is not known: the dialect wants one.
const DEFAULT_MAX_TOKENS: u64 = 4_096;

pub(in super::super) fn write(request: &Request, target: &Target) -> Result<Outgoing, Error> {
    ABILITY.check(request)?;
    let mut notes = request.notes.clone();
    let max_tokens = request
        .max_tokens
        .or(target.max_output)
        .unwrap_or(DEFAULT_MAX_TOKENS);
    let (instructions, talk) = split_instructions(&request.messages);
    let mut body = Object::new()
        .with("model", &target.model)
        .with("max_tokens", max_tokens);
    let system: Vec<Part> = instructions
        .iter()
        .flat_map(|message| message.parts.iter().cloned())
        .collect();
    if !system.is_empty() {
        if !system
            .iter()
            .all(|part| matches!(part, Part::Text(_) | Part::CachePoint(_)))
        {
            return Err(ABILITY.lack(Feature::RichInstructions));
        }
        let system = match system.as_slice() {
            [Part::Text(text)] => Json::from(text),
            several => blocks::write(several, &mut notes)?.into(),
        };
        body.set("system", system);
    }
    let mut messages: Vec<Json> = Vec::new();
    for message in alternating(talk) {
        let role = match message.role {
            Role::Assistant => "assistant",
            Role::User | Role::System | Role::Developer => "user",
        };
        let content = match message.parts.as_slice() {
            [Part::Text(text)] if !text.is_empty() => Json::from(text),
            parts => {
                let blocks = blocks::write(parts, &mut notes)?;
                if blocks.is_empty() {
                    continue;
                }
                blocks.into()
            }
        };
        messages.push(
            Object::new()
                .with("role", role)
                .with("content", content)
                .into(),
        );
    }
    body.set("messages", messages);
    let sampling = &request.sampling;
    body = body
        .with_some("temperature", sampling.temperature.as_ref())
        .with_some("top_p", sampling.top_p.as_ref())
        .with_some("top_k", sampling.top_k);
    if !request.stop.is_empty() {
        let stop: Vec<Json> = request.stop.iter().map(Json::from).collect();
        body.set("stop_sequences", stop);
    }
    tools(request, &mut body);
    let mut config = Object::new();
    if let Some(reasoning) = &request.reasoning {
        let adaptive = target.quirks.adaptive_reasoning;
        self::reasoning(reasoning, max_tokens, adaptive, &mut body, &mut config)?;
    }
    match &request.output {
        Output::Text => {}
        Output::Json => return Err(ABILITY.lack(Feature::JsonOutput)),
        Output::Schema(schema) => {
            if schema.name.is_some() || schema.description.is_some() {
                notes.push("the name and description of the answer's schema".to_owned());
            }
            let format = Object::new()
                .with("type", "json_schema")
                .with("schema", schema.schema.clone());
            config.set("format", format);
        }
    }
    if !config.is_empty() {
        body.set("output_config", config);
    }
    if request.stream {
        body.set("stream", true);
    }
    Ok(Outgoing::new("/messages", body, notes))
}

fn tools(request: &Request, body: &mut Object) {
    if request.tools.is_empty() {
        return;
    }
    let tools: Vec<Json> = request
        .tools
        .iter()
        .map(|tool| self::tool(tool).into())
        .collect();
    body.set("tools", tools);
    let alone = request.parallel_tools == Some(false);
    let choice = match &request.tool_choice {
        None if !alone => return,
        None | Some(ToolChoice::Auto) => Object::new().with("type", "auto"),
        Some(ToolChoice::Never) => {
            body.set("tool_choice", Object::new().with("type", "none"));
            return;
        }
        Some(ToolChoice::Required) => Object::new().with("type", "any"),
        Some(ToolChoice::Tool(name)) => Object::new().with("type", "tool").with("name", name),
    };
    let choice = if alone {
        choice.with("disable_parallel_tool_use", true)
    } else {
        choice
    };
    body.set("tool_choice", choice);
}

fn tool(tool: &Tool) -> Object {
    let nothing = || {
        Json::Object(
            Object::new()
                .with("type", "object")
                .with("properties", Object::new()),
        )
    };
    Object::new()
        .with("name", &tool.name)
        .with_some("description", tool.description.as_ref())
        .with(
            "input_schema",
            tool.parameters.clone().unwrap_or_else(nothing),
        )
        .with_some("strict", tool.strict.filter(|strict| *strict))
        .with_some("cache_control", tool.cache.map(write_cache_control))
}

fn reasoning(
    reasoning: &Reasoning,
    max_tokens: u64,
    adaptive: bool,
    body: &mut Object,
    config: &mut Object,
) -> Result<(), Error> {
    if reasoning.is_off() {
        body.set("thinking", Object::new().with("type", "disabled"));
        return Ok(());
    }
    if adaptive || (reasoning.effort.is_none() && reasoning.budget.is_none()) {
        let mut thinking = Object::new().with("type", "adaptive");
        match reasoning.shown {
            Some(true) => thinking.set("display", "summarized"),
            Some(false) => thinking.set("display", "omitted"),
            None => {}
        }
        body.set("thinking", thinking);
        if let Some(effort) = reasoning.as_effort() {
            let effort = effort.max(Effort::Low);
            config.set("effort", effort.as_str());
        }
        return Ok(());
    }
    // The budget is part of what may be written.
    let thinking = thinking_within(reasoning.as_budget(), max_tokens)?;
    body.set("thinking", thinking);
    Ok(())
}
