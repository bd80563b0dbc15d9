//! For fuzz targets: what callers show of themselves, and what issuers say of it, read.

use crate::issuer::read_introspection;
use crate::request::authenticate::{read_basic, read_proof};
use crate::request::client_certificate;
use keyward_jose::SignatureAlgorithm;

/// Whether a proof of possession is read and its signature good.
#[must_use]
pub fn is_proof(text: &str, algorithms: &[SignatureAlgorithm]) -> bool {
    read_proof(text, algorithms).is_ok()
}

/// The name and the password behind `Basic`.
#[must_use]
pub fn name_and_password(text: &[u8]) -> Option<(String, String)> {
    let presented = read_basic(text).ok()?;
    let (name, password) = (presented.username(), presented.password());
    Some((name.to_owned(), password.to_owned()))
}

/// Whether an issuer's answer says that the token is active; `None` when it can't be read.
#[must_use]
pub fn is_active(answer: &[u8]) -> Option<bool> {
    read_introspection(answer)
        .ok()
        .map(|claims| claims.is_some())
}

/// Whether a certificate is read from what a proxy says.
#[must_use]
pub fn is_certificate(certificate: &[u8], chain: &[u8]) -> bool {
    client_certificate::is_read(certificate, chain)
}
