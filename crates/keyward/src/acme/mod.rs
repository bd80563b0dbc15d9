//! Certificates that are obtained and renewed by themselves (ACME, RFC 8555), with `http-01` or
//! `tls-alpn-01` (RFC 8737).
//!
//! [`renewal`] decides when, [`order`] speaks the protocol, [`way_out`] carries it through the egress. What
//! is obtained is kept in the store, its key sealed, and shown by the gateway's listeners.

mod order;
mod renewal;
mod way_out;

pub(crate) use renewal::{Renewal, RenewalContext};

use crate::configuration::file;
use std::path::PathBuf;

/// More than any file of roots.
const ROOTS_MAX_BYTES: u64 = 1024 * 1024;

/// A certificate that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AcmeDeclaration {
    /// The hosts, sorted.
    pub(crate) names: Vec<Box<str>>,
    /// The authority's directory.
    pub(crate) directory: Box<str>,
    /// Whom the authority may write to: `mailto:…`.
    pub(crate) contact: Option<Box<str>>,
    /// How the hosts are proved to be ours.
    pub(crate) challenge: AcmeChallenge,
    /// PEM: roots to believe the authority's own server by, beside the system's.
    pub(crate) roots: Option<PathBuf>,
}

/// How a host is proved to be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcmeChallenge {
    /// The authority GETs a page at port 80.
    Http01,
    /// The authority shakes hands at port 443.
    TlsAlpn01,
}

impl AcmeChallenge {
    /// As written in `challenge`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

impl AcmeDeclaration {
    /// The names with a space between.
    pub(crate) fn joined_names(&self) -> String {
        self.names.join(" ")
    }

    /// What the certificate is called between the listeners and here: two declarations of the same names at
    /// the same authority are one certificate.
    pub(crate) fn id(&self) -> Box<str> {
        format!("{} {}", self.directory, self.joined_names()).into()
    }

    /// The certificates in `roots`, in DER.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(crate) fn read_roots(&self) -> Result<Vec<Vec<u8>>, String> {
        let Some(path) = &self.roots else {
            return Ok(Vec::new());
        };
        let text = file::read_text(path, ROOTS_MAX_BYTES)?;
        keyward_jose::x509::certificates_from_pem(&text)
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}
