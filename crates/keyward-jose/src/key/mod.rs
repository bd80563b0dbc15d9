//! Keys: what they are made of, and what they may be used for.
//!
//! A [`Key`] is data: parsed once, checked once. What works with it is prepared from it: a
//! [`Verifier`](crate::Verifier) or [`LocalSigner`](crate::LocalSigner) is one key with one algorithm.

use crate::algorithm::{Algorithm, SignatureAlgorithm};
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
        let kind = match &self.material {
            Material::Rsa(_) => "RSA",
            Material::Ec(_) => "EC",
            Material::Okp(_) => "OKP",
            Material::Oct(_) => "oct",
            Material::Akp(_) => "AKP",
        };
        f.debug_struct("Key")
            .field("kty", &kind)
            .field("kid", &self.parameters.kid)
            .field("private", &self.is_private())
            .finish_non_exhaustive()
    }
}
