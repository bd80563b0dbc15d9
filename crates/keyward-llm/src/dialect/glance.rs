//! What the gateway has to know of a stream that it passes on unread: its usage, its error, its end. Nothing else of an
//! event is looked at, so that what is new in a dialect passes and fails nothing.

use super::{Dialect, anthropic, bedrock, cohere, gemini, ollama, openai_chat};
use super::{openai_error, openai_responses};
use crate::error::Error;
use crate::fields::Fields;
use crate::form::{Failure, FailureKind, Usage};
use crate::framing::Frame;
use crate::json::{Json, Object};
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// What was seen of a stream so far.
#[derive(Debug)]
pub(crate) struct Glance {
    dialect: Dialect,
    usage: Option<Usage>,
    failure: Option<Failure>,
    /// A part of the answer was seen.
    begun: bool,
    /// The dialect's own end was seen.
    ended: bool,
    /// Candidates by number, and whether each has said why it stopped: for dialects without an end of their own.
    candidates: Vec<(u64, bool)>,
}

/// Words by which events are told apart before they are read.
struct Words {
    anthropic: [Finder<'static>; 2],
    responses: [Finder<'static>; 4],
    delta: Finder<'static>,
    error: Finder<'static>,
    usage: Finder<'static>,
    finish_reason: Finder<'static>,
    index: Finder<'static>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| Words {
    anthropic: ["\"message_", "\"error\""].map(Finder::new),
    responses: [
        "\"response.completed\"",
        "\"response.incomplete\"",
        "\"response.failed\"",
        "\"error\"",
    ]
    .map(Finder::new),
    delta: Finder::new("\"delta\""),
    error: Finder::new("\"error\""),
    usage: Finder::new("\"usage\""),
    finish_reason: Finder::new("\"finish_reason\""),
    index: Finder::new("\"index\""),
});

/// What stands behind each of a member's names, wherever it is in an event.
fn values<'e>(event: &'e [u8], name: &'e Finder<'_>) -> impl Iterator<Item = &'e [u8]> {
    name.find_iter(event).map(|at| {
        let behind = event.get(at + name.needle().len()..).unwrap_or_default();
        let value = behind.trim_ascii_start().strip_prefix(b":");
        value.unwrap_or_default().trim_ascii_start()
    })
}

/// More candidates than a call may ask for.
const MOST_CANDIDATES: usize = 128;

