//! A provider's request.

use super::super::{Outgoing, Target};
use super::ABILITY;
use super::items::{self, call_item, own_reasoning, write_content};
pub(in super::super) use super::request_read::read;
use super::response;
use crate::error::Error;
use crate::form::{Feature, Message, Output, Part, Request, Role, Tool, ToolChoice, ToolResult};
use crate::json::{Json, Object};

pub(in super::super) fn write(request: &Request, target: &Target) -> Result<Outgoing, Error> {
    ABILITY.check(request)?;
    let mut notes = request.notes.clone();
    let mut input: Vec<Json> = Vec::new();
    for message in &request.messages {
        self::message(message, &mut input, &mut notes)?;
    }
    let sampling = &request.sampling;
    let mut body = Object::new()
        .with("model", &target.model)
        .with("input", input)
        // What a call says is kept by nobody who was not asked.
        .with("store", false)
        .with_some("max_output_tokens", request.max_tokens)
        .with_some("temperature", sampling.temperature.as_ref())
        .with_some("top_p", sampling.top_p.as_ref());
    let mut include: Vec<Json> = Vec::new();
    if let Some(top) = request.log_probabilities {
        include.push("message.output_text.logprobs".into());
        body.set("top_logprobs", top);
    }
    if let Some(reasoning) = &request.reasoning {
        if reasoning.effort.is_none() && reasoning.budget.is_some() {
            notes.push("the budget of reasoning, said as an effort".to_owned());
        }
        let effort = reasoning.as_effort().map(crate::form::Effort::as_str);
        let summary = (reasoning.shown == Some(true)).then_some("auto");
        let object = Object::new()
            .with_some("effort", effort)
            .with_some("summary", summary);
        if !object.is_empty() {
            body.set("reasoning", object);
        }
        include.push("reasoning.encrypted_content".into());
    }
    if !include.is_empty() {
        body.set("include", include);
    }
    if !request.tools.is_empty() {
        let tools: Vec<Json> = request
            .tools
            .iter()
            .map(|tool| self::tool(tool).into())
            .collect();
        body.set("tools", tools);
        if let Some(choice) = &request.tool_choice {
            body.set("tool_choice", tool_choice(choice));
        }
        if let Some(parallel) = request.parallel_tools {
            body.set("parallel_tool_calls", parallel);
        }
    }
    if let Some(format) = output(&request.output) {
        body.set("text", Object::new().with("format", format));
    }
    if request.stream {
        body.set("stream", true);
    }
    Ok(Outgoing::new("/responses", body, notes))
}

fn message(message: &Message, input: &mut Vec<Json>, notes: &mut Vec<String>) -> Result<(), Error> {
    let role = match message.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => return assistant(&message.parts, input, notes),
    };
    let mut said = Vec::new();
    for part in &message.parts {
        if let Part::ToolResult(result) = part {
            input.push(self::result(result, notes)?.into());
        } else {
            said.push(part.clone());
        }
    }
    if !said.iter().all(|part| matches!(part, Part::CachePoint(_))) {
        let content = write_content(&said, notes)?;
        input.push(
            Object::new()
                .with("role", role)
                .with("content", content)
                .into(),
        );
    }
    Ok(())
}

fn result(result: &ToolResult, notes: &mut Vec<String>) -> Result<Object, Error> {
    if result.is_error {
        notes.push("that a tool's result is an error: its text has to say so".to_owned());
    }
    let output = if result.content.is_empty() {
        "".into()
    } else {
        write_content(&result.content, notes)?
    };
    Ok(Object::new()
        .with("type", "function_call_output")
        .with("call_id", &result.id)
        .with("output", output))
}

fn assistant(parts: &[Part], input: &mut Vec<Json>, notes: &mut Vec<String>) -> Result<(), Error> {
    for part in parts {
        match part {
            Part::Text(text) => input.push(
                Object::new()
                    .with("role", "assistant")
                    .with("content", text)
                    .into(),
            ),
            Part::Refusal(text) => {
                // A refusal has a place in what was given out before alone, which has an id.
                let id = format!("msg_{}", input.len());
                let content = vec![Json::Object(items::refusal(text))];
                input.push(response::message(&id, "completed", content).into());
            }
            Part::ToolCall(call) => {
                if call.signature.is_some() {
                    notes.push(
                        "the signature of a tool call, which is its maker's alone".to_owned(),
                    );
                }
                input.push(call_item(call).into());
            }
            Part::Thought(thought) => match own_reasoning(thought) {
                Some(item) => input.push(item.into()),
                None => notes.push("the reasoning of another maker's model".to_owned()),
            },
            Part::CachePoint(_) => {
                notes.push("what the provider may keep: it decides by itself".to_owned());
            }
            Part::Image(_) | Part::Document(_) | Part::Audio(_) | Part::ToolResult(_) => {
                return Err(ABILITY.lack(Feature::OtherOutput));
            }
        }
    }
    Ok(())
}

pub(super) fn tool(tool: &Tool) -> Object {
    Object::new()
        .with("type", "function")
        .with("name", &tool.name)
        .with_some("description", tool.description.as_ref())
        .with("parameters", tool.parameters.clone().unwrap_or(Json::Null))
        // What is left out is taken for true there.
        .with("strict", tool.strict.unwrap_or(false))
}

pub(super) fn tool_choice(choice: &ToolChoice) -> Json {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Never => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Tool(name) => {
            Json::Object(Object::new().with("type", "function").with("name", name))
        }
    }
}

pub(super) fn output(output: &Output) -> Option<Object> {
    match output {
        Output::Text => None,
        Output::Json => Some(Object::new().with("type", "json_object")),
        Output::Schema(schema) => Some(
            Object::new()
                .with("type", "json_schema")
                .with("name", schema.name.as_deref().unwrap_or("answer"))
                .with_some("description", schema.description.as_ref())
                .with("schema", schema.schema.clone())
                .with_some("strict", schema.strict),
        ),
    }
}
