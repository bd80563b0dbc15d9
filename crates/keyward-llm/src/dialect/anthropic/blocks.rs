//! Blocks of content, which requests and answers share.

use super::super::{Dialect, content};
use super::{ABILITY, call_id};
use crate::error::{Error, Within as _};
use crate::fields::{Fields, each, missing, wrong};
use crate::form::{
    CacheLife, Document, Feature, Image, Part, Signature, Source, Thought, ToolCall, ToolResult,
};
use crate::json::{Json, Object};

/// Content as blocks, or as a text that is one.
pub(super) fn read(content: Json, notes: &mut Vec<String>) -> Result<Vec<Part>, Error> {
    match content {
        Json::String(text) => Ok(vec![Part::Text(text)]),
        Json::Array(items) => {
            let mut parts = Vec::with_capacity(items.len());
            for (at, item) in items.into_iter().enumerate() {
                let mut fields = Fields::of(item).within(at)?;
                let cache = cache_control(&mut fields)?;
                parts.push(block(fields, notes).within(at)?);
                parts.extend(cache.map(Part::CachePoint));
            }
            Ok(parts)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => {
            Err(wrong("", "a string or an array of blocks", &content))
        }
    }
}

pub(super) fn cache_control(fields: &mut Fields) -> Result<Option<CacheLife>, Error> {
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

fn block(mut fields: Fields, notes: &mut Vec<String>) -> Result<Part, Error> {
    let kind = fields.need_string("type")?;
    fields.note(&["citations", "caller"], notes);
    let part = match kind.as_str() {
        "text" => Part::Text(fields.need_string("text")?),
        "image" => Part::Image(Image {
            source: source(fields.need_object("source")?, notes).within("source")?,
            detail: None,
        }),
        "document" => {
            fields.note(&["context"], notes);
            Part::Document(Document {
                name: fields.string("title")?,
                source: source(fields.need_object("source")?, notes).within("source")?,
            })
        }
        "thinking" => Part::Thought(Thought {
            text: fields.string("thinking")?.unwrap_or_default(),
            signature: signature(fields.string("signature")?),
            redacted: false,
        }),
        "redacted_thinking" => Part::Thought(Thought {
            text: String::new(),
            signature: signature(Some(fields.need_string("data")?)),
            redacted: true,
        }),
        "tool_use" => {
            let input = fields.take("input").unwrap_or(Json::Object(Object::new()));
            Part::ToolCall(ToolCall {
                id: fields.need_string("id")?,
                name: fields.need_string("name")?,
                arguments: input.to_text(),
                signature: None,
            })
        }
        "tool_result" => {
            let content = fields.take("content").map(|content| read(content, notes));
            Part::ToolResult(ToolResult {
                id: fields.need_string("tool_use_id")?,
                name: None,
                content: content.transpose().within("content")?.unwrap_or_default(),
                is_error: fields.bool("is_error")?.unwrap_or_default(),
            })
        }
        // Searches, code and files that run on the provider's machines.
        _ => return Err(ABILITY.lack(Feature::HostedTools)),
    };
    fields.finish()?;
    Ok(part)
}

/// An empty signature is none: clients of other models' answers send it, since the field is not optional.
pub(super) fn signature(value: Option<String>) -> Option<Signature> {
    value
        .filter(|value| !value.is_empty())
        .map(|value| content::unseal(value, Dialect::Anthropic))
}

fn source(mut fields: Fields, notes: &mut Vec<String>) -> Result<Source, Error> {
    let kind = fields.need_string("type")?;
    let source = match kind.as_str() {
        "base64" => Source::Inline {
            media_type: fields.need_string("media_type")?,
            data: fields.need_string("data")?,
        },
        "url" => Source::Address(fields.need_string("url")?),
        "file" => Source::File(fields.need_string("file_id")?),
        "text" => {
            fields.take("media_type");
            Source::Text(fields.need_string("data")?)
        }
        "content" => {
            let content = fields.take("content").ok_or_else(|| missing("content"))?;
            let parts = read(content, notes).within("content")?;
            let text = crate::form::joined(&parts)
                .ok_or_else(|| Error::field("content", "must be text"))?;
            Source::Text(text)
        }
        _ => {
            return Err(Error::field(
                "type",
                format!("`{kind}` is no source that is known here"),
            ));
        }
    };
    fields.finish()?;
    Ok(source)
}

/// Parts as blocks. Empty text is left out, which this dialect refuses.
pub(super) fn write(parts: &[Part], notes: &mut Vec<String>) -> Result<Vec<Json>, Error> {
    let mut blocks: Vec<Json> = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                if !text.is_empty() {
                    blocks.push(text_block(text).into());
                }
            }
            Part::Image(image) => blocks.push(
                Object::new()
                    .with("type", "image")
                    .with("source", write_source(&image.source))
                    .into(),
            ),
            Part::Document(document) => blocks.push(
                Object::new()
                    .with("type", "document")
                    .with("source", write_source(&document.source))
                    .with_some("title", document.name.as_ref())
                    .into(),
            ),
            Part::Audio(_) => return Err(ABILITY.lack(Feature::AudioInput)),
            Part::Thought(thought) => match write_thought(thought) {
                Some(block) => blocks.push(block.into()),
                None => notes.push("the reasoning of another maker's model".to_owned()),
            },
            Part::ToolCall(call) => blocks.push(
                Object::new()
                    .with("type", "tool_use")
                    .with("id", call_id(&call.id))
                    .with("name", &call.name)
                    .with("input", content::arguments(call)?)
                    .into(),
            ),
            Part::ToolResult(result) => {
                let mut block = Object::new()
                    .with("type", "tool_result")
                    .with("tool_use_id", call_id(&result.id));
                if let [Part::Text(text)] = result.content.as_slice() {
                    block.set("content", text);
                } else {
                    block.set("content", write(&result.content, notes)?);
                }
                if result.is_error {
                    block.set("is_error", true);
                }
                blocks.push(block.into());
            }
            Part::CachePoint(life) => {
                if let Some(Json::Object(last)) = blocks.last_mut() {
                    last.set("cache_control", write_cache_control(*life));
                }
            }
        }
    }
    Ok(blocks)
}

