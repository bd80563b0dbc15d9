//! Encrypting: one key with one `alg` and one `enc`.

use super::compression;
use super::content;
use super::header::refused;
use super::key_management::Sender;
use super::limits::RECIPIENTS_MAX;
use super::message::Message;
use super::serialization::{write_compact, write_json};
use crate::algorithm::{ContentEncryption, KeyManagementAlgorithm};
use crate::key::Key;
use crate::{Error, base64url};
use serde_json::{Map, Value};
use std::fmt;

/// Header parameters that only the encrypter sets.
const OWN: &[&str] = &[
    "alg", "enc", "zip", "crit", "epk", "apu", "apv", "iv", "tag", "p2s", "p2c",
];

/// A recipient's key, prepared for one key management and one content encryption algorithm.
pub struct Encrypter {
    sender: Sender,
    algorithm: KeyManagementAlgorithm,
    encryption: ContentEncryption,
    kid: Option<String>,
}

impl Encrypter {
    /// Prepares the key: public for RSA-OAEP and ECDH-ES, `oct` for all others. PBES2 takes the password
    /// as an `oct` key.
    ///
    /// # Errors
    /// [`Error::KeyUnfit`] if the key's type, length, `alg`, `use` or `key_ops` does not fit, and
    /// [`Error::KeyInvalid`] if its numbers make no key.
    pub fn new(
        key: &Key,
        algorithm: KeyManagementAlgorithm,
        encryption: ContentEncryption,
    ) -> Result<Self, Error> {
        Ok(Self {
            sender: Sender::new(key, algorithm, encryption)?,
            algorithm,
            encryption,
            kid: key.kid().map(str::to_owned),
        })
    }

    /// Binds the agreed key to the two parties: `apu` and `apv` (RFC 7518, section 4.6.1.2). Empty is
    /// left out.
    ///
    /// # Errors
    /// [`Error::KeyUnfit`] with algorithms other than ECDH-ES.
    pub fn with_parties(mut self, apu: &[u8], apv: &[u8]) -> Result<Self, Error> {
        self.sender.set_parties(apu.to_vec(), apv.to_vec())?;
        Ok(self)
    }

    /// Sets the iterations of PBES2 (`p2c`), 1,000 to 1,000,000. The default is what OWASP asks for
    /// where passwords are stored.
    ///
    /// # Errors
    /// [`Error::KeyUnfit`] with algorithms other than PBES2, [`Error::Header`] for another number.
    pub fn with_pbes2_count(mut self, count: u32) -> Result<Self, Error> {
        self.sender.set_count(count)?;
        Ok(self)
    }

    /// `alg`.
    #[must_use]
    pub fn algorithm(&self) -> KeyManagementAlgorithm {
        self.algorithm
    }

    /// `enc`.
    #[must_use]
    pub fn encryption(&self) -> ContentEncryption {
        self.encryption
    }

    /// The key's `kid`, which goes into the header.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Encrypts to the compact serialization (RFC 7516, section 7.1): everything in the protected header.
    ///
    /// # Errors
    /// [`Error::Serialization`] if the message has an unprotected header or AAD, [`Error::Header`] if it
    /// sets a parameter that belongs to the encrypter, [`Error::TooLarge`] if it is too long to compress.
    pub fn encrypt_compact(&self, message: &Message<'_>) -> Result<String, Error> {
        if !message.unprotected.is_empty() || message.aad.is_some() {
            return Err(Error::Serialization(
                "the compact serialization has no unprotected header and no AAD",
            ));
        }
        let (protected, encrypted_key, sealed) = self.encrypt(message)?;
        Ok(write_compact(&protected, &encrypted_key, &sealed))
    }

    /// Encrypts to the flattened JSON serialization (RFC 7516, section 7.2.2), with all that the
    /// encrypter sets in the protected header.
    ///
    /// # Errors
    /// [`Error::Header`] if the message sets a parameter that belongs to the encrypter, or one twice;
    /// [`Error::TooLarge`] if it is too long to compress.
    pub fn encrypt_flattened(&self, message: &Message<'_>) -> Result<String, Error> {
        let (protected, encrypted_key, sealed) = self.encrypt(message)?;
        let aad = message.aad.filter(|aad| !aad.is_empty());
        let mut object = write_json(protected, message.unprotected.clone(), aad, &sealed);
        if !encrypted_key.is_empty() {
            object.insert(
                "encrypted_key".to_owned(),
                base64url::encode(encrypted_key).into(),
            );
        }
        Ok(Value::Object(object).to_string())
    }

    fn encrypt(&self, message: &Message<'_>) -> Result<(String, Vec<u8>, content::Sealed), Error> {
        let carried = self.sender.carry(None, self.encryption)?;
        let mut header = protected(message, self.encryption)?;
        header.extend(self.recipient(message));
        header.extend(carried.parameters);
        check_disjoint(&header, &message.unprotected)?;
        let header = base64url::encode(Value::Object(header).to_string());
        let sealed = seal(message, self.encryption, &carried.key, &header)?;
        Ok((header, carried.encrypted_key, sealed))
    }

