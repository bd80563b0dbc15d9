//! Keys: what they are made of, and what they may be used for.
//!
//! A [`Key`] is data: parsed once, checked once. What works with it is prepared from it: a
//! [`Verifier`](crate::Verifier) or [`LocalSigner`](crate::LocalSigner) is one key with one algorithm.

mod curve;
pub(crate) mod der;
mod encoding;
mod generate;
mod jwk;
mod ml_dsa;
mod purpose;
mod rsa;
#[cfg(test)]
mod tests;

pub use encoding::{Encoding, KEY_BYTES_MAX, KeyForm, Part};
pub use generate::KeyType;
pub use jwk::{JWK_BYTES_MAX, KID_BYTES_MAX, SECRET_BYTES_MAX};

pub(crate) use encoding::pem;
pub(crate) use jwk::wipe;

use crate::Error;
use crate::algorithm::{Algorithm, SignatureAlgorithm};
use crate::x509;
use std::fmt;
use zeroize::Zeroizing;

/// The curves (RFC 7518, section 6.2.1.1; RFC 8037; RFC 8812).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// secp256k1: signing only.
    Secp256k1,
    /// Ed25519: signing only.
    Ed25519,
    /// X25519: key agreement only.
    X25519,
}

/// The parameter sets of ML-DSA (FIPS 204).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MlDsa {
    /// ML-DSA-44.
    MlDsa44,
    /// ML-DSA-65.
    MlDsa65,
    /// ML-DSA-87.
    MlDsa87,
}

/// What a key is for: `use` (RFC 7517, section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// `sig`.
    Signature,
    /// `enc`.
    Encryption,
}

/// What may be done with a key: one of `key_ops` (RFC 7517, section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyOperation {
    /// `sign`.
    Sign,
    /// `verify`.
    Verify,
    /// `encrypt`.
    Encrypt,
    /// `decrypt`.
    Decrypt,
    /// `wrapKey`.
    WrapKey,
    /// `unwrapKey`.
    UnwrapKey,
    /// `deriveKey`.
    DeriveKey,
    /// `deriveBits`.
    DeriveBits,
}

/// A key with what is said about it.
#[derive(Clone)]
pub struct Key {
    pub(crate) material: Material,
    pub(crate) parameters: Parameters,
}

/// What is said about a key beside its material: the common members of a JWK (RFC 7517, section 4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) kid: Option<String>,
    pub(crate) key_use: Option<KeyUse>,
    pub(crate) operations: Option<Vec<KeyOperation>>,
    pub(crate) algorithm: Option<Algorithm>,
    /// DER certificates, the key's own first.
    pub(crate) x5c: Vec<Vec<u8>>,
    pub(crate) x5t_s256: Option<[u8; 32]>,
}

/// The numbers. Big-endian; RSA's without leading zeros, the others at their full, fixed length.
#[derive(Clone)]
pub(crate) enum Material {
    Rsa(Rsa),
    Ec(Ec),
    Okp(Okp),
    Oct(Oct),
    Akp(Akp),
}

#[derive(Clone)]
pub(crate) struct Rsa {
    pub(crate) n: Vec<u8>,
    pub(crate) e: Vec<u8>,
    pub(crate) private: Option<RsaPrivate>,
}

/// The private values of an RSA key of two primes (RFC 8017, section 3.2), all of them.
#[derive(Clone)]
pub(crate) struct RsaPrivate {
    pub(crate) d: Zeroizing<Vec<u8>>,
    pub(crate) p: Zeroizing<Vec<u8>>,
    pub(crate) q: Zeroizing<Vec<u8>>,
    pub(crate) dp: Zeroizing<Vec<u8>>,
    pub(crate) dq: Zeroizing<Vec<u8>>,
    pub(crate) qi: Zeroizing<Vec<u8>>,
}

