//! Key management (RFC 7518, section 4): how the content encryption key gets from sender to recipient.

mod aes_key_wrap;
mod ecdh_es;
mod gcm_key_wrap;
mod pbes2;
mod rsa_oaep;

use super::content;
use super::header::Header;
use crate::Error;
use crate::algorithm::{Algorithm, ContentEncryption, KeyManagementAlgorithm};
use crate::key::{Key, KeyOperation, Material};
use aes_key_wrap::{AesKeyUnwrap, AesKeyWrap};
use ecdh_es::{AgreementReceiver, AgreementSender};
use gcm_key_wrap::GcmKeyWrap;
use pbes2::Pbes2;
use rsa_oaep::{OaepReceiver, OaepSender};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// A content encryption key on its way.
pub(super) struct Carried {
    /// The key itself.
    pub(super) key: Zeroizing<Vec<u8>>,
    /// The key for the recipient's eyes; empty where both sides derive or share it.
    pub(super) encrypted_key: Vec<u8>,
    /// Header parameters that the recipient needs.
    pub(super) parameters: Map<String, Value>,
}

/// The sender's side of one algorithm with one key.
pub(super) enum Sender {
    RsaOaep(OaepSender),
    Agreement(AgreementSender),
    AesKeyWrap(Box<AesKeyWrap>),
    GcmKeyWrap(GcmKeyWrap),
    Pbes2(Pbes2),
    Direct(Zeroizing<Vec<u8>>),
}

/// The recipient's side.
pub(super) enum Receiver {
    RsaOaep(OaepReceiver),
    Agreement(AgreementReceiver),
    AesKeyWrap(Box<AesKeyUnwrap>),
    GcmKeyWrap(GcmKeyWrap),
    Pbes2(Pbes2),
    Direct(Zeroizing<Vec<u8>>),
}

/// How an algorithm makes its key.
enum Family {
    RsaOaep,
    Agreement,
    AesKeyWrap,
    GcmKeyWrap,
    Pbes2,
    Direct,
}

impl Family {
    fn of(algorithm: KeyManagementAlgorithm) -> Self {
        use KeyManagementAlgorithm as A;
        match algorithm {
            A::RsaOaep | A::RsaOaep256 | A::RsaOaep384 | A::RsaOaep512 => Self::RsaOaep,
            A::EcdhEs | A::EcdhEsA128Kw | A::EcdhEsA192Kw | A::EcdhEsA256Kw => Self::Agreement,
            A::A128Kw | A::A192Kw | A::A256Kw => Self::AesKeyWrap,
            A::A128GcmKw | A::A192GcmKw | A::A256GcmKw => Self::GcmKeyWrap,
            A::Pbes2Hs256A128Kw | A::Pbes2Hs384A192Kw | A::Pbes2Hs512A256Kw => Self::Pbes2,
            A::Dir => Self::Direct,
        }
    }
}

/// The two directions, for `key_ops`.
#[derive(Clone, Copy)]
enum Direction {
    Encrypting,
    Decrypting,
}

impl Sender {
    /// Prepares `key` for `algorithm`; the content encryption matters where the key is the content key.
    pub(super) fn new(
        key: &Key,
        algorithm: KeyManagementAlgorithm,
        encryption: ContentEncryption,
    ) -> Result<Self, Error> {
        check_use(key, algorithm, Direction::Encrypting)?;
        match Family::of(algorithm) {
            Family::RsaOaep => OaepSender::new(key, algorithm).map(Self::RsaOaep),
            Family::Agreement => AgreementSender::new(key, algorithm).map(Self::Agreement),
            Family::AesKeyWrap => {
                AesKeyWrap::new(secret(key)?).map(|kek| Self::AesKeyWrap(Box::new(kek)))
            }
            Family::GcmKeyWrap => GcmKeyWrap::new(secret(key)?).map(Self::GcmKeyWrap),
            Family::Pbes2 => Ok(Self::Pbes2(Pbes2::new(secret(key)?, algorithm))),
            Family::Direct if key.fits(Algorithm::ContentEncryption(encryption)) => {
                match key.algorithm() {
                    Some(Algorithm::ContentEncryption(bound)) if bound != encryption => Err(
                        Error::KeyUnfit(format!("its `alg` binds it to {bound}, not {encryption}")),
                    ),
                    Some(_) | None => Ok(Self::Direct(secret(key)?.to_vec().into())),
                }
            }
            Family::Direct => Err(Error::KeyUnfit(format!(
                "{} does not fit {encryption}",
                key.description()
            ))),
        }
    }

