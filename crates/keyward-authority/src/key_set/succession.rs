//! The keys of one purpose and algorithm, one after another.

use super::plan::Plan;
use crate::Error;
use keyward_jose::key::{KeyUse, Part};
use keyward_jose::{Algorithm, Key, LocalSigner, NumericDate, Rotation, RotationEntry};
use keyward_model::id::KeyId;
use keyward_model::{Secret, Timestamp};
use keyward_store::{KeyChange, KeyPurpose, KeyState, KeyTimes, NewKey, Store, StoredKey};
use std::sync::Arc;
use std::time::Duration;

/// The keys of one purpose and algorithm.
#[derive(Clone, Debug)]
pub(super) struct Succession {
    purpose: KeyPurpose,
    algorithm: Algorithm,
    rotation: Rotation<String>,
    keys: Vec<OwnKey>,
    /// The plan has it: new keys follow on those before.
    goes_on: bool,
}

#[derive(Clone, Debug)]
struct OwnKey {
    row: StoredKey,
    public: Key,
    private: Option<Arc<PrivateKey>>,
}

/// A key that was opened.
#[derive(Debug)]
pub(super) struct PrivateKey {
    pub(super) id: KeyId,
    key: Key,
    signer: Option<Arc<LocalSigner>>,
}

/// A key that was made now.
pub(super) fn generated(purpose: KeyPurpose, algorithm: Algorithm) -> Result<Key, Error> {
    let key = Key::generate(algorithm, None)?;
    dressed(key, purpose, algorithm)
}

/// A key as it stands in a set: it says what it is for.
pub(super) fn dressed(key: Key, purpose: KeyPurpose, algorithm: Algorithm) -> Result<Key, Error> {
    let key = match purpose {
        KeyPurpose::Sign => key
            .with_algorithm(Some(algorithm))?
            .with_use(Some(KeyUse::Signature))?,
        // It serves several algorithms and names none.
        KeyPurpose::Encrypt => key
            .with_algorithm(None)?
            .with_use(Some(KeyUse::Encryption))?,
    };
    let kid = match key.kid() {
        Some(kid) => kid.to_owned(),
        None => key.thumbprint_base64url(),
    };
    Ok(key.with_kid(Some(kid))?)
}

/// The row of a key that joins these, or, where there are none and the set is new, begins them.
pub(super) fn row_of(
    key: &Key,
    purpose: KeyPurpose,
    algorithm: Algorithm,
    mut rotation: Rotation<String>,
    now: Timestamp,
) -> Result<NewKey, Error> {
    let kid = key.kid().unwrap_or_default().to_owned();
    rotation.publish(kid.clone(), numeric_date(now))?;
    let mut entries = rotation.entries().iter();
    let entry = entries
        .find(|entry| entry.id == kid)
        .ok_or_else(|| Error::Internal("a new key is in no rotation".to_owned()))?;
    Ok(NewKey {
        kid,
        purpose,
        algorithm: algorithm.as_str().to_owned(),
        state: state(entry, now),
        times: times(entry),
        public_jwk: key.to_jwk(Part::Public)?.to_string(),
        private_jwk: Secret::new(key.to_jwk(Part::Private)?.to_string()),
    })
}

