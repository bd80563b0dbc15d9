//! Certificates of keys (RFC 5280): reading them, checking who signed them, and making requests and
//! self-signed ones.

mod issue;
mod outside;
mod roots;
#[cfg(test)]
mod tests;

pub use issue::{AlternativeName, Subject, certificate_to_pem, request_to_pem};
pub use roots::Roots;

use crate::Error;
use crate::key::{Encoding, Key, pem};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The most certificates of an `x5c`. Real chains have two to four.
pub const CHAIN_MAX: usize = 10;

/// The certificates of a PEM file, in DER and in their order; it may hold nothing else.
///
/// # Errors
/// [`Error::KeyForm`] when it is not PEM or holds something else, [`Error::TooLarge`] past the bounds of
/// keys.
pub fn certificates_from_pem(text: &str) -> Result<Vec<Vec<u8>>, Error> {
    pem::certificates(text)
}

/// The key that a certificate in DER certifies.
pub(crate) fn public_key(der: &[u8]) -> Result<Key, Error> {
    let certificate = parse(der)?;
    Key::from_encoding(certificate.tbs_certificate.subject_pki.raw, Encoding::Spki)
}

/// That all of `chain` are certificates and that the first one certifies `key` (RFC 7517, section 4.7).
pub(crate) fn check_chain_of(key: &Key, chain: &[Vec<u8>]) -> Result<(), Error> {
    if chain.len() > CHAIN_MAX {
        return Err(Error::TooLarge {
            what: "the number of certificates in `x5c`",
            limit: CHAIN_MAX,
        });
    }
    let (own, others) = chain
        .split_first()
        .ok_or_else(|| Error::KeyMember("x5c", "it is empty".to_owned()))?;
    for other in others {
        parse(other)?;
    }
    // The thumbprint is made of all that a public key is.
    if public_key(own)?.thumbprint() == key.thumbprint() {
        Ok(())
    } else {
        Err(Error::Certificate(
            "the first certificate is that of another key".to_owned(),
        ))
    }
}

/// The SHA-256 of a certificate in DER: `x5t#S256` (RFC 7517, section 4.9).
pub(crate) fn thumbprint(der: &[u8]) -> [u8; 32] {
    let mut thumbprint = [0; 32];
    thumbprint.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der).as_ref());
    thumbprint
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(Error::Certificate(
            "there are bytes after its end".to_owned(),
        )),
        Err(_) => Err(Error::Certificate(
            "that is no X.509 certificate in DER".to_owned(),
        )),
    }
}
