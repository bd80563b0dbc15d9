//! How much a reader of encrypted messages is willing to take from a stranger.

/// Largest serialization read, in bytes: far above any token, and small enough to hold in memory.
pub const SERIALIZED_MAX: usize = 1_048_576;

/// Largest plaintext after inflating, in bytes. Compression makes a thousand bytes of one; a quarter of
/// a megabyte is more than any set of claims needs (RFC 8725bis, section 3.15).
pub const INFLATED_MAX: usize = 250_000;

/// Largest PBES2 iteration count read. It covers what this crate writes and what password-hashing
/// advice asks for, and keeps a hostile header under a second of one core (RFC 8725bis, section 3.13).
pub const PBES2_COUNT_MAX: u32 = 1_000_000;

/// Smallest PBES2 iteration count read and written (RFC 7518, section 4.8.1.2).
pub const PBES2_COUNT_MIN: u32 = 1_000;

/// Largest protected header, in bytes of JSON.
pub(super) const HEADER_MAX: usize = 16_384;

/// Most recipients of one message.
pub(super) const RECIPIENTS_MAX: usize = 64;

/// Most keys tried for one message, over all of its recipients. Each costs an operation with a private key;
/// twice what one recipient without a `kid` may cost, so that a stranger can't multiply the two bounds below.
pub const ATTEMPTS_MAX: u32 = 32;

/// Most keys that are tried for one recipient that names no `kid`.
pub(super) const CANDIDATES_MAX: usize = 16;

/// The bounds of a [`Decrypter`](super::Decrypter) or [`Decrypters`](super::Decrypters).
///
/// ```
/// use keyward_jose::jwe::Limits;
///
/// let limits = Limits { pbes2_count: 310_000, ..Limits::default() };
/// assert_eq!(limits.inflated, 250_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest serialization, in bytes.
    pub serialized: usize,
    /// Largest plaintext of a message with `zip`, in bytes after inflating.
    pub inflated: usize,
    /// Largest sum of PBES2 iteration counts (`p2c`) worked through for one message.
    pub pbes2_count: u32,
    /// Most keys tried for one message, over all of its recipients.
    pub attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            serialized: SERIALIZED_MAX,
            inflated: INFLATED_MAX,
            pbes2_count: PBES2_COUNT_MAX,
            attempts: ATTEMPTS_MAX,
        }
    }
}
