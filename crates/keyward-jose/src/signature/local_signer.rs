//! One private key in memory with one algorithm, ready to sign.

use super::low_s;
use super::{Signer, hmac_key, private, unfit};
use crate::key::{Akp, Ec, KeyOperation, Material, Okp, Rsa};
use crate::{Algorithm, Error, Key, SignatureAlgorithm};
use async_trait::async_trait;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING,
    ML_DSA_87_SIGNING, PqdsaKeyPair, PqdsaSigningAlgorithm, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
};
use std::fmt;

/// One private key in memory, bound to one algorithm, parsed once.
pub struct LocalSigner {
    algorithm: SignatureAlgorithm,
    kid: Option<Box<str>>,
    prepared: Prepared,
}

enum Prepared {
    /// Boxed: it is twenty times as large as the others.
    Hmac(Box<hmac::Key>),
    Rsa(rsa::KeyPair, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa(PqdsaKeyPair),
}

impl LocalSigner {
    /// Prepares the key for this algorithm, and checks that its private and public parts belong together.
    ///
    /// # Errors
    /// [`Error::NoPrivateKey`]; [`Error::KeyUnfit`] if the key's type, curve, length, `alg`, `use` or
    /// `key_ops` does not allow it; [`Error::KeyInvalid`] if its numbers are no key.
    pub fn new(key: &Key, algorithm: SignatureAlgorithm) -> Result<Self, Error> {
        key.check_use(KeyOperation::Sign, Algorithm::Signature(algorithm))?;
        Ok(Self {
            algorithm,
            kid: key.kid().map(Box::from),
            prepared: match &key.material {
                Material::Oct(key) => Prepared::Hmac(Box::new(hmac_key(key, algorithm)?)),
                Material::Rsa(key) => Prepared::Rsa(rsa_pair(key)?, rsa_encoding(algorithm)?),
                Material::Ec(key) => Prepared::Ecdsa(ecdsa_pair(key, algorithm)?),
                Material::Okp(key) => Prepared::Ed25519(ed25519_pair(key)?),
                Material::Akp(key) => Prepared::MlDsa(ml_dsa_pair(key, algorithm)?),
            },
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

    /// Signs the message, at once and on this thread.
    ///
    /// # Errors
    /// [`Error::Crypto`] if the library fails, which with a parsed key it does only for want of memory or
    /// of random numbers.
    pub fn sign_now(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |_| Error::Crypto("signing");
        match &self.prepared {
            Prepared::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Prepared::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            Prepared::Ecdsa(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(failed)?;
                let mut signature = signature.as_ref().to_vec();
                if self.algorithm == SignatureAlgorithm::Es256k {
                    low_s::lower(&mut signature);
                }
                Ok(signature)
            }
            Prepared::Ed25519(pair) => pair
                .try_sign(message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(failed),
            Prepared::MlDsa(pair) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                pair.sign(message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

#[async_trait]
impl Signer for LocalSigner {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.sign_now(message)
    }
}

fn inconsistent(kty: &'static str) -> Error {
    Error::KeyInvalid(format!(
        "the {kty} key's private and public numbers don't belong together"
    ))
}

fn rsa_pair(key: &Rsa) -> Result<rsa::KeyPair, Error> {
    let part = private(key.private.as_ref())?;
    rsa::KeyPair::from_components(&rsa::KeyPairComponents {
        public_key: rsa::PublicKeyComponents {
            n: &key.n,
            e: &key.e,
        },
        d: &*part.d,
        p: &*part.p,
        q: &*part.q,
        dP: &*part.dp,
        dQ: &*part.dq,
        qInv: &*part.qi,
    })
    .map_err(|_| inconsistent("RSA"))
}

fn rsa_encoding(algorithm: SignatureAlgorithm) -> Result<&'static dyn RsaEncoding, Error> {
    use SignatureAlgorithm as A;
    match algorithm {
        A::Rs256 => Ok(&RSA_PKCS1_SHA256),
        A::Rs384 => Ok(&RSA_PKCS1_SHA384),
        A::Rs512 => Ok(&RSA_PKCS1_SHA512),
        A::Ps256 => Ok(&RSA_PSS_SHA256),
        A::Ps384 => Ok(&RSA_PSS_SHA384),
        A::Ps512 => Ok(&RSA_PSS_SHA512),
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

fn ecdsa_pair(key: &Ec, algorithm: SignatureAlgorithm) -> Result<EcdsaKeyPair, Error> {
    use SignatureAlgorithm as A;
    let signing: &'static EcdsaSigningAlgorithm = match algorithm {
        A::Es256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        A::Es384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        A::Es512 => &ECDSA_P521_SHA512_FIXED_SIGNING,
        A::Es256k => &ECDSA_P256K1_SHA256_FIXED_SIGNING,
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
        | A::MlDsa87 => {
            return Err(unfit(algorithm));
        }
    };
    EcdsaKeyPair::from_private_key_and_public_key(signing, private(key.d.as_ref())?, &key.point())
        .map_err(|_| inconsistent("EC"))
}

fn ed25519_pair(key: &Okp) -> Result<Ed25519KeyPair, Error> {
    Ed25519KeyPair::from_seed_and_public_key(private(key.d.as_ref())?, &key.x)
        .map_err(|_| inconsistent("OKP"))
}

fn ml_dsa_pair(key: &Akp, algorithm: SignatureAlgorithm) -> Result<PqdsaKeyPair, Error> {
    use SignatureAlgorithm as A;
    let signing: &'static PqdsaSigningAlgorithm = match algorithm {
        A::MlDsa44 => &ML_DSA_44_SIGNING,
        A::MlDsa65 => &ML_DSA_65_SIGNING,
        A::MlDsa87 => &ML_DSA_87_SIGNING,
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
        | A::Ed25519 => {
            return Err(unfit(algorithm));
        }
    };
    let pair = PqdsaKeyPair::from_seed(signing, private(key.seed.as_ref())?)
        .map_err(|_| Error::KeyInvalid("the AKP key's seed is no seed".to_owned()))?;
    if pair.public_key().as_ref() == key.public {
        Ok(pair)
    } else {
        Err(inconsistent("AKP"))
    }
}

/// Algorithm and `kid`; never the key.
impl fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSigner")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
