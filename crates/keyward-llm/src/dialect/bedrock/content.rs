//! Blocks of content.

use super::super::Dialect;
use super::super::content::{arguments, text_as_base64};
use super::{ABILITY, call_id};
use crate::error::Error;
use crate::fields::{Fields, each};
use crate::form::{
    CacheLife, Document, Feature, Image, Part, Signature, Source, Thought, ToolCall,
};
use crate::json::{Json, Object};

/// Pictures by their type.
const IMAGES: &[(&str, &str)] = &[
    ("image/png", "png"),
    ("image/jpeg", "jpeg"),
    ("image/jpg", "jpeg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
];
/// Documents by their type.
const DOCUMENTS: &[(&str, &str)] = &[
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/msword", "doc"),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "docx",
    ),
    ("application/vnd.ms-excel", "xls"),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xlsx",
    ),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
];

pub(super) fn write(parts: &[Part], notes: &mut Vec<String>) -> Result<Vec<Json>, Error> {
    let mut blocks: Vec<Json> = Vec::with_capacity(parts.len());
    for part in parts {
        let block = match part {
            Part::Text(text) | Part::Refusal(text) if text.trim().is_empty() => continue,
            Part::Text(text) | Part::Refusal(text) => Object::new().with("text", text),
            Part::Image(image) => Object::new().with("image", self::image(image)?),
            Part::Document(document) => {
                Object::new().with("document", self::document(document, blocks.len())?)
            }
            Part::Audio(_) => return Err(ABILITY.lack(Feature::AudioInput)),
            Part::Thought(thought) => match own_thought(thought) {
                Some(content) => Object::new().with("reasoningContent", content),
                None => {
                    notes.push("the reasoning of another maker's model".to_owned());
                    continue;
                }
            },
            Part::ToolCall(call) => {
                if call.signature.is_some() {
                    notes.push(
                        "the signature of a tool call, which is its maker's alone".to_owned(),
                    );
                }
                let written = Object::new()
                    .with("toolUseId", call_id(&call.id))
                    .with("name", &call.name)
                    .with("input", arguments(call)?);
                Object::new().with("toolUse", written)
            }
            Part::ToolResult(result) => {
                let mut content = write(&result.content, notes)?;
                if content.is_empty() {
                    // It may not be empty there.
                    content.push(Object::new().with("json", Object::new()).into());
                }
                let mut written = Object::new()
                    .with("toolUseId", call_id(&result.id))
                    .with("content", content);
                if result.is_error {
                    written.set("status", "error");
                }
                Object::new().with("toolResult", written)
            }
            Part::CachePoint(life) => Object::new().with("cachePoint", cache_point(*life)),
        };
        blocks.push(block.into());
    }
    Ok(blocks)
}

pub(super) fn cache_point(life: CacheLife) -> Object {
    let point = Object::new().with("type", "default");
    match life {
        CacheLife::Short => point,
        CacheLife::Hour => point.with("ttl", "1h"),
    }
}

fn format(
    media_type: &str,
    known: &[(&str, &'static str)],
    feature: Feature,
) -> Result<&'static str, Error> {
    known
        .iter()
        .find(|(name, _)| *name == media_type)
        .map(|(_, format)| *format)
        .ok_or_else(|| {
            ABILITY.lack_because(
                feature,
                "its type is not among those that the dialect names",
            )
        })
}

fn bytes(data: &str) -> Object {
    Object::new().with("bytes", data)
}

fn image(image: &Image) -> Result<Object, Error> {
    match &image.source {
        Source::Inline { media_type, data } => Ok(Object::new()
            .with("format", format(media_type, IMAGES, Feature::Images)?)
            .with("source", bytes(data))),
        Source::Address(_) => Err(ABILITY.lack(Feature::ImageAddress)),
        Source::File(_) => Err(ABILITY.lack(Feature::Files)),
        Source::Text(_) => Err(ABILITY.lack(Feature::Images)),
    }
}

fn document(document: &Document, number: usize) -> Result<Object, Error> {
    let (format, data) = match &document.source {
        Source::Inline { media_type, data } => (
            format(media_type, DOCUMENTS, Feature::Documents)?,
            data.clone(),
        ),
        Source::Text(text) => ("txt", text_as_base64(text)),
        Source::Address(_) => return Err(ABILITY.lack(Feature::DocumentAddress)),
        Source::File(_) => return Err(ABILITY.lack(Feature::Files)),
    };
    Ok(Object::new()
        .with("format", format)
        .with("name", document_name(document.name.as_deref(), number))
        .with("source", bytes(&data)))
}

/// A name is a must; it may have letters, digits, single spaces, hyphens, parentheses and brackets.
fn document_name(name: Option<&str>, number: usize) -> String {
    let name: String = name
        .unwrap_or_default()
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || "-()[]".contains(letter) {
                letter
            } else {
                ' '
            }
        })
        .collect();
    let words: Vec<&str> = name.split_whitespace().collect();
    if words.is_empty() {
        format!("document {number}")
    } else {
        words.join(" ")
    }
}

fn own_thought(thought: &Thought) -> Option<Object> {
    let signature = thought.signature.as_ref()?;
    if signature.maker != Dialect::Bedrock {
        return None;
    }
    Some(if thought.redacted {
        Object::new().with("redactedContent", &signature.value)
    } else {
        let text = Object::new()
            .with("text", &thought.text)
            .with("signature", &signature.value);
        Object::new().with("reasoningText", text)
    })
}

/// The blocks of an answer.
pub(super) fn read(items: Vec<Json>) -> Result<Vec<Part>, Error> {
    each(items, "content", |mut block| {
        if let Some(text) = block.string("text")? {
            return Ok(Part::Text(text));
        }
        if let Some(mut call) = block.object("toolUse")? {
            let input = call.take("input").unwrap_or(Json::Object(Object::new()));
            return Ok(Part::ToolCall(ToolCall {
                id: call.need_string("toolUseId")?,
                name: call.need_string("name")?,
                arguments: input.to_text(),
                signature: None,
            }));
        }
        if let Some(content) = block.object("reasoningContent")? {
            return thought(content).map(Part::Thought);
        }
        Err(ABILITY.lack(Feature::AnswerPart))
    })
}

fn thought(mut content: Fields) -> Result<Thought, Error> {
    if let Some(hidden) = content.string("redactedContent")? {
        return Ok(Thought {
            text: String::new(),
            signature: Some(signature(hidden)),
            redacted: true,
        });
    }
    let mut text = content.need_object("reasoningText")?;
    Ok(Thought {
        text: text.string("text")?.unwrap_or_default(),
        signature: text.string("signature")?.map(signature),
        redacted: false,
    })
}

pub(super) const fn signature(value: String) -> Signature {
    Signature {
        maker: Dialect::Bedrock,
        value,
    }
}
