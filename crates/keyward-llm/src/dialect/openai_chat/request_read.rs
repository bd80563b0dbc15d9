//! A caller's request.

use super::super::content::{self, source_of_url, strings};
use super::{ABILITY, thoughts};
use crate::error::{Error, Within as _};
use crate::fields::{Fields, each, missing, wrong};
use crate::form::{
    Audio, CacheLife, Document, Effort, Feature, Image, Message, Output, Part, Reasoning, Request,
    Role, Sampling, Schema, Source, Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::json::Json;

/// Fields that mark or route a call and change nothing of what a model answers.
const NOTED: &[&str] = &[
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prediction",
    "user",
];

pub(in super::super) fn read(body: &[u8]) -> Result<Request, Error> {
    let mut fields = Fields::parse(body)?;
    let mut request = Request {
        model: fields.need_string("model")?,
        stream: fields.bool("stream")?.unwrap_or_default(),
        seed: seed(&mut fields)?,
        answers: fields.whole("n")?,
        parallel_tools: fields.bool("parallel_tool_calls")?,
        ..Request::default()
    };
    if let Some(mut options) = fields.object("stream_options")? {
        request.stream_usage = options.bool("include_usage")?.unwrap_or_default();
        options.note(&["include_obfuscation"], &mut request.notes);
        options.finish().within("stream_options")?;
    }
    let old = fields.whole("max_tokens")?;
    request.max_tokens = fields.whole("max_completion_tokens")?.or(old);
    request.sampling = Sampling {
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        top_k: fields.whole("top_k")?,
        frequency_penalty: fields.number("frequency_penalty")?,
        presence_penalty: fields.number("presence_penalty")?,
        logit_bias: fields.take("logit_bias"),
    };
    request.stop = match fields.take("stop") {
        None => Vec::new(),
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(many)) => strings(many).within("stop")?,
        Some(other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_))) => {
            return Err(wrong("stop", "a string or an array", &other));
        }
    };
    let top = fields.whole("top_logprobs")?;
    if fields.bool("logprobs")?.unwrap_or_default() {
        request.log_probabilities = Some(top.unwrap_or_default());
    }
    if let Some(word) = fields.string("reasoning_effort")? {
        let effort = Effort::named(&word).ok_or_else(|| {
            Error::field(
                "reasoning_effort",
                format!("`{word}` is no effort known here"),
            )
        })?;
        request.reasoning = Some(Reasoning {
            effort: Some(effort),
            ..Reasoning::default()
        });
    }
    request.tools = each(fields.items("tools")?, "tools", tool)?;
    request.tool_choice = fields
        .take("tool_choice")
        .map(|choice| tool_choice(choice).within("tool_choice"))
        .transpose()?;
    if let Some(format) = fields.object("response_format")? {
        request.output = output(format).within("response_format")?;
    }
    text_alone(&mut fields)?;
    if fields.has("web_search_options") {
        return Err(ABILITY_OF_CALLERS.lack(Feature::HostedTools));
    }
    let messages = fields
        .array("messages")?
        .ok_or_else(|| missing("messages"))?;
    let messages = each(messages, "messages", |fields| {
        message(fields, &mut request.notes)
    })?;
    request.messages = results_together(messages);
    fields.note(NOTED, &mut request.notes);
    fields.finish()?;
    Ok(request)
}

/// Refusals of what a caller of this dialect asks of a provider of another.
const ABILITY_OF_CALLERS: &super::Ability = &ABILITY;

fn seed(fields: &mut Fields) -> Result<Option<i64>, Error> {
    fields
        .number("seed")?
        .map(|seed| {
            seed.as_i64()
                .ok_or_else(|| Error::field("seed", "must be a whole number"))
        })
        .transpose()
}

fn text_alone(fields: &mut Fields) -> Result<(), Error> {
    let modalities = strings(fields.items("modalities")?).within("modalities")?;
    if modalities.iter().any(|modality| modality != "text") || fields.has("audio") {
        return Err(ABILITY_OF_CALLERS.lack(Feature::OtherOutput));
    }
    Ok(())
}

