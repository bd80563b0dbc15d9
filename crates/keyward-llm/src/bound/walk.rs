//! What a request has in it that its length does not tell: pictures, and what the provider fetches.

use crate::json::{Json, Object};

/// Members that name what is not in the request: where their text is no data, the provider fetches or remembers it.
const REFERENCES: &[&str] = &[
    "url",
    "uri",
    "image_url",
    "file_url",
    "file_uri",
    "fileUri",
    "file_id",
    "file_data",
];
/// Members in which everything is text to the model, whatever it is called there.
const PLAIN: &[&str] = &[
    "parameters",
    "parametersJsonSchema",
    "input_schema",
    "schema",
    "json_schema",
    "response_schema",
    "responseSchema",
    "responseJsonSchema",
    "metadata",
    "args",
    "response",
];
/// Members whose text is the model's to read, and no place that anything is fetched from, whatever it says.
const TEXT: &[&str] = &[
    "text",
    "content",
    "arguments",
    "description",
    "documents",
    "input",
    "instructions",
    "name",
    "output",
    "query",
    "reasoning",
    "reasoning_content",
    "refusal",
    "role",
    "stop",
    "stop_sequences",
    "system",
    "texts",
    "thinking",
    "title",
    "type",
    "user",
];
/// No name of a scheme in use is longer.
const SCHEME_MAX: usize = 16;

/// Whether a text is where something is, such as `https://…`, or carries it within itself.
fn is_place(text: &str) -> bool {
    let text = text.trim_start();
    let has_scheme = text.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme.len() <= SCHEME_MAX
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    });
    has_scheme || text.starts_with("data:")
}

/// Where an item of OpenAI's Responses has itself what a model reads of it.
const OF_ITEMS: &[&str] = &[
    "content",
    "encrypted_content",
    "arguments",
    "input",
    "output",
];

/// Whether an input of OpenAI's Responses names what the provider has kept: an item with an id and nothing else that is
/// read, as a reference and reasoning have it, stands for what it was.
pub(super) fn names_kept(input: &Json) -> bool {
    let items = input.as_array().unwrap_or_default();
    let filled = |value: &Json| match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(_) => true,
    };
    items.iter().any(|item| {
        let named = item.get("id").is_some_and(|id| !id.is_null());
        let here = OF_ITEMS
            .iter()
            .any(|name| item.get(name).is_some_and(filled));
        (named && !here) || item.get("type").and_then(Json::as_str) == Some("item_reference")
    })
}

/// What is found in a request.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) pictures: u64,
    /// The bytes of pictures, which are not their tokens.
    pub(super) pictured: u64,
    pub(super) refers: bool,
}

impl Walk {
    /// What stands under this name. The depth is bounded where JSON is read.
    pub(super) fn value(&mut self, name: &str, value: &Json) {
        match value {
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
            Json::String(text) => self.string(name, text),
            Json::Array(items) => items.iter().for_each(|item| self.value(name, item)),
            Json::Object(object) => self.object(object),
        }
    }

    fn string(&mut self, name: &str, text: &str) {
        let is_text = TEXT.contains(&name);
        if REFERENCES.contains(&name) || (!is_text && is_place(text)) {
            self.reference(text);
        }
    }

    fn object(&mut self, object: &Object) {
        let text = |name: &str| object.get(name).and_then(Json::as_str);
        let media = ["media_type", "mimeType", "mime_type"];
        let media = media.into_iter().find_map(text);
        let calls = text("type").is_some_and(|word| word.ends_with("tool_use"));
        for (name, value) in object.iter() {
            match (value.as_str(), media) {
                (Some(data), Some(media)) if name == "data" => self.data(media, data),
                (Some(text), _) => self.string(name, text),
                (None, _) if PLAIN.contains(&name) || (calls && name == "input") => {}
                (None, _) => self.value(name, value),
            }
        }
    }

    fn reference(&mut self, place: &str) {
        match place.strip_prefix("data:") {
            Some(data) => self.data(data, place),
            None => self.refers |= !place.is_empty(),
        }
    }

    /// Data of a type. Sound has more bytes than tokens, at whatever rate; a document's or a film's bytes say nothing.
    fn data(&mut self, media: &str, data: &str) {
        if media.starts_with("image/") {
            self.pictures = self.pictures.saturating_add(1);
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            self.pictured = self.pictured.saturating_add(length);
        } else if !media.starts_with("audio/") && !media.starts_with("text/plain") {
            self.refers = true;
        }
    }
}
