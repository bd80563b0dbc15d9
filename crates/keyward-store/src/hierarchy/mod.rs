//! The key hierarchy: a master key, which is never in the database, wraps data keys, one for each
//! purpose, and these encrypt fields.
//!
//! Changing the master key wraps the data keys anew and touches no field. A field is bound to its table,
//! row, column and team: moved elsewhere it does not open.
//!
//! **How a text is sealed.** Each message has a key of its own: HKDF-SHA-256 (RFC 5869) with 32 random
//! bytes as salt, the wrapping key as input and the place as information; with it AES-256-GCM under a
//! nonce of zeros, which is used once, since the key is. So there is no number of messages after which a
//! random 96-bit nonce would have to be feared: two messages would need the same 256-bit salt, which is
//! to be expected after some 2^128 of them.

mod keyring;
#[cfg(test)]
mod tests;

pub(crate) use keyring::Keyring;

use crate::Error;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use keyward_model::Secret;
use keyward_model::id::{DataKeyId, TeamId};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// The length of every key here: AES-256.
const KEY_LENGTH: usize = 32;

/// The salt's length: as long as the hash.
const SALT_LENGTH: usize = 32;

/// GCM's tag.
const TAG_LENGTH: usize = 16;

/// How a sealed text begins, so that another construction can stand beside this one later.
const SEALED_FORM: &str = "kw1";

/// What a data key is for. A key of one purpose opens nothing of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Encrypts secrets in rows: private keys, credentials of upstreams.
    Secrets,
    /// Keys the hashes of API keys.
    ApiKeyHashing,
    /// Makes and checks nonces given to clients.
    Nonces,
    /// Protects the cursors of lists.
    Cursors,
    /// Signs webhooks.
    Webhooks,
    /// Anchors the audit log.
    Audit,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Secrets,
        Self::ApiKeyHashing,
        Self::Nonces,
        Self::Cursors,
        Self::Webhooks,
        Self::Audit,
    ];

    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::ApiKeyHashing => "api_key_hashing",
            Self::Nonces => "nonces",
            Self::Cursors => "cursors",
            Self::Webhooks => "webhooks",
            Self::Audit => "audit",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
    }
}

/// The key above all others: 32 random bytes, kept outside the database.
///
/// ```
/// use keyward_store::MasterKey;
/// let key = MasterKey::generate().unwrap();
/// let read = MasterKey::parse(key.to_text().reveal()).unwrap();
/// assert_eq!(key.to_text().reveal(), read.to_text().reveal());
/// assert_eq!(format!("{key:?}"), "MasterKey([secret])");
/// assert!(MasterKey::parse("correct horse battery staple").is_err());
/// ```
#[derive(Clone, Debug)]
pub struct MasterKey(Secret<[u8; KEY_LENGTH]>);

impl MasterKey {
    /// A new one from the system's generator.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the generator fails.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self(Secret::new(*random_key()?)))
    }

    /// Reads 64 hexadecimal digits or base64 (either alphabet, with or without padding) of 32 bytes;
    /// white space around it is left out, as a file ends with a line feed.
    ///
    /// # Errors
    /// [`Error::MasterKeyMalformed`] for anything else: a pass phrase is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim_ascii();
        let bytes = hexadecimal_key(text)
            .or_else(|| STANDARD.decode(text).ok())
            .or_else(|| STANDARD_NO_PAD.decode(text).ok())
            .or_else(|| URL_SAFE.decode(text).ok())
            .or_else(|| URL_SAFE_NO_PAD.decode(text).ok())
            .map(Zeroizing::new)
            .ok_or(Error::MasterKeyMalformed)?;
        let key: [u8; KEY_LENGTH] = bytes
            .as_slice()
            .try_into()
            .map_err(|_| Error::MasterKeyMalformed)?;
        Ok(Self(Secret::new(key)))
    }

    /// One that was derived elsewhere, such as in a hardware module.
    #[must_use]
    pub fn derived(key: Secret<[u8; KEY_LENGTH]>) -> Self {
        Self(key)
    }

    /// What [`parse`](Self::parse) reads: base64url.
    #[must_use]
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(URL_SAFE_NO_PAD.encode(self.0.reveal()))
    }

    /// A key of its own for each use of the master, so that a check value says nothing about wrapping.
    fn derive(&self, what: &'static [u8]) -> Result<WrappingKey, Error> {
        let key = expand(b"keyward master key", self.0.reveal(), &[what])?;
        Ok(WrappingKey(key))
    }
}

/// A key for MACs (HMAC-SHA-256), and the data key that it was derived from. It stays the same when the master key
/// is replaced, so that no hash under it breaks.
#[derive(Clone, Debug)]
pub struct MacKey {
    /// The data key.
    pub id: DataKeyId,
    /// The key.
    pub key: Secret<[u8; KEY_LENGTH]>,
}

