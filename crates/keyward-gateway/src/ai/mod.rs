//! AI models: calls of any dialect that callers speak, answered by the providers behind a model's name.
//!
//! The way branches off an API's at the matched route ([`AiRoute`]). After authentication the body is read whole, once,
//! for what it asks ([`read_intent`]); whether the caller may have that model is decided like everything else
//! (`request/authorize.rs`), and [`infer`] takes the admitted call by value. Each attempt is made from the bytes that
//! came: passed on as they are to a provider of the caller's dialect, translated for any other (`keyward-llm`).

mod answering;
mod asked_body;
mod attempt;
mod beside;
mod cache;
mod catalogue;
mod chain;
mod choice;
mod credential;
mod facts;
mod failure;
mod guarded;
mod guardrail;
mod hedge;
mod intent;
mod key_pool;
mod listing;
mod own_key;
mod plan;
pub(crate) mod prompt;
mod provider;
mod spending;
mod standing;
mod stream;
mod task;
mod visit;

pub(crate) use cache::{CachePlan, KEPT_MAX};
pub use catalogue::{catalogue, use_catalogue};
pub(crate) use chain::infer;
pub(crate) use choice::{Group, Member, To};
pub(crate) use credential::WayOut;
pub use credential::{MACHINE_VARIABLES, MachineEnvironment};
pub(crate) use facts::Needs;
pub(crate) use failure::refusal_answer;
pub use guardrail::check_guardrails;
pub(crate) use guardrail::{FiredNames, GuardPlan, GuardedBody};
pub(crate) use intent::{Intent, read_intent};
pub(crate) use plan::{AiPlan, AiRoute, AiTarget, ModelPlan, ProviderRoute};
pub(crate) use provider::ProviderPlan;
pub use provider::{ModelCountsOf, ProviderCounts, TargetHealth, check_provider};
pub(crate) use spending::{Asking, CallSpending, hold};
pub(crate) use stream::InferredBody;
