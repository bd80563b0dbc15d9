//! The dialects: each reads requests, answers, streams and errors of one wire format into the form and writes them from
//! it, and knows no other dialect.

mod ability;
mod anthropic;
mod bedrock;
mod cohere;
mod content;
mod gemini;
mod glance;
mod ollama;
mod openai_chat;
mod openai_error;
mod openai_responses;
mod outgoing;
mod schema;
mod stream;
mod tokens;

pub(crate) use glance::{Glance, usage_of};
pub(crate) use outgoing::path_segment as model_segment;
pub use outgoing::{Address, Context, ModelMembers, Outgoing, Quirks, SeedName, Target};
pub(crate) use schema::tools_without;
pub use stream::{MOST_BLOCKS, StreamReader, StreamWriter};

use crate::error::Error;
use crate::fields::Fields;
use crate::form::{Answer, Failure, FailureKind, Request};
use crate::json::Json;
use std::fmt;

/// A wire format of AI calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// OpenAI's chat completions, which most providers speak.
    OpenAiChat,
    /// OpenAI's responses.
    OpenAiResponses,
    /// Anthropic's messages.
    Anthropic,
    /// Google's `generateContent`, of Gemini and Vertex.
    Gemini,
    /// `Converse` of AWS Bedrock.
    Bedrock,
    /// Ollama's own chat.
    Ollama,
    /// Cohere's chat, version 2.
    Cohere,
}