fn hexadecimal_key(text: &str) -> Option<Vec<u8>> {
    let well_formed =
        text.len() == 2 * KEY_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !well_formed {
        return None;
    }
    (0..KEY_LENGTH)
        .map(|index| {
            let digits = text.get(2 * index..2 * index + 2)?;
            u8::from_str_radix(digits, 16).ok()
        })
        .collect()
}

/// Where a sealed text belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    pub(crate) row: &'a str,
    pub(crate) team: Option<TeamId>,
}

impl Place<'_> {
    /// Each part with its length before it, so that no two places have the same bytes.
    fn to_bytes(self, purpose: &str) -> Vec<u8> {
        let team = self.team.map(|team| team.to_string()).unwrap_or_default();
        let mut bytes = Vec::new();
        for part in [purpose, self.table, self.column, self.row, &team] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }

    fn refused(self) -> Error {
        Error::Sealed {
            place: self.to_string(),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of {} {}", self.column, self.table, self.row)
    }
}

/// A key that seals: a data key, or what the master wraps data keys with.
struct WrappingKey(Zeroizing<[u8; KEY_LENGTH]>);

impl WrappingKey {
    /// `kw1.<id>.<base64url of salt, ciphertext and tag>`, bound to `place`.
    fn seal(
        &self,
        id: &str,
        purpose: &str,
        place: Place<'_>,
        plaintext: &[u8],
    ) -> Result<String, Error> {
        let mut sealed = vec![0; SALT_LENGTH];
        fill(&mut sealed)?;
        let bound = place.to_bytes(purpose);
        let key = self.message_key(&sealed, &bound)?;
        // The buffer is wiped if sealing fails half way; its room for the tag keeps it from moving.
        let mut text = Zeroizing::new(Vec::with_capacity(plaintext.len() + TAG_LENGTH));
        text.extend_from_slice(plaintext);
        key.seal_in_place_append_tag(once(), Aad::from(&bound), &mut *text)
            .map_err(|_| Error::Crypto("sealing a field"))?;
        sealed.extend_from_slice(&text);
        Ok(format!(
            "{SEALED_FORM}.{id}.{}",
            URL_SAFE_NO_PAD.encode(sealed)
        ))
    }

    fn open(
        &self,
        purpose: &str,
        place: Place<'_>,
        sealed: &Sealed<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let bytes = URL_SAFE_NO_PAD
            .decode(sealed.body)
            .map_err(|_| place.refused())?;
        let (salt, body) = bytes
            .split_at_checked(SALT_LENGTH)
            .ok_or_else(|| place.refused())?;
        let bound = place.to_bytes(purpose);
        let key = self.message_key(salt, &bound)?;
        let mut text = Zeroizing::new(body.to_vec());
        let length = key
            .open_in_place(once(), Aad::from(&bound), &mut text)
            .map_err(|_| place.refused())?
            .len();
        text.truncate(length);
        Ok(text)
    }

    fn message_key(&self, salt: &[u8], bound: &[u8]) -> Result<LessSafeKey, Error> {
        let key = expand(salt, &self.0, &[b"keyward sealed field", bound])?;
        let key = UnboundKey::new(&AES_256_GCM, &*key)
            .map_err(|_| Error::Crypto("making a key for AES-256-GCM"))?;
        Ok(LessSafeKey::new(key))
    }
}

/// The only nonce of a key that is used once.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// A sealed text, taken apart.
struct Sealed<'a> {
    id: &'a str,
    body: &'a str,
}

impl<'a> Sealed<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (id, body) = text
            .strip_prefix(SEALED_FORM)?
            .strip_prefix('.')?
            .split_once('.')?;
        Some(Self { id, body })
    }
}

fn expand(
    salt: &[u8],
    secret: &[u8; KEY_LENGTH],
    information: &[&[u8]],
) -> Result<Zeroizing<[u8; KEY_LENGTH]>, Error> {
    #[derive(Clone, Copy)]
    struct KeyLength;
    impl KeyType for KeyLength {
        fn len(&self) -> usize {
            KEY_LENGTH
        }
    }
    let derived = |_| Error::Crypto("deriving a key");
    let mut key = Zeroizing::new([0; KEY_LENGTH]);
    Salt::new(HKDF_SHA256, salt)
        .extract(secret)
        .expand(information, KeyLength)
        .map_err(derived)?
        .fill(&mut *key)
        .map_err(derived)?;
    Ok(key)
}

fn random_key() -> Result<Zeroizing<[u8; KEY_LENGTH]>, Error> {
    let mut key = Zeroizing::new([0; KEY_LENGTH]);
    fill(&mut *key)?;
    Ok(key)
}

/// Fills with random bytes.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    rand::fill(bytes).map_err(|_| {
        bytes.zeroize();
        Error::Crypto("reading the system's random generator")
    })
}

/// The random part of an identifier.
pub(crate) fn random_id() -> Result<[u8; 10], Error> {
    let mut bytes = [0; 10];
    fill(&mut bytes)?;
    Ok(bytes)
}
