//! What a certificate authority asks for before it believes that a host is ours (RFC 8555, section 8).

use super::error::TlsError;
use super::provider::provider;
use arc_swap::ArcSwap;
use hashbrown::HashMap;
use rustls::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::{Arc, Mutex, PoisonError};

/// Where answers to `http-01` are asked for (RFC 8555, section 8.3).
const HTTP_PREFIX: &str = "/.well-known/acme-challenge/";
/// What `tls-alpn-01` speaks (RFC 8737, section 6.2).
pub(super) const ALPN: &[u8] = b"acme-tls/1";

/// The answers that are due now: few, and for minutes. Read without a lock.
#[derive(Debug, Default)]
pub struct Challenges {
    answers: ArcSwap<Answers>,
    /// Held while the answers are changed.
    changing: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct Answers {
    /// Key authorizations by token.
    http: HashMap<Box<str>, Arc<str>>,
    /// What is shown to a validator, by host name.
    alpn: HashMap<Box<str>, Arc<ServerConfig>>,
}

/// An answer is given as long as this lives.
#[derive(Debug)]
pub struct PresentedChallenge {
    challenges: Arc<Challenges>,
    key: Key,
}

#[derive(Debug)]
enum Key {
    Http(Box<str>),
    Alpn(Box<str>),
}

impl Challenges {
    /// Answers `http-01` on the gateway's listeners.
    pub fn present_http(self: &Arc<Self>, token: &str, authorization: &str) -> PresentedChallenge {
        self.change(|answers| {
            answers.http.insert(token.into(), authorization.into());
        });
        self.presented(Key::Http(token.into()))
    }

    /// Answers `tls-alpn-01` for a host with a self-signed certificate (DER) and its key (PKCS#8).
    ///
    /// # Errors
    /// [`TlsError::Setup`] when the key can't be used.
    pub fn present_alpn(
        self: &Arc<Self>,
        host: &str,
        certificate: Vec<u8>,
        key: Vec<u8>,
    ) -> Result<PresentedChallenge, TlsError> {
        let setup = |error: rustls::Error| TlsError::Setup(error.to_string());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
        let key = provider().key_provider.load_private_key(key);
        // Put together as it is: the extension that this certificate is about is critical, and the check
        // that others go through knows it not.
        let certified =
            CertifiedKey::new(vec![CertificateDer::from(certificate)], key.map_err(setup)?);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        let host: Box<str> = host.to_ascii_lowercase().into();
        self.change(|answers| {
            answers.alpn.insert(host.clone(), Arc::new(config));
        });
        Ok(self.presented(Key::Alpn(host)))
    }

    /// What a validator is told that GETs `path`; the media type is `application/octet-stream`.
    pub(crate) fn http(&self, path: &str) -> Option<Arc<str>> {
        let token = path.strip_prefix(HTTP_PREFIX)?;
        self.answers.load().http.get(token).cloned()
    }

    pub(super) fn alpn(&self, host: &str) -> Option<Arc<ServerConfig>> {
        let host = host.to_ascii_lowercase();
        self.answers.load().alpn.get(&*host).cloned()
    }

    fn presented(self: &Arc<Self>, key: Key) -> PresentedChallenge {
        PresentedChallenge {
            challenges: Arc::clone(self),
            key,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Answers)) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = Answers::clone(&self.answers.load());
        change(&mut answers);
        self.answers.store(Arc::new(answers));
    }
}

impl Drop for PresentedChallenge {
    fn drop(&mut self) {
        self.challenges.change(|answers| match &self.key {
            Key::Http(token) => {
                answers.http.remove(token);
            }
            Key::Alpn(host) => {
                answers.alpn.remove(host);
            }
        });
    }
}
