//! A provider's request.

use super::super::content::{alternating, name_results, split_instructions};
use super::super::outgoing::path_segment;
use super::super::schema::to_gemini;
use super::super::{Outgoing, Quirks, Target};
use super::ABILITY;
use super::parts::{self, NO_SIGNATURE, Style};
pub(in super::super) use super::request_read::read;
use crate::error::Error;
use crate::form::{
    Effort, Feature, Message, Output, Part, Reasoning, Request, Role, Tool, ToolChoice,
};
use crate::json::{Json, Object};

pub(in super::super) fn write(request: &Request, target: &Target) -> Result<Outgoing, Error> {
    ABILITY.check(request)?;
    let model = path_segment(&target.model)?;
    let mut notes = request.notes.clone();
    let (instructions, talk) = split_instructions(&request.messages);
    let mut body = Object::new();
    let mut system: Vec<Json> = Vec::new();
    for part in instructions.iter().flat_map(|message| &message.parts) {
        match part {
            Part::Text(text) => system.push(Object::new().with("text", text).into()),
            Part::CachePoint(_) => notes.push(KEPT.to_owned()),
            Part::Image(_)
            | Part::Document(_)
            | Part::Audio(_)
            | Part::Thought(_)
            | Part::ToolCall(_)
            | Part::ToolResult(_)
            | Part::Refusal(_) => return Err(ABILITY.lack(Feature::RichInstructions)),
        }
    }
    if !system.is_empty() {
        body.set("systemInstruction", Object::new().with("parts", system));
    }
    body.set("contents", contents(talk, target.quirks, &mut notes)?);
    tools(request, &mut body, &mut notes)?;
    let config = generation(request, target.quirks, &mut notes)?;
    if !config.is_empty() {
        body.set("generationConfig", config);
    }
    let path = if request.stream {
        format!("/models/{model}:streamGenerateContent?alt=sse")
    } else {
        format!("/models/{model}:generateContent")
    };
    Ok(Outgoing::new(path, body, notes))
}

const KEPT: &str = "what the provider may keep: it decides by itself";

fn contents(talk: &[Message], quirks: Quirks, notes: &mut Vec<String>) -> Result<Vec<Json>, Error> {
    let style = Style {
        ids: quirks.reasoning_levels,
        for_caller: false,
    };
    let mut contents: Vec<Json> = Vec::new();
    let mut talk = alternating(talk);
    // Here a result says which tool it is of.
    name_results(&mut talk);
    for message in talk {
        let role = match message.role {
            Role::Assistant => "model",
            Role::User | Role::System | Role::Developer => "user",
        };
        let mut written: Vec<Json> = Vec::new();
        let mut first_call = true;
        for part in &message.parts {
            let Some(mut object) = parts::write(part, style, notes)? else {
                continue;
            };
            if matches!(part, Part::ToolCall(_)) {
                // Of calls made at once, the first is signed.
                if first_call && quirks.reasoning_levels && object.get("thoughtSignature").is_none()
                {
                    object.set("thoughtSignature", NO_SIGNATURE);
                }
                first_call = false;
            }
            written.push(object.into());
        }
        if !written.is_empty() {
            contents.push(
                Object::new()
                    .with("role", role)
                    .with("parts", written)
                    .into(),
            );
        }
    }
    Ok(contents)
}

fn tools(request: &Request, body: &mut Object, notes: &mut Vec<String>) -> Result<(), Error> {
    if request.tools.is_empty() {
        return Ok(());
    }
    let mut declared: Vec<Json> = Vec::with_capacity(request.tools.len());
    for tool in &request.tools {
        if tool.cache.is_some() {
            notes.push(KEPT.to_owned());
        }
        if tool.strict == Some(true) {
            notes
                .push("`strict` of tools: the provider holds the model to every schema".to_owned());
        }
        declared.push(self::tool(tool)?.into());
    }
    let functions = Object::new().with("functionDeclarations", declared);
    body.set("tools", vec![Json::Object(functions)]);
    let config = match &request.tool_choice {
        None => return Ok(()),
        Some(ToolChoice::Auto) => Object::new().with("mode", "AUTO"),
        Some(ToolChoice::Never) => Object::new().with("mode", "NONE"),
        Some(ToolChoice::Required) => Object::new().with("mode", "ANY"),
        Some(ToolChoice::Tool(name)) => Object::new()
            .with("mode", "ANY")
            .with("allowedFunctionNames", vec![Json::from(name)]),
    };
    body.set(
        "toolConfig",
        Object::new().with("functionCallingConfig", config),
    );
    Ok(())
}

fn tool(tool: &Tool) -> Result<Object, Error> {
    let parameters = tool.parameters.as_ref().map(to_gemini).transpose()?;
    // A function without parameters has none there, not an empty object.
    let parameters = parameters.filter(|schema| {
        let properties = schema.get("properties").and_then(Json::as_object);
        properties.is_some_and(|properties| !properties.is_empty()) || schema.get("anyOf").is_some()
    });
    Ok(Object::new()
        .with("name", &tool.name)
        .with_some("description", tool.description.as_ref())
        .with_some("parameters", parameters))
}

fn generation(request: &Request, quirks: Quirks, notes: &mut Vec<String>) -> Result<Object, Error> {
    let sampling = &request.sampling;
    let mut config = Object::new()
        .with_some("temperature", sampling.temperature.as_ref())
        .with_some("topP", sampling.top_p.as_ref())
        .with_some("topK", sampling.top_k)
        .with_some("frequencyPenalty", sampling.frequency_penalty.as_ref())
        .with_some("presencePenalty", sampling.presence_penalty.as_ref())
        .with_some("maxOutputTokens", request.max_tokens)
        .with_some("candidateCount", request.answers)
        .with_some("seed", request.seed);
    if !request.stop.is_empty() {
        let stop: Vec<Json> = request.stop.iter().map(Json::from).collect();
        config.set("stopSequences", stop);
    }
    if let Some(top) = request.log_probabilities {
        config.set("responseLogprobs", true);
        if top > 0 {
            config.set("logprobs", top);
        }
    }
    if let Some(reasoning) = &request.reasoning {
        config.set("thinkingConfig", thinking(reasoning, quirks));
    }
    match &request.output {
        Output::Text => {}
        Output::Json => config.set("responseMimeType", "application/json"),
        Output::Schema(schema) => {
            if schema.name.is_some() || schema.description.is_some() {
                notes.push("the name and description of the answer's schema".to_owned());
            }
            config.set("responseMimeType", "application/json");
            config.set("responseSchema", to_gemini(&schema.schema)?);
        }
    }
    Ok(config)
}

fn thinking(reasoning: &Reasoning, quirks: Quirks) -> Object {
    let config = Object::new().with_some("includeThoughts", reasoning.shown);
    if !quirks.reasoning_levels {
        return config.with_some("thinkingBudget", reasoning.as_budget());
    }
    let level = reasoning.as_effort().map(|effort| match effort {
        // It can't be switched off there.
        Effort::None | Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::ExtraHigh | Effort::Most => "high",
    });
    config.with_some("thinkingLevel", level)
}
