//! Credentials that were declared in one place, by what is shown of them.

use super::entry::{Entry, Proof, StoredPassword};
use keyward_model::id::{CredentialId, TeamId};
use keyward_model::name::Name;
use keyward_model::resource::credential::KeyedHash;
use rpds::HashTrieMapSync;
use std::sync::Arc;

/// Maps that share what is the same with the ones they were made of: among a hundred thousand credentials a change of
/// one costs no more than among ten, and whoever reads the ones before goes on reading them.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    by_key: HashTrieMapSync<(TeamId, KeyedHash), Arc<Entry>>,
    by_username: HashTrieMapSync<TeamId, HashTrieMapSync<Box<str>, Arc<Entry>>>,
    by_id: HashTrieMapSync<CredentialId, Arc<Entry>>,
    decoy: Option<Box<str>>,
}

/// Why a credential can't stand beside another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clash {
    /// Both have the same name.
    Name,
    /// Both are shown in the same way.
    Shown {
        /// The other.
        other: Name,
        /// The member that says how: `api_key` or `username`.
        member: &'static str,
    },
}

impl Layer {
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn of_key(&self, team: TeamId, hash: KeyedHash) -> Option<&Arc<Entry>> {
        if self.by_key.is_empty() {
            return None;
        }
        self.by_key.get(&(team, hash))
    }

    pub(super) fn of_username(&self, team: TeamId, username: &str) -> Option<&Arc<Entry>> {
        self.by_username.get(&team)?.get(username)
    }

    pub(super) fn of_id(&self, id: CredentialId) -> Option<&Arc<Entry>> {
        self.by_id.get(&id)
    }

    /// All, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_id.values()
    }

    /// A hash of argon2 of somebody's.
    pub(super) fn decoy(&self) -> Option<&str> {
        self.decoy.as_deref()
    }

    /// One that this one can't stand beside.
    pub(super) fn beside(&self, entry: &Entry) -> Option<&Arc<Entry>> {
        let named = self.by_id.get(&entry.id);
        named.or_else(|| match &entry.proof {
            Proof::Key(hash) => self.of_key(entry.team(), *hash),
            Proof::Password { username, .. } => self.of_username(entry.team(), username),
        })
    }

    /// Why this one can't stand beside those here, if it can't.
    pub(super) fn clash(&self, entry: &Entry) -> Option<Clash> {
        let other = self.beside(entry)?;
        if other.id == entry.id {
            return Some(Clash::Name);
        }
        Some(Clash::Shown {
            other: other.resource.name.clone(),
            member: match &entry.proof {
                Proof::Key(_) => "api_key",
                Proof::Password { .. } => "username",
            },
        })
    }

    /// Adds one that clashes with none.
    pub(super) fn insert(&mut self, entry: Arc<Entry>) {
        match &entry.proof {
            Proof::Key(hash) => {
                self.by_key
                    .insert_mut((entry.team(), *hash), Arc::clone(&entry));
            }
            Proof::Password { username, password } => {
                if let StoredPassword::Argon2(hash) = password {
                    self.decoy.get_or_insert_with(|| hash.clone());
                }
                let mut names = self.names(entry.team());
                names.insert_mut(username.clone(), Arc::clone(&entry));
                self.by_username.insert_mut(entry.team(), names);
            }
        }
        self.by_id.insert_mut(entry.id, entry);
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, id: CredentialId) -> Option<Arc<Entry>> {
        let entry = self.by_id.get(&id).map(Arc::clone)?;
        self.by_id.remove_mut(&id);
        match &entry.proof {
            Proof::Key(hash) => drop(self.by_key.remove_mut(&(entry.team(), *hash))),
            Proof::Password { username, .. } => {
                let mut names = self.names(entry.team());
                names.remove_mut(&**username);
                self.by_username.insert_mut(entry.team(), names);
            }
        }
        Some(entry)
    }

    fn names(&self, team: TeamId) -> HashTrieMapSync<Box<str>, Arc<Entry>> {
        let names = self.by_username.get(&team);
        names.cloned().unwrap_or_default()
    }
}