pub(super) fn text_block(text: &str) -> Object {
    Object::new().with("type", "text").with("text", text)
}

pub(super) fn write_cache_control(life: CacheLife) -> Object {
    let control = Object::new().with("type", "ephemeral");
    match life {
        CacheLife::Short => control,
        CacheLife::Hour => control.with("ttl", "1h"),
    }
}

/// Only what this maker has signed goes back to it.
fn write_thought(thought: &Thought) -> Option<Object> {
    let signature = thought.signature.as_ref()?;
    if signature.maker != Dialect::Anthropic {
        return None;
    }
    Some(if thought.redacted {
        Object::new()
            .with("type", "redacted_thinking")
            .with("data", &signature.value)
    } else {
        Object::new()
            .with("type", "thinking")
            .with("thinking", &thought.text)
            .with("signature", &signature.value)
    })
}

fn write_source(source: &Source) -> Object {
    match source {
        Source::Inline { media_type, data } if media_type == "text/plain" => {
            // Documents are PDF in base64, and text as text.
            match content::base64_as_text(data) {
                Some(text) => text_source(&text),
                None => inline(media_type, data),
            }
        }
        Source::Inline { media_type, data } => inline(media_type, data),
        Source::Address(url) => Object::new().with("type", "url").with("url", url),
        Source::File(id) => Object::new().with("type", "file").with("file_id", id),
        Source::Text(text) => text_source(text),
    }
}

fn inline(media_type: &str, data: &str) -> Object {
    Object::new()
        .with("type", "base64")
        .with("media_type", media_type)
        .with("data", data)
}

fn text_source(text: &str) -> Object {
    Object::new()
        .with("type", "text")
        .with("media_type", "text/plain")
        .with("data", text)
}

/// Each block of an answer: what is known of it, and nothing of what runs on the provider's machines.
pub(super) fn read_answer(items: Vec<Json>) -> Result<Vec<Part>, Error> {
    each(items, "content", |mut fields| {
        let kind = fields.need_string("type")?;
        Ok(match kind.as_str() {
            "text" => Part::Text(fields.string("text")?.unwrap_or_default()),
            "thinking" | "redacted_thinking" => Part::Thought(Thought {
                text: fields.string("thinking")?.unwrap_or_default(),
                signature: signature(fields.string("signature")?.or(fields.string("data")?)),
                redacted: kind == "redacted_thinking",
            }),
            "tool_use" => {
                let input = fields.take("input").unwrap_or(Json::Object(Object::new()));
                Part::ToolCall(ToolCall {
                    id: fields.need_string("id")?,
                    name: fields.need_string("name")?,
                    arguments: input.to_text(),
                    signature: None,
                })
            }
            _ => return Err(ABILITY.lack(Feature::AnswerPart)),
        })
    })
}
