//! Whose tokens are believed, and by which keys just now.
//!
//! An [`IssuerKeySet`] is one issuer as the data plane sees it: its keys, made ready to verify, behind an
//! atomic pointer. Who fills it depends on where the keys come from: the resource itself, a watched file,
//! a shared secret, this node, or an address that a task of the control plane fetches from. Workers read
//! the pointer, never wait for a fetch but in [`IssuerKeySet::wait_for_refresh`], and never start one
//! themselves: they ask for it.
//!
//! What keeps a stranger's tokens from turning us against an issuer stands in `refetch.rs`: one request in
//! flight, a bucket of requests that unknown kids may cause, and a bounded memory of those that led
//! nowhere.

mod counters;
mod demand;
mod epoch;
mod error;
mod file;
mod freshness;
mod introspection;
mod key_set;
mod metadata;
mod refetch;
mod registry;
mod remote;
mod source;

pub use counters::IssuerCounts;
pub use epoch::KeyEpoch;
pub use error::IssuerError;
pub(crate) use freshness::back_off;
#[cfg(feature = "fuzzing")]
pub(crate) use introspection::read as read_introspection;
pub(crate) use introspection::{Introspected, form_encoded};
pub use key_set::{IssuerKeySet, PreparedIssuer};
pub use registry::{IssuerStatus, Issuers, IssuersContext};

#[cfg(test)]
mod tests;