/// P-256, P-384, P-521 or secp256k1. The point is known to be on the curve.
#[derive(Clone)]
pub(crate) struct Ec {
    pub(crate) curve: Curve,
    pub(crate) x: Vec<u8>,
    pub(crate) y: Vec<u8>,
    pub(crate) d: Option<Zeroizing<Vec<u8>>>,
}

/// Ed25519 or X25519.
#[derive(Clone)]
pub(crate) struct Okp {
    pub(crate) curve: Curve,
    pub(crate) x: Vec<u8>,
    pub(crate) d: Option<Zeroizing<Vec<u8>>>,
}

#[derive(Clone)]
pub(crate) struct Oct {
    pub(crate) k: Zeroizing<Vec<u8>>,
}

/// ML-DSA (RFC 9964): the public key and the 32-byte seed.
#[derive(Clone)]
pub(crate) struct Akp {
    pub(crate) parameter_set: MlDsa,
    pub(crate) public: Vec<u8>,
    pub(crate) seed: Option<Zeroizing<Vec<u8>>>,
}

impl Key {
    pub(crate) fn from_material(material: Material) -> Self {
        Self {
            material,
            parameters: Parameters::default(),
        }
    }

    /// A symmetric key: `oct`.
    ///
    /// # Errors
    /// [`Error::KeyMember`] when it is empty, [`Error::TooLarge`] past [`SECRET_BYTES_MAX`].
    pub fn from_secret(secret: &[u8]) -> Result<Self, Error> {
        Oct::new(Zeroizing::new(secret.to_vec())).map(|oct| Self::from_material(Material::Oct(oct)))
    }

    /// The public key, with what is said about it; `key_ops` become those of a public key.
    ///
    /// # Errors
    /// [`Error::KeyUnfit`] for an `oct` key, which is secret as a whole.
    pub fn public(&self) -> Result<Self, Error> {
        let material = match &self.material {
            Material::Rsa(key) => Material::Rsa(Rsa {
                n: key.n.clone(),
                e: key.e.clone(),
                private: None,
            }),
            Material::Ec(key) => Material::Ec(Ec {
                curve: key.curve,
                x: key.x.clone(),
                y: key.y.clone(),
                d: None,
            }),
            Material::Okp(key) => Material::Okp(Okp {
                curve: key.curve,
                x: key.x.clone(),
                d: None,
            }),
            Material::Oct(_) => return Err(no_public_part()),
            Material::Akp(key) => Material::Akp(Akp {
                parameter_set: key.parameter_set,
                public: key.public.clone(),
                seed: None,
            }),
        };
        let mut parameters = self.parameters.clone();
        parameters.operations = self.public_operations();
        Ok(Self {
            material,
            parameters,
        })
    }

