//! The seam to signers of any kind.

use crate::{Error, SignatureAlgorithm};
use async_trait::async_trait;

/// One private key with one algorithm, wherever the key is: in memory
/// ([`LocalSigner`](crate::LocalSigner)), in a hardware module or at a key service.
///
/// The signature has the form that JWS wants (RFC 7518, section 3): of ECDSA, r and s at their full
/// length one after the other, not DER. A signer outside the process reports its failures as
/// [`Error::Signer`].
#[async_trait]
pub trait Signer: Send + Sync {
    /// The algorithm of every signature that it makes.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// The `kid` that tokens should carry, if the key has one.
    fn kid(&self) -> Option<&str>;

    /// Signs the message itself (not a hash of it).
    ///
    /// # Errors
    /// [`Error::Signer`] when the signer can't be reached or refuses; [`Error::Crypto`] when the
    /// operation fails here.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error>;
}
