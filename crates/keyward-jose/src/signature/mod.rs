//! Signing and verifying: what is prepared from a key for one algorithm.

mod local_signer;
mod signer;
#[cfg(test)]
pub(crate) mod test_keys;
#[cfg(test)]
pub(crate) mod tests;
mod verifier;

pub use local_signer::LocalSigner;
pub use signer::Signer;
pub use verifier::Verifier;

use crate::algorithm::{Algorithm, SignatureAlgorithm};
use crate::key::{Ec, KeyOperation, KeyUse, Material, Oct};
use crate::{Error, Key};
use aws_lc_rs::hmac;

/// The key may do this with this algorithm: its type and curve fit, and `alg`, `use` and `key_ops` don't
/// forbid it (RFC 7517, sections 4.2 to 4.4).
fn check_fit(
    key: &Key,
    operation: KeyOperation,
    algorithm: SignatureAlgorithm,
) -> Result<(), Error> {
    if !key.signature_algorithms().contains(&algorithm) {
        return Err(Error::KeyUnfit(format!(
            "its type is not one for {algorithm}"
        )));
    }
    let parameters = &key.parameters;
    if let Some(bound) = parameters.algorithm
        && bound != Algorithm::Signature(algorithm)
    {
        return Err(Error::KeyUnfit(format!(
            "its `alg` is {bound}, and {algorithm} was asked for"
        )));
    }
    if parameters.key_use == Some(KeyUse::Encryption) {
        return Err(Error::KeyUnfit(
            "its `use` is `enc`, and a key for signatures is needed".to_owned(),
        ));
    }
    match &parameters.operations {
        Some(operations) if !operations.contains(&operation) => Err(Error::KeyUnfit(format!(
            "its `key_ops` don't hold {operation:?}"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// A key of another type than the algorithm needs; `check_fit` comes before, so this is for callers that
/// would forget it.
fn unfit(algorithm: SignatureAlgorithm) -> Error {
    Error::KeyUnfit(format!("its type is not one for {algorithm}"))
}

/// The HMAC key of an `oct` key, which must be as long as the hash at least (RFC 7518, section 3.2).
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
    let needed = hmac_algorithm.tag_len();
    if key.k.len() < needed {
        return Err(Error::KeyUnfit(format!(
            "{algorithm} needs a secret of {needed} bytes at least, and this one has {}",
            key.k.len()
        )));
    }
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

/// The uncompressed point (SEC 1, section 2.3.3).
fn uncompressed_point(key: &Ec) -> Vec<u8> {
    let mut point = Vec::with_capacity(1 + key.x.len() + key.y.len());
    point.push(4);
    point.extend_from_slice(&key.x);
    point.extend_from_slice(&key.y);
    point
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
