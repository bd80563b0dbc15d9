//! The keys of the issuer `self`: made at the first start, kept encrypted in the store, published as a
//! JWK set.
//!
//! One key at a time signs with each of our algorithms, and one is there for others to encrypt to. How one
//! follows on another is decided by the rotation of the JOSE crate; the store remembers where each stands.
//! A loaded [`OwnKeys`] does not change: what a change leads to is loaded anew.

pub(crate) mod data_dir;
mod published;
mod shared_secrets;
mod succession;
#[cfg(test)]
mod tests;

pub(crate) use published::PublishedKeySet;
pub(crate) use shared_secrets::{credential_keys, nonce_key};

use crate::command::Failure;
use keyward_jose::jwe::Decrypters;
use keyward_jose::{
    Algorithm, ContentEncryption, JwkSet, KeyManagementAlgorithm, LocalSigner, NumericDate,
    RotationPolicy, SignatureAlgorithm,
};
use keyward_model::Timestamp;
use keyward_model::id::TeamId;
use keyward_store::{KeyPurpose, NewKey, Store, StoredKey};
use std::sync::Arc;
use std::time::Duration;
use succession::Succession;

/// The name of our key set in the store.
const ISSUER: &str = "self";

/// Who changes keys, in the audit log, when nobody asked for it.
const ACTOR: &str = "node";

/// How long a copy of the set may be kept, as its `Cache-Control` says: short, so that a withdrawn key is
/// soon known as one.
pub(crate) const KEY_SET_MAX_AGE: Duration = Duration::from_secs(15 * 60);

/// How long before it signs a key stands in the set. Libraries that keep sets as they like, whatever the
/// header says, come back within a day.
const PUBLISH_BEFORE: Duration = Duration::from_secs(24 * 3600);

/// How long a key signs.
const ACTIVE_FOR: Duration = Duration::from_secs(90 * 24 * 3600);

/// The life of the longest token that we issue, and what clocks may differ by. No token of ours may be
/// valid for longer. A later version may raise it and not lower it: the store doesn't keep what was in force
/// when a key signed.
pub(crate) const TOKEN_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);
const LEEWAY: Duration = Duration::from_secs(5 * 60);

/// What others may encrypt to us with: one key on P-256 serves all of these, so that it names no `alg`.
const KEY_MANAGEMENT_ALGORITHMS: [KeyManagementAlgorithm; 4] = [
    KeyManagementAlgorithm::EcdhEs,
    KeyManagementAlgorithm::EcdhEsA128Kw,
    KeyManagementAlgorithm::EcdhEsA192Kw,
    KeyManagementAlgorithm::EcdhEsA256Kw,
];

/// The kinds of key that a set has from the first start.
const KINDS: [(KeyPurpose, Algorithm); 3] = [
    (
        KeyPurpose::Sign,
        Algorithm::Signature(SignatureAlgorithm::Es256),
    ),
    (
        KeyPurpose::Sign,
        Algorithm::Signature(SignatureAlgorithm::Rs256),
    ),
    (
        KeyPurpose::Encrypt,
        Algorithm::KeyManagement(KeyManagementAlgorithm::EcdhEs),
    ),
];

/// How often the states are written anew when another process changes the same keys.
const TRIES: usize = 3;

/// Our keys as they stood when they were loaded.
#[derive(Debug)]
pub(crate) struct OwnKeys {
    successions: Vec<Succession>,
}

impl OwnKeys {
    /// The keys in the store, made now if there are none, with what was due since the last time done and
    /// written down.
    pub(crate) async fn load(store: &Store, now: Timestamp) -> Result<Self, Failure> {
        let mut rows = store
            .keys(TeamId::DEFAULT, ISSUER)
            .await
            .map_err(store_failed)?;
        if rows.is_empty() {
            let first = tokio::task::spawn_blocking(move || first_keys(now))
                .await
                .map_err(|error| Failure::new("own keys", error.to_string(), "own_keys"))??;
            rows = store
                .keys_or_first(TeamId::DEFAULT, ISSUER, &first, ACTOR, now)
                .await
                .map_err(store_failed)?;
        }
        for _ in 0..TRIES {
            let mut successions = successions(&rows)?;
            let changes: Vec<_> = successions
                .iter_mut()
                .flat_map(|succession| succession.settle(now))
                .collect();
            if changes.is_empty() {
                for succession in &mut successions {
                    succession.open(store).await?;
                }
                return Ok(Self { successions });
            }
            match store.change_keys(&changes, ACTOR, now).await {
                // Another process did the same, or something else: both are to be read again.
                Ok(()) | Err(keyward_store::Error::Conflict { .. }) => {}
                Err(error) => return Err(store_failed(error)),
            }
            rows = store
                .keys(TeamId::DEFAULT, ISSUER)
                .await
                .map_err(store_failed)?;
        }
        Err(Failure::new(
            "own keys",
            "their states were changed by other processes again and again: start again when these have settled",
            "own_keys",
        ))
    }

