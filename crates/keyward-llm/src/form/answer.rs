//! What a model answered.

use super::message::Part;
use super::usage::Usage;
use crate::json::Number;

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The provider's name for it.
    pub id: String,
    /// The model that answered.
    pub model: String,
    /// When, in seconds since 1970, where the provider says so.
    pub created: Option<u64>,
    /// One, unless several were asked for.
    pub candidates: Vec<Candidate>,
    /// What it took; nothing when the provider does not say.
    pub usage: Option<Usage>,
}

/// One answer of possibly several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// What was said, thought and called, in its order.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub stop: Stop,
    /// Of each token, where they were asked for.
    pub log_probabilities: Vec<TokenProbability>,
}

/// Why an answer ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// The reason.
    pub reason: StopReason,
    /// The provider's own word, for the log.
    pub original: Option<String>,
    /// The stop sequence that was met, where that is told.
    pub sequence: Option<String>,
}

/// Why an answer ended, as every dialect can say it somehow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// It was said.
    #[default]
    End,
    /// A stop sequence was met.
    Sequence,
    /// As many tokens were written as may be.
    MaxTokens,
    /// Tools are called.
    ToolCalls,
    /// A filter of the provider's ended it.
    Filtered,
    /// The model will not.
    Refused,
    /// A turn that goes on when it is sent again.
    Paused,
    /// The context is full.
    ContextFull,
    /// The model wrote what can't be read, such as a broken tool call.
    Malformed,
}

impl StopReason {
    /// As it is told in dialects that have no word for a refusal but a part of the answer: where there is no such part
    /// (`said` is false), it would pass for an answer that ended well, and is told as filtered.
    #[must_use]
    pub(crate) fn with_refusal(self, said: bool) -> Self {
        if self == Self::Refused && !said {
            Self::Filtered
        } else {
            self
        }
    }
}

/// How likely a token was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenProbability {
    /// The token.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logarithm: Number,
    /// Its bytes, where they are told: a token may be part of a character.
    pub bytes: Option<Vec<u8>>,
    /// Tokens that might have been, with theirs.
    pub others: Vec<Self>,
}

impl Stop {
    /// A reason, with the provider's word for it.
    #[must_use]
    pub fn new(reason: StopReason, original: &str) -> Self {
        Self {
            reason,
            original: Some(original.to_owned()),
            sequence: None,
        }
    }
}
