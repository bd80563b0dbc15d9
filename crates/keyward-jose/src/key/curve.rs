//! Keys on curves: EC (RFC 7518, section 6.2; RFC 8812) and OKP (RFC 8037).

use super::der::{self, tag};
use super::{Curve, Ec, Okp};
use crate::Error;
use aws_lc_rs::agreement;
use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED,
    ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    EcdsaVerificationAlgorithm, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey,
};
use num_bigint::BigUint;
use std::str::FromStr;
use zeroize::Zeroizing;

/// The length of Ed25519's and X25519's keys, private and public (RFC 8032 and RFC 7748).
const OKP_BYTES: usize = 32;

impl Curve {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Secp256k1,
        Self::Ed25519,
        Self::X25519,
    ];

    /// The registered name: `crv` of a JWK.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            Self::Secp256k1 => "secp256k1",
            Self::Ed25519 => "Ed25519",
            Self::X25519 => "X25519",
        }
    }

    /// Whether the key type is EC; otherwise it is OKP.
    pub(crate) const fn is_ec(self) -> bool {
        match self {
            Self::P256 | Self::P384 | Self::P521 | Self::Secp256k1 => true,
            Self::Ed25519 | Self::X25519 => false,
        }
    }

    /// The length of a coordinate and of a private key: fixed (RFC 7518, sections 6.2.1.2 and 6.2.2.1).
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::P256 | Self::Secp256k1 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
            Self::Ed25519 | Self::X25519 => OKP_BYTES,
        }
    }
}

impl FromStr for Curve {
    type Err = Error;
    /// By the registered name, letter case included.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .iter()
            .copied()
            .find(|curve| curve.as_str() == text)
            .ok_or_else(|| {
                let name: String = text.chars().take(40).collect();
                Error::KeyMember("crv", format!("`{name}` is no curve that is known here"))
            })
    }
}

impl Ec {
    /// A public key; the point must be on the curve.
    pub(crate) fn public(curve: Curve, x: Vec<u8>, y: Vec<u8>) -> Result<Self, Error> {
        let (verification, _) = ecdsa(curve)?;
        exact_length("x", &x, curve)?;
        exact_length("y", &y, curve)?;
        let key = Self {
            curve,
            x,
            y,
            d: None,
        };
        UnparsedPublicKey::new(verification, key.point())
            .parse()
            .map_err(|_| {
                Error::KeyInvalid(format!("the point is not on the curve {}", curve.as_str()))
            })?;
        Ok(key)
    }

    /// A private key, whose public key must belong to it.
    pub(crate) fn private(
        curve: Curve,
        x: Vec<u8>,
        y: Vec<u8>,
        d: Zeroizing<Vec<u8>>,
    ) -> Result<Self, Error> {
        let mut key = Self::public(curve, x, y)?;
        exact_length("d", &d, curve)?;
        let (_, signing) = ecdsa(curve)?;
        EcdsaKeyPair::from_private_key_and_public_key(signing, &d, &key.point())
            .map_err(|_| mismatch())?;
        key.d = Some(d);
        Ok(key)
    }

    /// A private key whose public key is computed.
    pub(crate) fn from_private(curve: Curve, d: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        let (_, signing) = ecdsa(curve)?;
        exact_length("d", &d, curve)?;
        let sec1 = der::write(
            tag::SEQUENCE,
            &[
                &der::write_unsigned(&[1]),
                &der::write(tag::OCTET_STRING, &[&d]),
                &der::write(
                    tag::CONTEXT_0,
                    &[&der::write(
                        tag::OBJECT_IDENTIFIER,
                        &[super::encoding::curve_oid(curve)],
                    )],
                ),
            ],
        );
        let pair = EcdsaKeyPair::from_private_key_der(signing, &sec1)
            .map_err(|_| Error::KeyInvalid("the private number is out of range".to_owned()))?;
        let (x, y) = Self::coordinates(curve, pair.public_key().as_ref())?;
        Self::private(curve, x, y, d)
    }