impl Succession {
    pub(super) fn new(
        plan: &Plan,
        (purpose, algorithm): (KeyPurpose, Algorithm),
        rows: Vec<StoredKey>,
    ) -> Result<Self, Error> {
        let entries = rows.iter().map(entry).collect();
        let rotation = Rotation::restore(plan.policy(purpose)?, entries)?;
        let keys = rows
            .into_iter()
            .map(|row| {
                let public = Key::from_jwk(row.public_jwk.as_bytes())?;
                Ok(OwnKey {
                    row,
                    public,
                    private: None,
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            purpose,
            algorithm,
            rotation,
            keys,
            goes_on: plan.kinds.contains(&(purpose, algorithm)),
        })
    }

    pub(super) fn purpose(&self) -> KeyPurpose {
        self.purpose
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn rotation(&self) -> &Rotation<String> {
        &self.rotation
    }

    /// Whether a new key is wanted.
    pub(super) fn wants_key(&self) -> bool {
        self.goes_on && self.rotation.wants_key()
    }

    pub(super) fn row(&self, kid: &str) -> Option<&StoredKey> {
        self.key(kid).map(|key| &key.row)
    }

    /// Lets happen what is due, and returns what the store has to learn of it.
    pub(super) fn settle(&mut self, now: Timestamp) -> Vec<KeyChange> {
        if self.goes_on {
            self.rotation.advance(numeric_date(now));
        } else {
            self.rotation.wind_down(numeric_date(now));
        }
        self.changes(now)
    }

    /// Lets something happen, and returns what the store has to learn of it.
    pub(super) fn step(
        &self,
        step: impl FnOnce(&mut Rotation<String>, NumericDate) -> Result<(), keyward_jose::Error>,
        now: Timestamp,
    ) -> Result<Vec<KeyChange>, Error> {
        let mut after = self.clone();
        step(&mut after.rotation, numeric_date(now))?;
        Ok(after.changes(now))
    }

    /// What the store does not know yet: a key that makes room before the one that takes its place.
    fn changes(&self, now: Timestamp) -> Vec<KeyChange> {
        let entries = self.rotation.entries().iter();
        let mut changes: Vec<_> = entries
            .filter_map(|entry| {
                let row = self.row(&entry.id)?;
                let change = KeyChange {
                    id: row.id,
                    version: row.version,
                    state: state(entry, now),
                    times: times(entry),
                };
                // How long its tokens may live is told with what happens to it, and is by itself no event.
                let mut known = row.times;
                known.retire_after = change.times.retire_after;
                (change.state != row.state || change.times != known).then_some(change)
            })
            .collect();
        changes.sort_by_key(|change| change.state == KeyState::Active);
        changes
    }

    /// Reads the private parts of the keys that are still of use, but for those that were opened before.
    pub(super) async fn open(
        &mut self,
        store: &Store,
        opened: &[Arc<PrivateKey>],
    ) -> Result<(), Error> {
        for key in &mut self.keys {
            if !key.row.state.keeps_private_part() {
                continue;
            }
            if let Some(known) = opened.iter().find(|known| known.id == key.row.id) {
                key.private = Some(Arc::clone(known));
                continue;
            }
            let Some(private) = store.private_jwk(&key.row).await? else {
                continue;
            };
            let private = Key::from_jwk(private.reveal().as_bytes())?;
            if private.thumbprint() != key.public.thumbprint() {
                return Err(Error::Torn {
                    kid: key.row.kid.clone(),
                });
            }
            let signer = match self.algorithm {
                Algorithm::Signature(algorithm) => {
                    Some(Arc::new(LocalSigner::new(&private, algorithm)?))
                }
                Algorithm::KeyManagement(_) | Algorithm::ContentEncryption(_) => None,
            };
            key.private = Some(Arc::new(PrivateKey {
                id: key.row.id,
                key: private,
                signer,
            }));
        }
        Ok(())
    }

    pub(super) fn opened(&self) -> impl Iterator<Item = &Arc<PrivateKey>> {
        self.keys.iter().filter_map(|key| key.private.as_ref())
    }

    /// The public keys that the set shows: to verify with as long as a token may be signed by them, to
    /// encrypt with until their successor takes over. The one in use comes first: senders take the first that fits.
    pub(super) fn shown(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        let purpose = self.purpose;
        let beside = move |state| match (state, purpose) {
            (KeyState::Published, KeyPurpose::Sign | KeyPurpose::Encrypt)
            | (KeyState::Retiring, KeyPurpose::Sign) => true,
            (KeyState::Retiring, KeyPurpose::Encrypt)
            | (
                KeyState::Active | KeyState::Retired | KeyState::Withdrawn,
                KeyPurpose::Sign | KeyPurpose::Encrypt,
            ) => false,
        };
        let active = self.in_state(now, |state| state == KeyState::Active);
        active
            .chain(self.in_state(now, beside))
            .map(|key| &key.public)
    }

    /// The private keys to decrypt with.
    pub(super) fn decrypting(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.in_state(now, KeyState::keeps_private_part)
            .filter_map(|key| key.private.as_ref().map(|private| &private.key))
    }

    /// The private part of a key that has one.
    pub(super) fn private(&self, kid: &str) -> Option<&Key> {
        let private = self.key(kid)?.private.as_ref()?;
        Some(&private.key)
    }

    pub(super) fn public(&self, kid: &str) -> Option<&Key> {
        self.key(kid).map(|key| &key.public)
    }

    pub(super) fn signer(&self, now: Timestamp) -> Option<(&StoredKey, &Arc<LocalSigner>)> {
        let kid = self.rotation.signing_key(numeric_date(now))?;
        let key = self.key(kid)?;
        Some((&key.row, key.private.as_ref()?.signer.as_ref()?))
    }

    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.rotation.next_change(numeric_date(now)).map(timestamp)
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

fn entry(row: &StoredKey) -> RotationEntry<String> {
    RotationEntry {
        id: row.kid.clone(),
        published_at: numeric_date(row.times.published),
        ready_at: numeric_date(row.times.ready),
        activated_at: row.times.activated.map(numeric_date),
        retiring_at: row.times.retiring.map(numeric_date),
        retired_at: row.times.retired.map(numeric_date),
        withdrawn_at: row.times.withdrawn.map(numeric_date),
        retire_after: row.times.retire_after.as_secs(),
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
        retire_after: Duration::from_secs(entry.retire_after),
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

fn numeric_date(at: Timestamp) -> NumericDate {
    NumericDate(at.as_seconds())
}

fn timestamp(at: NumericDate) -> Timestamp {
    Timestamp::from_seconds(at.0)
}
