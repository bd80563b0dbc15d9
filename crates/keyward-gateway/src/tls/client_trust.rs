//! Roots of an API's own that its callers' certificates are checked against, besides the listener's.

use super::error::TlsError;
use super::provider::provider;
use super::server::unix_time;
use super::source::{Digest, source_of_roots};
use keyward_model::Timestamp;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateDer;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Roots, ready to verify. Two are equal when they come from one file with the same contents.
#[derive(Debug)]
pub(crate) struct ClientTrust {
    path: PathBuf,
    digest: Digest,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientTrust {
    /// Reads the file.
    ///
    /// # Errors
    /// [`TlsError`] when it can't be used.
    pub(crate) fn read(path: &Path) -> Result<Self, TlsError> {
        let (digest, roots) = source_of_roots(path)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| TlsError::file(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            digest,
            verifier,
        })
    }

    /// Whether one of the roots stands behind the chain.
    pub(crate) fn check(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), rustls::Error> {
        verify(self.verifier.as_ref(), chain, now)
    }
}

impl PartialEq for ClientTrust {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, &self.digest) == (&other.path, &other.digest)
    }
}

/// That the roots in a file can be used.
///
/// # Errors
/// [`TlsError`] when they can't.
pub fn check_roots(path: &Path) -> Result<(), TlsError> {
    ClientTrust::read(path).map(drop)
}

/// Verifies a client's chain, its own certificate first.
pub(super) fn verify(
    verifier: &dyn ClientCertVerifier,
    chain: &[CertificateDer<'_>],
    now: Timestamp,
) -> Result<(), rustls::Error> {
    let Some((own, others)) = chain.split_first() else {
        return Err(rustls::Error::NoCertificatesPresented);
    };
    verifier
        .verify_client_cert(own, others, unix_time(now))
        .map(drop)
}
