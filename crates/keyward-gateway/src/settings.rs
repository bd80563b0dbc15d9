//! How a node's data plane runs.

use crate::ai::MachineEnvironment;
use crate::capture::CaptureSettings;
use crate::proxy_protocol::TrustedSenders;
use crate::public_url::PublicUrl;
use crate::tls::TlsServer;
use crate::trace::Tracing;
use crate::upstream::UpstreamGuard;
use keyward_model::id::NodeId;
use keyward_model::network::Network;
use keyward_state::failed_attempts::Allowance;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What is fixed while the process runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This process.
    pub node: NodeId,
    /// Where published APIs are served.
    pub listeners: Vec<ListenerSettings>,
    /// How many workers, each on a thread of its own. At least one.
    pub workers: usize,
    /// Bounds on what clients may do.
    pub limits: Limits,
    /// Whose `X-Forwarded-For`, `Forwarded` and `request-id` are believed.
    pub trusted_proxies: Vec<Network>,
    /// What published APIs are called by those who call them.
    pub public_url: PublicUrl,
    /// How many credentials from one address may not be good, before any more are looked at.
    pub failed_attempts: Allowance,
    /// How calls are traced; `None`: they are not.
    pub tracing: Option<Tracing>,
    /// How bodies are captured on routes that say so; `None`: on none.
    pub captures: Option<CaptureSettings>,
    /// What upstreams that are not the operator's own may not be.
    pub upstream_guard: UpstreamGuard,
    /// What this machine's environment says of its own credentials for clouds: for providers of the operator's own files.
    pub machine: Arc<MachineEnvironment>,
}

/// An address where published APIs are served, and what stands before the first request there.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Address and port.
    pub address: SocketAddr,
    /// Who must begin with a header of the PROXY protocol; nobody else may.
    pub proxy_protocol: Option<TrustedSenders>,
    /// `None` where calls come in clear.
    pub tls: Option<Arc<TlsServer>>,
    /// What is spoken in clear. Inside TLS it is what [`TlsSettings`](crate::tls::TlsSettings) say.
    pub protocols: Protocols,
    /// Where HTTP/3 is spoken too: over UDP at the same address, with the same certificates, which
    /// [`TlsSettings`](crate::tls::TlsSettings) have to allow.
    pub http3: Option<Http3Settings>,
}

/// How HTTP/3 is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http3Settings {
    /// The port that clients reach it at, where that is another one than the address has.
    pub advertised_port: Option<u16>,
    /// What clients of other versions are told (RFC 7838); made when the address is bound.
    pub(crate) alternative: Option<Arc<str>>,
}

impl Http3Settings {
    /// HTTP/3 that clients reach at this port; `None`: at the one it is bound to.
    #[must_use]
    pub const fn at(advertised_port: Option<u16>) -> Self {
        Self {
            advertised_port,
            alternative: None,
        }
    }

    /// The same, bound to this port.
    pub(crate) fn bound(&mut self, port: u16) {
        let port = self.advertised_port.unwrap_or(port);
        self.alternative = Some(format!("h3=\":{port}\"; ma={ALTERNATIVE_LASTS}").into());
    }
}

/// How long clients may remember that HTTP/3 is spoken, in seconds. RFC 7838's own default: a client that is told
/// wrong falls back, and tries again after that.
const ALTERNATIVE_LASTS: u32 = 86_400;

/// The versions of HTTP that a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// HTTP/1.1, and HTTP/1.0.
    pub http1: bool,
    /// HTTP/2: inside TLS agreed upon by ALPN, in clear with clients that know it beforehand (h2c).
    pub http2: bool,
}

impl Protocols {
    /// What is usual inside TLS.
    pub const BOTH: Self = Self {
        http1: true,
        http2: true,
    };
    /// What is usual in clear.
    pub const HTTP1: Self = Self {
        http1: true,
        http2: false,
    };
}

/// A listener in clear, for whoever connects.
impl From<SocketAddr> for ListenerSettings {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            proxy_protocol: None,
            tls: None,
            protocols: Protocols::HTTP1,
            http3: None,
        }
    }
}

/// Bounds on what a client may do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The request line, in bytes. Default 8 KiB.
    pub request_line_bytes: usize,
    /// The header section, request line included, in bytes. Default 64 KiB, so that a token signed with
    /// ML-DSA and encrypted still fits beside much else.
    pub head_bytes: usize,
    /// Header fields. Default 100.
    pub header_fields: usize,
    /// How long a head may take, and how long an idle connection is kept. Default 30 s.
    pub head_timeout: Duration,
    /// How long the PROXY protocol's header and the TLS handshake may take together. Default 10 s.
    pub handshake_timeout: Duration,
    /// TLS handshakes that are unfinished at once, per listener; more are refused. Default 4,096: some
    /// 20 MB, and more than a listener can finish within the bound of time.
    pub handshakes: usize,
    /// Open connections per worker. Default 16,384; more wait in the listener's queue.
    pub connections: usize,
    /// Calls per worker that are not answered to their end; more are refused with 503. Default 16,384.
    pub calls_in_flight: usize,
    /// Verified tokens in use that are remembered per worker, and at most as many again on their way out.
    /// Default 16,384.
    pub cached_tokens: usize,
    /// Memory for answers that are kept for other calls, in bytes, over all routes and workers. Default 64 MiB.
    pub cache_bytes: usize,
    /// Memory for idempotency keys and the answers to their calls, in bytes, over all routes and workers. Default
    /// 128 MiB.
    pub idempotency_bytes: usize,
    /// How long a shutdown waits for calls to finish. Default 30 s.
    pub drain_timeout: Duration,
    /// Bounds on a connection of HTTP/2.
    pub http2: Http2Limits,
    /// Bounds on a connection of HTTP/3.
    pub http3: Http3Limits,
}

/// Bounds on what a client may do over one connection of HTTP/3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http3Limits {
    /// Calls at one time; QUIC lets a client begin no more. Default 100, the least that RFC 9114, section 6.1,
    /// recommends.
    pub streams: u32,
    /// Bytes of one request's body that are read ahead of a slow upstream. Default 256 KiB: 5 MB/s from a
    /// client that is 50 ms away.
    pub stream_window: u32,
    /// The same for all requests of the connection together, and what may be on its way to the client. Default
    /// 1 MiB.
    pub connection_window: u32,
}

impl Default for Http3Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            stream_window: 256 * 1024,
            connection_window: 1024 * 1024,
        }
    }
}

/// Bounds on what a client may do over one connection of HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Limits {
    /// Calls at one time; more are refused, and can be sent again (`REFUSED_STREAM`). Default 100, the least
    /// that RFC 9113, section 6.5.2, recommends.
    pub streams: u32,
    /// Bytes of one request's body that are read ahead of a slow upstream. Default 256 KiB: 5 MB/s from a
    /// client that is 50 ms away.
    pub stream_window: u32,
    /// The same for all requests of the connection together. Default 1 MiB.
    pub connection_window: u32,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            stream_window: 256 * 1024,
            connection_window: 1024 * 1024,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line_bytes: 8 * 1024,
            head_bytes: 64 * 1024,
            header_fields: 100,
            head_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            handshakes: 4_096,
            connections: 16_384,
            calls_in_flight: 16_384,
            cached_tokens: 16_384,
            cache_bytes: 64 << 20,
            idempotency_bytes: 128 << 20,
            drain_timeout: Duration::from_secs(30),
            http2: Http2Limits::default(),
            http3: Http3Limits::default(),
        }
    }
}
