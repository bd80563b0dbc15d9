//! Hashing what callers show.

use aws_lc_rs::{constant_time, digest, hmac};
use keyward_model::Secret;
use keyward_model::id::{CredentialId, DataKeyId, TeamId};
use keyward_model::name::Name;
use keyward_model::resource::credential::KeyedHash;
use std::fmt;

/// The keys that API keys and passwords are hashed under: the current one, and those before it.
pub struct CredentialKeys {
    current: (DataKeyId, hmac::Key),
    older: Vec<(DataKeyId, hmac::Key)>,
}

/// A hash was made under a key that this node does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its hash was made under the key {0}, which is not in this node's database: hash it again with `keyward credential hash`"
)]
pub struct NoSuchKey(pub DataKeyId);

/// What tells hashes of one kind from those of another, so that neither passes for the other.
const API_KEY: &[u8] = b"api key\0";
const PASSWORD: &[u8] = b"password\0";

impl CredentialKeys {
    /// Of the current key and the older ones.
    #[must_use]
    pub fn new(
        current: (DataKeyId, Secret<[u8; 32]>),
        older: impl IntoIterator<Item = (DataKeyId, Secret<[u8; 32]>)>,
    ) -> Self {
        let prepared = |(id, key): (DataKeyId, Secret<[u8; 32]>)| {
            (id, hmac::Key::new(hmac::HMAC_SHA256, key.reveal()))
        };
        Self {
            current: prepared(current),
            older: older.into_iter().map(prepared).collect(),
        }
    }

    /// The hash that is kept of an API key.
    #[must_use]
    pub fn hash_api_key(&self, key: &[u8]) -> KeyedHash {
        hash(&self.current, API_KEY, &[key])
    }

    /// The hash that is kept of a machine's password, which is bound to its user's name.
    #[must_use]
    pub fn hash_password(&self, username: &str, password: &str) -> KeyedHash {
        let parts = [username.as_bytes(), b":", password.as_bytes()];
        hash(&self.current, PASSWORD, &parts)
    }

    /// What an API key may be known by: its hash under each key.
    pub(super) fn api_key_hashes(&self, key: &[u8]) -> impl Iterator<Item = KeyedHash> {
        let keys = std::iter::once(&self.current).chain(&self.older);
        keys.map(move |with| hash(with, API_KEY, &[key]))
    }

    /// Whether the password is the one that was hashed, in constant time.
    pub(crate) fn is_password(&self, known: &KeyedHash, username: &str, password: &str) -> bool {
        let mut keys = std::iter::once(&self.current).chain(&self.older);
        let Some(key) = keys.find(|(id, _)| *id == known.key) else {
            return false;
        };
        let parts = [username.as_bytes(), b":", password.as_bytes()];
        let shown = hash(key, PASSWORD, &parts);
        constant_time::verify_slices_are_equal(&shown.hash, &known.hash).is_ok()
    }

    /// The hash, if it was made under a key of ours.
    pub(super) fn known(&self, hash: KeyedHash) -> Result<KeyedHash, NoSuchKey> {
        let mut keys = std::iter::once(&self.current).chain(&self.older);
        match keys.any(|(id, _)| *id == hash.key) {
            true => Ok(hash),
            false => Err(NoSuchKey(hash.key)),
        }
    }
}

impl fmt::Debug for CredentialKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialKeys([secret])")
    }
}

fn hash((id, key): &(DataKeyId, hmac::Key), kind: &[u8], parts: &[&[u8]]) -> KeyedHash {
    let mut context = hmac::Context::with_key(key);
    context.update(kind);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    KeyedHash { key: *id, hash }
}

/// The id of a credential that a file declares: the same on every node and after each reload.
pub(super) fn credential_id(team: TeamId, name: &Name) -> CredentialId {
    let text = format!("credential\0{team}\0{name}");
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let number = hash
        .as_ref()
        .iter()
        .take(16)
        .fold(0_u128, |all, byte| (all << 8) | u128::from(*byte));
    CredentialId::from_u128(number)
}
