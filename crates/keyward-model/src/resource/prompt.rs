//! Prompts: templates with typed variables that are published as addresses of their own. Callers send the variables, and
//! see nothing of the template.

use super::Authorization;
use super::api::VersionState;
use crate::name::Name;
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;

/// One version of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// With the resource's name it identifies the prompt.
    pub version: Name,
    /// Where in its life the version stands.
    pub state: VersionState,
    /// What it does, for those who call it.
    pub description: Option<Box<str>>,
    /// The model that is asked, of the same team.
    pub model: Name,
    /// What callers send, by name.
    pub variables: BTreeMap<Box<str>, Variable>,
    /// What the model is told, in this order: at least one, the last of them the user's.
    pub messages: Vec<PromptMessage>,
    /// Pieces of text that templates name as `partials.NAME`.
    pub partials: BTreeMap<Box<str>, Box<str>>,
    /// Questions with their answers, told before the caller's.
    pub examples: Vec<Example>,
    /// How the model answers.
    pub parameters: Parameters,
    /// What the answer is.
    pub output: Output,
    /// What the model may call.
    pub tools: Vec<PromptTool>,
    /// Whether it must; as the model likes when it is not said.
    pub tool_choice: Option<PromptToolChoice>,
    /// Its share of the calls that name no version, beside other published versions.
    pub trial: Option<u32>,
    /// What callers must be besides what the API asks for.
    pub authorization: Authorization,
}

/// One thing that callers send.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// What it looks like, as a JSON schema.
    pub schema: Value,
    /// The bounds of a picture; `None` of anything else.
    pub image: Option<ImageBounds>,
    /// Whether it has to be there.
    pub required: bool,
    /// What it is where it is not sent.
    pub default: Option<Value>,
}

/// What a picture may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageBounds {
    /// The most bytes, before they are coded as base64.
    pub max_bytes: u64,
    /// Whether an address may be sent, which the model's provider fetches.
    pub addresses: bool,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptRole {
    /// Who instructs.
    System,
    /// Who asks.
    User,
    /// The model.
    Assistant,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptMessage {
    /// Who says it.
    pub role: PromptRole,
    /// What, in its order.
    pub parts: Vec<PromptPart>,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptPart {
    /// Text, as a template.
    Text(Box<str>),
    /// The picture that this variable is.
    Image(Box<str>),
}

/// A question with its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// What was sent.
    pub variables: Map<String, Value>,
    /// What is answered: a text, or where the output has a schema what fits it.
    pub answer: Value,
}

/// How the model answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// How much chance.
    pub temperature: Option<Number>,
    /// Among the likeliest tokens that together are as likely as this.
    pub top_p: Option<Number>,
    /// Against tokens, the more often they came.
    pub frequency_penalty: Option<Number>,
    /// Against tokens that came.
    pub presence_penalty: Option<Number>,
    /// The most tokens that it writes.
    pub max_output_tokens: Option<u64>,
    /// What ends the answer.
    pub stop: Vec<Box<str>>,
    /// What makes chance the same each time.
    pub seed: Option<i64>,
    /// How much it reasons: one of [`EFFORTS`].
    pub reasoning_effort: Option<&'static str>,
}

/// How much models may reason.
pub const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// What an answer is.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Text.
    Text,
    /// JSON that fits a schema.
    Schema(OutputSchema),
}

/// What an answer in JSON fits.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputSchema {
    /// The JSON schema.
    pub schema: Value,
    /// Whether the provider is asked to hold the model to it.
    pub strict: Option<bool>,
    /// How often the model is told what does not fit, and asked again.
    pub repairs: u32,
}

/// A tool that the model may call: the call is the answer, and its caller sends back what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptTool {
    /// Its name.
    pub name: Box<str>,
    /// What it is for.
    pub description: Option<Box<str>>,
    /// A JSON schema of its arguments.
    pub parameters: Option<Value>,
}

/// Whether tools are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptToolChoice {
    /// As the model likes.
    Auto,
    /// At least one is.
    Required,
    /// This one is.
    Tool(Box<str>),
}

impl PromptRole {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::System, Self::User, Self::Assistant];

    /// As written in `role`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

impl Prompt {
    /// The templates, each with where it stands as the keys and numbers that lead there.
    pub fn templates(&self) -> impl Iterator<Item = (Vec<Box<str>>, &str)> {
        let messages = self.messages.iter().enumerate().flat_map(|(at, message)| {
            let alone = message.parts.len() == 1;
            let parts = message.parts.iter().enumerate();
            parts.filter_map(move |(part, what)| match what {
                PromptPart::Text(text) => {
                    let mut path: Vec<Box<str>> = vec!["messages".into(), at.to_string().into()];
                    if !alone {
                        path.extend(["parts".into(), part.to_string().into()]);
                    }
                    path.push("text".into());
                    Some((path, &**text))
                }
                PromptPart::Image(_) => None,
            })
        });
        let partials = self.partials.iter();
        let partials =
            partials.map(|(name, text)| (vec!["partials".into(), name.clone()], &**text));
        messages.chain(partials)
    }

    /// The most calls of the model that one call of the prompt makes, when nothing fails.
    #[must_use]
    pub const fn rounds(&self) -> u32 {
        match &self.output {
            Output::Text => 1,
            Output::Schema(schema) => 1 + schema.repairs,
        }
    }
}