fn tool(mut fields: Fields) -> Result<Tool, Error> {
    let kind = fields.need_string("type")?;
    if kind != "function" {
        return Err(ABILITY_OF_CALLERS.lack(Feature::HostedTools));
    }
    let cache = cache_control(&mut fields)?;
    let mut function = fields.need_object("function")?;
    let tool = Tool {
        name: function.need_string("name").within("function")?,
        description: function.string("description").within("function")?,
        parameters: function.take("parameters"),
        strict: function.bool("strict").within("function")?,
        cache,
    };
    function.finish().within("function")?;
    fields.finish()?;
    Ok(tool)
}

fn tool_choice(json: Json) -> Result<ToolChoice, Error> {
    if let Some(word) = json.as_str() {
        return match word {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::Never),
            "required" | "any" => Ok(ToolChoice::Required),
            _ => Err(Error::field(
                "",
                "must be `auto`, `none`, `required` or a function",
            )),
        };
    }
    let mut fields = Fields::of(json)?;
    if fields.need_string("type")? != "function" {
        return Err(ABILITY_OF_CALLERS.lack(Feature::HostedTools));
    }
    let mut function = fields.need_object("function")?;
    let name = function.need_string("name").within("function")?;
    function.finish().within("function")?;
    fields.finish()?;
    Ok(ToolChoice::Tool(name))
}

fn output(mut fields: Fields) -> Result<Output, Error> {
    let output = match fields.need_string("type")?.as_str() {
        "text" => Output::Text,
        "json_object" => Output::Json,
        "json_schema" => {
            let mut schema = fields.need_object("json_schema")?;
            let read = Schema {
                name: schema.string("name")?,
                description: schema.string("description")?,
                schema: schema
                    .take("schema")
                    .ok_or_else(|| missing("schema").within("json_schema"))?,
                strict: schema.bool("strict")?,
            };
            schema.finish().within("json_schema")?;
            Output::Schema(read)
        }
        _ => {
            return Err(Error::field(
                "type",
                "must be `text`, `json_object` or `json_schema`",
            ));
        }
    };
    fields.finish()?;
    Ok(output)
}

fn message(mut fields: Fields, notes: &mut Vec<String>) -> Result<Message, Error> {
    let role = fields.need_string("role")?;
    let message = match role.as_str() {
        "system" | "developer" | "user" => {
            let role = match role.as_str() {
                "system" => Role::System,
                "developer" => Role::Developer,
                _ => Role::User,
            };
            fields.note(&["name"], notes);
            let content = fields.take("content").ok_or_else(|| missing("content"))?;
            Message::new(role, parts(content).within("content")?)
        }
        "assistant" => assistant(&mut fields, notes)?,
        "tool" => {
            let name = fields.string("name")?;
            let content = fields.take("content").ok_or_else(|| missing("content"))?;
            let mut content = parts(content).within("content")?;
            let cache = content.pop_if(|part| matches!(part, Part::CachePoint(_)));
            let result = ToolResult {
                id: fields.need_string("tool_call_id")?,
                name,
                content,
                is_error: false,
            };
            let parts = std::iter::once(Part::ToolResult(result)).chain(cache);
            Message::new(Role::User, parts.collect())
        }
        _ => {
            return Err(Error::field(
                "role",
                format!(
                    "`{role}` is no role: there are system, developer, user, assistant and tool"
                ),
            ));
        }
    };
    fields.finish()?;
    Ok(message)
}

fn assistant(fields: &mut Fields, notes: &mut Vec<String>) -> Result<Message, Error> {
    fields.note(&["name", "annotations"], notes);
    // What the vendor's library made of the text of an answer, where the caller sends that back as it came.
    fields.take("parsed");
    if fields.has("audio") {
        return Err(ABILITY_OF_CALLERS.lack(Feature::OtherOutput));
    }
    let mut all: Vec<Part> = thoughts::read(fields)?
        .into_iter()
        .map(Part::Thought)
        .collect();
    if let Some(content) = fields.take("content") {
        all.extend(parts(content).within("content")?);
    }
    if let Some(refusal) = fields.string("refusal")? {
        all.push(Part::Refusal(refusal));
    }
    all.extend(each(
        fields.items("tool_calls")?,
        "tool_calls",
        |mut call| {
            if call.string("type")?.is_some_and(|kind| kind != "function") {
                return Err(ABILITY_OF_CALLERS.lack(Feature::HostedTools));
            }
            let signature = thoughts::read_call_signature(&mut call)?;
            let id = call.need_string("id")?;
            call.take("index");
            let mut function = call.need_object("function")?;
            function.take("parsed_arguments");
            let read = ToolCall {
                id,
                name: function.need_string("name").within("function")?,
                arguments: function
                    .string("arguments")
                    .within("function")?
                    .unwrap_or_default(),
                signature,
            };
            function.finish().within("function")?;
            call.finish()?;
            Ok(Part::ToolCall(read))
        },
    )?);
    Ok(Message::new(Role::Assistant, all))
}

