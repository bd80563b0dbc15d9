//! Keys as JWK (RFC 7517 and RFC 7518, section 6; RFC 8037, RFC 8812, RFC 9964).

mod read;
mod write;

pub(crate) use read::wipe;

/// The most bytes of one JWK: a private RSA key of 8192 bits has 7 kB, and an `x5c` of ten ML-DSA-87
/// certificates 110 kB.
pub const JWK_BYTES_MAX: usize = 128 * 1024;
/// The longest `kid`. Those in use are hashes, names and URLs.
pub const KID_BYTES_MAX: usize = 512;
/// The longest secret of an `oct` key: beyond a hash's block length, more adds nothing.
pub const SECRET_BYTES_MAX: usize = 4096;
