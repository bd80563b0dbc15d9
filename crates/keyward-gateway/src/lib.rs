//! Keyward's data plane: listeners, routing, policies, upstreams, usage.
//!
//! N workers, each a current-thread runtime on a thread of its own, serve calls from an immutable
//! snapshot of the configuration. This crate runs no SQL, reads no environment and no clock but the one
//! it is given, and opens no connection but to upstreams.
//!
//! Start reading at the request's way, `request/mod.rs`.

mod ai;
mod body;
pub mod capture;
mod coding;
pub mod credentials;
mod deadlines;
mod drain;
pub mod explanation;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gateway;
mod http1;
mod http2;
mod http3;
pub mod issuer;
mod listener;
mod load;
mod message;
pub mod metrics;
mod policy;
mod problem;
pub mod proxy_protocol;
mod public_url;
mod published_keys;
mod queue;
mod record;
mod replay;
mod request;
pub mod routing;
mod settings;
mod shared;
mod snapshot;
pub mod tls;
pub mod top;
pub mod trace;
mod transport;
mod tunnel;
mod upstream;
mod usage;
mod worker;

/// For fuzz targets: a body that comes in pieces, decompressed.
#[cfg(feature = "fuzzing")]
pub use coding::decompress_in_pieces;
/// For fuzz targets: what this crate's parser and hyper's make of the same bytes.
#[cfg(feature = "fuzzing")]
pub use http1::compare as compare_with_hyper;
/// For fuzz targets: that HTTP/1.1 reads the same in a head that came over HTTP/3, and how to write one.
#[cfg(feature = "fuzzing")]
pub use http3::{compare_section, write_section};

/// For fuzz targets: what policies read of strangers.
#[cfg(feature = "fuzzing")]
pub use policy::{
    cache::read_cache_headers, idempotency::read_idempotency_key, validation::read_json_body,
};

pub use ai::prompt::{PromptComment, PromptCounts, PromptFlaw, check_prompt, preview_prompt};
pub use ai::{
    MACHINE_VARIABLES, MachineEnvironment, ModelCountsOf, ProviderCounts, TargetHealth, catalogue,
    check_guardrails, check_provider, use_catalogue,
};
pub use credentials::{
    Clash, CredentialIndex, CredentialKeys, CredentialRow, LeftOutCredential, PreparedCredentials,
    UntakenCredential,
};
pub use gateway::{Gateway, GatewayContext, PreparedConfiguration, ProvingCounts, UsageReceiver};
pub use keyward_state::failed_attempts::Allowance;
pub use policy::cache::CacheCounts;
pub use policy::idempotency::KeyCounts;
pub use policy::transformation::check_templates;
pub use policy::validation::check_description;
pub use policy::{AddressFileError, check_address_file};
pub use public_url::PublicUrl;
pub use published_keys::{PublishedKeySets, PublishedKeys};
pub use queue::{Queue, QueueEnd};
pub use request::client_address;
pub use settings::{
    Http2Limits, Http3Limits, Http3Settings, Limits, ListenerSettings, Protocols, Settings,
};
pub use snapshot::CompileError;
pub use upstream::{TargetCounts, UpstreamCounts, UpstreamGuard};
