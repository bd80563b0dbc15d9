//! What the gateway has to know of a stream that it passes on unread: its usage, its error, its end. Nothing else of an
//! event is looked at, so that what is new in a dialect passes and fails nothing.

use super::{Dialect, anthropic, gemini, openai_chat, openai_error, openai_responses};
use crate::fields::Fields;
use crate::form::{Failure, Usage};
use crate::framing::Frame;
use crate::json::Json;

/// What was seen of a stream so far.
#[derive(Debug)]
pub(crate) struct Glance {
    dialect: Dialect,
    usage: Option<Usage>,
    failure: Option<Failure>,
    /// The dialect's own end was seen.
    ended: bool,
    /// Candidates by number, and whether each has said why it stopped: for dialects without an end of their own.
    candidates: Vec<(u64, bool)>,
}

/// More candidates than a call may ask for.
const MOST_CANDIDATES: usize = 128;

impl Glance {
    pub(crate) const fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            usage: None,
            failure: None,
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

    /// The words without which an event tells nothing that matters here; none where every event may.
    pub(crate) const fn words(&self) -> &'static [&'static str] {
        match self.dialect {
            Dialect::Anthropic => &["\"message_", "\"error\""],
            Dialect::OpenAiResponses => &[
                "\"response.completed\"",
                "\"response.incomplete\"",
                "\"response.failed\"",
                "\"error\"",
            ],
            Dialect::OpenAiChat
            | Dialect::Gemini
            | Dialect::Bedrock
            | Dialect::Ollama
            | Dialect::Cohere => &[],
        }
    }

    /// Looks at one event. What can't be read of it is not seen, and passes all the same.
    pub(crate) fn look(&mut self, frame: Frame<'_>) {
        if frame.data.trim_ascii() == b"[DONE]" {
            self.ended |= self.dialect == Dialect::OpenAiChat;
            return;
        }
        let Ok(event) = Json::parse(frame.data) else {
            return;
        };
        match self.dialect {
            Dialect::OpenAiChat => self.chat(&event),
            Dialect::OpenAiResponses => self.responses(&event),
            Dialect::Anthropic => self.anthropic(&event),
            Dialect::Gemini => self.gemini(&event),
            // No caller speaks them, so that nothing is passed between two of them.
            Dialect::Bedrock | Dialect::Ollama | Dialect::Cohere => {}
        }
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
            self.failure = openai_chat::failed_choice(choice).or(self.failure.take());
            // Moonshot has the usage within a choice.
            self.take_usage(choice, "usage", openai_chat::read_usage);
        }
        self.take_usage(event, "usage", openai_chat::read_usage);
    }

    fn responses(&mut self, event: &Json) {
        let response = event.get("response");
        match event.get("type").and_then(Json::as_str) {
            Some("response.completed" | "response.incomplete") => self.ended = true,
            Some("response.failed") => {
                let error = response.and_then(|response| set(response, "error"));
                let error = error.cloned().unwrap_or(Json::Null);
                self.failure = Some(openai_error::of(None, error));
            }
            Some("error") => {
                let error = set(event, "error").unwrap_or(event);
                self.failure = Some(openai_error::of(None, error.clone()));
            }
            Some(_) | None => return,
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
            Some("message_delta") => self.take_usage(event, "usage", read),
            Some("message_stop") => self.ended = true,
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

    fn take_usage(
        &mut self,
        of: &Json,
        name: &str,
        read: impl FnOnce(Fields) -> Result<Usage, crate::Error>,
    ) {
        let told = set(of, name).cloned().and_then(|usage| {
            let fields = Fields::of(usage).ok()?;
            read(fields).ok()
        });
        self.usage = told.or(self.usage);
    }
}

/// A member that is there and not `null`.
fn set<'j>(json: &'j Json, name: &str) -> Option<&'j Json> {
    json.get(name).filter(|value| !value.is_null())
}
