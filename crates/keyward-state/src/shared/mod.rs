//! Limits that several nodes count together, in Redis (or Valkey), and proofs that each of them has seen.
//!
//! One script decides and counts all limits of a call, in one round trip, by the server's own clock: nodes
//! whose clocks differ agree, and of two calls that come at once one is first. What need not be asked is not:
//! calls of a [lease](LEASED_AT_ONCE), of which a node takes a millisecond's worth where rates are high, and
//! refusals that are known to hold still.
//!
//! An outage is noticed once. The call that notices it waits for as long as [`SharedSettings::wait`] says;
//! those after it find the worker without a connection and do at once what each limit says: `allow_locally`
//! counts on this node alone, from what was last known, and `refuse` lets nothing pass. What passed meanwhile
//! under quotas is added with the subject's next call after the server is back. Where no answer came, the
//! server may have counted what it was asked and told, and it is not told again.
//!
//! Each worker has a connection of its own, which calls share, and a task that keeps it.

mod budgets;
mod claims;
mod counts;
mod eviction;
mod lease;
mod proofs;
mod query;
mod settlements;
mod slots;
mod taking;
mod worker;

#[cfg(test)]
mod tests;

pub use budgets::{HOLD_LASTS, SharedClaim, SharedHolding, SharedHolds};
pub use claims::{CLAIM_RENEWED, Claim, ClaimState, Claimed, Claiming};
pub use counts::SharedCounts;
pub use lease::{LEASE_LASTS, LEASED_AT_ONCE, REFUSAL_LASTS};
pub use slots::{HeldSlot, SLOT_LASTS};
pub use taking::{SharedAdmission, SharedLimit};
pub use worker::SharedWorker;

use crate::Error;
use counts::Counters;
use keyward_model::Secret;
use keyward_model::id::NodeId;
use redis::{Client, IntoConnectionInfo as _, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// How long a call waits for an answer, unless told otherwise.
pub const WAIT_DEFAULT: Duration = Duration::from_millis(100);

/// What names of limits begin with, unless told otherwise.
pub const PREFIX_DEFAULT: &str = "keyward";

/// Where what nodes share is, and how it is asked.
#[derive(Clone, Debug)]
pub struct SharedSettings {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://…` for TLS.
    pub url: Secret<String>,
    /// Certificate authorities (PEM) that the server's certificate is checked against, instead of the
    /// system's.
    pub authorities: Option<Vec<u8>>,
    /// How long a call waits for an answer.
    pub wait: Duration,
    /// What names begin with: two deployments that share a server have two.
    pub prefix: Box<str>,
}

impl SharedSettings {
    /// Whether they can be used, as far as that can be told without a connection.
    ///
    /// # Errors
    /// [`Error::SharedAddress`]; [`Error::SharedAuthorities`].
    pub fn check(&self) -> Result<(), Error> {
        self.client().map(|_| ())
    }

    fn client(&self) -> Result<Client, Error> {
        let url = self.url.reveal().as_str();
        let info = url
            .into_connection_info()
            .map_err(|_| Error::SharedAddress)?;
        let Some(pem) = &self.authorities else {
            return Client::open(info).map_err(|_| Error::SharedAddress);
        };
        // The client would take a file without any, and then trust no server.
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        if !read.is_ok_and(|authorities| !authorities.is_empty()) {
            return Err(Error::SharedAuthorities);
        }
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: Some(pem.clone()),
        };
        Client::build_with_tls(info, certificates).map_err(|_| Error::SharedAuthorities)
    }
}

/// What the workers of a node share of it.
pub struct SharedState {
    client: Client,
    wait: Duration,
    node: NodeId,
    prefix: Box<str>,
    /// How many connections have been made: the server may be another one, or have lost what it knew, since
    /// an answer from before the last one.
    connections: AtomicU64,
    counters: Counters,
}

impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client knows the password.
        f.debug_struct("SharedState")
            .field("wait", &self.wait)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl SharedState {
    /// Nothing is connected yet. `node` tells this process's slots from others'.
    ///
    /// # Errors
    /// [`Error::SharedAddress`]; [`Error::SharedAuthorities`].
    pub fn new(settings: &SharedSettings, node: NodeId) -> Result<Arc<Self>, Error> {
        let client = settings.client()?;
        // The process's one provider of cryptography. Another part of it may have said so before.
        let _said_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Ok(Arc::new(Self {
            client,
            wait: settings.wait,
            node,
            prefix: settings.prefix.clone(),
            // A cell that has heard nothing yet has heard of connection 0.
            connections: AtomicU64::new(1),
            counters: Counters::default(),
        }))
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> SharedCounts {
        self.counters.read()
    }
}
