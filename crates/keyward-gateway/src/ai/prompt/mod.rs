//! Prompts: templates with typed variables, called as addresses of their own.
//!
//! What a caller sends is held against the prompt's variables, and becomes a conversation in OpenAI's dialect
//! ([`rendering`]): from there on it goes the way of any call of a model, so that limits, fallbacks and all that is done
//! with models hold for prompts. What comes back is read again and told as this API's own answer ([`answer`],
//! [`stream`]). The template itself is in nothing that a caller gets.
//!
//! - [`template`], [`check`], [`compiled`]: what is made of a declared prompt, once.
//! - [`plan`]: which version takes a call.
//! - [`asked`], [`variables`]: what a call asks for.
//! - [`document`]: lists, and the OpenAPI document.
//! - [`call_id`], [`feedback`], [`counts`]: what is known of each version.

mod answer;
mod asked;
mod call_id;
mod check;
mod compiled;
mod counts;
mod document;
mod failure;
mod feedback;
mod plan;
mod preview;
mod rendering;
mod stream;
mod template;
#[cfg(test)]
mod tests;
mod variables;
mod withheld;

pub(crate) use asked::{PromptCall, PromptsAsked, Read, read, render};
pub(crate) use call_id::CallIds;
pub use check::{PromptFlaw, check_prompt};
pub(crate) use compiled::{CompiledPrompt, served};
pub(crate) use counts::PromptUse;
pub use counts::{PromptComment, PromptCounts};
pub(crate) use feedback::FEEDBACK_WINDOW;
pub(crate) use plan::{PromptPlan, PromptVersion};
pub use preview::preview_prompt;
pub(crate) use stream::PromptStream;

pub(super) use answer::run;
