//! Asking targets whether they are well.

use std::num::NonZeroU32;
use std::time::Duration;

/// Asks every target now and then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: HealthProbe,
    /// How often. Each time is moved by up to a tenth, so that many nodes don't ask at once. Default 10 s.
    pub interval: Duration,
    /// How long an answer may take. Default 2 s.
    pub timeout: Duration,
    /// Good answers in a row that bring a target back. Default 2.
    pub healthy: NonZeroU32,
    /// Bad ones in a row that take it out. Default 3.
    pub unhealthy: NonZeroU32,
}

/// What a target is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthProbe {
    /// Whether it takes a connection; with TLS, whether the handshake succeeds.
    Tcp,
    /// A GET of a path, and which statuses are good.
    Http {
        /// The path, behind the target's own.
        path: Box<str>,
        /// The `Host` that is asked for; the target's own where it is left out.
        host: Option<Box<str>>,
        /// At least one.
        statuses: Vec<StatusRange>,
    },
    /// The question of gRPC's health checking protocol, `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service that is asked for; empty: the server as a whole.
        service: Box<str>,
    },
}

impl HealthProbe {
    /// Whether an answer with this status is a good one.
    #[must_use]
    pub fn takes(&self, status: u16) -> bool {
        match self {
            Self::Http { statuses, .. } => statuses.iter().any(|range| range.contains(status)),
            Self::Tcp | Self::Grpc { .. } => status == 200,
        }
    }
}

/// Statuses from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl StatusRange {
    /// Whether it has this one.
    #[must_use]
    pub const fn contains(self, status: u16) -> bool {
        self.first <= status && status <= self.last
    }
}
