//! A provider's request.

use super::super::content::{data_url, text_as_base64};
use super::super::schema::{LOOSE, without};
use super::super::{Outgoing, Quirks, SeedName, Target};
pub(in super::super) use super::request_read::read;
use super::{ABILITY, thoughts};
use crate::error::Error;
use crate::form::{
    CacheLife, Document, Feature, Image, Message, Output, Part, Reasoning, Request, Role, Source,
    Tool, ToolChoice, ToolResult,
};
use crate::json::{Json, Object};

pub(in super::super) fn write(request: &Request, target: &Target) -> Result<Outgoing, Error> {
    ABILITY.check(request)?;
    let quirks = target.quirks;
    let mut writer = Writer {
        quirks,
        notes: request.notes.clone(),
    };
    let max_name = if quirks.old_max_tokens {
        "max_tokens"
    } else {
        "max_completion_tokens"
    };
    let seed_name = match quirks.seed_name {
        SeedName::Seed => "seed",
        SeedName::RandomSeed => "random_seed",
    };
    let sampling = &request.sampling;
    let mut body = Object::new()
        .with("model", &target.model)
        .with("messages", writer.messages(&request.messages)?)
        .with_some(max_name, request.max_tokens)
        .with_some("temperature", sampling.temperature.as_ref())
        .with_some("top_p", sampling.top_p.as_ref())
        .with_some("frequency_penalty", sampling.frequency_penalty.as_ref())
        .with_some("presence_penalty", sampling.presence_penalty.as_ref())
        .with_some("logit_bias", sampling.logit_bias.clone())
        .with_some(seed_name, request.seed)
        .with_some("n", request.answers);
    if !request.stop.is_empty() {
        let stop: Vec<Json> = request.stop.iter().map(Json::from).collect();
        body.set("stop", stop);
    }
    if let Some(top) = request.log_probabilities {
        body.set("logprobs", true);
        if top > 0 {
            body.set("top_logprobs", top);
        }
    }
    if let Some(reasoning) = &request.reasoning {
        writer.reasoning(reasoning, &mut body);
    }
    if !request.tools.is_empty() {
        let tools: Vec<Json> = request.tools.iter().map(|tool| writer.tool(tool)).collect();
        body.set("tools", tools);
        if let Some(choice) = &request.tool_choice {
            body.set("tool_choice", writer.tool_choice(choice)?);
        }
        if let Some(parallel) = request.parallel_tools {
            body.set("parallel_tool_calls", parallel);
        }
    }
    if let Some(format) = output(&request.output) {
        body.set("response_format", format);
    }
    if request.stream {
        body.set("stream", true);
        if !quirks.no_stream_options {
            // Asked for whether the caller did or not: what a call costs is known by it.
            body.set("stream_options", Object::new().with("include_usage", true));
        }
    }
    Ok(Outgoing::new("/chat/completions", body, writer.notes))
}

struct Writer {
    quirks: Quirks,
    notes: Vec<String>,
}

impl Writer {
    fn note(&mut self, what: &str) {
        self.notes.push(what.to_owned());
    }

    fn reasoning(&mut self, reasoning: &Reasoning, body: &mut Object) {
        if reasoning.effort.is_none() && reasoning.budget.is_some() {
            self.note("the budget of reasoning, said as an effort");
        }
        if reasoning.shown == Some(true) {
            self.note("reasoning in words, which this dialect shows or not as the provider likes");
        }
        if let Some(effort) = reasoning.as_effort() {
            body.set("reasoning_effort", effort.as_str());
        }
    }

    fn tool(&self, tool: &Tool) -> Json {
        let parameters = tool.parameters.clone().map(|schema| {
            if self.quirks.loose_tools {
                without(schema, LOOSE)
            } else {
                schema
            }
        });
        let strict = tool.strict.filter(|_| !self.quirks.loose_tools);
        let function = Object::new()
            .with("name", &tool.name)
            .with_some("description", tool.description.as_ref())
            .with_some("parameters", parameters)
            .with_some("strict", strict);
        let mut json = Object::new()
            .with("type", "function")
            .with("function", function);
        if let Some(life) = tool.cache.filter(|_| self.quirks.cache_control) {
            json.set("cache_control", cache_control(life));
        }
        Json::Object(json)
    }