    /// A new private key.
    pub(crate) fn generate(curve: Curve) -> Result<Self, Error> {
        let (_, signing) = ecdsa(curve)?;
        let pair =
            EcdsaKeyPair::generate(signing).map_err(|_| Error::Crypto("EC key generation"))?;
        let d: EcPrivateKeyBin<'_> = pair
            .private_key()
            .as_be_bytes()
            .map_err(|_| Error::Crypto("EC key generation"))?;
        let (x, y) = Self::coordinates(curve, pair.public_key().as_ref())?;
        Self::private(curve, x, y, Zeroizing::new(d.as_ref().to_vec()))
    }

    /// The point, uncompressed (SEC 1, section 2.3.3).
    pub(crate) fn point(&self) -> Vec<u8> {
        let mut point = Vec::with_capacity(1 + self.x.len() + self.y.len());
        point.push(4);
        point.extend_from_slice(&self.x);
        point.extend_from_slice(&self.y);
        point
    }

    /// The coordinates of an uncompressed point.
    pub(crate) fn coordinates(curve: Curve, point: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
        match point {
            [4, both @ ..] if both.len() == 2 * curve.bytes() => {
                let (x, y) = both.split_at(curve.bytes());
                Ok((x.to_vec(), y.to_vec()))
            }
            [2 | 3, ..] => Err(Error::KeyForm(
                "the point is compressed; write the key anew with an uncompressed point".to_owned(),
            )),
            _ => Err(Error::KeyInvalid(format!(
                "that is no point of the curve {}",
                curve.as_str()
            ))),
        }
    }
}

impl Okp {
    /// A public key. An Ed25519 point must be on the curve and not of small order (whose signatures
    /// anyone can make); an X25519 key must lead to a secret.
    pub(crate) fn public(curve: Curve, x: Vec<u8>) -> Result<Self, Error> {
        exact_length("x", &x, curve)?;
        match curve {
            Curve::Ed25519 => check_edwards_point(&x)?,
            Curve::X25519 => {
                let other = agreement::PrivateKey::generate(&agreement::X25519)
                    .map_err(|_| Error::Crypto("X25519 key generation"))?;
                let weak = || {
                    Error::KeyInvalid(
                        "this X25519 key makes every shared secret known (small order)".to_owned(),
                    )
                };
                agreement::agree(
                    &other,
                    agreement::UnparsedPublicKey::new(&agreement::X25519, &x),
                    weak(),
                    |_| Ok(()),
                )?;
            }
            Curve::P256 | Curve::P384 | Curve::P521 | Curve::Secp256k1 => {
                return Err(wrong_type(curve, "OKP"));
            }
        }
        Ok(Self { curve, x, d: None })
    }

    /// A private key, whose public key must belong to it.
    pub(crate) fn private(curve: Curve, x: Vec<u8>, d: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        let key = Self::from_private(curve, d)?;
        exact_length("x", &x, curve)?;
        if key.x == x { Ok(key) } else { Err(mismatch()) }
    }

    /// A private key whose public key is computed.
    pub(crate) fn from_private(curve: Curve, d: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        exact_length("d", &d, curve)?;
        let unsound = |_| Error::KeyInvalid("the private key is not sound".to_owned());
        let x = match curve {
            Curve::Ed25519 => Ed25519KeyPair::from_seed_unchecked(&d)
                .map_err(unsound)?
                .public_key()
                .as_ref()
                .to_vec(),
            Curve::X25519 => agreement::PrivateKey::from_private_key(&agreement::X25519, &d)
                .map_err(unsound)?
                .compute_public_key()
                .map_err(|_| Error::Crypto("X25519 public key"))?
                .as_ref()
                .to_vec(),
            Curve::P256 | Curve::P384 | Curve::P521 | Curve::Secp256k1 => {
                return Err(wrong_type(curve, "OKP"));
            }
        };
        Ok(Self {
            curve,
            x,
            d: Some(d),
        })
    }
}

