//! One key with one algorithm, ready to verify.

use super::{hmac_key, unfit};
use crate::key::{KeyOperation, Material};
use crate::{Algorithm, Error, Key, SignatureAlgorithm};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256K1_SHA256_FIXED, ECDSA_P384_SHA384_FIXED,
    ECDSA_P521_SHA512_FIXED, ED25519, EcdsaVerificationAlgorithm, ML_DSA_44, ML_DSA_65, ML_DSA_87,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use aws_lc_rs::{digest, hmac};
use std::fmt;

/// One key, bound to one algorithm, parsed once: it can't be talked into another algorithm, whatever a
/// token says (RFC 8725, section 3.1).
#[derive(Clone)]
pub struct Verifier {
    algorithm: SignatureAlgorithm,
    kid: Option<Box<str>>,
    /// The key's place in the set that it was made ready with.
    index: usize,
    prepared: Prepared,
}

#[derive(Clone)]
enum Prepared {
    /// Boxed: it is twenty times as large as the others.
    Hmac(Box<hmac::Key>),
    /// RSA: the library checks the signature's length. The message is hashed apart, which spares the library
    /// an allocation or two.
    Rsa(ParsedPublicKey, &'static digest::Algorithm),
    /// Ed25519 and ML-DSA: the library checks the signature's length.
    Public(ParsedPublicKey),
    /// ECDSA: r and s of so many bytes each.
    Ecdsa(ParsedPublicKey, usize),
}

impl Verifier {
    /// Prepares the key for this algorithm.
    ///
    /// # Errors
    /// [`Error::KeyUnfit`] if the key's type, curve, length, `alg`, `use` or `key_ops` does not allow it;
    /// [`Error::KeyInvalid`] if its numbers are no key.
    pub fn new(key: &Key, algorithm: SignatureAlgorithm) -> Result<Self, Error> {
        key.check_use(KeyOperation::Verify, Algorithm::Signature(algorithm))?;
        Ok(Self {
            algorithm,
            kid: key.kid().map(Box::from),
            index: 0,
            prepared: prepare(&key.material, algorithm)?,
        })
    }

    /// The one algorithm.
    #[must_use]
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The key's `kid`.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The key's place among those given to [`Verifiers::new`](crate::Verifiers::new), from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// With the key's place in a set.
    pub(crate) fn at(mut self, index: usize) -> Self {
        self.index = index;
        self
    }

    /// Whether `signature` is this key's over `message`. MACs are compared in constant time.
    ///
    /// # Errors
    /// [`Error::SignatureInvalid`] if not, without saying why.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        match &self.prepared {
            Prepared::Hmac(key) => hmac::verify(key, message, signature),
            Prepared::Rsa(key, hash) => {
                key.verify_digest_sig(&digest::digest(hash, message), signature)
            }
            Prepared::Public(key) => key.verify_sig(message, signature),
            Prepared::Ecdsa(key, size) => {
                // Neither r nor s may be 0 (FIPS 186-5, section 6.4.2; CVE-2022-21449); nor may their
                // length be anything but fixed, or one signature would have many spellings.
                let Some((r, s)) = signature.split_at_checked(*size) else {
                    return Err(Error::SignatureInvalid);
                };
                let zero = |number: &[u8]| number.iter().all(|byte| *byte == 0);
                if s.len() != *size || zero(r) || zero(s) {
                    return Err(Error::SignatureInvalid);
                }
                key.verify_sig(message, signature)
            }
        }
        .map_err(|_| Error::SignatureInvalid)
    }
}

