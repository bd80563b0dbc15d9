//! JWT: claims in a signed token (RFC 7519), checked against a [`Profile`] (RFC 8725).

mod claims;
mod nested;
mod peek;
mod profile;
mod signing;
#[cfg(test)]
mod tests;

pub use claims::{Claims, Texts};
pub use nested::{sign_and_encrypt, sign_with_and_encrypt, verify_encrypted};
pub use peek::{Peek, peek};
pub use profile::{Profile, ProfileBuilder};
pub use signing::{sign, sign_with};

use crate::jws::Header;
use crate::{Error, NumericDate, Verifiers};

/// The longest token that is read unless a profile says otherwise, in bytes. A token signed with the
/// largest algorithm, ML-DSA-87, has 6,200 bytes of signature; with some kilobytes of claims and a second
/// layer for encryption that is 12 to 14 kB. What is longer fits into no header of HTTP anyway.
pub const TOKEN_MAX: usize = 16 * 1024;

/// A token that was verified: signature, type, times, issuer, audience, and whatever the profile asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// The header, all of it covered by the signature.
    pub header: Header,
    /// The claims.
    pub claims: Claims,
}

/// Verifies a token: first its form, then its algorithm, key and signature, then what it claims.
///
/// # Errors
/// One of the form ([`Error::Serialization`], [`Error::TooLarge`], [`Error::Base64`], [`Error::Json`],
/// [`Error::Header`], [`Error::CriticalExtension`], [`Error::ClaimMalformed`]), of the signature
/// ([`Error::AlgorithmNotAllowed`], [`Error::KeyUnknown`], [`Error::SignatureInvalid`]) or of the profile
/// ([`Error::TypeMismatch`], [`Error::ClaimMissing`], [`Error::Expired`], [`Error::NotYetValid`],
/// [`Error::IssuedInFuture`], [`Error::TooOld`], [`Error::IssuerMismatch`], [`Error::AudienceMismatch`]).
pub fn verify(
    token: &str,
    verifiers: &Verifiers,
    profile: &Profile,
    now: NumericDate,
) -> Result<Verified, Error> {
    Peek::read(token, profile.size_max())?.verify(verifiers, profile, now)
}