impl Glance {
    pub(crate) const fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            usage: None,
            failure: None,
            begun: false,
            ended: false,
            candidates: Vec::new(),
        }
    }

    pub(crate) const fn usage(&self) -> Option<Usage> {
        self.usage
    }

    pub(crate) const fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Whether a part of the answer was seen, or its end: from then on there is no way back to another provider.
    pub(crate) const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether an event can tell something that matters here. Most of a long answer can't, and that is seen many times
    /// faster than an event is read.
    pub(crate) fn may_tell(&self, event: &[u8]) -> bool {
        let has = |words: &[Finder<'_>]| words.iter().any(|word| word.find(event).is_some());
        match self.dialect {
            _ if !self.begun => true,
            Dialect::Anthropic => has(&WORDS.anthropic),
            Dialect::OpenAiResponses => has(&WORDS.responses),
            Dialect::OpenAiChat => self.chat_may_tell(event),
            Dialect::Gemini | Dialect::Bedrock | Dialect::Ollama | Dialect::Cohere => true,
        }
    }

    /// A piece of a candidate that is known, with neither error nor usage nor end, tells nothing.
    fn chat_may_tell(&self, event: &[u8]) -> bool {
        let null = |value: &[u8]| value.starts_with(b"null");
        let known = |value: &[u8]| {
            let (digit, rest) = match value {
                [digit @ b'0'..=b'9', rest @ ..] => (u64::from(digit - b'0'), rest),
                _ => return false,
            };
            let ends = rest.first().is_some_and(|byte| !byte.is_ascii_digit());
            ends && self.candidates.iter().any(|(at, _)| *at == digit)
        };
        // Candidates without a number are the first.
        let first = self.candidates.iter().any(|(at, _)| *at == 0);
        !(first
            && WORDS.delta.find(event).is_some()
            && WORDS.error.find(event).is_none()
            && values(event, &WORDS.usage).all(null)
            && values(event, &WORDS.finish_reason).all(null)
            && values(event, &WORDS.index).all(known))
    }

    /// Looks at one event. What can't be read of it is not seen, and passes all the same once the answer has begun; a
    /// stream that begins with what is no JSON is none.
    pub(crate) fn look(&mut self, frame: Frame<'_>) {
        if frame.data.trim_ascii() == b"[DONE]" {
            self.ended |= self.dialect == Dialect::OpenAiChat;
            self.begun |= self.ended;
            return;
        }
        let event = match Json::parse(frame.data) {
            Ok(event) => event,
            Err(error @ Error::Json { .. }) if !self.begun => {
                let failure = Failure::new(
                    FailureKind::Server,
                    "The provider's stream can't be read: try again later",
                );
                self.failure = Some(Failure {
                    because: Some(error.to_string()),
                    ..failure.with_code(error.code())
                });
                return;
            }
            // What is over this crate's bounds is surely a part of an answer.
            Err(_) => {
                self.begun = true;
                return;
            }
        };
        match self.dialect {
            Dialect::OpenAiChat => self.chat(&event),
            Dialect::OpenAiResponses => self.responses(&event),
            Dialect::Anthropic => self.anthropic(&event),
            Dialect::Gemini => self.gemini(&event),
            // No caller speaks them, so that nothing is passed between two of them.
            Dialect::Bedrock | Dialect::Ollama | Dialect::Cohere => {}
        }
        self.failure = self.failure.take().map(Failure::veiled);
        self.begun |= self.ended;
    }

    /// The bytes have ended: a stream without an end was cut.
    pub(crate) fn finish(&mut self) {
        let stopped =
            !self.candidates.is_empty() && self.candidates.iter().all(|(_, stopped)| *stopped);
        if self.failure.is_none() && !self.ended && !stopped {
            self.failure = Some(Failure::cut());
        }
    }

    fn chat(&mut self, event: &Json) {
        if let Some(error) = set(event, "error") {
            self.failure = Some(openai_error::of(None, error.clone()));
        }
        for choice in event
            .get("choices")
            .and_then(Json::as_array)
            .unwrap_or_default()
        {
            self.candidate(choice, "finish_reason");
            self.failure = self.failure.take().or(openai_chat::failed_choice(choice));
            self.begun |= set(choice, "finish_reason").is_some()
                || choice.get("delta").is_some_and(says_something);
            // Moonshot has the usage within a choice.
            self.take_usage(choice, "usage", openai_chat::read_usage);
        }
        self.take_usage(event, "usage", openai_chat::read_usage);
    }

    fn responses(&mut self, event: &Json) {
        let response = event.get("response");
        match event.get("type").and_then(Json::as_str) {
            Some("response.completed" | "response.incomplete") => self.ended = true,
            Some("response.created" | "response.in_progress" | "response.queued") => {}
            Some("response.failed") => {
                let error = response.and_then(|response| set(response, "error"));
                let error = error.cloned().unwrap_or(Json::Null);
                self.failure = Some(openai_error::of(None, error));
            }
            Some("error") => {
                let error = set(event, "error").unwrap_or(event);
                self.failure = Some(openai_error::of(None, error.clone()));
            }
            Some(part) => {
                self.begun |= part.starts_with("response.");
                return;
            }
            None => return,
        }
        if let Some(response) = response {
            self.take_usage(response, "usage", openai_responses::read_usage);
        }
    }

    fn anthropic(&mut self, event: &Json) {
        let known = self.usage.unwrap_or_default();
        let read = |fields| anthropic::read_usage(fields, known);
        match event.get("type").and_then(Json::as_str) {
            Some("message_start") => {
                if let Some(message) = event.get("message") {
                    self.take_usage(message, "usage", read);
                }
            }
            Some("message_delta") => {
                self.begun = true;
                self.take_usage(event, "usage", read);
            }
            Some("message_stop") => self.ended = true,
            Some(part) if part.starts_with("content_block") => self.begun = true,
            Some("error") => {
                let error = set(event, "error").cloned().unwrap_or(Json::Null);
                self.failure = Some(anthropic::failure::of(None, error));
            }
            Some(_) | None => {}
        }
    }

    fn gemini(&mut self, event: &Json) {
        if let Some(error) = set(event, "error") {
            self.failure = Some(gemini::failure::of(None, error));
        }
        for candidate in event
            .get("candidates")
            .and_then(Json::as_array)
            .unwrap_or_default()
        {
            self.candidate(candidate, "finishReason");
            let parts = candidate
                .get("content")
                .and_then(|content| content.get("parts"));
            self.begun |= set(candidate, "finishReason").is_some()
                || parts
                    .and_then(Json::as_array)
                    .is_some_and(|parts| !parts.is_empty());
        }
        let feedback = event.get("promptFeedback");
        if feedback.is_some_and(|feedback| set(feedback, "blockReason").is_some()) {
            self.ended = true;
        }
        self.take_usage(event, "usageMetadata", gemini::read_usage);
    }

    fn candidate(&mut self, candidate: &Json, why: &str) {
        let number = candidate
            .get("index")
            .and_then(Json::as_u64)
            .unwrap_or_default();
        let stops = set(candidate, why).is_some();
        let known = self.candidates.iter_mut().find(|(at, _)| *at == number);
        if let Some((_, stopped)) = known {
            *stopped |= stops;
        } else if self.candidates.len() < MOST_CANDIDATES {
            self.candidates.push((number, stops));
        }
    }

    fn take_usage(&mut self, of: &Json, name: &str, read: impl Fn(Fields) -> Result<Usage, Error>) {
        let told = set(of, name).cloned();
        self.usage = told.and_then(|usage| leniently(usage, read)).or(self.usage);
    }
}

