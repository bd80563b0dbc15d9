//! The way between a caller and a provider of one dialect: every field passes, known or not, in the bytes in which it
//! came, but for the edits of this list.
//!
//! | what | edit |
//! |---|---|
//! | request | [`Edit::Model`]: the alias becomes the provider's name for the model |
//! | request | [`Edit::Renamed`]: a field is called what the provider calls it |
//! | request | [`Edit::ForcedTool`]: a tool that must be called, as the provider says it |
//! | request | [`Edit::Tools`]: `strict` and `additionalProperties` are taken out of tools |
//! | request | [`Edit::Messages`]: the role `developer` becomes `system`, lists of texts become text |
//! | request | [`Edit::UsageAsked`]: a stream is asked to end with its usage |
//! | stream | the usage that the caller did not ask for is taken out again ([`StreamPassage`]) |
//!
//! | stream | the words of an error are exchanged for words of ours: they may name the operator's account |
//!
//! Answers that are not streamed are not edited at all: what they took is read ([`answer()`]), and nothing else.

mod answer;
mod buckets;
mod other_models;
pub(crate) use buckets::check_buckets;
pub(crate) use other_models::check_names;
mod stream;
mod veiling;

#[cfg(test)]
mod tests;

pub use answer::{Seen, answer};
pub use stream::StreamPassage;

use crate::dialect::{Dialect, Quirks, SeedName, Target, model_segment, tools_without};
use crate::error::Error;
use crate::form::Feature;
use crate::json::{Json, Members, Object};
use std::borrow::Cow;

/// What was changed in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edit {
    /// The alias became the provider's name for the model.
    Model,
    /// A field is called what the provider calls it.
    Renamed,
    /// `tool_choice` says what the provider understands.
    ForcedTool,
    /// Tools are without what the provider refuses.
    Tools,
    /// Messages are without what the provider refuses.
    Messages,
    /// A stream is asked to end with its usage: to be taken out again.
    UsageAsked,
}

/// A request on its way to a provider of its own dialect.
#[derive(Clone, Debug)]
pub struct Passed<'a> {
    /// What stands behind the provider's base address.
    pub path: String,
    /// The body: the caller's own bytes where nothing was edited.
    pub body: Cow<'a, [u8]>,
    /// What was edited, in the order of the list.
    pub edits: Vec<Edit>,
}

/// Passes a request on. `stream` is what the address says where the body does not (Gemini).
///
/// # Errors
/// [`Error::Unsupported`] for what the provider's quirks rule out; [`Error::OtherModel`] for a member that chooses another
/// model; [`Error::ModelName`].
pub fn request<'a>(
    dialect: Dialect,
    members: &Members<'a>,
    stream: bool,
    target: &Target,
) -> Result<Passed<'a>, Error> {
    other_models::check(members, dialect, target)?;
    let mut made = Made::default();
    let path = match dialect {
        Dialect::Gemini => {
            check_buckets(members)?;
            let model = model_segment(&target.model)?;
            if stream {
                format!("/models/{model}:streamGenerateContent?alt=sse")
            } else {
                format!("/models/{model}:generateContent")
            }
        }
        Dialect::OpenAiChat => {
            made.model(members, target);
            made.quirks(members, target.quirks)?;
            made.usage(members, target.quirks)?;
            "/chat/completions".to_owned()
        }
        Dialect::OpenAiResponses => {
            if members.is_true("background") {
                return Err(Error::Unsupported {
                    feature: Feature::Background,
                    dialect,
                    why: "nobody would see what it takes: leave `background` out, and stream the answer if it takes long",
                });
            }
            made.model(members, target);
            "/responses".to_owned()
        }
        Dialect::Anthropic => {
            made.model(members, target);
            "/messages".to_owned()
        }
        Dialect::Bedrock | Dialect::Ollama | Dialect::Cohere => {
            return Err(Error::field(
                "",
                format!("{dialect} is a dialect of providers alone"),
            ));
        }
    };
    let changes: Vec<(&str, Option<Json>)> = made
        .changes
        .iter()
        .map(|(name, value)| (*name, value.clone()))
        .collect();
    Ok(Passed {
        path,
        body: members.edit(&changes),
        edits: made.edits,
    })
}