    /// Whether the content key follows from the recipient's key, so that there can be one recipient
    /// only.
    pub(super) fn determines_key(&self) -> bool {
        match self {
            Self::Direct(_) => true,
            Self::Agreement(sender) => sender.is_direct(),
            Self::RsaOaep(_) | Self::AesKeyWrap(_) | Self::GcmKeyWrap(_) | Self::Pbes2(_) => false,
        }
    }

    /// Carries `key`, or where this algorithm determines it, the key that follows.
    pub(super) fn carry(
        &self,
        key: Option<&Zeroizing<Vec<u8>>>,
        encryption: ContentEncryption,
    ) -> Result<Carried, Error> {
        let fresh = match key {
            Some(key) => key.clone(),
            None if self.determines_key() => Zeroizing::new(Vec::new()),
            None => content::generate_key(encryption)?,
        };
        let carried = |(encrypted_key, parameters)| Carried {
            key: fresh.clone(),
            encrypted_key,
            parameters,
        };
        match self {
            Self::RsaOaep(sender) => Ok(carried((sender.wrap(&fresh)?, Map::new()))),
            Self::AesKeyWrap(kek) => Ok(carried((kek.wrap(&fresh)?, Map::new()))),
            Self::GcmKeyWrap(kek) => kek.wrap(&fresh).map(carried),
            Self::Pbes2(sender) => sender.wrap(&fresh).map(carried),
            Self::Agreement(sender) => sender.carry(fresh, encryption),
            Self::Direct(shared) => Ok(Carried {
                key: shared.clone(),
                encrypted_key: Vec::new(),
                parameters: Map::new(),
            }),
        }
    }

    /// Sets what names the parties of a key agreement.
    pub(super) fn set_parties(&mut self, apu: Vec<u8>, apv: Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Agreement(sender) => {
                sender.set_parties(apu, apv);
                Ok(())
            }
            Self::RsaOaep(_)
            | Self::AesKeyWrap(_)
            | Self::GcmKeyWrap(_)
            | Self::Pbes2(_)
            | Self::Direct(_) => Err(Error::KeyUnfit(
                "only ECDH-ES takes `apu` and `apv`".to_owned(),
            )),
        }
    }

    /// Sets the iteration count of PBES2.
    pub(super) fn set_count(&mut self, count: u32) -> Result<(), Error> {
        match self {
            Self::Pbes2(sender) => sender.set_count(count),
            Self::RsaOaep(_)
            | Self::AesKeyWrap(_)
            | Self::GcmKeyWrap(_)
            | Self::Agreement(_)
            | Self::Direct(_) => Err(Error::KeyUnfit(
                "only PBES2 takes an iteration count".to_owned(),
            )),
        }
    }
}

impl Receiver {
    /// Prepares `key` for `algorithm`.
    pub(super) fn new(key: &Key, algorithm: KeyManagementAlgorithm) -> Result<Self, Error> {
        check_use(key, algorithm, Direction::Decrypting)?;
        match Family::of(algorithm) {
            Family::RsaOaep => OaepReceiver::new(key, algorithm).map(Self::RsaOaep),
            Family::Agreement => AgreementReceiver::new(key, algorithm).map(Self::Agreement),
            Family::AesKeyWrap => {
                AesKeyUnwrap::new(secret(key)?).map(|kek| Self::AesKeyWrap(Box::new(kek)))
            }
            Family::GcmKeyWrap => GcmKeyWrap::new(secret(key)?).map(Self::GcmKeyWrap),
            Family::Pbes2 => Ok(Self::Pbes2(Pbes2::new(secret(key)?, algorithm))),
            Family::Direct => {
                let shared = secret(key)?;
                let fitting = |encryption: &&ContentEncryption| {
                    key.fits(Algorithm::ContentEncryption(**encryption))
                };
                if ContentEncryption::ALL.iter().any(|one| fitting(&one)) {
                    Ok(Self::Direct(shared.to_vec().into()))
                } else {
                    Err(Error::KeyUnfit(format!(
                        "no content encryption takes a key of {} bytes",
                        shared.len()
                    )))
                }
            }
        }
    }

