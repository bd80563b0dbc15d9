//! New keys.

use super::encoding::Encoding;
use super::jwk::SECRET_BYTES_MAX;
use super::{Akp, Curve, Ec, Key, Material, MlDsa, Oct, Okp, ml_dsa};
use crate::Error;
use crate::algorithm::{Algorithm, KeyManagementAlgorithm, SignatureAlgorithm};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use zeroize::Zeroizing;

/// What NIST SP 800-57 gives until 2030 and all of JOSE's implementations take.
const RSA_BITS_DEFAULT: usize = 2048;
/// The secret of PBES2, where the algorithm sets no length: 256 bits.
const SECRET_BITS_DEFAULT: usize = 256;

/// What a new key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// RSA of 2048, 3072, 4096 or 8192 bits. The last takes seconds.
    Rsa {
        /// The length of the modulus.
        bits: usize,
    },
    /// EC or OKP.
    Curve(Curve),
    /// ML-DSA.
    MlDsa(MlDsa),
    /// A random secret.
    Oct {
        /// Its length, a multiple of 8.
        bits: usize,
    },
}

impl KeyType {
    /// What `algorithm` needs. `bits` chooses the length of an RSA key (2048 without it) or a secret (what
    /// the algorithm needs without it), and the curve for ECDH-ES (256, 384 or 521; 256 without it).
    ///
    /// # Errors
    /// [`Error::KeyUnfit`] when the algorithm has no use for these `bits`.
    pub fn for_algorithm(algorithm: Algorithm, bits: Option<usize>) -> Result<Self, Error> {
        use KeyManagementAlgorithm as M;
        use SignatureAlgorithm as S;
        let secret = |needed: usize| Self::Oct {
            bits: bits.unwrap_or(needed),
        };
        let key_type = match algorithm {
            Algorithm::Signature(algorithm) => match algorithm {
                S::Hs256 => secret(256),
                S::Hs384 => secret(384),
                S::Hs512 => secret(512),
                S::Rs256 | S::Rs384 | S::Rs512 | S::Ps256 | S::Ps384 | S::Ps512 => Self::Rsa {
                    bits: bits.unwrap_or(RSA_BITS_DEFAULT),
                },
                S::Es256 => Self::Curve(Curve::P256),
                S::Es384 => Self::Curve(Curve::P384),
                S::Es512 => Self::Curve(Curve::P521),
                S::Es256k => Self::Curve(Curve::Secp256k1),
                S::EdDsa | S::Ed25519 => Self::Curve(Curve::Ed25519),
                S::MlDsa44 => Self::MlDsa(MlDsa::MlDsa44),
                S::MlDsa65 => Self::MlDsa(MlDsa::MlDsa65),
                S::MlDsa87 => Self::MlDsa(MlDsa::MlDsa87),
            },
            Algorithm::KeyManagement(algorithm) => match algorithm {
                M::RsaOaep | M::RsaOaep256 | M::RsaOaep384 | M::RsaOaep512 => Self::Rsa {
                    bits: bits.unwrap_or(RSA_BITS_DEFAULT),
                },
                M::EcdhEs | M::EcdhEsA128Kw | M::EcdhEsA192Kw | M::EcdhEsA256Kw => {
                    Self::Curve(match bits {
                        None | Some(256) => Curve::P256,
                        Some(384) => Curve::P384,
                        Some(521) => Curve::P521,
                        Some(_) => {
                            return Err(Error::KeyUnfit(
                                "ECDH-ES has curves of 256, 384 and 521 bits".to_owned(),
                            ));
                        }
                    })
                }
                M::A128Kw | M::A128GcmKw => secret(128),
                M::A192Kw | M::A192GcmKw => secret(192),
                M::A256Kw | M::A256GcmKw => secret(256),
                M::Pbes2Hs256A128Kw | M::Pbes2Hs384A192Kw | M::Pbes2Hs512A256Kw | M::Dir => {
                    secret(SECRET_BITS_DEFAULT)
                }
            },
            Algorithm::ContentEncryption(encryption) => secret(8 * encryption.key_bytes()),
        };
        match (key_type, bits) {
            (Self::MlDsa(_), Some(_)) => Err(no_choice(algorithm)),
            (Self::Curve(curve), Some(bits)) if bits != curve.bits() => Err(no_choice(algorithm)),
            (Self::Rsa { .. } | Self::Curve(_) | Self::MlDsa(_) | Self::Oct { .. }, _) => {
                Ok(key_type)
            }
        }
    }
}

