//! Which certificate a client is shown.

use super::certificate::Certificate;
use hashbrown::HashMap;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Certificates by name. Several may share one: a client is shown the first whose key it can check (an
/// RSA key beside one of an elliptic curve).
#[derive(Debug, Default)]
pub(super) struct CertificateTable {
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// By what follows `*.`; the star stands for one label (RFC 9525, section 6.3).
    wildcard: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    default: Vec<Arc<CertifiedKey>>,
}

impl CertificateTable {
    /// The table of these; those of the same names as the first one are shown to who names no host.
    pub(super) fn new<'a>(certificates: impl IntoIterator<Item = &'a Certificate>) -> Self {
        let mut table = Self::default();
        let mut default_names: Option<&[Box<str>]> = None;
        for certificate in certificates {
            for name in &certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut table.wildcard, parent.into()),
                    None => (&mut table.exact, name.clone()),
                };
                let named: &mut Vec<_> = names.entry(name).or_default();
                named.push(Arc::clone(&certificate.certified));
            }
            if **default_names.get_or_insert(&certificate.names) == *certificate.names {
                table.default.push(Arc::clone(&certificate.certified));
            }
        }
        table
    }

    /// The certificate for a name: exact, then wildcard, then the default.
    pub(super) fn find(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        let exact = name.as_deref().and_then(|name| self.exact.get(name));
        let wildcard = || {
            let (_, parent) = name.as_deref()?.split_once('.')?;
            self.wildcard.get(parent)
        };
        let candidates = exact.or_else(wildcard).unwrap_or(&self.default);
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        candidates
            .iter()
            .find(usable)
            .or(candidates.first())
            .cloned()
    }
}

impl ResolvesServerCert for CertificateTable {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(client.server_name(), client.signature_schemes())
    }
}