/// The library's ECDSA algorithms of a curve: also for keys that only agree, since it checks points and
/// private numbers alike for both.
pub(crate) fn ecdsa(
    curve: Curve,
) -> Result<
    (
        &'static EcdsaVerificationAlgorithm,
        &'static EcdsaSigningAlgorithm,
    ),
    Error,
> {
    match curve {
        Curve::P256 => Ok((&ECDSA_P256_SHA256_FIXED, &ECDSA_P256_SHA256_FIXED_SIGNING)),
        Curve::P384 => Ok((&ECDSA_P384_SHA384_FIXED, &ECDSA_P384_SHA384_FIXED_SIGNING)),
        Curve::P521 => Ok((&ECDSA_P521_SHA512_FIXED, &ECDSA_P521_SHA512_FIXED_SIGNING)),
        Curve::Secp256k1 => Ok((
            &ECDSA_P256K1_SHA256_FIXED,
            &ECDSA_P256K1_SHA256_FIXED_SIGNING,
        )),
        Curve::Ed25519 | Curve::X25519 => Err(wrong_type(curve, "EC")),
    }
}

/// RFC 8032, section 5.1.3: the y coordinate is below the field's prime, an x exists, and the point is
/// none of the eight of small order. The library would find the first two out only when verifying, and
/// the third never. The arithmetic is on public values.
fn check_edwards_point(encoded: &[u8]) -> Result<(), Error> {
    let off = || Error::KeyInvalid("the point is not on the curve Ed25519".to_owned());
    let one = BigUint::from(1_u8);
    let prime = (&one << 255_u32) - BigUint::from(19_u8);
    let mut little_endian = encoded.to_vec();
    let sign = match little_endian.last_mut() {
        Some(last) => {
            let sign = *last & 0x80;
            *last &= 0x7f;
            sign
        }
        None => return Err(off()),
    };
    let y = BigUint::from_bytes_le(&little_endian);
    if y >= prime {
        return Err(off());
    }
    // x² = (y² − 1) / (d y² + 1), with d = −121665 / 121666.
    let square = &y * &y % &prime;
    let numerator = (&square + &prime - &one) % &prime;
    let d = (&prime - BigUint::from(121_665_u32))
        * BigUint::from(121_666_u32).modinv(&prime).ok_or_else(off)?
        % &prime;
    let denominator = (d * &square + &one) % &prime;
    let x_square = numerator * denominator.modinv(&prime).ok_or_else(off)? % &prime;
    let euler = x_square.modpow(&((&prime - &one) >> 1_u32), &prime);
    let zero = x_square.bits() == 0;
    if (!zero && euler != one) || (zero && sign != 0) {
        return Err(off());
    }
    // The points of order 1, 2 and 4 have y = 1, −1 and 0. Doubling a point of order 8 gives one of
    // order 4, whose y is 0: so y² = −x² there.
    let small = zero || y.bits() == 0 || (&square + &x_square) % &prime == BigUint::ZERO;
    if small {
        return Err(Error::KeyInvalid(
            "this Ed25519 key is of small order: anyone can sign for it".to_owned(),
        ));
    }
    Ok(())
}

fn exact_length(name: &'static str, bytes: &[u8], curve: Curve) -> Result<(), Error> {
    if bytes.len() == curve.bytes() {
        Ok(())
    } else {
        Err(Error::KeyMember(
            name,
            format!(
                "it has {} bytes; {} has {}, leading zeros included",
                bytes.len(),
                curve.as_str(),
                curve.bytes()
            ),
        ))
    }
}

fn mismatch() -> Error {
    Error::KeyInvalid("the private key does not belong to the public key".to_owned())
}

fn wrong_type(curve: Curve, kty: &str) -> Error {
    Error::KeyMember(
        "crv",
        format!("{} is no curve of {kty} keys", curve.as_str()),
    )
}
