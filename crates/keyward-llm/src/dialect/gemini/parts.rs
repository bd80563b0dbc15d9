//! Parts of content, which requests and answers share.

use super::super::content::{arguments, made_call_id, result_object, seal, text_as_base64, unseal};
use super::super::{Context, Dialect};
use super::ABILITY;
use crate::error::{Error, Within as _};
use crate::fields::Fields;
use crate::form::{
    Audio, Document, Feature, Image, Part, Signature, Source, Thought, ToolCall, ToolResult,
};
use crate::json::{Json, Object};
use std::collections::{HashMap, HashSet, VecDeque};

/// What the documents give for calls that another maker's model made, and that hence have no signature.
pub(super) const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Reads parts; calls without an id get one of `made`, and results without one are of the calls before, in their
/// order.
pub(super) struct Reader<'a> {
    pub(super) context: &'a Context,
    /// How many ids were made.
    pub(super) made: u32,
    pub(super) waiting: Waiting,
}

/// Calls that results may be of.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The ids of the calls of each tool, oldest first.
    calls: HashMap<String, VecDeque<String>>,
    /// Ids of calls whose result named them.
    answered: HashSet<String>,
}

impl Waiting {
    fn call(&mut self, name: &str, id: &str) {
        self.calls
            .entry(name.to_owned())
            .or_default()
            .push_back(id.to_owned());
    }

    /// The call that a result is of: the one it names, else the oldest of its tool that has none.
    fn answer(&mut self, name: &str, told: Option<String>) -> Option<String> {
        if let Some(id) = told {
            self.answered.insert(id.clone());
            return Some(id);
        }
        let calls = self.calls.get_mut(name)?;
        loop {
            let id = calls.pop_front()?;
            if !self.answered.contains(&id) {
                return Some(id);
            }
        }
    }
}

impl Reader<'_> {
    /// A part as those of the form: two where a text is signed.
    pub(super) fn read(&mut self, json: Json, parts: &mut Vec<Part>) -> Result<(), Error> {
        let mut fields = Fields::of(json)?.camel()?;
        let signature = fields
            .string("thoughtSignature")?
            .filter(|value| value != NO_SIGNATURE)
            .map(|value| unseal(value, Dialect::Gemini));
        let thought = fields.bool("thought")?.unwrap_or_default();
        if let Some(text) = fields.string("text")? {
            if thought {
                parts.push(Part::Thought(Thought {
                    text,
                    signature,
                    redacted: false,
                }));
            } else {
                if !text.is_empty() {
                    parts.push(Part::Text(text));
                }
                // What was thought before it: it goes back in a part of its own.
                parts.extend(signature.map(hidden));
            }
        } else if let Some(call) = fields.object("functionCall")? {
            parts.push(self.call(call, signature).within("functionCall")?);
        } else if let Some(response) = fields.object("functionResponse")? {
            let result = self.result(response).within("functionResponse")?;
            parts.push(Part::ToolResult(result));
        } else if let Some(data) = fields.object("inlineData")? {
            parts.push(inline(data).within("inlineData")?);
            parts.extend(signature.map(hidden));
        } else if let Some(file) = fields.object("fileData")? {
            parts.push(file_data(file).within("fileData")?);
        } else if let Some(signature) = signature {
            parts.push(hidden(signature));
        } else {
            // Code that runs on the provider's machines, and kinds that are to come.
            return Err(ABILITY.lack(Feature::HostedTools));
        }
        for ignored in ["videoMetadata", "mediaResolution", "partMetadata"] {
            fields.take(ignored);
        }
        fields.finish()
    }

    fn call(&mut self, call: Fields, signature: Option<Signature>) -> Result<Part, Error> {
        let mut call = call.camel()?;
        let name = call.need_string("name")?;
        let id = call.string("id")?.unwrap_or_else(|| {
            self.made += 1;
            made_call_id(self.context, self.made)
        });
        self.waiting.call(&name, &id);
        let args = call.take("args").unwrap_or(Json::Object(Object::new()));
        Ok(Part::ToolCall(ToolCall {
            id,
            name,
            arguments: args.to_text(),
            signature,
        }))
    }

    fn result(&mut self, response: Fields) -> Result<ToolResult, Error> {
        let mut response = response.camel()?;
        let name = response.need_string("name")?;
        let told = response.string("id")?;
        let id = self.waiting.answer(&name, told).ok_or_else(|| {
            Error::field("name", format!("`{name}` was not called before its result"))
        })?;
        let content = response.take("response").unwrap_or(Json::Null);
        for ignored in ["scheduling", "willContinue"] {
            response.take(ignored);
        }
        if response.has("parts") {
            return Err(ABILITY.lack(Feature::RichToolResult));
        }
        // `output` and `error` are what the dialect calls a result that is no object.
        let only = |key: &str| match &content {
            Json::Object(object) if object.len() == 1 => object.get(key).cloned(),
            Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::String(_)
            | Json::Array(_)
            | Json::Object(_) => None,
        };
        let error = only("error");
        let is_error = error.is_some();
        let text = match error.or_else(|| only("output")) {
            Some(Json::String(text)) => text,
            Some(
                inner @ (Json::Null
                | Json::Bool(_)
                | Json::Number(_)
                | Json::Array(_)
                | Json::Object(_)),
            ) => inner.to_text(),
            None => content.to_text(),
        };
        Ok(ToolResult {
            id,
            name: Some(name),
            content: vec![Part::Text(text)],
            is_error,
        })
    }
}

