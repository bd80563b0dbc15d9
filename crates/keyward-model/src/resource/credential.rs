//! Credentials: API keys and passwords, with what whoever shows them may do.

use crate::api_key::ApiKey;
use crate::clock::Timestamp;
use crate::limit::Budget;
use crate::secret::Secret;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Who vouches for the callers that a credential of a node stands for, as upstreams, limits and revocations call it.
pub const ISSUER: &str = "urn:keyward:credentials";

/// A credential. APIs of its team take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// What proves it.
    pub proof: CredentialProof,
    /// Who calls with it. Default: the resource's name.
    pub subject: Box<str>,
    /// What it may be used for.
    pub scopes: BTreeSet<String>,
    /// The roles of whoever calls with it.
    pub roles: BTreeSet<String>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Whether it is taken at all.
    pub enabled: bool,
    /// Limits in what calls of AI models with it take, at whichever API of its team.
    pub budgets: Vec<Budget>,
}

impl Credential {
    /// What tells this credential from the others of its team when it is shown, as text, and the member that says so: an
    /// API key or its hash, or a user's name with a colon. It may be a secret.
    #[must_use]
    pub fn shown(&self) -> (String, &'static str) {
        match &self.proof {
            CredentialProof::ApiKey(KeyMaterial::Clear(key)) => {
                (key.reveal().to_owned(), "api_key")
            }
            CredentialProof::ApiKey(KeyMaterial::Hashed(hash)) => (hash.to_string(), "api_key"),
            CredentialProof::Password { username, .. } => (format!("{username}:"), "username"),
        }
    }

    /// Whether its secret stands in it, and not what is kept of one.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        match &self.proof {
            CredentialProof::ApiKey(KeyMaterial::Clear(_))
            | CredentialProof::Password {
                password: PasswordMaterial::Clear(_),
                ..
            } => true,
            CredentialProof::ApiKey(KeyMaterial::Hashed(_))
            | CredentialProof::Password {
                password: PasswordMaterial::Hashed(_) | PasswordMaterial::Argon2(_),
                ..
            } => false,
        }
    }
}

/// What proves a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialProof {
    /// An API key.
    ApiKey(KeyMaterial),
    /// A password, with its user's name (RFC 7617, section 2: without a colon).
    Password {
        /// The user-id.
        username: Box<str>,
        /// The password.
        password: PasswordMaterial,
    },
}

/// An API key, or what is kept of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMaterial {
    /// The key itself, which is hashed as soon as the node's hashing key is at hand.
    Clear(ApiKey),
    /// Its keyed hash.
    Hashed(KeyedHash),
}

/// A password, or what is kept of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordMaterial {
    /// One that a machine made: long and random. It is kept as a keyed hash, which is fast to compute.
    Clear(Secret<String>),
    /// Its keyed hash.
    Hashed(KeyedHash),
    /// One that somebody made up, hashed by argon2id: a PHC string (`$argon2id$v=19$m=…`).
    Argon2(Box<str>),
}

/// A secret's hash under one of the node's keys for hashing: `kh1.<id of the key>.<43 characters of base64url>`.
/// Who has it can't find the secret, and without the node's database it proves nothing.
///
/// ```
/// use keyward_model::resource::credential::KeyedHash;
/// let text = "kh1.0192a3b4c5d67e8f9a0b1c2d3e4f5a6b.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// let hash: KeyedHash = text.parse().unwrap();
/// assert_eq!(hash.hash, [0; 32]);
/// assert_eq!(hash.to_string(), text);
/// assert!("kh1.7.AAAA".parse::<KeyedHash>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyedHash {
    /// The key that it was hashed under.
    pub key: crate::id::DataKeyId,
    /// HMAC-SHA-256.
    pub hash: [u8; 32],
}

/// Why a text is no keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no keyed hash: it begins with `kh1.`; `keyward credential hash` makes one")]
pub struct NoKeyedHash;

const FORM: &str = "kh1";

impl FromStr for KeyedHash {
    type Err = NoKeyedHash;
    fn from_str(text: &str) -> Result<Self, NoKeyedHash> {
        use base64::Engine as _;
        let mut parts = text.split('.');
        let (Some(FORM), Some(key), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoKeyedHash);
        };
        let key = key.parse().map_err(|_| NoKeyedHash)?;
        let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(hash)
            .map_err(|_| NoKeyedHash)?;
        let hash = hash.try_into().map_err(|_| NoKeyedHash)?;
        Ok(Self { key, hash })
    }
}

impl fmt::Display for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use base64::Engine as _;
        let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(self.hash);
        write!(f, "{FORM}.{}.{hash}", self.key)
    }
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyedHash({})", self.key)
    }
}