/// Whether a piece of a message has more than who speaks.
fn says_something(delta: &Json) -> bool {
    let Json::Object(delta) = delta else {
        return false;
    };
    let empty = |value: &Json| match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(members) => members.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    };
    delta
        .iter()
        .any(|(name, value)| name != "role" && !empty(value))
}

/// Reads usage; of one that has members of another form than is known, the plain counts.
fn leniently(usage: Json, read: impl Fn(Fields) -> Result<Usage, Error>) -> Option<Usage> {
    if let Ok(usage) = Fields::of(usage.clone()).and_then(&read) {
        return Some(usage);
    }
    let mut plain = Object::new();
    let Json::Object(members) = usage else {
        return None;
    };
    for (name, value) in members.into_members() {
        if value.as_u64().is_some() {
            plain.set(&name, value);
        }
    }
    Fields::of(plain.into()).and_then(read).ok()
}

/// What an answer took, of the members of its outermost object that tell something.
pub(crate) fn usage_of(dialect: Dialect, mut answer: Fields) -> Option<Usage> {
    let mut take =
        |name, read: fn(Fields) -> Result<Usage, Error>| leniently(answer.take(name)?, read);
    match dialect {
        Dialect::OpenAiChat => take("usage", openai_chat::read_usage),
        Dialect::OpenAiResponses => take("usage", openai_responses::read_usage),
        Dialect::Anthropic => take("usage", |fields| {
            anthropic::read_usage(fields, Usage::default())
        }),
        Dialect::Gemini => take("usageMetadata", gemini::read_usage),
        Dialect::Bedrock => take("usage", bedrock::read_usage),
        Dialect::Cohere => take("usage", cohere::read_usage),
        Dialect::Ollama => ollama::read_usage(&mut answer).ok().flatten(),
    }
}

/// A member that is there and not `null`.
fn set<'j>(json: &'j Json, name: &str) -> Option<&'j Json> {
    json.get(name).filter(|value| !value.is_null())
}