/// The body of a request that is no conversation, such as for embeddings, with the model exchanged and nothing else.
///
/// # Errors
/// [`Error::Json`] for what is no object or has a name twice; [`Error::OtherModel`].
pub fn with_model<'a>(body: &'a [u8], target: &Target) -> Result<Cow<'a, [u8]>, Error> {
    let members = Members::read(body)?;
    other_models::check(&members, Dialect::OpenAiChat, target)?;
    Ok(members.edit(&[("model", Some(Json::from(&target.model)))]))
}

#[derive(Default)]
struct Made {
    changes: Vec<(&'static str, Option<Json>)>,
    edits: Vec<Edit>,
}

impl Made {
    fn set(&mut self, edit: Edit, name: &'static str, value: Json) {
        self.changes.push((name, Some(value)));
        if self.edits.last() != Some(&edit) {
            self.edits.push(edit);
        }
    }

    fn model(&mut self, members: &Members<'_>, target: &Target) {
        if members.string("model").as_deref() != Some(&target.model) {
            self.set(Edit::Model, "model", Json::from(&target.model));
        }
    }

    fn rename(
        &mut self,
        members: &Members<'_>,
        from: &'static str,
        to: &'static str,
    ) -> Result<(), Error> {
        if let Some(value) = members.get(from)
            && members.get(to).is_none()
        {
            self.changes.push((from, None));
            self.set(Edit::Renamed, to, Json::parse(value)?);
        }
        Ok(())
    }

    fn quirks(&mut self, members: &Members<'_>, quirks: Quirks) -> Result<(), Error> {
        if quirks.old_max_tokens {
            self.rename(members, "max_completion_tokens", "max_tokens")?;
        }
        if quirks.seed_name == SeedName::RandomSeed {
            self.rename(members, "seed", "random_seed")?;
        }
        let required = members.string("tool_choice").as_deref() == Some("required");
        let named = members
            .get("tool_choice")
            .is_some_and(|choice| choice.starts_with(b"{"));
        if quirks.no_required_tool && (required || named) {
            return Err(Error::Unsupported {
                feature: Feature::ForcedTool,
                dialect: Dialect::OpenAiChat,
                why: "the provider can't be told: leave it out, or ask a model that can",
            });
        }
        if quirks.any_tool && required {
            self.set(Edit::ForcedTool, "tool_choice", "any".into());
        }
        if quirks.loose_tools
            && let Some(tools) = members.get("tools")
        {
            let tools = Json::parse(tools)?;
            let loose = tools_without(tools.clone());
            if loose != tools {
                self.set(Edit::Tools, "tools", loose);
            }
        }
        if (quirks.no_developer_role || quirks.text_only)
            && let Some(messages) = members.get("messages")
        {
            let messages = Json::parse(messages)?;
            let edited = edit_messages(messages.clone(), quirks)?;
            if edited != messages {
                self.set(Edit::Messages, "messages", edited);
            }
        }
        Ok(())
    }

    fn usage(&mut self, members: &Members<'_>, quirks: Quirks) -> Result<(), Error> {
        if !members.is_true("stream") || quirks.no_stream_options {
            return Ok(());
        }
        let mut options = match members.get("stream_options").map(Json::parse).transpose()? {
            Some(Json::Object(options)) => options,
            Some(
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_),
            )
            | None => Object::new(),
        };
        if options.get("include_usage") != Some(&Json::Bool(true)) {
            options.set("include_usage", true);
            self.set(Edit::UsageAsked, "stream_options", options.into());
        }
        Ok(())
    }
}

fn edit_messages(messages: Json, quirks: Quirks) -> Result<Json, Error> {
    let Json::Array(messages) = messages else {
        return Ok(messages);
    };
    let edited: Result<Vec<Json>, Error> = messages
        .into_iter()
        .map(|message| {
            let Json::Object(mut message) = message else {
                return Ok(message);
            };
            let developer = message.get("role").and_then(Json::as_str) == Some("developer");
            if quirks.no_developer_role && developer {
                message.set("role", "system");
            }
            if quirks.text_only
                && let Some(parts) = message.get("content").and_then(Json::as_array)
            {
                let mut text = String::new();
                for part in parts {
                    match part.get("text").and_then(Json::as_str) {
                        Some(more) => text.push_str(more),
                        None => {
                            return Err(Error::Unsupported {
                                feature: Feature::Images,
                                dialect: Dialect::OpenAiChat,
                                why: "the model reads text alone: leave it out, or ask a model that can",
                            });
                        }
                    }
                }
                message.set("content", text);
            }
            Ok(Json::Object(message))
        })
        .collect();
    edited.map(Json::Array)
}
