//! What a call asks.

use super::message::{CacheLife, Message};
use crate::json::{Json, Number};

/// A call for an answer in words, tool calls or JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The model, as the caller named it.
    pub model: String,
    /// The conversation so far, instructions first.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it must.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once.
    pub parallel_tools: Option<bool>,
    /// What the answer looks like.
    pub output: Output,
    /// The most tokens to write, reasoning included.
    pub max_tokens: Option<u64>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// What ends the answer.
    pub stop: Vec<String>,
    /// What makes chance the same each time.
    pub seed: Option<i64>,
    /// Log probabilities of what is chosen, and of so many other tokens.
    pub log_probabilities: Option<u64>,
    /// How many answers; one when it is not said.
    pub answers: Option<u64>,
    /// How much to reason.
    pub reasoning: Option<Reasoning>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether a stream ends with its usage, where the dialect leaves that to the caller.
    pub stream_usage: bool,
    /// Fields that have no bearing on what the model answers (marks, keys of a cache) and that a translation leaves
    /// out: told to the caller, not lost in silence.
    pub notes: Vec<String>,
}

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// A JSON schema of its arguments.
    pub parameters: Option<Json>,
    /// Whether the model is held to the schema.
    pub strict: Option<bool>,
    /// Whether the provider may keep the tools up to here.
    pub cache: Option<CacheLife>,
}

/// Whether tools are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the model likes.
    Auto,
    /// None is.
    Never,
    /// At least one is.
    Required,
    /// This one is.
    Tool(String),
}

/// What an answer looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Text.
    #[default]
    Text,
    /// Any JSON object.
    Json,
    /// JSON that follows a schema.
    Schema(Schema),
}

/// A schema that answers follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// What it is called, where the dialect names it.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The JSON schema.
    pub schema: Json,
    /// Whether the model is held to it.
    pub strict: Option<bool>,
}

/// How tokens are chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampling {
    /// How much chance.
    pub temperature: Option<Number>,
    /// Among the likeliest tokens that together are as likely as this.
    pub top_p: Option<Number>,
    /// Among so many.
    pub top_k: Option<u64>,
    /// Against tokens, the more often they came.
    pub frequency_penalty: Option<Number>,
    /// Against tokens that came.
    pub presence_penalty: Option<Number>,
    /// For or against single tokens, by their number.
    pub logit_bias: Option<Json>,
}

/// How much a model reasons, and what of it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// How much; as the model likes when it is not said.
    pub effort: Option<Effort>,
    /// The most tokens for it.
    pub budget: Option<u64>,
    /// Whether what it thinks is shown, in words or in short.
    pub shown: Option<bool>,
}

/// How much a model reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effort {
    /// Not at all.
    None,
    /// Hardly.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// More.
    ExtraHigh,
    /// As much as it can.
    Most,
}

impl Effort {
    /// As OpenAI's and Anthropic's dialects write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::ExtraHigh => "xhigh",
            Self::Most => "max",
        }
    }

    /// The effort of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [
            Self::None,
            Self::Minimal,
            Self::Low,
            Self::Medium,
            Self::High,
            Self::ExtraHigh,
            Self::Most,
        ]
        .into_iter()
        .find(|effort| effort.as_str() == name)
    }

    /// The budget of tokens that stands for it, where a dialect has budgets alone. The same steps lead back
    /// ([`Self::of_budget`]).
    #[must_use]
    pub const fn budget(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Minimal | Self::Low => 1_024,
            Self::Medium => 4_096,
            Self::High => 16_384,
            Self::ExtraHigh => 24_576,
            Self::Most => 32_000,
        }
    }

    /// The least effort that is worth such a budget.
    #[must_use]
    pub const fn of_budget(tokens: u64) -> Self {
        match tokens {
            0 => Self::None,
            1..=1_024 => Self::Low,
            1_025..=4_096 => Self::Medium,
            4_097.. => Self::High,
        }
    }
}

impl Reasoning {
    /// Whether the model is told not to reason.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.effort == Some(Effort::None) || self.budget == Some(0)
    }

    /// The effort, or the one that is worth the budget.
    #[must_use]
    pub fn as_effort(&self) -> Option<Effort> {
        self.effort.or_else(|| self.budget.map(Effort::of_budget))
    }

    /// The budget, or the one that stands for the effort.
    #[must_use]
    pub fn as_budget(&self) -> Option<u64> {
        self.budget.or_else(|| self.effort.map(Effort::budget))
    }
}
