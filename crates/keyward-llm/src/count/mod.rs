//! How many tokens a text has, where a provider does not say it: an estimate by one vocabulary for all models.
//!
//! It is for records and for what a budget is charged when nobody told better; what a call may take at most is said by
//! [`bound`](crate::bound). Whose tokenizer it is matters less than that its time is bounded by the text's length, since
//! texts come from outside: see `docs/decisions/`.

#[cfg(test)]
mod tests;

use crate::dialect::{Context, Dialect, StreamReader};
use crate::form::{Answer, Event, Opening, Part, Usage};
use crate::json::Json;

/// Of longer texts, so much is counted, and the rest is taken to be like it: a hundredth of a second's work.
const COUNTED_MAX: usize = 256 << 10;
/// A picture of a usual size, in the middle of what vendors' documents say.
const PICTURE: u64 = 1_000;
/// What a message has beside its text.
const MESSAGE: u64 = 4;
/// Members whose text the model does not read as such.
const NOT_READ: &[&str] = &[
    "model",
    "role",
    "type",
    "id",
    "call_id",
    "tool_call_id",
    "media_type",
    "mimeType",
    "mime_type",
    "format",
];

/// The tokens of a text.
#[must_use]
pub fn text(text: &str) -> u64 {
    let mut end = text.len().min(COUNTED_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let (counted, rest) = text.split_at(end);
    let tokens = bpe_openai::cl100k_base().count(counted);
    let tokens = u64::try_from(tokens).unwrap_or(u64::MAX);
    if rest.is_empty() {
        return tokens;
    }
    let length = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX);
    // The rest at the same rate, rounded up.
    let more = tokens
        .saturating_mul(length(rest))
        .div_ceil(length(counted).max(1));
    tokens.saturating_add(more)
}

/// The tokens of a request, in whatever dialect: of all text in it. What is no JSON is a text.
#[must_use]
pub fn request(body: &[u8]) -> u64 {
    let Ok(request) = Json::parse(body) else {
        return text(&String::from_utf8_lossy(body));
    };
    let mut reading = Reading::default();
    reading.value(&request);
    text(&reading.text).saturating_add(reading.more)
}

/// The tokens of an answer.
#[must_use]
pub fn answer(answer: &Answer) -> u64 {
    let mut said = String::new();
    for part in answer.candidates.iter().flat_map(|one| &one.parts) {
        said_in(part, &mut said);
    }
    text(&said)
}

/// What a call took whose provider does not say it.
#[must_use]
pub fn call(asked: &[u8], answered: u64) -> Usage {
    Usage {
        input: request(asked),
        output: answered,
        ..Usage::default()
    }
}

#[derive(Default)]
struct Reading {
    text: String,
    more: u64,
}

impl Reading {
    fn value(&mut self, value: &Json) {
        match value {
            Json::Null | Json::Bool(_) => {}
            Json::Number(number) => self.say(number.as_str()),
            Json::String(text) => self.string(text),
            Json::Array(items) => items.iter().for_each(|item| self.value(item)),
            Json::Object(object) => {
                if object.get("role").is_some() {
                    self.more = self.more.saturating_add(MESSAGE);
                }
                for (name, value) in object.iter() {
                    if name == "data" && value.as_str().is_some() {
                        self.more = self.more.saturating_add(PICTURE);
                    } else if !NOT_READ.contains(&name) || value.as_str().is_none() {
                        self.value(value);
                    }
                }
            }
        }
    }

    fn string(&mut self, text: &str) {
        if text.starts_with("data:") && text.contains(";base64,") {
            self.more = self.more.saturating_add(PICTURE);
        } else {
            self.say(text);
        }
    }

    fn say(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
    }
}

fn said_in(part: &Part, said: &mut String) {
    match part {
        Part::Text(text) | Part::Refusal(text) => said.push_str(text),
        Part::Thought(thought) => said.push_str(&thought.text),
        Part::ToolCall(call) => {
            said.push_str(&call.name);
            said.push_str(&call.arguments);
        }
        // No model writes these.
        Part::Image(_)
        | Part::Document(_)
        | Part::Audio(_)
        | Part::ToolResult(_)
        | Part::CachePoint(_) => {}
    }
}

/// What is seen of a stream, so that it can be counted should its provider not say what it took. Its bytes are only read
/// once there are many of them, or it is asked for: as a rule the provider says it at the end.
#[derive(Debug)]
pub struct StreamCount {
    reader: Box<StreamReader>,
    unread: Vec<u8>,
    said: String,
    tokens: u64,
}

/// So many bytes are read at once.
const UNREAD_MAX: usize = 16 << 10;

impl StreamCount {
    /// Of a provider's stream.
    #[must_use]
    pub fn new(dialect: Dialect, context: &Context) -> Self {
        Self {
            reader: Box::new(StreamReader::new(dialect, context)),
            unread: Vec::new(),
            said: String::new(),
            tokens: 0,
        }
    }

    /// More of its bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        if self.unread.len() > UNREAD_MAX {
            self.read();
        }
    }

    /// The tokens that were written so far.
    #[must_use]
    pub fn tokens(&mut self) -> u64 {
        self.read();
        self.tokens.saturating_add(text(&self.said))
    }

    fn read(&mut self) {
        let bytes = std::mem::take(&mut self.unread);
        for event in self.reader.push(&bytes) {
            match event {
                Event::Text { text, .. } | Event::Arguments { text, .. } => {
                    self.said.push_str(&text);
                }
                Event::Opened {
                    opening: Opening::ToolCall { name, .. },
                    ..
                } => self.said.push_str(&name),
                Event::Opened {
                    opening:
                        Opening::Text | Opening::Refusal | Opening::Thought | Opening::HiddenThought,
                    ..
                }
                | Event::Started { .. }
                | Event::Signed { .. }
                | Event::Closed { .. }
                | Event::Stopped { .. }
                | Event::Usage(_)
                | Event::Failed(_)
                | Event::Ended => {}
            }
        }
        if self.said.len() > COUNTED_MAX {
            self.tokens = self.tokens.saturating_add(text(&self.said));
            self.said.clear();
        }
    }
}
