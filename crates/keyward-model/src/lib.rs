//! Keyward's vocabulary: what every other crate calls things.
//!
//! No async, no SQL, no HTTP. Each type is built by a constructor that refuses what it can't mean, so
//! that the inside never checks again ("parse, don't validate").

pub mod api_key;
pub mod caller;
pub mod clock;
pub mod fault;
pub mod id;
pub mod limit;
pub mod name;
pub mod network;
pub mod permit;
pub mod resource;
pub mod revision;
pub mod revocation;
pub mod secret;
pub mod usage;

pub use api_key::ApiKey;
pub use caller::Caller;
pub use clock::{Clock, Moment, SystemClock, Timestamp};
pub use fault::{Blame, Code, Fault};
pub use name::{Name, TeamName};
pub use network::Network;
pub use permit::Permit;
pub use revision::{Origin, Revision};
pub use secret::Secret;
pub use usage::UsageRecord;
