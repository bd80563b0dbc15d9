//! What comes in a stream, one by one.
//!
//! An answer is a row of blocks. Each is opened, grows, and is closed; what grows names its block, so that tool calls
//! that are written at once do not mix. Blocks are numbered over the whole answer, from 0.

use super::answer::{Stop, TokenProbability};
use super::failure::Failure;
use super::message::Signature;
use super::usage::Usage;

/// One step of a streamed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer begins.
    Started {
        /// The provider's name for it.
        id: String,
        /// The model that answers.
        model: String,
        /// When, in seconds since 1970, where that is told.
        created: Option<u64>,
    },
    /// A block begins.
    Opened {
        /// Its number.
        block: u32,
        /// Of which candidate, from 0.
        candidate: u32,
        /// What it is.
        opening: Opening,
    },
    /// A block of text or refusal or thought goes on.
    Text {
        /// Which.
        block: u32,
        /// By what.
        text: String,
        /// Of its tokens, where they were asked for.
        log_probabilities: Vec<TokenProbability>,
    },
    /// A tool call's arguments go on.
    Arguments {
        /// Which block.
        block: u32,
        /// By which text: the pieces together are the JSON object.
        text: String,
    },
    /// A thought or a tool call is signed.
    Signed {
        /// Which block.
        block: u32,
        /// By what.
        signature: Signature,
    },
    /// A block is whole.
    Closed {
        /// Which.
        block: u32,
    },
    /// A candidate is whole.
    Stopped {
        /// Which.
        candidate: u32,
        /// Why.
        stop: Stop,
    },
    /// What it took up to here: a later one is in place of it.
    Usage(Usage),
    /// It went wrong: nothing follows but the end.
    Failed(Failure),
    /// Nothing follows.
    Ended,
}

/// What a block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Text.
    Text,
    /// Why the model will not.
    Refusal,
    /// A thought.
    Thought,
    /// A thought that is not shown; its signature follows.
    HiddenThought,
    /// A call of a tool; its arguments follow.
    ToolCall {
        /// By what its result will name it.
        id: String,
        /// The tool.
        name: String,
    },
}