fn prepare(material: &Material, algorithm: SignatureAlgorithm) -> Result<Prepared, Error> {
    match material {
        Material::Oct(key) => hmac_key(key, algorithm).map(|key| Prepared::Hmac(Box::new(key))),
        Material::Rsa(key) => {
            let (parameters, hash) = rsa_parameters(algorithm)?;
            RsaPublicKeyComponents {
                n: &key.n,
                e: &key.e,
            }
            .to_parsed_public_key(parameters)
            .map(|key| Prepared::Rsa(key, hash))
            .map_err(|_| invalid("RSA"))
        }
        Material::Ec(key) => {
            let parsed =
                ParsedPublicKey::new(ecdsa(algorithm)?, key.point()).map_err(|_| invalid("EC"))?;
            Ok(Prepared::Ecdsa(parsed, key.x.len()))
        }
        Material::Okp(key) => public(&ED25519, &key.x, "OKP"),
        Material::Akp(key) => public(ml_dsa(algorithm)?, &key.public, "AKP"),
    }
}

fn public(
    algorithm: &'static dyn VerificationAlgorithm,
    bytes: &[u8],
    kty: &'static str,
) -> Result<Prepared, Error> {
    ParsedPublicKey::new(algorithm, bytes)
        .map(Prepared::Public)
        .map_err(|_| invalid(kty))
}

fn invalid(kty: &'static str) -> Error {
    Error::KeyInvalid(format!("the {kty} public key's numbers are no key"))
}

fn rsa_parameters(
    algorithm: SignatureAlgorithm,
) -> Result<(&'static RsaParameters, &'static digest::Algorithm), Error> {
    use SignatureAlgorithm as A;
    match algorithm {
        A::Rs256 => Ok((&RSA_PKCS1_2048_8192_SHA256, &digest::SHA256)),
        A::Rs384 => Ok((&RSA_PKCS1_2048_8192_SHA384, &digest::SHA384)),
        A::Rs512 => Ok((&RSA_PKCS1_2048_8192_SHA512, &digest::SHA512)),
        A::Ps256 => Ok((&RSA_PSS_2048_8192_SHA256, &digest::SHA256)),
        A::Ps384 => Ok((&RSA_PSS_2048_8192_SHA384, &digest::SHA384)),
        A::Ps512 => Ok((&RSA_PSS_2048_8192_SHA512, &digest::SHA512)),
        A::Hs256
        | A::Hs384
        | A::Hs512
        | A::Es256
        | A::Es384
        | A::Es512
        | A::Es256k
        | A::EdDsa
        | A::Ed25519
        | A::MlDsa44
        | A::MlDsa65
        | A::MlDsa87 => Err(unfit(algorithm)),
    }
}

fn ecdsa(algorithm: SignatureAlgorithm) -> Result<&'static EcdsaVerificationAlgorithm, Error> {
    use SignatureAlgorithm as A;
    match algorithm {
        A::Es256 => Ok(&ECDSA_P256_SHA256_FIXED),
        A::Es384 => Ok(&ECDSA_P384_SHA384_FIXED),
        A::Es512 => Ok(&ECDSA_P521_SHA512_FIXED),
        A::Es256k => Ok(&ECDSA_P256K1_SHA256_FIXED),
        A::Hs256
        | A::Hs384
        | A::Hs512
        | A::Rs256
        | A::Rs384
        | A::Rs512
        | A::Ps256
        | A::Ps384
        | A::Ps512
        | A::EdDsa
        | A::Ed25519
        | A::MlDsa44
        | A::MlDsa65
        | A::MlDsa87 => Err(unfit(algorithm)),
    }
}

fn ml_dsa(algorithm: SignatureAlgorithm) -> Result<&'static dyn VerificationAlgorithm, Error> {
    use SignatureAlgorithm as A;
    match algorithm {
        A::MlDsa44 => Ok(&ML_DSA_44),
        A::MlDsa65 => Ok(&ML_DSA_65),
        A::MlDsa87 => Ok(&ML_DSA_87),
        A::Hs256
        | A::Hs384
        | A::Hs512
        | A::Rs256
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
        | A::Ed25519 => Err(unfit(algorithm)),
    }
}

/// Algorithm and `kid`; never the key.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
