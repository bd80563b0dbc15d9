//! TLS on the clients' side: versions 1.3 and 1.2 (RFC 8446, RFC 5246), many certificates chosen by name,
//! replaced when their files change, and clients that prove themselves by a certificate.
//!
//! One [`TlsServer`] per listener, shared by the workers. What a handshake reads is immutable and behind
//! one atomic pointer: files are read by [`TlsServer::look`], on the control plane.

mod certificate;
mod certificate_table;
mod challenge;
mod client_certificate;
mod client_trust;
mod distinguished_name;
mod error;
mod presented;
mod provider;
mod quic;
mod revocation_list;
mod server;
mod source;

#[cfg(test)]
pub(crate) mod tests;

pub use challenge::{Challenges, PresentedChallenge};
pub use client_certificate::ClientCertificate;
pub use client_trust::check_roots;
pub use error::TlsError;
pub use server::{PreparedTls, TlsServer};

pub(crate) use client_trust::ClientTrust;
pub(crate) use presented::PresentedCertificate;
pub(crate) use provider::{ClockTime, provider};
pub(crate) use server::{HTTP1, HTTP2, HandshakeFailure};
pub(crate) use source::{source_of_identity, source_of_roots};

use crate::settings::Protocols;
use keyward_model::Clock;
use keyward_model::resource::UpstreamTls;
use keyward_model::resource::upstream::Protocol;
use std::path::PathBuf;
use std::sync::Arc;

/// That the files which an upstream's TLS names can be used.
///
/// # Errors
/// [`TlsError`] with the file that can't.
pub fn check_upstream(declared: &UpstreamTls, clock: Arc<dyn Clock>) -> Result<(), TlsError> {
    crate::upstream::UpstreamTls::new(Some(declared), Protocol::default(), &clock).map(drop)
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// At least one. The first one is for clients that name no host, or one that no certificate has.
    pub certificates: Vec<CertificateSource>,
    /// Whether clients are asked for a certificate.
    pub client_certificates: Option<ClientCertificates>,
    /// The oldest version that is spoken.
    pub minimum: TlsVersion,
    /// What is spoken inside (RFC 7301).
    pub protocols: Protocols,
    /// Whether HTTP/3 is spoken inside QUIC (RFC 9001), with TLS 1.3 alone.
    pub http3: bool,
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// From files that are looked at again and again.
    Files(CertificateFiles),
    /// From whoever calls [`TlsServer::put`] with this name. Until then it is not there.
    Put(Box<str>),
}

/// Where a certificate stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate, then those between it and the root.
    pub certificate: PathBuf,
    /// PEM: its private key (PKCS#8, PKCS#1 or SEC1), not encrypted.
    pub key: PathBuf,
}

/// Which clients' certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM: the roots they are checked against. The system's are not among them.
    pub roots: PathBuf,
    /// Whether a client without one is refused.
    pub required: bool,
    /// PEM: lists of certificates that were taken back, one of each authority that issues to clients.
    pub revocation_list: Option<PathBuf>,
}

/// A version of TLS. Older ones are broken (RFC 8996) and not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), with forward secrecy and authenticated encryption alone.
    V12,
    /// TLS 1.3 (RFC 8446).
    V13,
}

impl TlsVersion {
    /// As written in `minimum`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V12 => "1.2",
            Self::V13 => "1.3",
        }
    }
}