    fn tool_choice(&self, choice: &ToolChoice) -> Result<Json, Error> {
        let forced = matches!(choice, ToolChoice::Required | ToolChoice::Tool(_));
        if forced && self.quirks.no_required_tool {
            return Err(ABILITY.lack(Feature::ForcedTool));
        }
        Ok(match choice {
            ToolChoice::Auto => "auto".into(),
            ToolChoice::Never => "none".into(),
            ToolChoice::Required if self.quirks.any_tool => "any".into(),
            ToolChoice::Required => "required".into(),
            ToolChoice::Tool(name) => Json::Object(
                Object::new()
                    .with("type", "function")
                    .with("function", Object::new().with("name", name)),
            ),
        })
    }

    fn messages(&mut self, messages: &[Message]) -> Result<Vec<Json>, Error> {
        let mut all = Vec::with_capacity(messages.len());
        for message in messages {
            match message.role {
                Role::System => self.said("system", &message.parts, &mut all)?,
                Role::Developer if self.quirks.no_developer_role => {
                    self.said("system", &message.parts, &mut all)?;
                }
                Role::Developer => self.said("developer", &message.parts, &mut all)?,
                Role::User => self.user(&message.parts, &mut all)?,
                Role::Assistant => all.push(self.assistant(&message.parts)?),
            }
        }
        Ok(all)
    }

    /// Results have messages of their own, which come first.
    fn user(&mut self, parts: &[Part], all: &mut Vec<Json>) -> Result<(), Error> {
        let mut said = Vec::new();
        for part in parts {
            match part {
                Part::ToolResult(result) => all.push(self.result(result)?),
                Part::Text(_)
                | Part::Image(_)
                | Part::Document(_)
                | Part::Audio(_)
                | Part::Thought(_)
                | Part::ToolCall(_)
                | Part::Refusal(_)
                | Part::CachePoint(_) => said.push(part.clone()),
            }
        }
        let empty = said.iter().all(|part| matches!(part, Part::CachePoint(_)));
        if !empty {
            self.said("user", &said, all)?;
        }
        Ok(())
    }

    fn result(&mut self, result: &ToolResult) -> Result<Json, Error> {
        let text = result
            .as_text()
            .ok_or_else(|| ABILITY.lack(Feature::RichToolResult))?;
        if result.is_error {
            self.note("that a tool's result is an error: its text has to say so");
        }
        Ok(Json::Object(
            Object::new()
                .with("role", "tool")
                .with("tool_call_id", &result.id)
                .with("content", text),
        ))
    }

    fn said(&mut self, role: &str, parts: &[Part], all: &mut Vec<Json>) -> Result<(), Error> {
        let content = self.content(parts)?;
        all.push(Json::Object(
            Object::new().with("role", role).with("content", content),
        ));
        Ok(())
    }

    /// One text as it is, more as a list.
    fn content(&mut self, parts: &[Part]) -> Result<Json, Error> {
        if let [Part::Text(text)] = parts {
            return Ok(text.into());
        }
        if self.quirks.text_only {
            let text = crate::form::joined(parts).ok_or_else(|| ABILITY.lack(Feature::Images))?;
            return Ok(text.into());
        }
        let mut items: Vec<Json> = Vec::with_capacity(parts.len());
        for part in parts {
            if let Part::CachePoint(life) = part {
                self.cache_point(*life, &mut items);
            } else {
                items.push(Json::Object(content_part(part)?));
            }
        }
        Ok(items.into())
    }

    fn cache_point(&mut self, life: CacheLife, items: &mut [Json]) {
        match items.last_mut() {
            Some(Json::Object(last)) if self.quirks.cache_control => {
                last.set("cache_control", cache_control(life));
            }
            Some(_) | None => self.note("what the provider may keep: it decides by itself"),
        }
    }

