//! Items: messages, calls, their results and what was thought, which requests and answers share.

use super::super::content::{data_url, seal, source_of_url, text_as_base64, unseal};
use super::super::{Dialect, tokens};
use super::ABILITY;
use crate::error::{Error, Within as _};
use crate::fields::{Fields, each, missing, wrong};
use crate::form::{
    Document, Feature, Image, Part, Signature, Source, Thought, TokenProbability, ToolCall,
};
use crate::json::{Json, Object};

/// What an item is.
pub(super) enum Item {
    /// What one of the model's own says, thinks or calls.
    Own(Vec<Part>, Vec<TokenProbability>),
    /// A message, with its role.
    Message(String, Vec<Part>),
    /// What a tool gave, with the call's id.
    Result(String, Vec<Part>),
}

pub(super) fn read(mut fields: Fields) -> Result<Item, Error> {
    let kind = fields.string("type")?;
    let kind = kind.as_deref().unwrap_or("message");
    let item = match kind {
        "message" => {
            let role = fields
                .string("role")?
                .unwrap_or_else(|| "assistant".to_owned());
            let content = fields.take("content").ok_or_else(|| missing("content"))?;
            let (parts, logs) = content_parts(content).within("content")?;
            fields.take("phase");
            if role == "assistant" {
                Item::Own(parts, logs)
            } else {
                Item::Message(role, parts)
            }
        }
        "function_call" => {
            fields.take("namespace");
            // What the vendor's library made of an answer's arguments, where the caller sends that back as it came.
            fields.take("parsed_arguments");
            let call = ToolCall {
                id: fields.need_string("call_id")?,
                name: fields.need_string("name")?,
                arguments: fields.string("arguments")?.unwrap_or_default(),
                signature: None,
            };
            Item::Own(vec![Part::ToolCall(call)], Vec::new())
        }
        "function_call_output" => {
            let id = fields.need_string("call_id")?;
            let output = fields.take("output").ok_or_else(|| missing("output"))?;
            let (parts, _) = content_parts(output).within("output")?;
            Item::Result(id, parts)
        }
        "reasoning" => Item::Own(vec![Part::Thought(thought(&mut fields)?)], Vec::new()),
        "item_reference" => return Err(ABILITY.lack(Feature::KeptConversation)),
        _ => return Err(ABILITY.lack(Feature::HostedTools)),
    };
    fields.take("id");
    fields.take("status");
    fields.finish()?;
    Ok(item)
}

/// What was thought: its summary, or its words where an open model gives them, and the seal that carries it on.
fn thought(fields: &mut Fields) -> Result<Thought, Error> {
    let id = fields.string("id")?.unwrap_or_default();
    let mut text = String::new();
    for name in ["summary", "content"] {
        let pieces = each(fields.items(name)?, name, |mut piece| piece.string("text"))?;
        for piece in pieces.into_iter().flatten() {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            text.push_str(&piece);
        }
    }
    let signature = fields.string("encrypted_content")?.map(|value| {
        let signature = unseal(value, Dialect::OpenAiResponses);
        if signature.maker == Dialect::OpenAiResponses {
            // It is taken back only under the id it was given with.
            let value = format!("{id}:{}", signature.value);
            Signature { value, ..signature }
        } else {
            signature
        }
    });
    Ok(Thought {
        redacted: text.is_empty() && signature.is_some(),
        text,
        signature,
    })
}

