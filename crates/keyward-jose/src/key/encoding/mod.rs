//! Keys in PEM and DER: PKCS#1 (RFC 8017), PKCS#8 (RFC 5958), SEC1 (RFC 5915), SubjectPublicKeyInfo and
//! certificates (RFC 5280).

pub(crate) mod pem;
mod read;
mod write;

use super::{Curve, Key, MlDsa};
use crate::Error;

/// The most bytes of PEM or DER that are read: a private RSA key of 8192 bits has 5 kB, and a chain of ten
/// ML-DSA-87 certificates 80 kB.
pub const KEY_BYTES_MAX: usize = 128 * 1024;

/// Which part of a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// What everyone may see.
    Public,
    /// All of it.
    Private,
}

/// The structures that carry a key in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `RSAPrivateKey` or `RSAPublicKey` (RFC 8017, appendix A.1).
    Pkcs1,
    /// `PrivateKeyInfo` (RFC 5958): every private key but `oct`.
    Pkcs8,
    /// `ECPrivateKey` (RFC 5915): private EC keys.
    Sec1,
    /// `SubjectPublicKeyInfo` (RFC 5280): every public key.
    Spki,
    /// An X.509 certificate: read only.
    Certificate,
}

impl Encoding {
    /// The one that carries every key type.
    #[must_use]
    pub const fn general(part: Part) -> Self {
        match part {
            Part::Public => Self::Spki,
            Part::Private => Self::Pkcs8,
        }
    }

    /// Its name, for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pkcs1 => "PKCS#1",
            Self::Pkcs8 => "PKCS#8",
            Self::Sec1 => "SEC1",
            Self::Spki => "SubjectPublicKeyInfo",
            Self::Certificate => "X.509 certificate",
        }
    }
}

/// What [`Key::parse`] found a key in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyForm {
    /// A JWK.
    Jwk,
    /// PEM.
    Pem(Encoding),
    /// DER.
    Der(Encoding),
}

impl Key {
    /// Reads a key in any form: a JWK starts with `{`, DER with a SEQUENCE, and the rest is PEM.
    ///
    /// # Errors
    /// Those of [`Key::from_jwk`], [`Key::from_pem`] and [`Key::from_der`].
    pub fn parse(input: &[u8]) -> Result<(Self, KeyForm), Error> {
        if input.len() > KEY_BYTES_MAX {
            return Err(too_large());
        }
        match input.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Self::from_jwk(input).map(|key| (key, KeyForm::Jwk)),
            _ if input.first() == Some(&super::der::tag::SEQUENCE) && !is_text(input) => {
                read::any(input).map(|(key, encoding)| (key, KeyForm::Der(encoding)))
            }
            Some(_) => {
                let text = std::str::from_utf8(input).map_err(|_| unknown())?;
                pem::read(text).map(|(key, encoding)| (key, KeyForm::Pem(encoding)))
            }
            None => Err(Error::KeyForm("there is no key: it is empty".to_owned())),
        }
    }

    /// Reads PEM (RFC 7468): one key, or a private key with the certificates of its public key, or
    /// certificates with the key's own first. The certificates become `x5c`.
    ///
    /// # Errors
    /// [`Error::KeyForm`] when it is not PEM, encrypted, or of a kind that is not known here; those of
    /// [`Key::from_der`].
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        pem::read(text).map(|(key, _)| key)
    }

    pub(crate) fn from_encoding(der: &[u8], encoding: Encoding) -> Result<Self, Error> {
        read::as_encoding(der, encoding)
    }

    /// Reads DER in any of the [`Encoding`]s.
    ///
    /// # Errors
    /// [`Error::KeyForm`] when it is none of them, not distinguished, or of an algorithm that is not known
    /// here; [`Error::KeyInvalid`] and [`Error::KeyMember`] when the key in it is not sound.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        read::any(der).map(|(key, _)| key)
    }
}

/// `0` starts a SEQUENCE and may start a text as well.
fn is_text(input: &[u8]) -> bool {
    std::str::from_utf8(input).is_ok_and(|text| text.contains("-----BEGIN "))
}

fn too_large() -> Error {
    Error::TooLarge {
        what: "a key",
        limit: KEY_BYTES_MAX,
    }
}

fn unknown() -> Error {
    Error::KeyForm("that is no key: a JWK, PEM or DER is needed".to_owned())
}

/// Contents of the OBJECT IDENTIFIERs.
mod oid {
    /// rsaEncryption, 1.2.840.113549.1.1.1.
    pub(super) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    /// id-RSASSA-PSS, 1.2.840.113549.1.1.10.
    pub(super) const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
    /// id-ecPublicKey, 1.2.840.10045.2.1.
    pub(super) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
}

/// The identifier of a curve: a parameter of id-ecPublicKey (RFC 5480), or the algorithm itself
/// (RFC 8410).
pub(super) const fn curve_oid(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
        Curve::P384 => &[0x2b, 0x81, 4, 0, 0x22],
        Curve::P521 => &[0x2b, 0x81, 4, 0, 0x23],
        Curve::Secp256k1 => &[0x2b, 0x81, 4, 0, 0x0a],
        Curve::X25519 => &[0x2b, 0x65, 0x6e],
        Curve::Ed25519 => &[0x2b, 0x65, 0x70],
    }
}

/// id-ml-dsa-44, -65 and -87 (RFC 9881, section 2).
const fn ml_dsa_oid(parameter_set: MlDsa) -> &'static [u8] {
    match parameter_set {
        MlDsa::MlDsa44 => &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x11],
        MlDsa::MlDsa65 => &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x12],
        MlDsa::MlDsa87 => &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x13],
    }
}