    /// The parameters that name the key.
    fn recipient(&self, message: &Message<'_>) -> Map<String, Value> {
        let mut header = Map::new();
        header.insert("alg".to_owned(), self.algorithm.as_str().into());
        if let Some(kid) = &self.kid
            && !message.protected.contains_key("kid")
            && !message.unprotected.contains_key("kid")
        {
            header.insert("kid".to_owned(), kid.as_str().into());
        }
        header
    }
}

/// Encrypts one message for several recipients to the general JSON serialization (RFC 7516, section
/// 7.2.1). `alg`, `kid` and what the algorithm needs stand in each recipient's own, unprotected header.
///
/// # Errors
/// [`Error::Serialization`] if there is no recipient, if their content encryption differs, or if one of
/// several uses `dir` or `ECDH-ES`, which fix the content key; [`Error::TooLarge`] if there are more than
/// 64; and what [`Encrypter::encrypt_flattened`] refuses.
pub fn encrypt_general(recipients: &[&Encrypter], message: &Message<'_>) -> Result<String, Error> {
    let Some((first, others)) = recipients.split_first() else {
        return Err(Error::Serialization("at least one recipient is needed"));
    };
    if recipients.len() > RECIPIENTS_MAX {
        return Err(Error::TooLarge {
            what: "number of JWE recipients",
            limit: RECIPIENTS_MAX,
        });
    }
    let encryption = first.encryption;
    if others.iter().any(|other| other.encryption != encryption) {
        return Err(Error::Serialization(
            "all recipients must have the same content encryption",
        ));
    }
    if !others.is_empty() && recipients.iter().any(|one| one.sender.determines_key()) {
        return Err(Error::Serialization(
            "`dir` and `ECDH-ES` allow one recipient only",
        ));
    }
    let header = protected(message, encryption)?;
    check_disjoint(&header, &message.unprotected)?;
    let mut entries = Vec::with_capacity(recipients.len());
    let mut key = None;
    for recipient in recipients {
        let carried = recipient.sender.carry(key.as_ref(), encryption)?;
        let mut own = recipient.recipient(message);
        own.extend(carried.parameters);
        check_disjoint(&own, &message.unprotected)?;
        let mut entry = Map::new();
        entry.insert("header".to_owned(), own.into());
        if !carried.encrypted_key.is_empty() {
            entry.insert(
                "encrypted_key".to_owned(),
                base64url::encode(&carried.encrypted_key).into(),
            );
        }
        entries.push(Value::Object(entry));
        key = key.or(Some(carried.key));
    }
    let header = base64url::encode(Value::Object(header).to_string());
    let key = key.ok_or(Error::Serialization("at least one recipient is needed"))?;
    let sealed = seal(message, encryption, &key, &header)?;
    let aad = message.aad.filter(|aad| !aad.is_empty());
    let mut object = write_json(header, message.unprotected.clone(), aad, &sealed);
    object.insert("recipients".to_owned(), Value::Array(entries));
    Ok(Value::Object(object).to_string())
}

/// The caller's protected header with `enc` and `zip`.
fn protected(
    message: &Message<'_>,
    encryption: ContentEncryption,
) -> Result<Map<String, Value>, Error> {
    for name in message.protected.keys().chain(message.unprotected.keys()) {
        if OWN.contains(&name.as_str()) {
            return Err(refused(name, "only the encrypter sets it"));
        }
    }
    for name in ["kid", "typ", "cty"] {
        for map in [&message.protected, &message.unprotected] {
            if map.get(name).is_some_and(|value| !value.is_string()) {
                return Err(refused(name, "a string is needed"));
            }
        }
    }
    let mut header = message.protected.clone();
    header.insert("enc".to_owned(), encryption.as_str().into());
    if message.compressed {
        header.insert("zip".to_owned(), "DEF".into());
    }
    Ok(header)
}

fn check_disjoint(one: &Map<String, Value>, other: &Map<String, Value>) -> Result<(), Error> {
    match one.keys().find(|name| other.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(refused(name, "it stands in two of the headers")),
    }
}

fn seal(
    message: &Message<'_>,
    encryption: ContentEncryption,
    key: &[u8],
    protected: &str,
) -> Result<content::Sealed, Error> {
    let mut authenticated = protected.as_bytes().to_vec();
    if let Some(aad) = message.aad.filter(|aad| !aad.is_empty()) {
        authenticated.push(b'.');
        authenticated.extend_from_slice(base64url::encode(aad).as_bytes());
    }
    if message.compressed {
        let deflated = compression::deflate(message.plaintext)?;
        content::seal(encryption, key, &authenticated, &deflated)
    } else {
        content::seal(encryption, key, &authenticated, message.plaintext)
    }
}

/// Algorithms and `kid`; never the key.
impl fmt::Debug for Encrypter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypter")
            .field("algorithm", &self.algorithm)
            .field("encryption", &self.encryption)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
