//! A provider's request.

use super::super::content::{alternating, split_instructions, thinking_within};
use super::super::outgoing::path_segment;
use super::super::{Outgoing, Target};
use super::ABILITY;
use super::content::{self, cache_point};
use crate::error::Error;
use crate::form::{
    Effort, Feature, Message, Output, Part, Reasoning, Request, Role, Tool, ToolChoice,
};
use crate::json::{Json, Object};

pub(in super::super) fn write(request: &Request, target: &Target) -> Result<Outgoing, Error> {
    ABILITY.check(request)?;
    let mut notes = request.notes.clone();
    let (instructions, talk) = split_instructions(&request.messages);
    let mut body = Object::new();
    let system: Vec<Part> = instructions
        .iter()
        .flat_map(|message| message.parts.iter().cloned())
        .collect();
    if !system.is_empty() {
        let plain = |part: &Part| matches!(part, Part::Text(_) | Part::CachePoint(_));
        if !system.iter().all(plain) {
            return Err(ABILITY.lack(Feature::RichInstructions));
        }
        body.set("system", content::write(&system, &mut notes)?);
    }
    let mut messages: Vec<Json> = Vec::new();
    for message in alternating(talk) {
        let role = match message.role {
            Role::Assistant => "assistant",
            Role::User | Role::System | Role::Developer => "user",
        };
        let blocks = content::write(&message.parts, &mut notes)?;
        if !blocks.is_empty() {
            messages.push(
                Object::new()
                    .with("role", role)
                    .with("content", blocks)
                    .into(),
            );
        }
    }
    body.set("messages", messages);
    let sampling = &request.sampling;
    let mut inference = Object::new()
        .with_some("maxTokens", request.max_tokens)
        .with_some("temperature", sampling.temperature.as_ref())
        .with_some("topP", sampling.top_p.as_ref());
    if !request.stop.is_empty() {
        let stop: Vec<Json> = request.stop.iter().map(Json::from).collect();
        inference.set("stopSequences", stop);
    }
    if !inference.is_empty() {
        body.set("inferenceConfig", inference);
    }
    if let Some(config) = tools(request, talk)? {
        body.set("toolConfig", config);
    }
    if let Some(reasoning) = &request.reasoning
        && let Some(fields) = self::reasoning(reasoning, request, target)?
    {
        body.set("additionalModelRequestFields", fields);
    }
    if let Output::Schema(schema) = &request.output {
        // The schema is a text there.
        let definition = Object::new()
            .with("schema", schema.schema.to_text())
            .with("name", schema.name.as_deref().unwrap_or("answer"))
            .with_some("description", schema.description.as_ref());
        let format = Object::new()
            .with("type", "json_schema")
            .with("structure", Object::new().with("jsonSchema", definition));
        body.set("outputConfig", Object::new().with("textFormat", format));
    }
    Ok(Outgoing::new(
        path(&target.model, request.stream)?,
        body,
        notes,
    ))
}

/// A model's id has colons, and one that is an ARN has slashes: within a segment of the path.
fn path(model: &str, stream: bool) -> Result<String, Error> {
    let model = path_segment(model)?.replace(':', "%3A").replace('/', "%2F");
    let call = if stream {
        "converse-stream"
    } else {
        "converse"
    };
    Ok(format!("/model/{model}/{call}"))
}

fn tools(request: &Request, talk: &[Message]) -> Result<Option<Object>, Error> {
    let is_history = |part: &Part| matches!(part, Part::ToolCall(_) | Part::ToolResult(_));
    let history = talk
        .iter()
        .flat_map(|message| &message.parts)
        .any(is_history);
    if request.tools.is_empty() {
        if history {
            return Err(Error::field(
                "tools",
                "must be there where the conversation has calls of tools: the provider refuses it without",
            ));
        }
        return Ok(None);
    }
    let choice = match &request.tool_choice {
        None => None,
        Some(ToolChoice::Auto) => Some(Object::new().with("auto", Object::new())),
        Some(ToolChoice::Required) => Some(Object::new().with("any", Object::new())),
        Some(ToolChoice::Tool(name)) => {
            Some(Object::new().with("tool", Object::new().with("name", name)))
        }
        // Without its tools a model calls none; with calls before, they can't be left out.
        Some(ToolChoice::Never) if !history => return Ok(None),
        Some(ToolChoice::Never) => return Err(ABILITY.lack(Feature::NoTool)),
    };
    let mut tools: Vec<Json> = Vec::with_capacity(request.tools.len());
    for tool in &request.tools {
        tools.push(Object::new().with("toolSpec", spec(tool)).into());
        if let Some(life) = tool.cache {
            tools.push(Object::new().with("cachePoint", cache_point(life)).into());
        }
    }
    Ok(Some(
        Object::new()
            .with("tools", tools)
            .with_some("toolChoice", choice),
    ))
}

fn spec(tool: &Tool) -> Object {
    let nothing = || {
        Json::Object(
            Object::new()
                .with("type", "object")
                .with("properties", Object::new()),
        )
    };
    let schema = tool.parameters.clone().unwrap_or_else(nothing);
    Object::new()
        .with("name", &tool.name)
        .with_some("description", tool.description.as_ref())
        .with("inputSchema", Object::new().with("json", schema))
        .with_some("strict", tool.strict.filter(|strict| *strict))
}

/// There is no common word for reasoning: Anthropic's models take Anthropic's.
fn reasoning(
    reasoning: &Reasoning,
    request: &Request,
    target: &Target,
) -> Result<Option<Object>, Error> {
    if reasoning.effort.is_none() && reasoning.budget.is_none() {
        return Ok(None);
    }
    if !target.model.contains("anthropic.") {
        return Err(ABILITY.lack_because(
            Feature::Reasoning,
            "only Anthropic's models can be told there: leave it out",
        ));
    }
    if reasoning.is_off() {
        return Ok(None);
    }
    if target.quirks.adaptive_reasoning {
        // What is less than `low` has no word there.
        let effort = reasoning
            .as_effort()
            .map(|effort| effort.max(Effort::Low).as_str());
        let thinking = Object::new().with("type", "adaptive");
        let config = Object::new().with_some("effort", effort);
        return Ok(Some(
            Object::new()
                .with("thinking", thinking)
                .with("output_config", config),
        ));
    }
    let most = request.max_tokens.or(target.max_output).unwrap_or(u64::MAX);
    let thinking = thinking_within(reasoning.as_budget(), most)?;
    Ok(Some(Object::new().with("thinking", thinking)))
}
