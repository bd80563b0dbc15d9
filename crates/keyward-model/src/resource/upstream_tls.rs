//! How calls to an upstream are protected.

use std::path::PathBuf;

/// TLS to the targets whose address begins with `https://`. Certificates are checked, always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// PEM: the roots that targets' certificates are checked against, and no others. The system's where
    /// it is left out.
    pub roots: Option<PathBuf>,
    /// The certificate that we prove ourselves by.
    pub identity: Option<UpstreamIdentity>,
    /// The name that targets' certificates must have, and that they are asked for (RFC 6066, section 3).
    /// The target's host where it is left out.
    pub server_name: Option<Box<str>>,
}

impl UpstreamTls {
    /// The files that it names.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let identity = self.identity.iter_mut();
        let identity = identity.flat_map(|own| [&mut own.certificate, &mut own.key]);
        self.roots.iter_mut().chain(identity)
    }
}

/// A certificate of ours for targets that ask for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamIdentity {
    /// PEM: the certificate, then those between it and the root.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}