const fn hidden(signature: Signature) -> Part {
    Part::Thought(Thought {
        text: String::new(),
        signature: Some(signature),
        redacted: true,
    })
}

fn inline(data: Fields) -> Result<Part, Error> {
    let mut data = data.camel()?;
    let media_type = data.need_string("mimeType")?;
    let name = data.string("displayName")?;
    let data = data.need_string("data")?;
    Ok(match media_type.split('/').next() {
        Some("image") => Part::Image(Image {
            source: Source::Inline { media_type, data },
            detail: None,
        }),
        Some("audio") => Part::Audio(Audio { media_type, data }),
        Some("video") => return Err(ABILITY.lack(Feature::AnswerPart)),
        Some(_) | None => Part::Document(Document {
            source: Source::Inline { media_type, data },
            name,
        }),
    })
}

fn file_data(file: Fields) -> Result<Part, Error> {
    let mut file = file.camel()?;
    let media_type = file.string("mimeType")?.unwrap_or_default();
    let name = file.string("displayName")?;
    let source = Source::Address(file.need_string("fileUri")?);
    Ok(if media_type.starts_with("image/") {
        Part::Image(Image {
            source,
            detail: None,
        })
    } else {
        Part::Document(Document { source, name })
    })
}

/// How parts are written.
#[derive(Clone, Copy)]
pub(super) struct Style {
    /// Calls and their results have ids.
    pub(super) ids: bool,
    /// For a caller: what another maker's model thought is shown, and its signatures are sealed. For a provider, only
    /// its own are.
    pub(super) for_caller: bool,
}

/// Writes a part: nothing for what has no place, which is noted.
pub(super) fn write(
    part: &Part,
    style: Style,
    notes: &mut Vec<String>,
) -> Result<Option<Object>, Error> {
    let signed = |object: Object, signature: Option<&Signature>| {
        let mine =
            signature.filter(|signature| style.for_caller || signature.maker == Dialect::Gemini);
        object.with_some(
            "thoughtSignature",
            mine.map(|signature| seal(signature, Dialect::Gemini)),
        )
    };
    Ok(match part {
        Part::Text(text) | Part::Refusal(text) if text.is_empty() => None,
        Part::Text(text) | Part::Refusal(text) => Some(Object::new().with("text", text)),
        Part::Image(image) => Some(write_source(&image.source)?),
        Part::Document(document) => Some(write_source(&document.source)?),
        Part::Audio(audio) => Some(write_inline(&audio.media_type, &audio.data)),
        Part::Thought(thought) => {
            let mine = thought
                .signature
                .as_ref()
                .is_some_and(|signature| signature.maker == Dialect::Gemini);
            if !mine && !style.for_caller {
                notes.push("the reasoning of another maker's model".to_owned());
                return Ok(None);
            }
            let object = Object::new().with("text", &thought.text);
            let object = if thought.redacted {
                object
            } else {
                object.with("thought", true)
            };
            Some(signed(object, thought.signature.as_ref()))
        }
        Part::ToolCall(call) => {
            let written = Object::new()
                .with_some("id", style.ids.then_some(&call.id))
                .with("name", &call.name)
                .with("args", arguments(call)?);
            let object = Object::new().with("functionCall", written);
            Some(signed(object, call.signature.as_ref()))
        }
        Part::ToolResult(result) => {
            let Some(name) = &result.name else {
                return Err(Error::field(
                    "messages",
                    format!("has the result `{}` of a call that is not there", result.id),
                ));
            };
            let key = if result.is_error { "error" } else { "output" };
            let written = Object::new()
                .with_some("id", style.ids.then_some(&result.id))
                .with("name", name)
                .with("response", result_object(result, key));
            Some(Object::new().with("functionResponse", written))
        }
        Part::CachePoint(_) => {
            notes.push("what the provider may keep: it decides by itself".to_owned());
            None
        }
    })
}

fn write_source(source: &Source) -> Result<Object, Error> {
    match source {
        Source::Inline { media_type, data } => Ok(write_inline(media_type, data)),
        Source::Text(text) => Ok(write_inline("text/plain", &text_as_base64(text))),
        Source::Address(_) => Err(ABILITY.lack(Feature::DocumentAddress)),
        Source::File(_) => Err(ABILITY.lack(Feature::Files)),
    }
}

fn write_inline(media_type: &str, data: &str) -> Object {
    let inline = Object::new()
        .with("mimeType", media_type)
        .with("data", data);
    Object::new().with("inlineData", inline)
}