    fn assistant(&mut self, parts: &[Part]) -> Result<Json, Error> {
        let mut message = Object::new().with("role", "assistant");
        let (mut said, mut calls) = (Vec::new(), Vec::new());
        let mut refusal: Option<&str> = None;
        for part in parts {
            match part {
                Part::Text(_) => said.push(part.clone()),
                Part::Refusal(text) => refusal = Some(text),
                Part::ToolCall(call) => {
                    if call.signature.is_some() {
                        self.note("the signature of a tool call, which is its maker's alone");
                    }
                    let function = Object::new()
                        .with("name", &call.name)
                        .with("arguments", some_arguments(&call.arguments));
                    calls.push(Json::Object(
                        Object::new()
                            .with("id", &call.id)
                            .with("type", "function")
                            .with("function", function),
                    ));
                }
                Part::Thought(_) if !self.quirks.returns_reasoning => {
                    self.note("the reasoning of earlier turns, which the provider does not take");
                }
                Part::CachePoint(_) => {
                    self.note("what the provider may keep: it decides by itself");
                }
                Part::Thought(_) => {}
                Part::Image(_) | Part::Document(_) | Part::Audio(_) | Part::ToolResult(_) => {
                    return Err(ABILITY.lack(Feature::OtherOutput));
                }
            }
        }
        let content = if said.is_empty() {
            Json::Null
        } else {
            self.content(&said)?
        };
        message.set("content", content);
        if let Some(refusal) = refusal {
            message.set("refusal", refusal);
        }
        if self.quirks.returns_reasoning {
            let thoughts = thoughts::among(parts);
            let text: String = thoughts
                .iter()
                .map(|thought| thought.text.as_str())
                .collect();
            message.set("reasoning_content", text);
        }
        if !calls.is_empty() {
            message.set("tool_calls", calls);
        }
        Ok(Json::Object(message))
    }
}

/// Arguments are a JSON object: a call without any has an empty one.
fn some_arguments(arguments: &str) -> &str {
    if arguments.trim().is_empty() {
        "{}"
    } else {
        arguments
    }
}

fn content_part(part: &Part) -> Result<Object, Error> {
    match part {
        Part::Text(text) => Ok(Object::new().with("type", "text").with("text", text)),
        Part::Refusal(text) => Ok(Object::new().with("type", "refusal").with("refusal", text)),
        Part::Image(image) => self::image(image),
        Part::Document(document) => self::document(document),
        Part::Audio(audio) => {
            let format = audio.media_type.rsplit('/').next().unwrap_or_default();
            let format = format.strip_prefix("x-").unwrap_or(format);
            let format = if format == "mpeg" { "mp3" } else { format };
            let input = Object::new()
                .with("data", &audio.data)
                .with("format", format);
            Ok(Object::new()
                .with("type", "input_audio")
                .with("input_audio", input))
        }
        Part::Thought(_) | Part::ToolCall(_) | Part::ToolResult(_) | Part::CachePoint(_) => Err(
            Error::field("content", "has a part that has no place there"),
        ),
    }
}

fn image(image: &Image) -> Result<Object, Error> {
    let url = match &image.source {
        Source::Inline { media_type, data } => data_url(media_type, data),
        Source::Address(address) => address.clone(),
        Source::Text(_) => return Err(Error::field("image", "is text")),
        Source::File(_) => return Err(ABILITY.lack(Feature::Files)),
    };
    let url = Object::new()
        .with("url", url)
        .with_some("detail", image.detail.as_ref());
    Ok(Object::new()
        .with("type", "image_url")
        .with("image_url", url))
}

fn document(document: &Document) -> Result<Object, Error> {
    let (data, name) = match &document.source {
        Source::Inline { media_type, data } => {
            let name = if media_type == "application/pdf" {
                "document.pdf"
            } else {
                "document"
            };
            (data_url(media_type, data), name)
        }
        Source::Text(text) => (
            data_url("text/plain", &text_as_base64(text)),
            "document.txt",
        ),
        Source::Address(_) => return Err(ABILITY.lack(Feature::DocumentAddress)),
        Source::File(_) => return Err(ABILITY.lack(Feature::Files)),
    };
    // Content without a name is refused there.
    let file = Object::new()
        .with("filename", document.name.as_deref().unwrap_or(name))
        .with("file_data", data);
    Ok(Object::new().with("type", "file").with("file", file))
}

fn output(output: &Output) -> Option<Object> {
    match output {
        Output::Text => None,
        Output::Json => Some(Object::new().with("type", "json_object")),
        Output::Schema(schema) => {
            let json_schema = Object::new()
                .with("name", schema.name.as_deref().unwrap_or("answer"))
                .with_some("description", schema.description.as_ref())
                .with("schema", schema.schema.clone())
                .with_some("strict", schema.strict);
            Some(
                Object::new()
                    .with("type", "json_schema")
                    .with("json_schema", json_schema),
            )
        }
    }
}

fn cache_control(life: CacheLife) -> Object {
    let control = Object::new().with("type", "ephemeral");
    match life {
        CacheLife::Short => control,
        CacheLife::Hour => control.with("ttl", "1h"),
    }
}
