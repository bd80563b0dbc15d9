//! Keyward's data plane: listeners, routing, policies, upstreams, usage.
//!
//! N workers, each a current-thread runtime on a thread of its own, serve calls from an immutable
//! snapshot of the configuration. This crate runs no SQL, reads no environment and no clock but the one
//! it is given, and opens no connection but to upstreams.
//!
//! Start reading at the request's way, `request/mod.rs`.

mod body;
mod drain;
mod gateway;
mod http1;
mod idle_timer;
pub mod issuer;
mod listener;
pub mod metrics;
mod problem;
mod record;
mod request;
pub mod routing;
mod settings;
mod shared;
mod snapshot;
mod upstream;
mod usage;
mod worker;

pub use gateway::{Gateway, GatewayContext, UsageReceiver};
pub use settings::{Limits, Settings};
pub use snapshot::{CompileError, OwnIssuer, PublishedKeys};
