//! The credential index: API keys and passwords, by what a caller shows.
//!
//! It stands beside the snapshot and has an epoch of its own, so that a key that is made, changed or taken
//! back counts at once, and no route is compiled for it. Those of the node's files come with its configuration; those
//! of the database come a row at a time, and cost no more however many there are.
//!
//! **Why nothing here compares secrets.** An API key is looked up by its HMAC under a key that never leaves this
//! node. Who sends a key can't choose what it hashes to, so that how long the look-up takes tells nothing of the
//! keys that are there: there is no "nearly right". Passwords are found by their user's name, and their hashes
//! compared in constant time.

mod entry;
mod keys;
mod layer;
#[cfg(test)]
mod tests;

pub use entry::ISSUER;
pub(crate) use entry::{Entry, StoredPassword};
pub use keys::{CredentialKeys, NoSuchKey};
pub use layer::Clash;

use arc_swap::ArcSwap;
use keyward_model::Timestamp;
use keyward_model::id::{CredentialId, TeamId};
use keyward_model::name::Name;
use keyward_model::resource::{Resource, Spec};
use layer::Layer;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// All credentials of a node, as workers see them.
#[derive(Debug)]
pub struct CredentialIndex {
    keys: CredentialKeys,
    current: ArcSwap<Entries>,
    /// What was found out with an API key, or a password, before this number rose counts no more. They are two: to find
    /// out about a password costs much, and keys come and go often.
    key_epoch: AtomicU64,
    password_epoch: AtomicU64,
}

/// The credentials as of one change. Never changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    /// Those of the node's files. They come first: whoever writes them is at this node.
    declared: Arc<Declared>,
    /// Those of the database.
    rows: Layer,
    /// Those of the database that can't be taken, and why.
    left_out: BTreeMap<(TeamId, Name), LeftOutCredential>,
}

/// What the node's files declare.
#[derive(Debug, Default)]
struct Declared {
    resources: Vec<Arc<Resource>>,
    layer: Layer,
}

/// A credential of the database that this node does not take.
#[derive(Clone, Debug)]
pub struct LeftOutCredential {
    /// What it is.
    pub resource: Arc<Resource>,
    /// Why.
    pub why: UntakenCredential,
}

/// Why a credential is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UntakenCredential {
    /// There is another.
    Clash(Clash),
    /// Its hash can't be compared here.
    Key(NoSuchKey),
}

/// A credential of the database that is another now.
#[derive(Clone, Debug)]
pub struct CredentialRow {
    /// The owner.
    pub team: TeamId,
    /// Its name.
    pub name: Name,
    /// What it is; `None` when it is gone.
    pub now: Option<Arc<Resource>>,
}

/// Credentials that were made ready and do not count yet.
#[derive(Debug)]
pub struct PreparedCredentials {
    /// `None` where nothing changes.
    entries: Option<Entries>,
    keys: bool,
    passwords: bool,
}

impl PreparedCredentials {
    /// Those of the database that would not be taken.
    pub fn left_out(&self) -> impl Iterator<Item = &LeftOutCredential> {
        let entries = self.entries.iter();
        entries.flat_map(|entries| entries.left_out.values())
    }
}

impl CredentialIndex {
    /// Without any credential yet.
    #[must_use]
    pub fn new(keys: CredentialKeys) -> Self {
        Self {
            keys,
            current: ArcSwap::default(),
            key_epoch: AtomicU64::new(0),
            password_epoch: AtomicU64::new(0),
        }
    }

    /// The keys that secrets are hashed under.
    #[must_use]
    pub fn keys(&self) -> &CredentialKeys {
        &self.keys
    }

    /// The number that tells of a change among API keys.
    pub(crate) fn key_epoch(&self) -> u64 {
        self.key_epoch.load(Ordering::Acquire)
    }

    /// The number that tells of a change among passwords.
    pub(crate) fn password_epoch(&self) -> u64 {
        self.password_epoch.load(Ordering::Acquire)
    }

    /// Hashes the credentials among `resources`, which the node's files declare; those of the database that can't stand
    /// beside them are left out. Nothing changes before [`publish`](Self::publish); the error names the one that can't be
    /// used. Until then nothing else is to be prepared.
    pub(crate) fn prepare(
        &self,
        resources: &[Arc<Resource>],
    ) -> Result<PreparedCredentials, (String, NoSuchKey)> {
        let mut entries = Entries::clone(&self.current.load());
        let resources: Vec<_> = resources
            .iter()
            .filter(|resource| matches!(resource.spec, Spec::Credential(_)))
            .map(Arc::clone)
            .collect();
        let before = &entries.declared.resources;
        let as_before = resources.len() == before.len()
            && resources
                .iter()
                .zip(before)
                .all(|(one, other)| Arc::ptr_eq(one, other));
        if as_before {
            return Ok(PreparedCredentials {
                entries: None,
                keys: false,
                passwords: false,
            });
        }
        let mut layer = Layer::default();
        for resource in &resources {
            let entry = self.entry(resource);
            let entry = entry.map_err(|error| (resource.name.to_string(), error))?;
            entry
                .into_iter()
                .for_each(|entry| layer.insert(Arc::new(entry)));
        }
        entries.declared = Arc::new(Declared { resources, layer });
        for displaced in entries.make_way() {
            self.take(&mut entries, &displaced);
        }
        self.settle(&mut entries);
        Ok(PreparedCredentials {
            entries: Some(entries),
            keys: true,
            passwords: true,
        })
    }

