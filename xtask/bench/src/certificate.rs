//! The certificate that proxies show, and the client that believes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// An ECDSA certificate (P-256) of the loopback, signed by itself.
pub(crate) struct Certificate {
    /// Certificate and key.
    pub(crate) pem_file: PathBuf,
    /// TLS 1.3 towards whoever shows it.
    pub(crate) connector: TlsConnector,
}

impl Certificate {
    /// Makes one and writes it into `folder`.
    pub(crate) fn make(folder: &Path) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("no certificate was made: {error}");
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])
            .map_err(|error| failed(&error))?;
        let pem_file = folder.join("tls.pem");
        let text = made.cert.pem() + &made.signing_key.serialize_pem();
        fs::write(&pem_file, text).map_err(|error| format!("{}: {error}", pem_file.display()))?;
        let mut roots = RootCertStore::empty();
        roots
            .add(made.cert.der().clone())
            .map_err(|error| failed(&error))?;
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            pem_file,
            connector: Arc::new(config).into(),
        })
    }
}