    /// With another `kid`, or none.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past [`KID_BYTES_MAX`].
    pub fn with_kid(mut self, kid: Option<String>) -> Result<Self, Error> {
        if kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
            return Err(Error::TooLarge {
                what: "`kid`",
                limit: KID_BYTES_MAX,
            });
        }
        self.parameters.kid = kid;
        Ok(self)
    }

    /// Bound to an algorithm, or to none.
    ///
    /// # Errors
    /// [`Error::KeyInvalid`] when the algorithm does not fit the key or contradicts `use` or `key_ops`.
    pub fn with_algorithm(mut self, algorithm: Option<Algorithm>) -> Result<Self, Error> {
        self.parameters.algorithm = algorithm;
        self.check_parameters()?;
        Ok(self)
    }

    /// With a `use`, or none.
    ///
    /// # Errors
    /// [`Error::KeyInvalid`] when it contradicts `alg` or `key_ops`.
    pub fn with_use(mut self, key_use: Option<KeyUse>) -> Result<Self, Error> {
        self.parameters.key_use = key_use;
        self.check_parameters()?;
        Ok(self)
    }

    /// With `key_ops`, or none. An operation that is named twice counts once.
    ///
    /// # Errors
    /// [`Error::KeyInvalid`] when they contradict `alg` or `use`.
    pub fn with_operations(mut self, operations: Option<&[KeyOperation]>) -> Result<Self, Error> {
        self.parameters.operations = operations.map(|operations| {
            KeyOperation::ALL
                .iter()
                .copied()
                .filter(|one| operations.contains(one))
                .collect()
        });
        self.check_parameters()?;
        Ok(self)
    }

    /// With certificates in DER as `x5c`, the key's own first, and their `x5t#S256`; or, when there are
    /// none, without both.
    ///
    /// # Errors
    /// [`Error::Certificate`] when one can't be read or the first is another key's.
    pub fn with_certificates(mut self, chain: Vec<Vec<u8>>) -> Result<Self, Error> {
        self.parameters.x5t_s256 = match chain.first() {
            None => None,
            Some(own) => {
                x509::check_chain_of(&self, &chain)?;
                Some(x509::thumbprint(own))
            }
        };
        self.parameters.x5c = chain;
        Ok(self)
    }

    /// The certificates in DER, the key's own first: `x5c`. They belong to the key, but nothing has been
    /// said yet about who signed them: see [`check_certificates`](Self::check_certificates).
    #[must_use]
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.parameters.x5c
    }

    /// The `key_ops`.
    #[must_use]
    pub fn operations(&self) -> Option<&[KeyOperation]> {
        self.parameters.operations.as_deref()
    }

    /// The key type: `kty`.
    #[must_use]
    pub const fn key_type(&self) -> &'static str {
        match &self.material {
            Material::Rsa(_) => "RSA",
            Material::Ec(_) => "EC",
            Material::Okp(_) => "OKP",
            Material::Oct(_) => "oct",
            Material::Akp(_) => "AKP",
        }
    }

    /// The `kid`.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.parameters.kid.as_deref()
    }

    /// The `alg` that the key is bound to.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.parameters.algorithm
    }

    /// The `use`.
    #[must_use]
    pub fn key_use(&self) -> Option<KeyUse> {
        self.parameters.key_use
    }

    /// Whether the private (or, of an `oct` key, the secret) part is here.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match &self.material {
            Material::Rsa(key) => key.private.is_some(),
            Material::Ec(key) => key.d.is_some(),
            Material::Okp(key) => key.d.is_some(),
            Material::Oct(_) => true,
            Material::Akp(key) => key.seed.is_some(),
        }
    }

    /// The signature algorithms that fit the key's type and curve, whatever `alg`, `use` and `key_ops`
    /// say.
    #[must_use]
    pub fn signature_algorithms(&self) -> &'static [SignatureAlgorithm] {
        use SignatureAlgorithm as A;
        match &self.material {
            Material::Rsa(_) => &[A::Rs256, A::Rs384, A::Rs512, A::Ps256, A::Ps384, A::Ps512],
            Material::Oct(_) => &[A::Hs256, A::Hs384, A::Hs512],
            Material::Ec(key) => match key.curve {
                Curve::P256 => &[A::Es256],
                Curve::P384 => &[A::Es384],
                Curve::P521 => &[A::Es512],
                Curve::Secp256k1 => &[A::Es256k],
                Curve::Ed25519 | Curve::X25519 => &[],
            },
            Material::Okp(key) => match key.curve {
                Curve::Ed25519 => &[A::EdDsa, A::Ed25519],
                Curve::P256 | Curve::P384 | Curve::P521 | Curve::Secp256k1 | Curve::X25519 => &[],
            },
            Material::Akp(key) => match key.parameter_set {
                MlDsa::MlDsa44 => &[A::MlDsa44],
                MlDsa::MlDsa65 => &[A::MlDsa65],
                MlDsa::MlDsa87 => &[A::MlDsa87],
            },
        }
    }
}

/// Type, `kid` and whether it is private; never the material.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kty", &self.key_type())
            .field("kid", &self.parameters.kid)
            .field("private", &self.is_private())
            .finish_non_exhaustive()
    }
}

fn no_public_part() -> Error {
    Error::KeyUnfit("an `oct` key is secret as a whole; it has no public part".to_owned())
}
