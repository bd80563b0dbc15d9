//! Upstreams: where calls go, by which of their targets, and what happens when one fails.

mod balance;
mod breaker;
mod ejection;
mod health_check;
mod protocol;
mod retries;
mod tls;

pub use balance::{Balance, HashSource};
pub use breaker::Breaker;
pub use ejection::Ejection;
pub use health_check::{HealthCheck, HealthProbe, StatusRange};
pub use protocol::Protocol;
pub use retries::{Retries, RetryBudget, RetryOn};
pub use tls::{UpstreamIdentity, UpstreamTls};

use std::num::NonZeroU32;
use std::time::Duration;

/// Calls that may wait for a connection where nothing is said: some seconds' worth for a slow target.
const PENDING_DEFAULT: u32 = 100;
/// How long an HTTP/2 connection may be silent while calls wait on it, where nothing is said: gRPC servers end
/// connections that are asked more often than every five minutes.
const PING_DEFAULT: Duration = Duration::from_secs(330);

/// A group of interchangeable targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// At least one.
    pub targets: Vec<Target>,
    /// What holds for the targets that are spoken to in TLS; the system's roots where it is left out.
    pub tls: Option<UpstreamTls>,
    /// What is spoken to the targets. Default: HTTP/1.1.
    pub protocol: Protocol,
    /// How long an HTTP/2 connection may be silent while calls wait on it before its target is asked whether
    /// it is still there. Default 5 m 30 s.
    pub ping_interval: Duration,
    /// Which target a call goes to. Default: round robin.
    pub balance: Balance,
    /// How long connecting may take, the TLS handshake and waiting for a free connection included.
    /// Default 5 s.
    pub connect_timeout: Duration,
    /// How long the answer's head may take after the request was sent. Default 60 s.
    pub response_timeout: Duration,
    /// How long a call may take in all, from when it is sent on to the answer's last byte, every attempt
    /// included. Default: no bound but the others.
    pub total_timeout: Option<Duration>,
    /// How long an idle connection is kept. Default 60 s.
    pub idle_timeout: Duration,
    /// The most connections to one target, over all workers, idle ones included. Default: no bound.
    pub max_connections: Option<NonZeroU32>,
    /// The most calls that may wait for a connection to one target, where connections are bounded; more
    /// are refused at once. Default 100.
    pub max_pending: u32,
    /// When a failed attempt is made again.
    pub retries: Retries,
    /// When targets that fail are left out for a while; `None`: never.
    pub ejection: Option<Ejection>,
    /// When a target that fails gets no calls at all; `None`: never.
    pub breaker: Option<Breaker>,
    /// How targets are asked whether they are well; `None`: not at all.
    pub health_check: Option<HealthCheck>,
    /// How long a target that comes back takes to get its whole share. Default: none.
    pub slow_start: Duration,
    /// How often the names of targets are resolved anew. Default 30 s.
    pub resolve_interval: Duration,
}

impl Upstream {
    /// An upstream of which nothing is said but its targets.
    #[must_use]
    pub fn of(targets: Vec<Target>) -> Self {
        Self {
            targets,
            tls: None,
            protocol: Protocol::default(),
            ping_interval: PING_DEFAULT,
            balance: Balance::default(),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            total_timeout: None,
            idle_timeout: Duration::from_secs(60),
            max_connections: None,
            max_pending: PENDING_DEFAULT,
            retries: Retries::default(),
            ejection: Some(Ejection::default()),
            breaker: None,
            health_check: None,
            slow_start: Duration::ZERO,
            resolve_interval: Duration::from_secs(30),
        }
    }
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether it is spoken to in TLS: `https://`.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: Box<str>,
    /// TCP port.
    pub port: u16,
    /// What stands before the rest of the path; begins with `/` unless empty, never ends with one.
    pub path_prefix: Box<str>,
    /// Its share among the targets. Default 1.
    pub weight: NonZeroU32,
}

impl Target {
    /// The address as it is written in configurations, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path_prefix)
    }

    /// `host` or `host:port` as the `Host` header has it; the scheme's own port is left out, a v6
    /// address bracketed.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.to_string()
        };
        if self.port == (if self.tls { 443 } else { 80 }) {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}
