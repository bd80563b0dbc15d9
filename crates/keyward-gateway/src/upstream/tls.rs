//! TLS to targets. What a certificate says is always checked: there is no way to switch that off.

use crate::tls::{ClockTime, TlsError, provider, source_of_identity, source_of_roots};
use crate::transport::Transport;
use keyward_model::Clock;
use keyward_model::resource::UpstreamTls as Declared;
use keyward_model::resource::upstream::Protocol;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::{Arc, LazyLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A protected connection to a target.
pub(crate) type ClientTlsStream = TlsStream<TcpStream>;

/// The bytes of a connection to a target.
pub(crate) type UpstreamTransport = Transport<ClientTlsStream>;

/// What is spoken inside (RFC 7301; RFC 9113, section 3.1).
const HTTP_1: &[u8] = b"http/1.1";
pub(super) const HTTP_2: &[u8] = b"h2";

/// Read once: upstreams are many, and the system's roots have some hundred certificates. What can't be
/// parsed is left out (some systems carry old roots that a strict parser refuses); the rest serves.
static SYSTEM_ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of the system's root certificates can't be read");
    }
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    if ignored > 0 {
        tracing::debug!(ignored, "system roots that can't be parsed are left out");
    }
    if roots.is_empty() {
        tracing::warn!(
            "the system has no root certificates: calls to https:// upstreams will fail unless they name their own `roots`"
        );
    }
    Arc::new(roots)
});

/// How the targets of one upstream are spoken to, ready for connections. Two are equal when they were
/// declared alike and the files had the same contents: connections of one may serve the other.
pub(crate) struct UpstreamTls {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
    declared: Option<Declared>,
    protocol: Protocol,
    /// Of the contents of all files.
    digest: [u8; 32],
}

impl UpstreamTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] with the file that can't be used.
    pub(crate) fn new(
        declared: Option<&Declared>,
        protocol: Protocol,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, TlsError> {
        let mut digests = [[0; 32]; 2];
        let [of_roots, of_identity] = &mut digests;
        let roots = match declared.and_then(|declared| declared.roots.as_deref()) {
            Some(path) => {
                let (digest, roots) = source_of_roots(path)?;
                *of_roots = digest;
                roots
            }
            None => Arc::clone(&SYSTEM_ROOTS),
        };
        let setup = |error: rustls::Error| TlsError::Setup(error.to_string());
        let builder =
            ClientConfig::builder_with_details(provider(), Arc::new(ClockTime(Arc::clone(clock))))
                .with_safe_default_protocol_versions()
                .map_err(setup)?
                .with_root_certificates(roots);
        let mut config = match declared.and_then(|declared| declared.identity.as_ref()) {
            Some(identity) => {
                let (digest, certified) = source_of_identity(&identity.certificate, &identity.key)?;
                *of_identity = digest;
                let resolver = rustls::sign::SingleCertAndKey::from(certified);
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        let protocols: &[&[u8]] = match protocol {
            Protocol::Http1 => &[HTTP_1],
            Protocol::Http2 => &[HTTP_2],
            Protocol::Auto => &[HTTP_2, HTTP_1],
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let server_name =
            match declared.and_then(|declared| declared.server_name.as_deref()) {
                Some(name) => Some(ServerName::try_from(name.to_owned()).map_err(|_| {
                    TlsError::Setup(format!("`{name}` can't stand in a certificate"))
                })?),
                None => None,
            };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, digests.as_flattened());
        let mut contents = [0; 32];
        contents.copy_from_slice(digest.as_ref());
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            server_name,
            declared: declared.cloned(),
            protocol,
            digest: contents,
        })
    }
}

/// Shakes hands with a target, whose certificate must be for `host` unless the upstream names another. The
/// caller sets the bound of time.
///
/// # Errors
/// When the target is not who it should be, or the connection ends.
pub(crate) async fn connect_tls(
    socket: TcpStream,
    tls: &UpstreamTls,
    host: &str,
) -> io::Result<ClientTlsStream> {
    let name = match &tls.server_name {
        Some(name) => name.clone(),
        None => ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{host}` can't stand in a certificate"),
            )
        })?,
    };
    tls.connector.connect(name, socket).await
}

/// Shakes hands where TLS is spoken. The caller sets the bound of time.
///
/// # Errors
/// As [`connect_tls`].
pub(crate) async fn protect(
    socket: TcpStream,
    tls: Option<&UpstreamTls>,
    host: &str,
) -> io::Result<UpstreamTransport> {
    Ok(match tls {
        Some(tls) => Transport::Tls(Box::new(connect_tls(socket, tls, host).await?)),
        None => Transport::Tcp(socket),
    })
}

impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        (&self.declared, self.protocol, &self.digest)
            == (&other.declared, other.protocol, &other.digest)
    }
}

impl Eq for UpstreamTls {}

impl Hash for UpstreamTls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.declared, self.protocol, &self.digest).hash(state);
    }
}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTls")
            .field("declared", &self.declared)
            .finish_non_exhaustive()
    }
}
