//! Signing and verifying: what is prepared from a key for one algorithm.

mod local_signer;
mod low_s;
mod signer;
#[cfg(test)]
pub(crate) mod test_keys;
#[cfg(test)]
pub(crate) mod tests;
mod verifier;

pub use local_signer::LocalSigner;
pub use signer::Signer;
pub use verifier::Verifier;

use crate::key::{Material, Oct};
use crate::{Error, Key, SignatureAlgorithm};
use aws_lc_rs::hmac;

/// A key of another type than the algorithm needs; [`Key::check_use`] comes before, so this is for
/// callers that would forget it.
fn unfit(algorithm: SignatureAlgorithm) -> Error {
    Error::KeyUnfit(format!("its type is not one for {algorithm}"))
}

/// The HMAC key of an `oct` key. [`Key::check_use`] saw to its length (RFC 7518, section 3.2).
fn hmac_key(key: &Oct, algorithm: SignatureAlgorithm) -> Result<hmac::Key, Error> {
    use SignatureAlgorithm as A;
    let hmac_algorithm = match algorithm {
        A::Hs256 => hmac::HMAC_SHA256,
        A::Hs384 => hmac::HMAC_SHA384,
        A::Hs512 => hmac::HMAC_SHA512,
        A::Rs256
        | A::Rs384
        | A::Rs512
        | A::Ps256
        | A::Ps384
        | A::Ps512
        | A::Es256
        | A::Es384
        | A::Es512
        | A::Es256k
        | A::EdDsa
        | A::Ed25519
        | A::MlDsa44
        | A::MlDsa65
        | A::MlDsa87 => {
            return Err(unfit(algorithm));
        }
    };
    if looks_public(&key.k) {
        return Err(Error::KeyUnfit(
            "the secret is the text of a key or certificate; a public key is no secret".to_owned(),
        ));
    }
    Ok(hmac::Key::new(hmac_algorithm, &key.k))
}

/// The marks of a public key's text. Who takes such a text as a secret lets everybody sign
/// (CVE-2015-9235).
fn looks_public(secret: &[u8]) -> bool {
    let text = secret.trim_ascii_start();
    [b"-----BEGIN".as_slice(), b"ssh-", b"ecdsa-sha2-"]
        .iter()
        .any(|mark| text.starts_with(mark))
}

/// The material's private part, or the error that names its absence.
fn private<T>(part: Option<&T>) -> Result<&T, Error> {
    part.ok_or(Error::NoPrivateKey)
}

/// Whether the key's material is a shared secret.
pub(crate) fn is_secret(key: &Key) -> bool {
    match &key.material {
        Material::Oct(_) => true,
        Material::Rsa(_) | Material::Ec(_) | Material::Okp(_) | Material::Akp(_) => false,
    }
}