fn parts(content: Json) -> Result<Vec<Part>, Error> {
    match content {
        Json::String(text) => Ok(vec![Part::Text(text)]),
        Json::Array(items) => {
            let mut all = Vec::with_capacity(items.len());
            for (at, item) in items.into_iter().enumerate() {
                let (part, cache) = Fields::of(item).and_then(part).within(at)?;
                all.push(part);
                all.extend(cache.map(Part::CachePoint));
            }
            Ok(all)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => {
            Err(wrong("", "a string or an array of parts", &content))
        }
    }
}

fn part(mut fields: Fields) -> Result<(Part, Option<CacheLife>), Error> {
    let cache = cache_control(&mut fields)?;
    let kind = fields.need_string("type")?;
    let part = match kind.as_str() {
        "text" => Part::Text(fields.need_string("text")?),
        "refusal" => Part::Refusal(fields.need_string("refusal")?),
        "image_url" => {
            let mut image = fields.need_object("image_url")?;
            let url = image.need_string("url").within("image_url")?;
            let detail = image.string("detail").within("image_url")?;
            image.finish().within("image_url")?;
            let source = source_of_url(url).within("image_url.url")?;
            Part::Image(Image { source, detail })
        }
        "input_audio" => {
            let mut audio = fields.need_object("input_audio")?;
            let format = audio.need_string("format").within("input_audio")?;
            let data = audio.need_string("data").within("input_audio")?;
            audio.finish().within("input_audio")?;
            let media_type = format!("audio/{format}");
            Part::Audio(Audio { media_type, data })
        }
        "file" => {
            let mut file = fields.need_object("file")?;
            let name = file.string("filename").within("file")?;
            let source = match (file.string("file_data")?, file.string("file_id")?) {
                (Some(data), _) => source_of_url(data).within("file.file_data")?,
                (None, Some(id)) => Source::File(id),
                (None, None) => return Err(missing("file_data").within("file")),
            };
            file.finish().within("file")?;
            Part::Document(Document { source, name })
        }
        _ => {
            return Err(Error::field(
                "type",
                format!("`{kind}` is no part that is known here"),
            ));
        }
    };
    fields.finish()?;
    Ok((part, cache))
}

/// `cache_control` on a part or a tool: Anthropic's, which several providers of this dialect take over.
fn cache_control(fields: &mut Fields) -> Result<Option<CacheLife>, Error> {
    let Some(mut control) = fields.object("cache_control")? else {
        return Ok(None);
    };
    let hour = control.string("ttl")?.is_some_and(|ttl| ttl == "1h");
    Ok(Some(if hour {
        CacheLife::Hour
    } else {
        CacheLife::Short
    }))
}

/// Results that follow each other are those of one turn.
fn results_together(messages: Vec<Message>) -> Vec<Message> {
    let is_result = |message: &Message| {
        message
            .parts
            .iter()
            .all(|part| matches!(part, Part::ToolResult(_) | Part::CachePoint(_)))
            && !message.parts.is_empty()
    };
    let mut together: Vec<Message> = Vec::with_capacity(messages.len());
    let mut after_results = false;
    for message in messages {
        let results = is_result(&message);
        match together.last_mut() {
            Some(last) if after_results && results => last.parts.extend(message.parts),
            Some(_) | None => together.push(message),
        }
        after_results = results;
    }
    content::name_results(&mut together);
    together
}