    /// The public keys that others verify our tokens with and encrypt to us with; the issuer `self`
    /// verifies with them too.
    pub(crate) fn key_set(&self, now: Timestamp) -> Result<JwkSet, Failure> {
        let keys = self
            .successions
            .iter()
            .flat_map(|succession| succession.shown(now));
        JwkSet::from_keys(keys.cloned()).map_err(jose_failed)
    }

    /// The key set as it is answered.
    pub(crate) fn published(&self, now: Timestamp) -> Result<PublishedKeySet, Failure> {
        PublishedKeySet::new(&self.key_set(now)?).map_err(jose_failed)
    }

    /// What signs with `algorithm` now. `None` where none of our keys does, and after a withdrawal until
    /// the next key is known everywhere.
    pub(crate) fn signer(
        &self,
        algorithm: SignatureAlgorithm,
        now: Timestamp,
    ) -> Option<&Arc<LocalSigner>> {
        self.successions
            .iter()
            .find(|succession| succession.algorithm() == Algorithm::Signature(algorithm))?
            .signer(now)
    }

    /// What decrypts tokens that were encrypted to us: also with keys that the set no longer shows, as
    /// long as somebody may hold a copy of it that does.
    pub(crate) fn decrypters(&self, now: Timestamp) -> Decrypters {
        let keys = self
            .successions
            .iter()
            .filter(|succession| succession.purpose() == KeyPurpose::Encrypt)
            .flat_map(|succession| succession.decrypting(now));
        Decrypters::new(keys, &KEY_MANAGEMENT_ALGORITHMS, ContentEncryption::ALL)
    }
}

/// Signing: until the last token is over. Encrypting: until the last copy of the set that shows the key,
/// and the last token made from it, are over.
fn policy(purpose: KeyPurpose) -> Result<RotationPolicy, Failure> {
    let retire_after = match purpose {
        KeyPurpose::Sign => TOKEN_LIFE_MAX + LEEWAY,
        KeyPurpose::Encrypt => PUBLISH_BEFORE + TOKEN_LIFE_MAX + LEEWAY,
    };
    RotationPolicy::new(
        PUBLISH_BEFORE.as_secs(),
        ACTIVE_FOR.as_secs(),
        retire_after.as_secs(),
    )
    .map_err(jose_failed)
}

fn first_keys(now: Timestamp) -> Result<Vec<NewKey>, Failure> {
    KINDS
        .into_iter()
        .map(|(purpose, algorithm)| succession::first_key(purpose, algorithm, now))
        .collect()
}

fn successions(rows: &[StoredKey]) -> Result<Vec<Succession>, Failure> {
    let mut kinds: Vec<(KeyPurpose, &str)> = KINDS
        .iter()
        .map(|(purpose, algorithm)| (*purpose, algorithm.as_str()))
        .collect();
    for row in rows {
        let kind = (row.purpose, row.algorithm.as_str());
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
        .into_iter()
        .map(|(purpose, algorithm)| {
            let rows = rows
                .iter()
                .filter(|row| row.purpose == purpose && row.algorithm == algorithm)
                .cloned()
                .collect();
            Succession::new(purpose, algorithm.parse().map_err(jose_failed)?, rows)
        })
        .collect()
}

fn numeric_date(at: Timestamp) -> NumericDate {
    NumericDate(at.as_seconds())
}

fn timestamp(at: NumericDate) -> Timestamp {
    Timestamp::from_seconds(at.0)
}

fn store_failed(error: keyward_store::Error) -> Failure {
    Failure::new("own keys", error.to_string(), error.code())
}

fn jose_failed(error: keyward_jose::Error) -> Failure {
    Failure::new("own keys", error.to_string(), error.code())
}
