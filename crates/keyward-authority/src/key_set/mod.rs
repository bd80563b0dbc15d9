//! Key sets: their keys as they stand, and what keeps them.
//!
//! One key at a time signs with each algorithm of a set. How one follows on another is decided by the rotation of the
//! JOSE crate; the store remembers where each stands. A [`KeySet`] does not change: what a change leads to is loaded
//! anew, by the [`Keeper`].

mod keeper;
mod missing;
mod module;
mod plan;
mod published;
mod succession;
#[cfg(test)]
mod tests;

pub use keeper::{Imported, Keeper, KeeperContext, KeySink, Step};
pub use module::KeyModule;
pub use plan::{Plan, TOKEN_LIFE_MAX};
pub use published::PublishedKeySet;

use crate::Error;
use keyward_jose::{
    Algorithm, JwkSet, Key, KeyManagementAlgorithm, Rotation, SignatureAlgorithm, Signer,
};
use keyward_model::id::TeamId;
use keyward_model::{Name, Timestamp};
use keyward_store::management::Author;
use keyward_store::{KeyChange, KeyPurpose, StoredKey};
use module::{Made, Wanted, Workshop};
use std::collections::BTreeMap;
use std::sync::Arc;
use succession::{PrivateKey, Succession};

/// Who changes keys, in the audit log, when nobody asked for it.
const ACTOR: Author<'static> = Author::local("node");

/// How often a set is looked at anew when other processes change the same keys.
const TRIES: usize = 8;

/// What others may encrypt to us with. One key on P-256 serves the first four, so that it names no `alg`.
pub const KEY_MANAGEMENT_ALGORITHMS: [KeyManagementAlgorithm; 5] = [
    KeyManagementAlgorithm::EcdhEs,
    KeyManagementAlgorithm::EcdhEsA128Kw,
    KeyManagementAlgorithm::EcdhEsA192Kw,
    KeyManagementAlgorithm::EcdhEsA256Kw,
    KeyManagementAlgorithm::RsaOaep256,
];

/// A set as it stood when it was loaded.
#[derive(Debug)]
pub struct KeySet {
    plan: Arc<Plan>,
    rows: Vec<StoredKey>,
    successions: Vec<Succession>,
    /// A key is wanted that the module has to make.
    is_wanting: bool,
    loaded_at: Timestamp,
}

/// All sets of a node, by their teams and names.
#[derive(Debug, Default)]
pub struct KeySets {
    sets: BTreeMap<(TeamId, Name), Arc<KeySet>>,
    /// How far the store's keys had come when they were read.
    mark: i64,
}

