//! A caller's request.

use super::super::content::strings;
use super::ABILITY;
use super::blocks;
use crate::error::{Error, Within as _};
use crate::fields::{Fields, each, missing};
use crate::form::{
    CacheLife, Effort, Feature, Message, Output, Part, Reasoning, Request, Role, Sampling, Schema,
    Tool, ToolChoice,
};
use crate::json::Json;

/// Fields that mark or route a call and change nothing of what a model answers.
const NOTED: &[&str] = &["metadata", "service_tier", "inference_geo"];

pub(in super::super) fn read(body: &[u8]) -> Result<Request, Error> {
    let mut fields = Fields::parse(body)?;
    let mut request = Request {
        model: fields.need_string("model")?,
        stream: fields.bool("stream")?.unwrap_or_default(),
        stream_usage: true,
        max_tokens: Some(
            fields
                .whole("max_tokens")?
                .ok_or_else(|| missing("max_tokens"))?,
        ),
        sampling: Sampling {
            temperature: fields.number("temperature")?,
            top_p: fields.number("top_p")?,
            top_k: fields.whole("top_k")?,
            ..Sampling::default()
        },
        stop: strings(fields.items("stop_sequences")?).within("stop_sequences")?,
        ..Request::default()
    };
    if let Some(system) = fields.take("system") {
        let parts = blocks::read(system, &mut request.notes).within("system")?;
        request.messages.push(Message::new(Role::System, parts));
    }
    let messages = fields
        .array("messages")?
        .ok_or_else(|| missing("messages"))?;
    let messages = each(messages, "messages", |fields| {
        message(fields, &mut request.notes)
    })?;
    request.messages.extend(messages);
    super::super::content::name_results(&mut request.messages);
    request.tools = each(fields.items("tools")?, "tools", |fields| {
        tool(fields, &mut request.notes)
    })?;
    if let Some(choice) = fields.object("tool_choice")? {
        let (choice, parallel) = tool_choice(choice).within("tool_choice")?;
        request.tool_choice = Some(choice);
        request.parallel_tools = parallel;
    }
    if let Some(thinking) = fields.object("thinking")? {
        request.reasoning = Some(reasoning(thinking).within("thinking")?);
    }
    if let Some(config) = fields.object("output_config")? {
        output_config(config, &mut request).within("output_config")?;
    }
    if let Some(format) = fields.object("output_format")? {
        request.output = output(format).within("output_format")?;
    }
    if let Some(life) = blocks::cache_control(&mut fields)? {
        // Of the whole request: everything up to its end may be kept.
        if let Some(last) = request.messages.last_mut() {
            last.parts.push(Part::CachePoint(life));
        }
    }
    if fields.has("thread") {
        return Err(ABILITY.lack_because(
            Feature::KeptConversation,
            "send the whole conversation, or ask a model whose provider speaks this dialect",
        ));
    }
    fields.note(NOTED, &mut request.notes);
    fields.finish()?;
    Ok(request)
}

fn message(mut fields: Fields, notes: &mut Vec<String>) -> Result<Message, Error> {
    let role = match fields.need_string("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(Error::field("role", "must be `user` or `assistant`")),
    };
    let content = fields.take("content").ok_or_else(|| missing("content"))?;
    let parts = blocks::read(content, notes).within("content")?;
    let parts = super::super::content::attach_signatures(parts);
    fields.finish()?;
    Ok(Message::new(role, parts))
}

fn tool(mut fields: Fields, notes: &mut Vec<String>) -> Result<Tool, Error> {
    if fields.string("type")?.is_some_and(|kind| kind != "custom") {
        return Err(ABILITY.lack(Feature::HostedTools));
    }
    let cache: Option<CacheLife> = blocks::cache_control(&mut fields)?;
    fields.note(
        &[
            "eager_input_streaming",
            "input_examples",
            "allowed_callers",
            "defer_loading",
        ],
        notes,
    );
    let tool = Tool {
        name: fields.need_string("name")?,
        description: fields.string("description")?,
        parameters: fields.take("input_schema"),
        strict: fields.bool("strict")?,
        cache,
    };
    fields.finish()?;
    Ok(tool)
}

fn tool_choice(mut fields: Fields) -> Result<(ToolChoice, Option<bool>), Error> {
    let choice = match fields.need_string("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::Never,
        "tool" => ToolChoice::Tool(fields.need_string("name")?),
        _ => {
            return Err(Error::field(
                "type",
                "must be `auto`, `any`, `tool` or `none`",
            ));
        }
    };
    let alone = fields.bool("disable_parallel_tool_use")?;
    fields.finish()?;
    Ok((choice, alone.map(|alone| !alone)))
}

fn reasoning(mut fields: Fields) -> Result<Reasoning, Error> {
    let mut reasoning = Reasoning::default();
    match fields.need_string("type")?.as_str() {
        "disabled" => reasoning.effort = Some(Effort::None),
        "adaptive" => reasoning.shown = Some(true),
        "enabled" => {
            let budget = fields.whole("budget_tokens")?;
            reasoning.budget = Some(budget.ok_or_else(|| missing("budget_tokens"))?);
            reasoning.shown = Some(true);
        }
        _ => {
            return Err(Error::field(
                "type",
                "must be `enabled`, `disabled` or `adaptive`",
            ));
        }
    }
    if let Some(display) = fields.string("display")? {
        reasoning.shown = Some(display != "omitted");
    }
    fields.finish()?;
    Ok(reasoning)
}

fn output_config(mut fields: Fields, request: &mut Request) -> Result<(), Error> {
    if let Some(word) = fields.string("effort")? {
        let effort = Effort::named(&word)
            .ok_or_else(|| Error::field("effort", format!("`{word}` is no effort known here")))?;
        let reasoning = request.reasoning.get_or_insert_default();
        if reasoning.effort.is_none() {
            reasoning.effort = Some(effort);
        }
    }
    if let Some(format) = fields.object("format")? {
        request.output = output(format).within("format")?;
    }
    fields.finish()
}

fn output(mut fields: Fields) -> Result<Output, Error> {
    if fields.need_string("type")? != "json_schema" {
        return Err(Error::field("type", "must be `json_schema`"));
    }
    let schema: Json = fields.take("schema").ok_or_else(|| missing("schema"))?;
    fields.finish()?;
    Ok(Output::Schema(Schema {
        name: None,
        description: None,
        schema,
        // The model is always held to it.
        strict: Some(true),
    }))
}
