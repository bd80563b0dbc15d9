//! A caller's request.

use super::super::content::{attach_signatures, name_results, strings};
use super::ABILITY;
use super::items::{self, Item};
use crate::error::{Error, Within as _};
use crate::fields::{Fields, each, missing};
use crate::form::{
    Effort, Feature, Message, Output, Part, Reasoning, Request, Role, Sampling, Schema, Tool,
    ToolChoice, ToolResult,
};
use crate::json::Json;

/// Fields that mark, route or keep a call and change nothing of what a model answers.
const NOTED: &[&str] = &[
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "user",
    "stream_options",
];
/// What the provider would have to have kept.
const KEPT: &[&str] = &[
    "previous_response_id",
    "conversation",
    "prompt",
    "context_management",
];
/// What callers may ask to be told beside the answer, and are told anyway where there is any.
const INCLUDED: &[&str] = &[
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
];

pub(in super::super) fn read(body: &[u8]) -> Result<Request, Error> {
    let mut fields = Fields::parse(body)?;
    if KEPT.iter().any(|name| fields.has(name)) {
        return Err(ABILITY.lack_because(
            Feature::KeptConversation,
            "another provider does not know it: send the whole conversation as `input`",
        ));
    }
    if fields.bool("background")?.unwrap_or_default() {
        return Err(ABILITY.lack(Feature::Background));
    }
    let mut request = Request {
        model: fields.need_string("model")?,
        stream: fields.bool("stream")?.unwrap_or_default(),
        stream_usage: true,
        max_tokens: fields.whole("max_output_tokens")?,
        parallel_tools: fields.bool("parallel_tool_calls")?,
        sampling: Sampling {
            temperature: fields.number("temperature")?,
            top_p: fields.number("top_p")?,
            ..Sampling::default()
        },
        ..Request::default()
    };
    let included = strings(fields.items("include")?).within("include")?;
    if let Some(other) = included
        .iter()
        .find(|name| !INCLUDED.contains(&name.as_str()))
    {
        return Err(Error::field(
            "include",
            format!("`{other}` is not known here"),
        ));
    }
    let top = fields.whole("top_logprobs")?;
    if top.is_some_and(|top| top > 0) || included.iter().any(|name| name.ends_with("logprobs")) {
        request.log_probabilities = Some(top.unwrap_or_default());
    }
    match fields.string("truncation")?.as_deref() {
        None | Some("disabled") => {}
        Some(_) => request.notes.push("truncation".to_owned()),
    }
    if let Some(reasoning) = fields.object("reasoning")? {
        request.reasoning = Some(self::reasoning(reasoning).within("reasoning")?);
    }
    if let Some(text) = fields.object("text")? {
        self::text(text, &mut request).within("text")?;
    }
    if let Some(text) = fields.string("instructions")? {
        request.messages.push(Message::text(Role::System, text));
    }
    match fields.take("input").ok_or_else(|| missing("input"))? {
        Json::String(text) => request.messages.push(Message::text(Role::User, text)),
        Json::Array(items) => {
            let items = each(items, "input", items::read)?;
            gather(items, &mut request.messages)?;
        }
        other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_)) => {
            return Err(crate::fields::wrong(
                "input",
                "a string or an array",
                &other,
            ));
        }
    }
    request.tools = each(fields.items("tools")?, "tools", tool)?;
    request.tool_choice = fields
        .take("tool_choice")
        .map(|choice| tool_choice(choice).within("tool_choice"))
        .transpose()?;
    fields.note(NOTED, &mut request.notes);
    fields.finish()?;
    Ok(request)
}

/// Items as messages: what the model said, thought and called without anyone between is one.
fn gather(items: Vec<Item>, messages: &mut Vec<Message>) -> Result<(), Error> {
    // The last message has results alone.
    let mut after_results = false;
    for item in items {
        let is_result = matches!(item, Item::Result(..));
        match item {
            Item::Own(parts, _) => match messages.last_mut() {
                Some(last) if last.role == Role::Assistant => last.parts.extend(parts),
                Some(_) | None => messages.push(Message::new(Role::Assistant, parts)),
            },
            Item::Message(role, parts) => {
                let role = match role.as_str() {
                    "user" => Role::User,
                    "system" => Role::System,
                    "developer" => Role::Developer,
                    _ => {
                        let why = format!("`{role}` is no role that is known here");
                        return Err(Error::field("role", why).within("input"));
                    }
                };
                messages.push(Message::new(role, parts));
            }
            Item::Result(id, content) => {
                let result = Part::ToolResult(ToolResult {
                    name: None,
                    id,
                    content,
                    is_error: false,
                });
                match messages.last_mut() {
                    Some(last) if after_results => last.parts.push(result),
                    Some(_) | None => messages.push(Message::new(Role::User, vec![result])),
                }
            }
        }
        after_results = is_result;
    }
    name_results(messages);
    for message in messages.iter_mut() {
        if message.role == Role::Assistant {
            message.parts = attach_signatures(std::mem::take(&mut message.parts));
        }
    }
    Ok(())
}

fn reasoning(mut fields: Fields) -> Result<Reasoning, Error> {
    let effort =
        match fields.string("effort")? {
            Some(word) => Some(Effort::named(&word).ok_or_else(|| {
                Error::field("effort", format!("`{word}` is no effort known here"))
            })?),
            None => None,
        };
    let old = fields.string("generate_summary")?;
    let summary = fields.string("summary")?.or(old);
    fields.finish()?;
    Ok(Reasoning {
        effort,
        budget: None,
        shown: summary.map(|_| true),
    })
}

fn text(mut fields: Fields, request: &mut Request) -> Result<(), Error> {
    if let Some(mut format) = fields.object("format")? {
        request.output = match format.need_string("type")?.as_str() {
            "text" => Output::Text,
            "json_object" => Output::Json,
            "json_schema" => Output::Schema(Schema {
                name: format.string("name")?,
                description: format.string("description")?,
                schema: format.take("schema").ok_or_else(|| missing("schema"))?,
                strict: format.bool("strict")?,
            }),
            _ => {
                return Err(Error::field(
                    "type",
                    "must be `text`, `json_object` or `json_schema`",
                ));
            }
        };
        format.finish().within("format")?;
    }
    // The usual length is nothing to ask for.
    if fields.peek("verbosity") == Some("medium") {
        fields.take("verbosity");
    }
    fields.finish()
}

fn tool(mut fields: Fields) -> Result<Tool, Error> {
    if fields.need_string("type")? != "function" {
        return Err(ABILITY.lack(Feature::HostedTools));
    }
    let tool = Tool {
        name: fields.need_string("name")?,
        description: fields.string("description")?,
        parameters: fields.take("parameters"),
        strict: fields.bool("strict")?,
        cache: None,
    };
    fields.finish()?;
    Ok(tool)
}

fn tool_choice(json: Json) -> Result<ToolChoice, Error> {
    match json.as_str() {
        Some("auto") => return Ok(ToolChoice::Auto),
        Some("none") => return Ok(ToolChoice::Never),
        Some("required") => return Ok(ToolChoice::Required),
        Some(_) => {
            return Err(Error::field(
                "",
                "must be `auto`, `none`, `required` or a function",
            ));
        }
        None => {}
    }
    let mut fields = Fields::of(json)?;
    if fields.need_string("type")? != "function" {
        return Err(ABILITY.lack(Feature::HostedTools));
    }
    let name = fields.need_string("name")?;
    fields.finish()?;
    Ok(ToolChoice::Tool(name))
}
