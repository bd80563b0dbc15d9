//! Who signed a certificate.

use super::parse;
use crate::{Error, Key, NumericDate};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::time::Duration;
use webpki::{
    ALL_VERIFICATION_ALGS, EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter,
    anchor_from_trusted_cert,
};

/// Certificates that are trusted as they are, and by whose keys others are judged.
///
/// Chains are built and checked as RFC 5280, section 6, says: signatures, validity, `CA`, path lengths
/// and name constraints, at a time that is given. What a certificate's extended key usage says about TLS
/// means nothing for keys of tokens, so any is taken. Revocation is not asked for: whoever publishes a key
/// withdraws it from the set.
#[derive(Clone)]
pub struct Roots {
    certificates: Vec<Vec<u8>>,
    anchors: Vec<TrustAnchor<'static>>,
}

impl Roots {
    /// From certificates in DER.
    ///
    /// # Errors
    /// [`Error::Certificate`] when one can't be a root.
    pub fn from_der(certificates: Vec<Vec<u8>>) -> Result<Self, Error> {
        let anchors = certificates
            .iter()
            .map(|der| {
                anchor_from_trusted_cert(&CertificateDer::from(der.as_slice()))
                    .map(|anchor| anchor.to_owned())
                    .map_err(|error| Error::Certificate(format!("it can't be a root: {error}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            certificates,
            anchors,
        })
    }

    /// From a PEM file of certificates.
    ///
    /// # Errors
    /// Those of [`certificates_from_pem`](super::certificates_from_pem) and [`from_der`](Self::from_der).
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        Self::from_der(super::certificates_from_pem(text)?)
    }

    /// That one of these roots vouches for the first certificate of `chain` at `now`, by way of the others.
    /// A first certificate that is a root itself needs no one else, only to be valid at `now`.
    ///
    /// # Errors
    /// [`Error::Certificate`] saying what is wrong.
    pub fn check(&self, chain: &[Vec<u8>], now: NumericDate) -> Result<(), Error> {
        let (own, others) = chain
            .split_first()
            .ok_or_else(|| Error::Certificate("there is none to check".to_owned()))?;
        if self.certificates.contains(own) {
            return check_validity(own, now);
        }
        let seconds = u64::try_from(now.0)
            .map_err(|_| Error::Certificate("the time is before 1970".to_owned()))?;
        let others: Vec<CertificateDer<'_>> = others
            .iter()
            .map(|der| CertificateDer::from(der.as_slice()))
            .collect();
        let own = CertificateDer::from(own.as_slice());
        EndEntityCert::try_from(&own)
            .and_then(|own| {
                own.verify_for_usage(
                    ALL_VERIFICATION_ALGS,
                    &self.anchors,
                    &others,
                    UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
                    AnyUsage,
                    None,
                    None,
                )
                .map(|_path| ())
            })
            .map_err(|error| refusal(&error))
    }
}

impl Key {
    /// That one of `roots` vouches for the key's certificates (`x5c`) at `now`. That the first of them
    /// certifies this key was checked when they were put there.
    ///
    /// # Errors
    /// [`Error::Certificate`] saying what is wrong; also when the key has no certificates.
    pub fn check_certificates(&self, roots: &Roots, now: NumericDate) -> Result<(), Error> {
        roots.check(self.certificates(), now)
    }
}

fn check_validity(der: &[u8], now: NumericDate) -> Result<(), Error> {
    let certificate = parse(der)?;
    let validity = certificate.validity();
    if now.0 < validity.not_before.timestamp() {
        return Err(Error::Certificate("it is not valid yet".to_owned()));
    }
    if now.0 > validity.not_after.timestamp() {
        return Err(Error::Certificate("it has expired".to_owned()));
    }
    Ok(())
}

/// In words where it is one of the usual mistakes, otherwise as the library says it.
fn refusal(error: &webpki::Error) -> Error {
    Error::Certificate(if matches!(error, webpki::Error::UnknownIssuer) {
        "no root that is given vouches for it: check the roots, and that all certificates between are there"
            .to_owned()
    } else if matches!(error, webpki::Error::CertExpired { .. }) {
        "it, or one that vouches for it, has expired".to_owned()
    } else if matches!(error, webpki::Error::CertNotValidYet { .. }) {
        "it, or one that vouches for it, is not valid yet".to_owned()
    } else if matches!(error, webpki::Error::EndEntityUsedAsCa) {
        "one that vouches for it is not an authority's".to_owned()
    } else if matches!(error, webpki::Error::CaUsedAsEndEntity) {
        "it is an authority's, which certifies no key for tokens".to_owned()
    } else {
        error.to_string()
    })
}

/// Takes every extended key usage that can be read.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        for purpose in purposes {
            purpose?;
        }
        Ok(())
    }
}
