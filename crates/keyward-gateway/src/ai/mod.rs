//! AI models: calls of any dialect that callers speak, answered by the providers behind a model's name.
//!
//! The way branches off an API's at the matched route ([`AiRoute`]). After authentication the body is read whole, once,
//! for what it asks ([`read_intent`]); whether the caller may have that model is decided like everything else
//! (`request/authorize.rs`), and [`infer`] takes the admitted call by value. Each attempt is made from the bytes that
//! came: passed on as they are to a provider of the caller's dialect, translated for any other (`keyward-llm`).

mod answering;
mod attempt;
mod catalogue;
mod chain;
mod credential;
mod failure;
mod intent;
mod key_pool;
mod listing;
mod own_key;
mod plan;
mod provider;
mod stream;
mod task;

pub use catalogue::{catalogue, use_catalogue};
pub(crate) use chain::infer;
pub(crate) use credential::WayOut;
pub use credential::{MACHINE_VARIABLES, MachineEnvironment};
pub(crate) use failure::refusal_answer;
pub(crate) use intent::{Intent, read_intent};
pub(crate) use plan::{AiPlan, AiRoute, AiTarget, ModelPlan, ProviderRoute};
pub(crate) use provider::ProviderPlan;
pub use provider::check_provider;
pub(crate) use stream::InferredBody;
