//! JWS: signed content (RFC 7515), in the serialization that the caller names.
//!
//! [`compact`] is the one of tokens; [`flattened`] and [`general`] are those in JSON. Nothing here guesses: a text of another serialization than the one
//! that was asked for is refused (RFC 8725bis, section 3.14).

pub mod compact;
pub mod flattened;
pub mod general;
mod header;
mod json_form;
#[cfg(test)]
pub(crate) mod tests;

pub use header::Header;
pub use json_form::Signature;

use crate::{Error, Verifier, json};
use serde_json::{Map, Value};

/// The longest header that is read, in bytes of JSON: room for a certificate chain (`x5c`) of four.
pub const HEADER_MAX: usize = 16 * 1024;

/// The longest JWS with its payload inside that is read, in bytes. The work is linear; the bound keeps one
/// call from filling the memory. What is larger belongs into a detached payload, which has no bound.
pub const JWS_MAX: usize = 16 * 1024 * 1024;

/// How many signatures one JWS may have: each costs an operation with a public key, or several.
pub const SIGNATURES_MAX: usize = 16;

/// Reads parameters for a new header: an object of strict JSON, in which nothing stands twice. What they
/// mean is not looked at.
///
/// # Errors
/// [`Error::Json`] and [`Error::TooLarge`].
pub fn read_parameters(text: &[u8]) -> Result<Map<String, Value>, Error> {
    json::object("header", text, HEADER_MAX)
}

/// The key that verified a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedBy {
    /// Its place among the keys given to [`Verifiers::new`](crate::Verifiers::new), from 0.
    pub index: usize,
    /// Its own `kid`. A key without one verifies tokens of any `kid`.
    pub kid: Option<String>,
}

impl From<&Verifier> for VerifiedBy {
    fn from(verifier: &Verifier) -> Self {
        Self {
            index: verifier.index(),
            kid: verifier.kid().map(str::to_owned),
        }
    }
}

/// A verified JWS in the compact serialization.
#[derive(Clone, Debug, PartialEq)]
pub struct Jws {
    /// What the signature covers of the header. Its `kid` is what the token says: who signed it is told by
    /// [`verified_by`](Self::verified_by) alone.
    pub header: Header,
    /// The key that verified it.
    pub verified_by: VerifiedBy,
    /// The payload, decoded.
    pub payload: Vec<u8>,
}
