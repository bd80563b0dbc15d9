//! A token that was read and not yet verified.

use super::{Claims, Profile, TOKEN_MAX, Verified};
use crate::base64url;
use crate::jws::Header;
use crate::jws::compact::Parts;
use crate::{Error, NumericDate, Verifiers};

/// A token that was read as strictly as ever and **not verified**: anybody may have written it.
///
/// It is for choosing what to verify with, by `iss` for example; [`verify`](Self::verify) goes on from
/// here without reading it a second time.
#[derive(Clone, Debug)]
pub struct Peek<'a> {
    header: Header,
    claims: Claims,
    message: &'a str,
    signature: Vec<u8>,
    /// The whole token's length, in bytes.
    size: usize,
}

/// Reads a token without verifying it.
///
/// # Errors
/// Those of the form that [`verify`](super::verify) names.
pub fn peek(token: &str) -> Result<Peek<'_>, Error> {
    Peek::read(token, TOKEN_MAX)
}

impl<'a> Peek<'a> {
    pub(super) fn read(token: &'a str, limit: usize) -> Result<Self, Error> {
        let parts = Parts::split(token, limit)?;
        let header = parts.header()?;
        if header.is_payload_unencoded() {
            return Err(Error::Header(
                "b64".to_owned(),
                "a JWT's claims are always in base64url (RFC 7797, section 7)",
            ));
        }
        Ok(Self {
            header,
            claims: Claims::read(base64url::decode("claims", parts.payload)?, limit)?,
            message: parts.message,
            signature: parts.signature()?,
            size: token.len(),
        })
    }

    /// The header, unverified.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The claims, unverified.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Verifies the signature, then what is claimed.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a token longer than the profile takes; those of the signature and of the profile that [`verify`](super::verify) names.
    pub fn verify(
        self,
        verifiers: &Verifiers,
        profile: &Profile,
        now: NumericDate,
    ) -> Result<Verified, Error> {
        if self.size > profile.size_max() {
            return Err(Error::TooLarge {
                what: "the token",
                limit: profile.size_max(),
            });
        }
        let algorithm = profile.check_algorithm(&self.header)?;
        verifiers.verify(
            algorithm,
            self.header.kid(),
            self.message.as_bytes(),
            &self.signature,
        )?;
        profile.check(&self.header, &self.claims, now)?;
        Ok(Verified {
            header: self.header,
            claims: self.claims,
        })
    }
}
