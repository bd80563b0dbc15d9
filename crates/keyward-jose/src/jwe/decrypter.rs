//! Decrypting: one key with one `alg`.

use super::compression;
use super::content;
use super::header::Header;
use super::key_management::Receiver;
use super::limits::Limits;
use super::serialization::{Parts, Recipient};
use crate::Error;
use crate::algorithm::{Algorithm, ContentEncryption, KeyManagementAlgorithm};
use crate::key::Key;
use std::fmt;
use zeroize::Zeroizing;

/// What came out of a message.
#[derive(Clone)]
pub struct Decrypted {
    /// The header of the recipient whose key decrypted it.
    pub header: Header,
    /// The plaintext, inflated if it was compressed; zeroized when dropped.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The additional authenticated data of a JSON serialization.
    pub aad: Option<Vec<u8>>,
}

/// A recipient's key, prepared for one key management algorithm. A message with another `alg` is
/// refused, whatever it says.
pub struct Decrypter {
    receiver: Receiver,
    algorithm: KeyManagementAlgorithm,
    encryptions: Vec<ContentEncryption>,
    kid: Option<String>,
    limits: Limits,
}

impl Decrypter {
    /// Prepares the key: private for RSA-OAEP and ECDH-ES, `oct` for all others. All six content
    /// encryption algorithms are allowed; where the key's `alg` names one (with `dir`), only that.
    ///
    /// # Errors
    /// [`Error::KeyUnfit`] if the key's type, length, `alg`, `use` or `key_ops` does not fit,
    /// [`Error::NoPrivateKey`], and [`Error::KeyInvalid`] if its numbers make no key.
    pub fn new(key: &Key, algorithm: KeyManagementAlgorithm) -> Result<Self, Error> {
        let receiver = Receiver::new(key, algorithm)?;
        let encryptions = match key.algorithm() {
            Some(Algorithm::ContentEncryption(encryption)) => vec![encryption],
            Some(Algorithm::Signature(_) | Algorithm::KeyManagement(_)) | None => {
                ContentEncryption::ALL.to_vec()
            }
        };
        Ok(Self {
            receiver,
            algorithm,
            encryptions,
            kid: key.kid().map(str::to_owned),
            limits: Limits::default(),
        })
    }

    /// Allows only these content encryption algorithms (and of them only what the key allows).
    #[must_use]
    pub fn with_encryptions(mut self, allowed: &[ContentEncryption]) -> Self {
        self.encryptions.retain(|one| allowed.contains(one));
        self
    }

    /// Replaces the bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// `alg`.
    #[must_use]
    pub fn algorithm(&self) -> KeyManagementAlgorithm {
        self.algorithm
    }

    /// The key's `kid`. The message's own is not compared with it: the caller chose this key.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Decrypts the compact serialization.
    ///
    /// # Errors
    /// [`Error::DecryptionFailed`] for all that depends on the key; before that, [`Error::Serialization`],
    /// [`Error::Base64`], [`Error::Json`], [`Error::Header`], [`Error::CriticalExtension`],
    /// [`Error::AlgorithmNotAllowed`] and [`Error::TooLarge`].
    pub fn decrypt_compact(&self, text: &str) -> Result<Decrypted, Error> {
        self.decrypt(Parts::compact(text, self.limits.serialized)?)
    }

    /// Decrypts the flattened JSON serialization.
    ///
    /// # Errors
    /// As [`decrypt_compact`](Self::decrypt_compact).
    pub fn decrypt_flattened(&self, text: &str) -> Result<Decrypted, Error> {
        self.decrypt(Parts::flattened(text, self.limits.serialized)?)
    }

    /// Decrypts the general JSON serialization: the first recipient that this key opens, beginning with
    /// those that name its `kid`.
    ///
    /// # Errors
    /// As [`decrypt_compact`](Self::decrypt_compact).
    pub fn decrypt_general(&self, text: &str) -> Result<Decrypted, Error> {
        self.decrypt(Parts::general(text, self.limits.serialized)?)
    }

    fn decrypt(&self, mut parts: Parts) -> Result<Decrypted, Error> {
        // Who names this key comes first, so that the bound on attempts meets the others.
        let others = |one: &Recipient| self.kid().is_none() || one.header.kid() != self.kid();
        parts.recipients.sort_by_key(others);
        open_any(parts, &self.limits, |header| {
            let algorithm = header.algorithm()?;
            if algorithm == self.algorithm {
                Ok(vec![self])
            } else {
                Err(Error::AlgorithmNotAllowed(algorithm.to_string()))
            }
        })
    }

    /// Whether the key can be the one of a message that names no `kid`.
    pub(super) fn could_open(&self, header: &Header) -> bool {
        self.receiver.could_open(header)
    }

    /// Opens the content as `recipient`.
    fn open(
        &self,
        recipient: &Recipient,
        parts: &Parts,
        limits: &Limits,
        counts: &mut u32,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let header = &recipient.header;
        let encryption = header.encryption()?;
        if !self.encryptions.contains(&encryption) {
            return Err(Error::AlgorithmNotAllowed(encryption.to_string()));
        }
        let key = self
            .receiver
            .receive(header, &recipient.encrypted_key, encryption, counts)?;
        let plaintext = content::open(
            encryption,
            &key,
            &parts.iv,
            &parts.authenticated,
            &parts.ciphertext,
            &parts.tag,
        )?;
        if header.is_compressed() {
            compression::inflate(&plaintext, limits.inflated)
        } else {
            Ok(plaintext)
        }
    }
}

/// Opens `parts` with the first key that `select` names for a recipient and that fits. If none does, the
/// error is [`Error::DecryptionFailed`] as soon as one was tried, or else the first refusal; and
/// [`Error::TooLarge`] if more would have to be tried than the limits allow.
pub(super) fn open_any<'a>(
    mut parts: Parts,
    limits: &Limits,
    select: impl Fn(&Header) -> Result<Vec<&'a Decrypter>, Error>,
) -> Result<Decrypted, Error> {
    let recipients = std::mem::take(&mut parts.recipients);
    let mut counts = limits.pbes2_count;
    let mut attempts = limits.attempts;
    let mut refusal = None;
    for recipient in recipients {
        let candidates = match select(&recipient.header) {
            Ok(candidates) => candidates,
            Err(error) => {
                refusal.get_or_insert(error);
                continue;
            }
        };
        for candidate in candidates {
            attempts = attempts.checked_sub(1).ok_or(Error::TooLarge {
                what: "the number of keys to try for one JWE",
                limit: usize::try_from(limits.attempts).unwrap_or(usize::MAX),
            })?;
            match candidate.open(&recipient, &parts, limits, &mut counts) {
                Ok(plaintext) => {
                    return Ok(Decrypted {
                        header: recipient.header,
                        plaintext,
                        aad: parts.aad,
                    });
                }
                Err(Error::DecryptionFailed) => refusal = Some(Error::DecryptionFailed),
                Err(error) => {
                    refusal.get_or_insert(error);
                }
            }
        }
    }
    Err(refusal.unwrap_or(Error::DecryptionFailed))
}

/// The header; never the plaintext.
impl fmt::Debug for Decrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decrypted")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Algorithm and `kid`; never the key.
impl fmt::Debug for Decrypter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decrypter")
            .field("algorithm", &self.algorithm)
            .field("encryptions", &self.encryptions)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
