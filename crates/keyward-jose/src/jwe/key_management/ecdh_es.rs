//! ECDH-ES (RFC 7518, section 4.6; RFC 8037, section 3.2): an ephemeral key of the sender and a static
//! key of the recipient agree on a secret.

use super::super::header::{Header, refused};
use super::aes_key_wrap::{AesKeyUnwrap, AesKeyWrap};
use super::{Carried, no_encrypted_key};
use crate::algorithm::{ContentEncryption, KeyManagementAlgorithm};
use crate::key::{Curve, Key, Material};
use crate::{Error, base64url};
use aws_lc_rs::agreement::{self, ParsedPublicKey, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::kdf::{SskdfDigestAlgorithmId, get_sskdf_digest_algorithm, sskdf_digest};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The first byte of a point with both coordinates (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A curve that keys can be agreed on.
#[derive(Clone, Copy)]
struct Group {
    curve: Curve,
    algorithm: &'static agreement::Algorithm,
    kty: &'static str,
    crv: &'static str,
    /// Bytes of a coordinate.
    len: usize,
}

impl Group {
    fn of(curve: Curve) -> Result<Self, Error> {
        let (algorithm, kty, crv, len) = match curve {
            Curve::P256 => (&agreement::ECDH_P256, "EC", "P-256", 32),
            Curve::P384 => (&agreement::ECDH_P384, "EC", "P-384", 48),
            Curve::P521 => (&agreement::ECDH_P521, "EC", "P-521", 66),
            Curve::X25519 => (&agreement::X25519, "OKP", "X25519", 32),
            Curve::Secp256k1 | Curve::Ed25519 => {
                return Err(Error::KeyUnfit(
                    "keys can't be agreed on this curve".to_owned(),
                ));
            }
        };
        Ok(Self {
            curve,
            algorithm,
            kty,
            crv,
            len,
        })
    }

    fn of_key(key: &Key) -> Result<Self, Error> {
        match &key.material {
            Material::Ec(ec) => Self::of(ec.curve),
            Material::Okp(okp) => Self::of(okp.curve),
            Material::Rsa(_) | Material::Oct(_) | Material::Akp(_) => Err(Error::KeyUnfit(
                "an EC key or an X25519 key is needed".to_owned(),
            )),
        }
    }

    /// The public key with the given coordinates, of which X25519 has one. aws-lc checks that the point
    /// is on the curve.
    fn public(self, x: &[u8], y: Option<&[u8]>) -> Option<ParsedPublicKey> {
        let mut point = Vec::with_capacity(1 + 2 * self.len);
        if let Some(y) = y {
            point.push(UNCOMPRESSED);
            point.extend_from_slice(x);
            point.extend_from_slice(y);
        } else {
            point.extend_from_slice(x);
        }
        ParsedPublicKey::try_from(UnparsedPublicKey::new(self.algorithm, point)).ok()
    }

    /// The public key of `epk` (RFC 7518, section 4.6.1.1), a JWK with nothing private.
    fn ephemeral(self, header: &Header) -> Result<ParsedPublicKey, Error> {
        let epk = match header.get("epk") {
            Some(Value::Object(epk)) => epk,
            Some(_) => return Err(refused("epk", "an object is needed")),
            None => return Err(refused("epk", "it is missing")),
        };
        let text = |name| epk.get(name).and_then(Value::as_str);
        if epk.contains_key("d") {
            return Err(refused("epk", "it has a private part"));
        }
        if text("kty") != Some(self.kty) || text("crv") != Some(self.crv) {
            return Err(refused("epk", "it is on another curve than the key"));
        }
        let coordinate = |name| {
            let bytes = base64url::decode("header `epk`", text(name).unwrap_or_default())?;
            if bytes.len() == self.len {
                Ok(bytes)
            } else {
                Err(refused(
                    "epk",
                    "a coordinate is missing or of another length",
                ))
            }
        };
        let x = coordinate("x")?;
        let y = match self.curve {
            Curve::X25519 => None,
            Curve::P256 | Curve::P384 | Curve::P521 | Curve::Secp256k1 | Curve::Ed25519 => {
                Some(coordinate("y")?)
            }
        };
        self.public(&x, y.as_deref())
            .ok_or_else(|| refused("epk", "it is not a point on the curve"))
    }

    /// `epk` for the public key as aws-lc writes it.
    fn write(self, public: &[u8]) -> Result<Value, Error> {
        let mut epk = Map::new();
        epk.insert("kty".to_owned(), self.kty.into());
        epk.insert("crv".to_owned(), self.crv.into());
        match public.split_first() {
            Some((&UNCOMPRESSED, point)) if point.len() == 2 * self.len => {
                let (x, y) = point.split_at(self.len);
                epk.insert("x".to_owned(), base64url::encode(x).into());
                epk.insert("y".to_owned(), base64url::encode(y).into());
            }
            _ if public.len() == self.len => {
                epk.insert("x".to_owned(), base64url::encode(public).into());
            }
            _ => return Err(Error::Crypto("writing an ephemeral key")),
        }
        Ok(Value::Object(epk))
    }
}

/// The recipient's public key.
pub(in crate::jwe) struct AgreementSender {
    group: Group,
    public: ParsedPublicKey,
    algorithm: KeyManagementAlgorithm,
    apu: Vec<u8>,
    apv: Vec<u8>,
}

impl AgreementSender {
    pub(super) fn new(key: &Key, algorithm: KeyManagementAlgorithm) -> Result<Self, Error> {
        let group = Group::of_key(key)?;
        let public = match &key.material {
            Material::Ec(ec) => group.public(&ec.x, Some(&ec.y)),
            Material::Okp(okp) => group.public(&okp.x, None),
            Material::Rsa(_) | Material::Oct(_) | Material::Akp(_) => None,
        };
        Ok(Self {
            group,
            public: public
                .ok_or_else(|| Error::KeyInvalid("it is not a point on the curve".to_owned()))?,
            algorithm,
            apu: Vec::new(),
            apv: Vec::new(),
        })
    }

    /// Whether what is agreed on is the content key itself.
    pub(super) fn is_direct(&self) -> bool {
        wrapping_len(self.algorithm).is_none()
    }

    pub(super) fn set_parties(&mut self, apu: Vec<u8>, apv: Vec<u8>) {
        self.apu = apu;
        self.apv = apv;
    }

    /// Agrees by a fresh ephemeral key, and wraps `key` unless the agreed key is the content key.
    pub(super) fn carry(
        &self,
        key: Zeroizing<Vec<u8>>,
        encryption: ContentEncryption,
    ) -> Result<Carried, Error> {
        let failed = Error::Crypto("key agreement");
        let ephemeral = PrivateKey::generate(self.group.algorithm).map_err(|_| failed.clone())?;
        let public = ephemeral.compute_public_key().map_err(|_| failed.clone())?;
        let agreed = agree(
            &ephemeral,
            self.public.clone(),
            self.algorithm,
            encryption,
            (&self.apu, &self.apv),
            failed,
        )?;
        let mut parameters = Map::new();
        parameters.insert("epk".to_owned(), self.group.write(public.as_ref())?);
        for (name, party) in [("apu", &self.apu), ("apv", &self.apv)] {
            if !party.is_empty() {
                parameters.insert(name.to_owned(), base64url::encode(party).into());
            }
        }
        if self.is_direct() {
            return Ok(Carried {
                key: agreed,
                encrypted_key: Vec::new(),
                parameters,
            });
        }
        Ok(Carried {
            encrypted_key: AesKeyWrap::new(&agreed)?.wrap(&key)?,
            key,
            parameters,
        })
    }
}

/// The recipient's private key.
pub(in crate::jwe) struct AgreementReceiver {
    group: Group,
    private: PrivateKey,
    algorithm: KeyManagementAlgorithm,
}

impl AgreementReceiver {
    pub(super) fn new(key: &Key, algorithm: KeyManagementAlgorithm) -> Result<Self, Error> {
        let group = Group::of_key(key)?;
        let scalar = match &key.material {
            Material::Ec(ec) => ec.d.as_ref(),
            Material::Okp(okp) => okp.d.as_ref(),
            Material::Rsa(_) | Material::Oct(_) | Material::Akp(_) => None,
        }
        .ok_or(Error::NoPrivateKey)?;
        let private = PrivateKey::from_private_key(group.algorithm, scalar)
            .map_err(|_| Error::KeyInvalid("aws-lc refuses this private key".to_owned()))?;
        Ok(Self {
            group,
            private,
            algorithm,
        })
    }

    /// Whether the key is on the curve of the message's `epk`: tells keys apart where there is no `kid`.
    pub(super) fn fits(&self, header: &Header) -> bool {
        header
            .get("epk")
            .and_then(|epk| epk.get("crv"))
            .and_then(Value::as_str)
            == Some(self.group.crv)
    }

    /// The content key.
    pub(super) fn receive(
        &self,
        header: &Header,
        encrypted_key: &[u8],
        encryption: ContentEncryption,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let ephemeral = self.group.ephemeral(header)?;
        let apu = header.bytes("apu")?.unwrap_or_default();
        let apv = header.bytes("apv")?.unwrap_or_default();
        // aws-lc refuses the all-zero secret that points of low order lead to (RFC 8037, section 5).
        let agreed = agree(
            &self.private,
            ephemeral,
            self.algorithm,
            encryption,
            (&apu, &apv),
            Error::DecryptionFailed,
        )?;
        if wrapping_len(self.algorithm).is_some() {
            AesKeyUnwrap::new(&agreed)?.unwrap(encrypted_key)
        } else {
            no_encrypted_key(encrypted_key)?;
            Ok(agreed)
        }
    }
}

/// Bytes of the wrapping key; `None` with ECDH-ES alone. `algorithm` is one of the ECDH-ES family.
fn wrapping_len(algorithm: KeyManagementAlgorithm) -> Option<usize> {
    if algorithm == KeyManagementAlgorithm::EcdhEsA128Kw {
        Some(16)
    } else if algorithm == KeyManagementAlgorithm::EcdhEsA192Kw {
        Some(24)
    } else if algorithm == KeyManagementAlgorithm::EcdhEsA256Kw {
        Some(32)
    } else {
        None
    }
}

fn agree(
    private: &PrivateKey,
    public: ParsedPublicKey,
    algorithm: KeyManagementAlgorithm,
    encryption: ContentEncryption,
    parties: (&[u8], &[u8]),
    failed: Error,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (name, len) = match wrapping_len(algorithm) {
        Some(len) => (algorithm.as_str(), len),
        None => (encryption.as_str(), encryption.key_bytes()),
    };
    agreement::agree(private, public, failed, |secret| {
        derive(secret, name, parties, len)
    })
}

/// The Concat KDF (RFC 7518, section 4.6.2): `len` bytes for the algorithm `name`.
fn derive(
    secret: &[u8],
    name: &str,
    (apu, apv): (&[u8], &[u8]),
    len: usize,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = || Error::Crypto("key derivation");
    let count = |number: usize| {
        u32::try_from(number)
            .map(u32::to_be_bytes)
            .map_err(|_| failed())
    };
    let mut info = Vec::with_capacity(16 + name.len() + apu.len() + apv.len());
    for part in [name.as_bytes(), apu, apv] {
        info.extend_from_slice(&count(part.len())?);
        info.extend_from_slice(part);
    }
    info.extend_from_slice(&count(len * 8)?);
    let mut key = Zeroizing::new(vec![0; len]);
    let hash = get_sskdf_digest_algorithm(SskdfDigestAlgorithmId::Sha256).ok_or_else(failed)?;
    sskdf_digest(hash, secret, &info, &mut key).map_err(|_| failed())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(private: &str, public: (&str, &str), name: &str, parties: (&[u8], &[u8])) -> String {
        let group = Group::of(Curve::P256).unwrap();
        let decode = |text| base64url::decode("test", text).unwrap();
        let private = PrivateKey::from_private_key(group.algorithm, &decode(private)).unwrap();
        let public = group
            .public(&decode(public.0), Some(&decode(public.1)))
            .unwrap();
        let key = agreement::agree(&private, public, Error::DecryptionFailed, |secret| {
            derive(secret, name, parties, 16)
        });
        base64url::encode(key.unwrap())
    }

    /// RFC 7518, appendix C: both sides.
    #[test]
    fn rfc_7518_appendix_c() {
        let alice = (
            "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0",
            "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps",
        );
        let bob = (
            "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
            "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
        );
        let alice_d = "0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo";
        let bob_d = "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw";
        for (private, public) in [(alice_d, bob), (bob_d, alice)] {
            assert_eq!(
                agreed(private, public, "A128GCM", (b"Alice", b"Bob")),
                "VqqN6vgjbSBcIijNcacQGg"
            );
        }
    }

    /// RFC 8037, appendix A.6: the secret that both sides agree on.
    #[test]
    fn rfc_8037_appendix_a_6() {
        let group = Group::of(Curve::X25519).unwrap();
        let decode = |text| base64url::decode("test", text).unwrap();
        let bob = PrivateKey::from_private_key(
            group.algorithm,
            &decode("XasIfmJKikt54X-Lg4AO5m87sSkmGLb9HC-LJ_-I4Os"),
        )
        .unwrap();
        let header = r#"{"alg":"ECDH-ES+A128KW","enc":"A128GCM","kid":"Bob","epk":{"kty":"OKP",
            "crv":"X25519","x":"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"}}"#;
        let header = Header::parse(&base64url::encode(header), Map::new(), Map::new()).unwrap();
        let ephemeral = group.ephemeral(&header).unwrap();
        let secret = agreement::agree(&bob, ephemeral, (), |secret| Ok(secret.to_vec()));
        assert_eq!(
            secret.unwrap(),
            [
                0x4a, 0x5d, 0x9d, 0x5b, 0xa4, 0xce, 0x2d, 0xe1, 0x72, 0x8e, 0x3b, 0xf4, 0x80, 0x35,
                0x0f, 0x25, 0xe0, 0x7e, 0x21, 0xc9, 0x47, 0xd1, 0x9e, 0x33, 0x76, 0xf0, 0x9b, 0x3c,
                0x1e, 0x16, 0x17, 0x42
            ]
        );
    }
}
