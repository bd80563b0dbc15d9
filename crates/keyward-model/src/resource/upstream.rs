//! Upstreams: where calls go.

use super::UpstreamTls;
use std::num::NonZeroU32;
use std::time::Duration;

/// A group of interchangeable targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// At least one.
    pub targets: Vec<Target>,
    /// What holds for the targets that are spoken to in TLS; the system's roots where it is left out.
    pub tls: Option<UpstreamTls>,
    /// How long connecting may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long the answer's head may take after the request was sent. Default 60 s.
    pub response_timeout: Duration,
    /// How long an idle connection is kept. Default 60 s.
    pub idle_timeout: Duration,
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