impl Dialect {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::OpenAiChat,
        Self::OpenAiResponses,
        Self::Anthropic,
        Self::Gemini,
        Self::Bedrock,
        Self::Ollama,
        Self::Cohere,
    ];

    /// Those that callers may speak.
    pub const FORMS: &[Self] = &[
        Self::OpenAiChat,
        Self::OpenAiResponses,
        Self::Anthropic,
        Self::Gemini,
    ];

    /// As configurations and tables name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai-chat",
            Self::OpenAiResponses => "openai-responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock-converse",
            Self::Ollama => "ollama",
            Self::Cohere => "cohere",
        }
    }

    /// The dialect of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|dialect| dialect.as_str() == name)
    }

    /// Reads a caller's request. `address` is what a dialect has in its address and not in the body.
    ///
    /// # Errors
    /// What is wrong with the request; [`Error::Unsupported`] for what only a provider of this dialect could do; and for
    /// a dialect that callers may not speak ([`Dialect::FORMS`]).
    pub fn read_request(self, body: &[u8], address: &Address) -> Result<Request, Error> {
        match self {
            Self::OpenAiChat => openai_chat::request::read(body),
            Self::OpenAiResponses => openai_responses::request::read(body),
            Self::Anthropic => anthropic::request::read(body),
            Self::Gemini => gemini::request::read(body, address),
            Self::Bedrock | Self::Ollama | Self::Cohere => Err(self.no_form()),
        }
    }

    /// Writes the request for a provider.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what the dialect or the provider lacks: nothing is left out in silence.
    pub fn write_request(self, request: &Request, target: &Target) -> Result<Outgoing, Error> {
        match self {
            Self::OpenAiChat => openai_chat::request::write(request, target),
            Self::OpenAiResponses => openai_responses::request::write(request, target),
            Self::Anthropic => anthropic::request::write(request, target),
            Self::Gemini => gemini::request::write(request, target),
            Self::Bedrock => bedrock::request::write(request, target),
            Self::Ollama => ollama::request::write(request, target),
            Self::Cohere => cohere::request::write(request, target),
        }
    }

    /// Reads a provider's answer of status 200.
    ///
    /// # Errors
    /// The failure that it tells of: there are providers whose errors come with status 200. Or that it can't be read,
    /// which is the provider's fault ([`Failure::of_answer`]).
    pub fn read_answer(self, body: &[u8], context: &Context) -> Result<Answer, Failure> {
        let fields = Fields::parse(body).map_err(|error| Failure::of_answer(&error))?;
        if let Some(failure) = self.told_failure(&fields) {
            return Err(failure.veiled());
        }
        match self {
            Self::OpenAiChat => openai_chat::response::read(fields),
            Self::OpenAiResponses => openai_responses::response::read(fields),
            Self::Anthropic => anthropic::response::read(fields),
            Self::Gemini => gemini::response::read(fields, context),
            Self::Bedrock => bedrock::response::read(fields),
            Self::Ollama => ollama::response::read(fields, context),
            Self::Cohere => cohere::response::read(fields),
        }
        .map_err(|error| Failure::of_answer(&error))
    }

    /// The failure that an answer of status 200 tells of, if it does.
    pub(crate) fn told_failure(self, answer: &Fields) -> Option<Failure> {
        let error = answer.look("error");
        match self {
            Self::OpenAiChat => match error {
                Some(error) => Some(openai_error::of(None, error.clone())),
                None => answer
                    .look("choices")
                    .and_then(Json::as_array)
                    .unwrap_or_default()
                    .iter()
                    .find_map(openai_chat::failed_choice),
            },
            Self::OpenAiResponses => match (error, answer.peek("status")) {
                (Some(error), _) => Some(openai_error::of(None, error.clone())),
                (None, Some(status @ ("failed" | "cancelled"))) => Some(Failure::new(
                    FailureKind::Server,
                    format!("The provider's answer is {status}, and it told no reason"),
                )),
                (None, Some(_) | None) => None,
            },
            Self::Anthropic => error.map(|error| anthropic::failure::of(None, error.clone())),
            Self::Gemini => error.map(|error| gemini::failure::of(None, error)),
            Self::Ollama => error.map(|error| {
                let text = error
                    .as_str()
                    .map_or_else(|| error.to_text(), str::to_owned);
                ollama::failure::told(None, &text)
            }),
            // Its answers have something else in place of what is needed of one.
            Self::Bedrock => None,
            Self::Cohere => answer.peek("finish_reason").and_then(cohere::failed),
        }
    }

    /// Writes an answer for the caller who asked.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what the caller's dialect can't say, and for a dialect that callers may not speak.
    pub fn write_answer(
        self,
        answer: &Answer,
        asked: &Request,
        context: &Context,
    ) -> Result<Vec<u8>, Error> {
        match self {
            Self::OpenAiChat => openai_chat::response::write(answer, asked, context),
            Self::OpenAiResponses => openai_responses::response::write(answer, asked, context),
            Self::Anthropic => anthropic::response::write(answer, asked, context),
            Self::Gemini => gemini::response::write(answer, asked, context),
            Self::Bedrock | Self::Ollama | Self::Cohere => Err(self.no_form()),
        }
        .map(|json| json.to_bytes())
    }

    /// The header of an answer that tells of which kind its error is, where a dialect has one.
    #[must_use]
    pub const fn failure_header(self) -> Option<&'static str> {
        match self {
            Self::Bedrock => Some(bedrock::failure::TYPE_HEADER),
            Self::OpenAiChat
            | Self::OpenAiResponses
            | Self::Anthropic
            | Self::Gemini
            | Self::Ollama
            | Self::Cohere => None,
        }
    }

    /// Reads a provider's answer of a status that tells of an error; `told` is what its
    /// [header](Self::failure_header) says. Whatever it is, there is a failure to tell of; what it says of the operator's
    /// key is in [`Failure::because`] alone.
    #[must_use]
    pub fn read_failure(self, status: u16, told: Option<&str>, body: &[u8]) -> Failure {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses => openai_error::read(status, body),
            Self::Anthropic => anthropic::failure::read(status, body),
            Self::Gemini => gemini::failure::read(status, body),
            Self::Bedrock => bedrock::failure::read(status, told, body),
            Self::Ollama => ollama::failure::read(status, body),
            Self::Cohere => cohere::failure::read(status, body),
        }
        .veiled()
    }

    /// Writes a failure for a caller, to go with [`Failure::status`].
    ///
    /// # Errors
    /// For a dialect that callers may not speak.
    pub fn write_failure(self, failure: &Failure, context: &Context) -> Result<Vec<u8>, Error> {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses => Ok(openai_error::write(failure)),
            Self::Anthropic => Ok(anthropic::failure::write(failure, context)),
            Self::Gemini => Ok(gemini::failure::write(failure)),
            Self::Bedrock | Self::Ollama | Self::Cohere => Err(self.no_form()),
        }
        .map(|json| json.to_bytes())
    }

    /// The content type of a stream in this dialect.
    #[must_use]
    pub const fn stream_type(self) -> &'static str {
        match self {
            Self::OpenAiChat
            | Self::OpenAiResponses
            | Self::Anthropic
            | Self::Gemini
            | Self::Cohere => "text/event-stream",
            Self::Bedrock => "application/vnd.amazon.eventstream",
            Self::Ollama => "application/x-ndjson",
        }
    }

    fn no_form(self) -> Error {
        Error::field(
            "",
            format!(
                "{self} is a dialect of providers: callers speak OpenAI's, Anthropic's or Gemini's"
            ),
        )
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
