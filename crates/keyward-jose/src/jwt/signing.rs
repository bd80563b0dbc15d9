//! Making tokens.

use super::Claims;
use crate::jws::{Header, compact};
use crate::{Error, LocalSigner, Signer};

/// Signs the claims; the header gets the signer's `alg` and `kid`, and this `typ` (`at+jwt` for an access
/// token, `JWT` for one of no special kind).
///
/// # Errors
/// [`Error::Crypto`] if signing fails.
pub fn sign(claims: &Claims, signer: &LocalSigner, typ: &str) -> Result<String, Error> {
    let header = Header::of(signer.algorithm(), signer.kid()).with_typ(typ);
    compact::sign(claims.to_text()?.as_bytes(), &header, signer)
}

/// Signs the claims with a signer of any kind.
///
/// # Errors
/// What the signer returns.
pub async fn sign_with(claims: &Claims, signer: &dyn Signer, typ: &str) -> Result<String, Error> {
    let header = Header::for_signer(signer).with_typ(typ);
    compact::sign_with(claims.to_text()?.as_bytes(), &header, signer).await
}