/// Content as a text or a list of parts.
fn content_parts(content: Json) -> Result<(Vec<Part>, Vec<TokenProbability>), Error> {
    match content {
        Json::String(text) => Ok((vec![Part::Text(text)], Vec::new())),
        Json::Array(items) => {
            let mut logs = Vec::new();
            let mut parts = Vec::with_capacity(items.len());
            for (at, item) in items.into_iter().enumerate() {
                let fields = Fields::of(item).within(at)?;
                parts.push(content_part(fields, &mut logs).within(at)?);
            }
            Ok((parts, logs))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => {
            Err(wrong("", "a string or an array of parts", &content))
        }
    }
}

fn content_part(mut fields: Fields, logs: &mut Vec<TokenProbability>) -> Result<Part, Error> {
    let kind = fields.need_string("type")?;
    let part = match kind.as_str() {
        "input_text" | "output_text" | "text" => {
            fields.take("annotations");
            fields.take("parsed");
            logs.extend(tokens::read(&mut fields, "logprobs")?);
            Part::Text(fields.need_string("text")?)
        }
        "refusal" => Part::Refusal(fields.need_string("refusal")?),
        "input_image" => {
            let detail = fields.string("detail")?.filter(|detail| detail != "auto");
            let source = match (fields.string("image_url")?, fields.string("file_id")?) {
                (Some(url), _) => source_of_url(url).within("image_url")?,
                (None, Some(id)) => Source::File(id),
                (None, None) => return Err(missing("image_url")),
            };
            Part::Image(Image { source, detail })
        }
        "input_file" => {
            let name = fields.string("filename")?;
            let data = fields.string("file_data")?;
            let url = fields.string("file_url")?;
            let id = fields.string("file_id")?;
            fields.take("detail");
            let source = match (data, url, id) {
                (Some(data), _, _) => source_of_url(data).within("file_data")?,
                (None, Some(url), _) => Source::Address(url),
                (None, None, Some(id)) => Source::File(id),
                (None, None, None) => return Err(missing("file_data")),
            };
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
    Ok(part)
}

/// Parts that somebody else than the model says.
pub(super) fn write_content(parts: &[Part], notes: &mut Vec<String>) -> Result<Json, Error> {
    if let [Part::Text(text)] = parts {
        return Ok(text.into());
    }
    let mut items: Vec<Json> = Vec::with_capacity(parts.len());
    for part in parts {
        items.push(
            match part {
                Part::Text(text) => Object::new().with("type", "input_text").with("text", text),
                Part::Image(image) => {
                    let url = match &image.source {
                        Source::Inline { media_type, data } => data_url(media_type, data),
                        Source::Address(url) => url.clone(),
                        Source::Text(_) | Source::File(_) => {
                            return Err(ABILITY.lack(Feature::Files));
                        }
                    };
                    Object::new()
                        .with("type", "input_image")
                        .with("detail", image.detail.as_deref().unwrap_or("auto"))
                        .with("image_url", url)
                }
                Part::Document(document) => file(document)?,
                Part::CachePoint(_) => {
                    notes.push("what the provider may keep: it decides by itself".to_owned());
                    continue;
                }
                Part::Audio(_) => return Err(ABILITY.lack(Feature::AudioInput)),
                Part::Thought(_) | Part::ToolCall(_) | Part::ToolResult(_) | Part::Refusal(_) => {
                    return Err(Error::field(
                        "content",
                        "has a part that has no place there",
                    ));
                }
            }
            .into(),
        );
    }
    Ok(items.into())
}

fn file(document: &Document) -> Result<Object, Error> {
    let object = Object::new().with("type", "input_file");
    let name = document.name.as_deref();
    Ok(match &document.source {
        Source::Inline { media_type, data } => object
            .with("filename", name.unwrap_or("document.pdf"))
            .with("file_data", data_url(media_type, data)),
        Source::Text(text) => object
            .with("filename", name.unwrap_or("document.txt"))
            .with("file_data", data_url("text/plain", &text_as_base64(text))),
        Source::Address(url) => object.with("file_url", url),
        Source::File(_) => return Err(ABILITY.lack(Feature::Files)),
    })
}

pub(super) fn call_item(call: &ToolCall) -> Object {
    let arguments = if call.arguments.trim().is_empty() {
        "{}"
    } else {
        &call.arguments
    };
    Object::new()
        .with("type", "function_call")
        .with("call_id", &call.id)
        .with("name", &call.name)
        .with("arguments", arguments)
}

/// What was thought, for the provider: only what it has sealed itself.
pub(super) fn own_reasoning(thought: &Thought) -> Option<Object> {
    let signature = thought.signature.as_ref()?;
    if signature.maker != Dialect::OpenAiResponses {
        return None;
    }
    let (id, sealed) = signature.value.split_once(':')?;
    Some(
        Object::new()
            .with("type", "reasoning")
            .with("id", id)
            .with("summary", summary(&thought.text))
            .with("encrypted_content", sealed),
    )
}

/// What was thought, for a caller.
pub(super) fn told_reasoning(thought: &Thought, id: &str) -> Object {
    let own = |signature: &Signature| {
        (signature.maker == Dialect::OpenAiResponses)
            .then(|| signature.value.split_once(':'))
            .flatten()
            .map(|(id, sealed)| (id.to_owned(), sealed.to_owned()))
    };
    let (id, sealed) = match &thought.signature {
        Some(signature) => {
            let (id, sealed) = own(signature)
                .unwrap_or_else(|| (id.to_owned(), seal(signature, Dialect::OpenAiResponses)));
            (id, Some(sealed))
        }
        None => (id.to_owned(), None),
    };
    Object::new()
        .with("id", id)
        .with("type", "reasoning")
        .with("summary", summary(&thought.text))
        .with_some("encrypted_content", sealed)
}

fn summary(text: &str) -> Vec<Json> {
    if text.is_empty() {
        return Vec::new();
    }
    let piece = Object::new()
        .with("type", "summary_text")
        .with("text", text);
    vec![piece.into()]
}

/// A part of a message that the model says.
pub(super) fn output_text(text: &str, logs: &[TokenProbability]) -> Object {
    Object::new()
        .with("type", "output_text")
        .with("text", text)
        .with("annotations", Vec::new())
        .with("logprobs", tokens::write(logs))
}

pub(super) fn refusal(text: &str) -> Object {
    Object::new().with("type", "refusal").with("refusal", text)
}