    /// Takes in what has changed in the database; of all that there is, where `all` is said.
    #[must_use]
    pub fn prepare_rows(&self, rows: &[CredentialRow], all: bool) -> PreparedCredentials {
        let mut entries = Entries::clone(&self.current.load());
        let mut kinds = (all, all);
        if all {
            entries.rows = Layer::default();
            entries.left_out.clear();
        }
        let mut changed = |entry: &Entry| match entry.password() {
            None => kinds.0 = true,
            Some(_) => kinds.1 = true,
        };
        // First all that goes, so that one may take what another had.
        for row in rows {
            let id = keys::credential_id(row.team, &row.name);
            if let Some(before) = entries.rows.remove(id) {
                changed(&before);
            }
            entries.left_out.remove(&(row.team, row.name.clone()));
        }
        for resource in rows.iter().filter_map(|row| row.now.as_ref()) {
            if let Some(taken) = self.take(&mut entries, resource) {
                changed(&taken);
            }
        }
        let before = entries.left_out.len();
        self.settle(&mut entries);
        let settled = entries.left_out.len() < before;
        PreparedCredentials {
            entries: Some(entries),
            keys: kinds.0 || settled,
            passwords: kinds.1 || settled,
        }
    }

    /// Takes this one in, or leaves it out.
    fn take(&self, entries: &mut Entries, resource: &Arc<Resource>) -> Option<Arc<Entry>> {
        let why = match self.entry(resource) {
            Ok(None) => return None,
            Err(error) => UntakenCredential::Key(error),
            Ok(Some(entry)) => match entries.clash(&entry) {
                Some(clash) => UntakenCredential::Clash(clash),
                None => {
                    let entry = Arc::new(entry);
                    entries.rows.insert(Arc::clone(&entry));
                    return Some(entry);
                }
            },
        };
        let key = (resource.team, resource.name.clone());
        let resource = Arc::clone(resource);
        entries
            .left_out
            .insert(key, LeftOutCredential { resource, why });
        None
    }

    /// Takes in those that were left out and need not be any more.
    fn settle(&self, entries: &mut Entries) {
        for (_, left_out) in std::mem::take(&mut entries.left_out) {
            self.take(entries, &left_out.resource);
        }
    }

    fn entry(&self, resource: &Arc<Resource>) -> Result<Option<Entry>, NoSuchKey> {
        match &resource.spec {
            Spec::Credential(credential) => Entry::new(resource, credential, &self.keys).map(Some),
            Spec::Api(_)
            | Spec::Upstream(_)
            | Spec::Issuer(_)
            | Spec::Role(_)
            | Spec::AccessPolicy(_)
            | Spec::KeySet(_)
            | Spec::Webhook(_)
            | Spec::ManagementRole(_)
            | Spec::Provider(_)
            | Spec::Model(_)
            | Spec::Prompt(_) => Ok(None),
        }
    }

    /// From now on these count, and no others.
    pub fn publish(&self, prepared: PreparedCredentials) {
        if let Some(entries) = prepared.entries {
            self.current.store(Arc::new(entries));
        }
        if prepared.keys {
            self.key_epoch.fetch_add(1, Ordering::Release);
        }
        if prepared.passwords {
            self.password_epoch.fetch_add(1, Ordering::Release);
        }
    }

    /// The credentials as they are.
    pub(crate) fn load(&self) -> Arc<Entries> {
        self.current.load_full()
    }

    /// Those of the database that are not taken.
    #[must_use]
    pub fn left_out(&self) -> Vec<LeftOutCredential> {
        self.current.load().left_out.values().cloned().collect()
    }

    /// Whether what was opened by a credential may stay at `now`: it is still there, not switched off and not over. Of
    /// its secret, which may have been replaced, nothing is known here.
    pub(crate) fn still_has(&self, credential: CredentialId, now: Timestamp) -> bool {
        let entries = self.current.load();
        let entry = entries.of_id(credential);
        entry.is_some_and(|entry| entry.check(now).is_ok())
    }

    /// Whose API key this is.
    pub(crate) fn of_api_key(&self, team: TeamId, key: &[u8]) -> Option<Arc<Entry>> {
        let entries = self.current.load();
        if entries.declared.layer.is_empty() && entries.rows.is_empty() {
            return None;
        }
        let mut hashes = self.keys.api_key_hashes(key);
        hashes.find_map(|hash| {
            let declared = entries.declared.layer.of_key(team, hash);
            declared
                .or_else(|| entries.rows.of_key(team, hash))
                .cloned()
        })
    }
}

impl Entries {
    fn clash(&self, entry: &Entry) -> Option<Clash> {
        let declared = self.declared.layer.clash(entry);
        declared.or_else(|| self.rows.clash(entry))
    }

    /// Takes out the rows that can't stand beside what is declared now.
    fn make_way(&mut self) -> Vec<Arc<Resource>> {
        let declared = Arc::clone(&self.declared);
        let mut displaced = Vec::new();
        for entry in declared.layer.entries() {
            // One of its name, and another that is shown in the same way.
            while let Some(other) = self.rows.beside(entry).map(|other| other.id) {
                let other = self.rows.remove(other);
                displaced.extend(other.map(|other| Arc::clone(&other.resource)));
            }
        }
        displaced
    }

    fn of_id(&self, id: CredentialId) -> Option<&Arc<Entry>> {
        let declared = self.declared.layer.of_id(id);
        declared.or_else(|| self.rows.of_id(id))
    }

    /// Whose password this name says it has.
    pub(crate) fn of_username(&self, team: TeamId, username: &str) -> Option<Arc<Entry>> {
        let declared = self.declared.layer.of_username(team, username);
        let entry = declared.or_else(|| self.rows.of_username(team, username));
        entry.cloned()
    }

    /// A hash of argon2 for names that nobody has: checking it takes as long as checking one that somebody has.
    pub(crate) fn decoy(&self) -> Option<&str> {
        let declared = self.declared.layer.decoy();
        declared.or_else(|| self.rows.decoy())
    }
}