impl Curve {
    /// The length that names the curve.
    const fn bits(self) -> usize {
        match self {
            Self::P256 | Self::Secp256k1 | Self::Ed25519 | Self::X25519 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
        }
    }
}

impl Key {
    /// A new private key for `algorithm`, which becomes its `alg`; its thumbprint becomes its `kid`. For
    /// `bits` see [`KeyType::for_algorithm`].
    ///
    /// # Errors
    /// [`Error::KeyUnfit`] when these `bits` can't be made or don't fit the algorithm, [`Error::Crypto`]
    /// when the library fails.
    ///
    /// ```
    /// # use keyward_jose::{Algorithm, Key, SignatureAlgorithm};
    /// let key = Key::generate(Algorithm::Signature(SignatureAlgorithm::Es256), None)?;
    /// assert_eq!(key.kid(), Some(key.thumbprint_base64url().as_str()));
    /// # Ok::<(), keyward_jose::Error>(())
    /// ```
    pub fn generate(algorithm: Algorithm, bits: Option<usize>) -> Result<Self, Error> {
        let key = Self::generate_type(KeyType::for_algorithm(algorithm, bits)?)?;
        if !key.fits(algorithm) {
            return Err(Error::KeyUnfit(format!(
                "{} does not fit {algorithm}",
                key.description()
            )));
        }
        key.with_algorithm(Some(algorithm))
    }

    /// A new private key that is bound to no algorithm; its thumbprint becomes its `kid`.
    ///
    /// # Errors
    /// [`Error::KeyUnfit`] for lengths that can't be made, [`Error::Crypto`] when the library fails.
    pub fn generate_type(key_type: KeyType) -> Result<Self, Error> {
        let material = match key_type {
            KeyType::Rsa { bits } => return rsa(bits).map(Self::with_thumbprint_as_kid),
            KeyType::Curve(curve) if curve.is_ec() => Material::Ec(Ec::generate(curve)?),
            // Every string of 32 bytes is a private key of these (RFC 8032 and RFC 7748).
            KeyType::Curve(curve) => {
                Material::Okp(Okp::from_private(curve, random(curve.bytes())?)?)
            }
            KeyType::MlDsa(set) => Material::Akp(Akp::from_seed(set, random(ml_dsa::SEED_BYTES)?)?),
            KeyType::Oct { bits } => Material::Oct(secret(bits)?),
        };
        Ok(Self::from_material(material).with_thumbprint_as_kid())
    }

    fn with_thumbprint_as_kid(mut self) -> Self {
        self.parameters.kid = Some(self.thumbprint_base64url());
        self
    }
}

fn rsa(bits: usize) -> Result<Key, Error> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        4096 => KeySize::Rsa4096,
        8192 => KeySize::Rsa8192,
        _ => {
            return Err(Error::KeyUnfit(format!(
                "RSA keys of {bits} bits are not made here: 2048, 3072, 4096 and 8192 are"
            )));
        }
    };
    let failed = |_| Error::Crypto("RSA key generation");
    let pair = KeyPair::generate(size).map_err(failed)?;
    let der = pair.as_der().map_err(failed)?;
    Key::from_encoding(der.as_ref(), Encoding::Pkcs8)
}

fn secret(bits: usize) -> Result<Oct, Error> {
    if bits == 0 || !bits.is_multiple_of(8) || bits / 8 > SECRET_BYTES_MAX {
        return Err(Error::KeyUnfit(format!(
            "a secret of {bits} bits can't be made: whole bytes are needed, and not too many"
        )));
    }
    Oct::new(random(bits / 8)?)
}

fn random(bytes: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut secret = Zeroizing::new(vec![0; bytes]);
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| Error::Crypto("random numbers"))?;
    Ok(secret)
}

fn no_choice(algorithm: Algorithm) -> Error {
    Error::KeyUnfit(format!("{algorithm} leaves no choice of bits"))
}