    /// Whether the key can be the one of a message that names no `kid`.
    pub(super) fn could_open(&self, header: &Header) -> bool {
        match self {
            Self::Agreement(receiver) => receiver.fits(header),
            Self::RsaOaep(_)
            | Self::AesKeyWrap(_)
            | Self::GcmKeyWrap(_)
            | Self::Pbes2(_)
            | Self::Direct(_) => true,
        }
    }

    /// The content key. `counts` is what is left of the bound on PBES2 iterations.
    ///
    /// A malformed header parameter has an error of its own, since it depends on no secret. All else is
    /// [`Error::DecryptionFailed`].
    pub(super) fn receive(
        &self,
        header: &Header,
        encrypted_key: &[u8],
        encryption: ContentEncryption,
        counts: &mut u32,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = match self {
            Self::RsaOaep(receiver) => receiver.unwrap(encrypted_key)?,
            Self::AesKeyWrap(kek) => kek.unwrap(encrypted_key)?,
            Self::GcmKeyWrap(kek) => kek.unwrap(header, encrypted_key)?,
            Self::Pbes2(receiver) => receiver.unwrap(header, encrypted_key, counts)?,
            Self::Agreement(receiver) => receiver.receive(header, encrypted_key, encryption)?,
            Self::Direct(shared) => {
                no_encrypted_key(encrypted_key)?;
                shared.clone()
            }
        };
        if key.len() == encryption.key_bytes() {
            Ok(key)
        } else {
            Err(Error::DecryptionFailed)
        }
    }
}

/// RFC 7516, section 5.2, step 10: with `dir` and `ECDH-ES` there is no encrypted key.
fn no_encrypted_key(encrypted_key: &[u8]) -> Result<(), Error> {
    if encrypted_key.is_empty() {
        Ok(())
    } else {
        Err(Error::Serialization(
            "with this `alg` the encrypted key must be empty",
        ))
    }
}

/// The bytes of an `oct` key.
fn secret(key: &Key) -> Result<&[u8], Error> {
    match &key.material {
        Material::Oct(oct) => Ok(&oct.k),
        Material::Rsa(_) | Material::Ec(_) | Material::Okp(_) | Material::Akp(_) => {
            Err(Error::KeyUnfit("an `oct` key is needed".to_owned()))
        }
    }
}

/// Whether this is what WebCrypto exports as the public half of a pair to agree with: its `key_ops` are
/// empty, since there only the private half derives.
fn is_public_half_of_agreement(key: &Key) -> bool {
    let agrees = match &key.material {
        Material::Ec(_) | Material::Okp(_) => true,
        Material::Rsa(_) | Material::Oct(_) | Material::Akp(_) => false,
    };
    agrees && !key.is_private() && key.operations().is_some_and(<[KeyOperation]>::is_empty)
}

/// Enforces type, length, `use`, `key_ops` and `alg` (RFC 7517, sections 4.2 to 4.4).
fn check_use(
    key: &Key,
    algorithm: KeyManagementAlgorithm,
    direction: Direction,
) -> Result<(), Error> {
    use KeyOperation as O;
    let (wrap, cipher) = match direction {
        Direction::Encrypting => (O::WrapKey, O::Encrypt),
        Direction::Decrypting => (O::UnwrapKey, O::Decrypt),
    };
    let operation = match Family::of(algorithm) {
        Family::RsaOaep | Family::AesKeyWrap | Family::GcmKeyWrap => wrap,
        Family::Agreement | Family::Pbes2 => O::DeriveKey,
        Family::Direct => cipher,
    };
    let algorithm = Algorithm::KeyManagement(algorithm);
    if matches!(direction, Direction::Encrypting) && is_public_half_of_agreement(key) {
        let mut key = key.clone();
        key.parameters.operations = None;
        return key.check_use(operation, algorithm);
    }
    key.check_use(operation, algorithm)
}
