//! The intermediate form: what a call of any dialect asks, and what any model answers.
//!
//! Every dialect reads into it and writes from it, and none knows another. It holds what at least two dialects can
//! say; what only one can say passes between callers and providers of that one dialect, byte for byte
//! ([`crate::passage`]), and is refused towards every other ([`crate::Error::UnknownField`]).

mod answer;
mod assembly;
mod event;
mod failure;
mod feature;
mod message;
mod request;
mod usage;
mod veil;

pub use answer::{Answer, Candidate, Stop, StopReason, TokenProbability};
pub use assembly::{Assembly, events_of};
pub use event::{Event, Opening};
pub use failure::{Failure, FailureKind};
pub use feature::Feature;
pub(crate) use message::joined;
pub use message::{
    Audio, CacheLife, Document, Image, Message, Part, Role, Signature, Source, Thought, ToolCall,
    ToolResult,
};
pub use request::{Effort, Output, Reasoning, Request, Sampling, Schema, Tool, ToolChoice};
pub use usage::Usage;
