//! The keys of one purpose and algorithm, one after another.

use super::{jose_failed, numeric_date, policy, store_failed, timestamp};
use crate::command::Failure;
use keyward_jose::key::{KeyUse, Part};
use keyward_jose::{
    Algorithm, Key, LocalSigner, NumericDate, Rotation, RotationEntry, SignatureAlgorithm,
};
use keyward_model::{Secret, Timestamp};
use keyward_store::{KeyChange, KeyPurpose, KeyState, KeyTimes, NewKey, Store, StoredKey};
use std::sync::Arc;

/// The keys of one purpose and algorithm.
#[derive(Debug)]
pub(super) struct Succession {
    purpose: KeyPurpose,
    algorithm: Algorithm,
    rotation: Rotation<String>,
    keys: Vec<OwnKey>,
}

#[derive(Debug)]
struct OwnKey {
    row: StoredKey,
    public: Key,
    private: Option<Key>,
    signer: Option<Arc<LocalSigner>>,
}

/// A new key for a set that has none of its kind: active at once.
pub(super) fn first_key(
    purpose: KeyPurpose,
    algorithm: Algorithm,
    now: Timestamp,
) -> Result<NewKey, Failure> {
    let key = Key::generate(algorithm, None).map_err(jose_failed)?;
    let key = match purpose {
        KeyPurpose::Sign => key.with_use(Some(KeyUse::Signature)),
        // It serves several algorithms and names none.
        KeyPurpose::Encrypt => key
            .with_algorithm(None)
            .and_then(|key| key.with_use(Some(KeyUse::Encryption))),
    }
    .map_err(jose_failed)?;
    let kid = key.kid().unwrap_or_default().to_owned();
    let mut rotation = Rotation::new(policy(purpose)?);
    rotation
        .publish(kid.clone(), numeric_date(now))
        .map_err(jose_failed)?;
    let entry = rotation
        .entries()
        .first()
        .ok_or_else(|| Failure::new("own keys", "a new key is in no rotation", "own_keys"))?;
    Ok(NewKey {
        kid,
        purpose,
        algorithm: algorithm.as_str().to_owned(),
        state: state(entry, now),
        times: times(entry),
        public_jwk: key.to_jwk(Part::Public).map_err(jose_failed)?.to_string(),
        private_jwk: Secret::new(key.to_jwk(Part::Private).map_err(jose_failed)?.to_string()),
    })
}

