//! A certificate of ours with its key, ready to be shown.

use super::provider::provider;
use keyward_model::Timestamp;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The most certificates of a chain. Real ones have two to four, and each is sent in every handshake.
const CHAIN_MAX: usize = 10;

/// A chain, its key, and the names it stands for.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) certified: Arc<CertifiedKey>,
    /// The DNS names of its `subjectAltName`, in lower case. The common name is none (RFC 9525).
    pub(super) names: Vec<Box<str>>,
    /// When it ends.
    pub(super) not_after: Timestamp,
}

/// Which of the two texts is wrong, and why.
pub(super) enum Broken {
    Certificate(String),
    Key(String),
}

impl Certificate {
    /// Reads a chain and a key in PEM.
    pub(super) fn read(chain: &[u8], key: &[u8]) -> Result<Self, Broken> {
        let chain = certificates(chain).map_err(Broken::Certificate)?;
        if chain.len() > CHAIN_MAX {
            return Err(Broken::Certificate(format!(
                "it holds {} certificates: a chain has {CHAIN_MAX} at most",
                chain.len()
            )));
        }
        let (names, not_after) = match chain.first() {
            Some(own) => facts(own).map_err(Broken::Certificate)?,
            None => (Vec::new(), Timestamp::EPOCH),
        };
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            // The others' texts would repeat a part of the file.
            Broken::Key(if matches!(error, pem::Error::NoItemsFound) {
                "there is no private key in it: write PKCS#8, PKCS#1 or SEC1 as PEM, not encrypted"
                    .to_owned()
            } else {
                "that is no PEM".to_owned()
            })
        })?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
            Broken::Key(if matches!(error, rustls::Error::InconsistentKeys(_)) {
                "the key is not that of the certificate".to_owned()
            } else {
                format!("the key can't be used: {error}")
            })
        })?;
        Ok(Self {
            certified: Arc::new(certified),
            names,
            not_after,
        })
    }
}

/// The certificates in a PEM text; at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("that is no PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("there is no certificate in it: write it as PEM".to_owned());
    }
    Ok(certificates)
}

fn facts(der: &[u8]) -> Result<(Vec<Box<str>>, Timestamp), String> {
    let (_, certificate) = X509Certificate::from_der(der)
        .map_err(|_| "its first certificate is none (X.509)".to_owned())?;
    let mut names = Vec::new();
    let alternative = certificate
        .subject_alternative_name()
        .map_err(|_| "its certificate has broken or several alternative names".to_owned())?;
    for name in alternative
        .iter()
        .flat_map(|names| &names.value.general_names)
    {
        if let GeneralName::DNSName(name) = name {
            names.push(name.to_ascii_lowercase().into());
        }
    }
    let end = certificate.validity().not_after.timestamp();
    Ok((names, Timestamp::from_seconds(end)))
}
