//! What is asked of a model that is no conversation: vectors, pictures, speech, what was said, the order of documents, what
//! is harmful, how many tokens something has.
//!
//! Where the provider speaks the caller's dialect, the request passes with the model exchanged and nothing else. Vectors,
//! orders and counts are translated where the provider has them in another form ([`Asked::write`]); what can't be is refused
//! with `unsupported_endpoint`.

mod count;
mod embedding;
pub mod multipart;
mod rerank;
mod told;

#[cfg(test)]
mod tests;

pub use told::{Told, Units};

use crate::dialect::{Dialect, Target, model_segment};
use crate::error::Error;
use crate::fields::Fields;
use crate::form::{Failure, FailureKind};
use crate::json::Json;
use crate::passage;
use std::borrow::Cow;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Vectors of texts, in OpenAI's form.
    Embeddings,
    /// The vector of one text, in Gemini's form.
    EmbedContent,
    /// Vectors of several texts, in Gemini's form.
    EmbedContents,
    /// How many tokens a conversation has, in Anthropic's form.
    CountTokens,
    /// The same, in Gemini's form.
    CountContent,
    /// Pictures, from words.
    Images,
    /// Pictures, from others.
    ImageEdits,
    /// Pictures like another.
    ImageVariations,
    /// A text, read out.
    Speech,
    /// What is said, written down.
    Transcriptions,
    /// The same, in English.
    Translations,
    /// Documents, by how they fit a question.
    Rerank,
    /// What of a text is harmful.
    Moderations,
}

/// A task as its caller asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What is asked.
    pub task: Task,
    /// The body.
    pub body: &'a [u8],
    /// The boundary of its parts, where it is no JSON.
    pub boundary: Option<&'a str>,
}

/// A task as it goes to a provider.
#[derive(Clone, Debug)]
pub struct Written<'a> {
    /// What stands behind the provider's base address.
    pub path: String,
    /// The body: the caller's own bytes where nothing was edited.
    pub body: Cow<'a, [u8]>,
    /// What was left out, since it has no bearing on the answer.
    pub notes: Vec<String>,
}

impl Task {
    /// What its callers speak.
    #[must_use]
    pub const fn form(self) -> Dialect {
        match self {
            Self::EmbedContent | Self::EmbedContents | Self::CountContent => Dialect::Gemini,
            Self::CountTokens => Dialect::Anthropic,
            Self::Embeddings
            | Self::Images
            | Self::ImageEdits
            | Self::ImageVariations
            | Self::Speech
            | Self::Transcriptions
            | Self::Translations
            | Self::Rerank
            | Self::Moderations => Dialect::OpenAiChat,
        }
    }

    /// The method of a model that it is in Gemini's addresses.
    #[must_use]
    pub fn of_gemini(method: &str) -> Option<Self> {
        match method {
            "embedContent" => Some(Self::EmbedContent),
            "batchEmbedContents" => Some(Self::EmbedContents),
            "countTokens" => Some(Self::CountContent),
            _ => None,
        }
    }

    /// Whether its request may be a form of several parts.
    #[must_use]
    pub const fn takes_parts(self) -> bool {
        match self {
            Self::ImageEdits
            | Self::ImageVariations
            | Self::Transcriptions
            | Self::Translations => true,
            Self::Embeddings
            | Self::EmbedContent
            | Self::EmbedContents
            | Self::CountTokens
            | Self::CountContent
            | Self::Images
            | Self::Speech
            | Self::Rerank
            | Self::Moderations => false,
        }
    }

    /// Whether an answer of this type passes as it comes, unread: sound, and events, and text that is no JSON.
    #[must_use]
    pub fn passes(self, content_type: &str) -> bool {
        let events = content_type == "text/event-stream";
        match self {
            Self::Speech => {
                events
                    || content_type.starts_with("audio/")
                    || content_type == "application/octet-stream"
            }
            Self::Transcriptions | Self::Translations => {
                content_type.starts_with("text/") || content_type == "application/x-subrip"
            }
            Self::Images | Self::ImageEdits => events,
            Self::Embeddings
            | Self::EmbedContent
            | Self::EmbedContents
            | Self::CountTokens
            | Self::CountContent
            | Self::ImageVariations
            | Self::Rerank
            | Self::Moderations => false,
        }
    }