impl Succession {
    pub(super) fn new(
        purpose: KeyPurpose,
        algorithm: Algorithm,
        rows: Vec<StoredKey>,
    ) -> Result<Self, Failure> {
        let entries = rows.iter().map(entry).collect();
        let rotation = Rotation::restore(policy(purpose)?, entries).map_err(jose_failed)?;
        let keys = rows
            .into_iter()
            .map(|row| {
                let public = Key::from_jwk(row.public_jwk.as_bytes()).map_err(jose_failed)?;
                Ok(OwnKey {
                    row,
                    public,
                    private: None,
                    signer: None,
                })
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Self {
            purpose,
            algorithm,
            rotation,
            keys,
        })
    }

    pub(super) fn purpose(&self) -> KeyPurpose {
        self.purpose
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Lets happen what is due, and returns what the store has to learn of it: a key that makes room
    /// before the one that takes its place.
    pub(super) fn settle(&mut self, now: Timestamp) -> Vec<KeyChange> {
        self.rotation.advance(numeric_date(now));
        let mut changes: Vec<_> = self
            .rotation
            .entries()
            .iter()
            .filter_map(|entry| {
                let row = &self.keys.iter().find(|key| key.row.kid == entry.id)?.row;
                let change = KeyChange {
                    id: row.id,
                    version: row.version,
                    state: state(entry, now),
                    times: times(entry),
                };
                (change.state != row.state || change.times != row.times).then_some(change)
            })
            .collect();
        changes.sort_by_key(|change| change.state == KeyState::Active);
        changes
    }

    /// Reads the private parts of the keys that are still of use.
    pub(super) async fn open(&mut self, store: &Store) -> Result<(), Failure> {
        for key in &mut self.keys {
            if !key.row.state.keeps_private_part() {
                continue;
            }
            let Some(private) = store.private_jwk(&key.row).await.map_err(store_failed)? else {
                continue;
            };
            let private = Key::from_jwk(private.reveal().as_bytes()).map_err(jose_failed)?;
            if private.thumbprint() != key.public.thumbprint() {
                return Err(Failure::new(
                    "own keys",
                    format!("the two parts of key `{}` are not one key's", key.row.kid),
                    "own_keys",
                ));
            }
            if let Algorithm::Signature(algorithm) = self.algorithm {
                key.signer = Some(Arc::new(signer(&private, algorithm)?));
            }
            key.private = Some(private);
        }
        Ok(())
    }

    /// The public keys that the set shows: to verify with as long as a token may be signed by them, to
    /// encrypt with until their successor takes over.
    pub(super) fn shown(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        let purpose = self.purpose;
        self.in_state(now, move |state| match (state, purpose) {
            (KeyState::Published | KeyState::Active, KeyPurpose::Sign | KeyPurpose::Encrypt)
            | (KeyState::Retiring, KeyPurpose::Sign) => true,
            (KeyState::Retiring, KeyPurpose::Encrypt)
            | (KeyState::Retired | KeyState::Withdrawn, KeyPurpose::Sign | KeyPurpose::Encrypt) => {
                false
            }
        })
        .map(|key| &key.public)
    }

    /// The private keys to decrypt with.
    pub(super) fn decrypting(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.in_state(now, KeyState::keeps_private_part)
            .filter_map(|key| key.private.as_ref())
    }

    pub(super) fn signer(&self, now: Timestamp) -> Option<&Arc<LocalSigner>> {
        let kid = self.rotation.signing_key(numeric_date(now))?;
        self.key(kid)?.signer.as_ref()
    }

    fn in_state(
        &self,
        now: Timestamp,
        wanted: impl Fn(KeyState) -> bool,
    ) -> impl Iterator<Item = &OwnKey> {
        self.rotation
            .entries()
            .iter()
            .filter(move |entry| wanted(state(entry, now)))
            .filter_map(|entry| self.key(&entry.id))
    }

    fn key(&self, kid: &str) -> Option<&OwnKey> {
        self.keys.iter().find(|key| key.row.kid == kid)
    }
}

fn signer(key: &Key, algorithm: SignatureAlgorithm) -> Result<LocalSigner, Failure> {
    LocalSigner::new(key, algorithm).map_err(jose_failed)
}

fn entry(row: &StoredKey) -> RotationEntry<String> {
    RotationEntry {
        id: row.kid.clone(),
        published_at: numeric_date(row.times.published),
        ready_at: numeric_date(row.times.ready),
        activated_at: row.times.activated.map(numeric_date),
        retiring_at: row.times.retiring.map(numeric_date),
        retired_at: row.times.retired.map(numeric_date),
        withdrawn_at: row.times.withdrawn.map(numeric_date),
        // The store keeps none: the policy stands in this program, and its tokens' life may only grow.
        retire_after: 0,
    }
}

fn times(entry: &RotationEntry<String>) -> KeyTimes {
    let at = |date: Option<NumericDate>| date.map(timestamp);
    KeyTimes {
        published: timestamp(entry.published_at),
        ready: timestamp(entry.ready_at),
        activated: at(entry.activated_at),
        retiring: at(entry.retiring_at),
        retired: at(entry.retired_at),
        withdrawn: at(entry.withdrawn_at),
    }
}

fn state(entry: &RotationEntry<String>, now: Timestamp) -> KeyState {
    use keyward_jose::KeyState as Rotated;
    match entry.state(numeric_date(now)) {
        Rotated::Published => KeyState::Published,
        Rotated::Active => KeyState::Active,
        Rotated::Retiring => KeyState::Retiring,
        Rotated::Retired => KeyState::Retired,
        Rotated::Withdrawn => KeyState::Withdrawn,
    }
}
