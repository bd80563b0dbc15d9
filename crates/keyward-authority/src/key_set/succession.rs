//! The keys of one purpose and algorithm, one after another.

use super::module::{KeyModule, OutOfReach, Workshop};
use super::plan::Plan;
use crate::Error;
use keyward_jose::key::{KeyUse, Part};
use keyward_jose::{
    Algorithm, Key, LocalSigner, NumericDate, Rotation, RotationEntry, SignatureAlgorithm, Signer,
};
use keyward_model::id::KeyId;
use keyward_model::{Secret, Timestamp};
use keyward_store::{KeyChange, KeyPurpose, KeyState, KeyTimes, NewKey, PrivatePart, StoredKey};
use std::fmt;
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
pub(super) struct PrivateKey {
    pub(super) id: KeyId,
    /// `None` for one that is in the module.
    key: Option<Key>,
    signer: Option<Arc<dyn Signer>>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What signs a certificate request.
pub(super) enum RequestSigner {
    /// The key itself.
    Here(Key),
    /// A key in the module, by its public part.
    InModule(Key, Arc<dyn Signer>),
}

/// The private part of a key that is kept here.
pub(super) fn here(key: &Key) -> Result<PrivatePart, Error> {
    let jwk = key.to_jwk(Part::Private)?;
    Ok(PrivatePart::Here(Secret::new(jwk.to_string())))
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
    private: PrivatePart,
    purpose: KeyPurpose,
    algorithm: Algorithm,
    rotation: Rotation<String>,
    now: Timestamp,
) -> Result<NewKey, Error> {
    let new = NewKey {
        kid: key.kid().unwrap_or_default().to_owned(),
        purpose,
        algorithm: algorithm.as_str().to_owned(),
        state: KeyState::Published,
        times: KeyTimes::default(),
        public_jwk: key.to_jwk(Part::Public)?.to_string(),
        private,
    };
    placed(new, rotation, now)
}

/// The row of a key with the state and the times that it comes to among these.
pub(super) fn placed(
    new: NewKey,
    mut rotation: Rotation<String>,
    now: Timestamp,
) -> Result<NewKey, Error> {
    rotation.publish(new.kid.clone(), numeric_date(now))?;
    let mut entries = rotation.entries().iter();
    let entry = entries
        .find(|entry| entry.id == new.kid)
        .ok_or_else(|| Error::Internal("a new key is in no rotation".to_owned()))?;
    Ok(NewKey {
        state: state(entry, now),
        times: times(entry),
        ..new
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

    /// Reads the private parts of the keys that are still of use, or finds who signs with them, but for those that were
    /// opened before.
    pub(super) async fn open(
        &mut self,
        workshop: Workshop<'_>,
        opened: &[Arc<PrivateKey>],
    ) -> Result<(), Error> {
        let algorithm = match self.algorithm {
            Algorithm::Signature(algorithm) => Some(algorithm),
            Algorithm::KeyManagement(_) | Algorithm::ContentEncryption(_) => None,
        };
        for key in &mut self.keys {
            if !key.row.state.keeps_private_part() {
                continue;
            }
            if let Some(known) = opened.iter().find(|known| known.id == key.row.id) {
                key.private = Some(Arc::clone(known));
                continue;
            }
            if let (Some(reference), Some(algorithm)) = (&key.row.module_key, algorithm) {
                key.private = Some(Arc::new(PrivateKey {
                    id: key.row.id,
                    key: None,
                    signer: Some(in_module(key, reference, algorithm, workshop.module)),
                }));
                continue;
            }
            let Some(private) = workshop.store.private_jwk(&key.row).await? else {
                continue;
            };
            let private = Key::from_jwk(private.reveal().as_bytes())?;
            if private.thumbprint() != key.public.thumbprint() {
                return Err(Error::Torn {
                    kid: key.row.kid.clone(),
                });
            }
            let signer: Option<Arc<dyn Signer>> = match algorithm {
                Some(algorithm) => Some(Arc::new(LocalSigner::new(&private, algorithm)?)),
                None => None,
            };
            key.private = Some(Arc::new(PrivateKey {
                id: key.row.id,
                key: Some(private),
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
            .filter_map(|key| key.private.as_ref()?.key.as_ref())
    }

    /// What signs a certificate request for a key; `None` once its private part is gone.
    pub(super) fn request_signer(
        &self,
        kid: &str,
        module: Option<&Arc<dyn KeyModule>>,
    ) -> Result<Option<RequestSigner>, Error> {
        let Some(key) = self.key(kid) else {
            return Ok(None);
        };
        let Some(private) = &key.private else {
            return Ok(None);
        };
        if let Some(private) = &private.key {
            return Ok(Some(RequestSigner::Here(private.clone())));
        }
        let Some(reference) = &key.row.module_key else {
            return Ok(None);
        };
        // Requests are signed as certificates are, whatever the key is for in the set.
        let public = key.public.clone().with_algorithm(None)?;
        let algorithm = public.certificate_algorithm().ok_or_else(|| {
            Error::Unfit(format!(
                "no certificate is requested for {}",
                public.description()
            ))
        })?;
        let module = module
            .filter(|module| module.holds(reference))
            .ok_or_else(|| Error::NoModule {
                set: key.row.issuer.clone(),
            })?;
        let signer = module.signer(reference, &public, algorithm)?;
        Ok(Some(RequestSigner::InModule(key.public.clone(), signer)))
    }

    pub(super) fn public(&self, kid: &str) -> Option<&Key> {
        self.key(kid).map(|key| &key.public)
    }

    pub(super) fn signer(&self, now: Timestamp) -> Option<(&StoredKey, &Arc<dyn Signer>)> {
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

/// What signs with a key of the module. One that this node can't reach has a signer too, which says why it does not
/// sign.
fn in_module(
    key: &OwnKey,
    reference: &str,
    algorithm: SignatureAlgorithm,
    module: Option<&Arc<dyn KeyModule>>,
) -> Arc<dyn Signer> {
    let found = match module {
        Some(module) if module.holds(reference) => module.signer(reference, &key.public, algorithm),
        Some(_) | None => Err(Error::NoModule {
            set: key.row.issuer.clone(),
        }),
    };
    found.unwrap_or_else(|error| {
        Arc::new(OutOfReach {
            kid: key.row.kid.clone(),
            algorithm,
            why: error.to_string(),
        })
    })
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