    /// Where a provider of OpenAI's dialect has it, or the inventor of its own.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Embeddings => "/embeddings",
            Self::EmbedContent => "embedContent",
            Self::EmbedContents => "batchEmbedContents",
            Self::CountTokens => "/messages/count_tokens",
            Self::CountContent => "countTokens",
            Self::Images => "/images/generations",
            Self::ImageEdits => "/images/edits",
            Self::ImageVariations => "/images/variations",
            Self::Speech => "/audio/speech",
            Self::Transcriptions => "/audio/transcriptions",
            Self::Translations => "/audio/translations",
            Self::Rerank => "/rerank",
            Self::Moderations => "/moderations",
        }
    }
}

impl<'a> Asked<'a> {
    /// Writes the request for a provider.
    ///
    /// # Errors
    /// What is wrong with the request, or that the provider has nothing of the kind (`unsupported_endpoint`): another
    /// may have.
    pub fn write(&self, dialect: Dialect, target: &Target) -> Result<Written<'a>, Failure> {
        let written = match self.task {
            Task::Embeddings | Task::EmbedContent | Task::EmbedContents => {
                embedding::write(self, dialect, target)
            }
            Task::CountTokens | Task::CountContent => count::write(self, dialect, target),
            Task::Rerank => rerank::write(self, dialect, target),
            Task::Images
            | Task::ImageEdits
            | Task::ImageVariations
            | Task::Speech
            | Task::Transcriptions
            | Task::Translations
            | Task::Moderations => match dialect {
                Dialect::OpenAiChat | Dialect::OpenAiResponses => self.passed(target).map(Some),
                Dialect::Anthropic
                | Dialect::Gemini
                | Dialect::Bedrock
                | Dialect::Ollama
                | Dialect::Cohere => Ok(None),
            },
        };
        match written {
            Ok(Some(written)) => Ok(written),
            Ok(None) => Err(Failure::new(
                FailureKind::InvalidRequest,
                format!(
                    "The model's provider speaks {dialect}, and has nothing of the kind there: ask a model that has"
                ),
            )
            .with_code("unsupported_endpoint")),
            Err(error) => Err(Failure::from(&error)),
        }
    }

    /// Reads a provider's answer of JSON into the caller's form: `None` where it passes as it is.
    ///
    /// # Errors
    /// That it can't be read, which is the provider's fault.
    pub fn read(
        &self,
        dialect: Dialect,
        target: &Target,
        answer: &[u8],
    ) -> Result<(Option<Vec<u8>>, Told), Failure> {
        let read = || {
            let json = Json::parse(answer)?;
            let told = told::told(self, &json);
            let translated = match self.task {
                Task::Embeddings | Task::EmbedContent | Task::EmbedContents => {
                    embedding::read(self, dialect, target, &json, &told)?
                }
                Task::CountTokens | Task::CountContent => count::read(self.task, dialect, &json)?,
                Task::Rerank => rerank::read(self, dialect, target, json)?,
                Task::Images
                | Task::ImageEdits
                | Task::ImageVariations
                | Task::Speech
                | Task::Transcriptions
                | Task::Translations
                | Task::Moderations => None,
            };
            Ok((translated.map(|json| json.to_bytes()), told))
        };
        read().map_err(|error: Error| Failure::of_answer(&error))
    }

    /// Passes the request on with the model exchanged, to a provider of OpenAI's or Anthropic's dialect.
    fn passed(&self, target: &Target) -> Result<Written<'a>, Error> {
        let path = self.task.path().to_owned();
        let body = match self.boundary {
            Some(boundary) => {
                let parts = multipart::parts(self.body, boundary)?;
                let names = parts.iter().map(|part| part.name.as_str());
                passage::check_names(names, self.task.form(), target)?;
                Cow::Owned(multipart::with_text(
                    self.body,
                    boundary,
                    "model",
                    &target.model,
                )?)
            }
            None => passage::with_model(self.body, target)?,
        };
        Ok(Written {
            path,
            body,
            notes: Vec::new(),
        })
    }

    fn fields(&self) -> Result<Fields, Error> {
        Fields::parse(self.body)
    }

    /// Where Gemini has it.
    fn of_gemini(task: Task, target: &Target) -> Result<String, Error> {
        let model = model_segment(&target.model)?;
        Ok(format!("/models/{model}:{}", task.path()))
    }
}

/// A request that was written anew.
fn anew(path: impl Into<String>, body: Json, notes: Vec<String>) -> Written<'static> {
    Written {
        path: path.into(),
        body: Cow::Owned(body.to_bytes()),
        notes,
    }
}
