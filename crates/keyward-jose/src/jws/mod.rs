//! JWS: signed content (RFC 7515), in the serialization that the caller names.
//!
//! [`compact`] is the one of tokens. Nothing here guesses: a text of another serialization than the one
//! that was asked for is refused (RFC 8725bis, section 3.14).

pub mod compact;
mod header;
#[cfg(test)]
mod tests;

pub use header::Header;

/// The longest header that is read, in bytes of JSON: room for a certificate chain (`x5c`) of four.
pub const HEADER_MAX: usize = 16 * 1024;

/// The longest JWS with its payload inside that is read, in bytes. The work is linear; the bound keeps one
/// call from filling the memory. What is larger belongs into a detached payload, which has no bound.
pub const JWS_MAX: usize = 16 * 1024 * 1024;

/// A verified JWS.
#[derive(Clone, Debug, PartialEq)]
pub struct Jws {
    /// What the signature covers of the header.
    pub header: Header,
    /// The payload, decoded.
    pub payload: Vec<u8>,
}