impl KeySets {
    /// One of them.
    #[must_use]
    pub fn get(&self, team: TeamId, name: &Name) -> Option<&Arc<KeySet>> {
        self.sets.get(&(team, name.clone()))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<KeySet>> {
        self.sets.values()
    }

    /// That of the issuer `self`.
    #[must_use]
    pub fn own(&self) -> Option<&Arc<KeySet>> {
        self.sets.values().find(|set| set.plan.is_own())
    }

    /// The private keys of all sets to decrypt with: also those that a set no longer shows, as long as somebody may
    /// hold a copy of it that does.
    pub fn decrypting(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.sets.values().flat_map(move |set| {
            let successions = set.successions.iter();
            successions
                .filter(|succession| succession.purpose() == KeyPurpose::Encrypt)
                .flat_map(move |succession| succession.decrypting(now))
        })
    }
}

impl KeySet {
    /// The keys in the store, made now if the plan wants some, with what was due since the last time done and written
    /// down. Keys that `before` has opened are not opened again. A module is asked for nothing here:
    /// [`make_in_module`](Self::make_in_module) does it afterwards, and the keys that there are serve all the same.
    async fn load(
        workshop: Workshop<'_>,
        plan: &Arc<Plan>,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let (team, name) = (plan.team, plan.name.as_str());
        let store = workshop.store;
        for _ in 0..TRIES {
            let rows = store.keys(team, name).await?;
            let following = plan.following(&rows);
            let is_first = rows.is_empty() && plan.is_automatic();
            // Keys of the module among them are made with all the others.
            if is_first && !plan.needs_module() {
                let made = workshop.make(plan, first_wanted(plan)?, true, now).await?;
                store
                    .keys_or_first(team, name, &made.keys, ACTOR, now)
                    .await?;
                continue;
            }
            let mut successions = successions(plan, &rows)?;
            let changes: Vec<KeyChange> = successions
                .iter_mut()
                .flat_map(|succession| succession.settle(now))
                .collect();
            if !changes.is_empty() {
                match store.change_keys(&changes, ACTOR, now).await {
                    // Another process did the same, or something else: both are to be read again.
                    Ok(()) | Err(keyward_store::Error::Conflict { .. }) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            let (in_module, here): (Vec<Wanted>, Vec<Wanted>) = wanted(plan, &successions)
                .partition(|one| following.in_module(one.purpose, one.algorithm).is_some());
            if !here.is_empty() && !is_first {
                let made = workshop.make(plan, here, false, now).await?;
                stored(workshop, plan, &made, &rows, now).await?;
                continue;
            }
            let opened: Vec<Arc<PrivateKey>> = before
                .into_iter()
                .flat_map(|before| &before.successions)
                .flat_map(Succession::opened)
                .map(Arc::clone)
                .collect();
            for succession in &mut successions {
                succession.open(workshop, &opened).await?;
            }
            return Ok(Self {
                plan: Arc::clone(plan),
                rows,
                successions,
                is_wanting: is_first || !in_module.is_empty(),
                loaded_at: now,
            });
        }
        Err(Error::Unsettled {
            set: plan.name.to_string(),
        })
    }

    /// The plan for keys that follow on those that there are.
    fn following(&self) -> Plan {
        self.plan.following(&self.rows)
    }

    /// Has the module make the keys that the set wants, and writes them down where the set is still as it was read.
    async fn make_in_module(&self, workshop: Workshop<'_>) -> Result<(), Error> {
        let (plan, store) = (&self.following(), workshop.store);
        let now = workshop.clock.now();
        let is_first = self.rows.is_empty();
        let wanted = if is_first {
            first_wanted(plan)?
        } else {
            wanted(plan, &self.successions)
                .filter(|one| plan.in_module(one.purpose, one.algorithm).is_some())
                .collect()
        };
        let mut made = workshop.make(plan, wanted, is_first, now).await?;
        let trouble = made.trouble.take();
        let stored = match (&trouble, is_first) {
            // All of them or none: what comes later would have to wait as any.
            (Some(_), true) => Ok(()),
            (None, true) => store
                .keys_or_first(plan.team, plan.name.as_str(), &made.keys, ACTOR, now)
                .await
                .map(drop)
                .map_err(Error::from),
            (_, false) => stored(workshop, plan, &made, &self.rows, now).await,
        };
        made.settle(store).await;
        stored?;
        trouble.map_or(Ok(()), Err)
    }

    /// What it is to be.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The public keys that others verify our tokens with and encrypt to us with.
    ///
    /// # Errors
    /// When two keys can't stand in one set.
    pub fn key_set(&self, now: Timestamp) -> Result<JwkSet, Error> {
        let keys = self.successions.iter().flat_map(|one| one.shown(now));
        Ok(JwkSet::from_keys(keys.cloned())?)
    }

    /// Those that verify.
    ///
    /// # Errors
    /// As [`key_set`](Self::key_set).
    pub fn verifying(&self, now: Timestamp) -> Result<JwkSet, Error> {
        let signing = self
            .successions
            .iter()
            .filter(|one| one.purpose() == KeyPurpose::Sign);
        let keys = signing.flat_map(|one| one.shown(now));
        Ok(JwkSet::from_keys(keys.cloned())?)
    }

    /// The set as it is answered.
    ///
    /// # Errors
    /// As [`key_set`](Self::key_set).
    pub fn published(&self, now: Timestamp) -> Result<PublishedKeySet, Error> {
        Ok(PublishedKeySet::new(
            &self.key_set(now)?,
            self.plan.max_age,
        )?)
    }

    /// What signs with `algorithm` now, or with the first of the set's algorithms. `None` where none of its keys does,
    /// and after a withdrawal until the next key is known everywhere.
    #[must_use]
    pub fn signer(
        &self,
        algorithm: Option<SignatureAlgorithm>,
        now: Timestamp,
    ) -> Option<(&StoredKey, &Arc<dyn Signer>)> {
        let mut signing = self
            .successions
            .iter()
            .filter(|one| one.purpose() == KeyPurpose::Sign);
        match algorithm {
            Some(wanted) => {
                let wanted = Algorithm::Signature(wanted);
                signing.find(|one| one.algorithm() == wanted)?.signer(now)
            }
            None => signing.find_map(|one| one.signer(now)),
        }
    }

    /// When it will be another, if nobody does anything before.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let changes = self.successions.iter();
        changes.filter_map(|one| one.next_change(now)).min()
    }

    /// Whether something was to happen since it was loaded.
    fn is_due(&self, now: Timestamp) -> bool {
        self.next_change(self.loaded_at).is_some_and(|at| at <= now)
    }

    fn succession_of(&self, kid: &str) -> Result<&Succession, Error> {
        let mut successions = self.successions.iter();
        let found = successions.find(|one| one.row(kid).is_some());
        found.ok_or_else(|| Error::UnknownKey {
            set: self.plan.name.to_string(),
            kid: kid.to_owned(),
        })
    }
}

/// Making keys takes a while: not on a thread that others wait for.
async fn making<T: Send + 'static>(
    make: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(make)
        .await
        .map_err(|error| Error::Internal(error.to_string()))?
}

/// A set that was never published begins with keys that sign at once.
fn first_wanted(plan: &Plan) -> Result<Vec<Wanted>, Error> {
    let kinds = plan.kinds.iter();
    kinds
        .map(|(purpose, algorithm)| {
            Ok(Wanted {
                purpose: *purpose,
                algorithm: *algorithm,
                rotation: Rotation::new(plan.policy(*purpose)?),
            })
        })
        .collect()
}

/// The keys that are to follow on those of a set.
fn wanted(plan: &Plan, successions: &[Succession]) -> impl Iterator<Item = Wanted> {
    successions
        .iter()
        .filter(|succession| plan.is_automatic() && succession.wants_key())
        .map(|one| Wanted {
            purpose: one.purpose(),
            algorithm: one.algorithm(),
            rotation: one.rotation().clone(),
        })
}

/// Adds keys to a set that is as it was read; if it is not, it is to be read again.
async fn stored(
    workshop: Workshop<'_>,
    plan: &Plan,
    made: &Made,
    seen: &[StoredKey],
    now: Timestamp,
) -> Result<(), Error> {
    let (team, name) = (plan.team, plan.name.as_str());
    let adding = workshop
        .store
        .add_keys(team, name, &made.keys, seen, ACTOR, now);
    match adding.await {
        Ok(()) | Err(keyward_store::Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn successions(plan: &Plan, rows: &[StoredKey]) -> Result<Vec<Succession>, Error> {
    let mut kinds = plan.kinds.clone();
    for row in rows {
        let kind = (row.purpose, row.algorithm.parse()?);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
        .into_iter()
        .map(|kind| {
            let rows = rows
                .iter()
                .filter(|row| row.purpose == kind.0 && row.algorithm == kind.1.as_str())
                .cloned()
                .collect();
            Succession::new(plan, kind, rows)
        })
        .collect()
}
