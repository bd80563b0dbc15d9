//! The credential index: API keys and passwords, by what a caller shows.
//!
//! It stands beside the snapshot and has an epoch of its own, so that a key that is made, changed or taken
//! back counts at once, and no route is compiled for it.
//!
//! **Why nothing here compares secrets.** An API key is looked up by its HMAC under a key that never leaves this
//! node. Who sends a key can't choose what it hashes to, so that how long the look-up takes tells nothing of the
//! keys that are there: there is no "nearly right". Passwords are found by their user's name, and their hashes
//! compared in constant time.

mod keys;
#[cfg(test)]
mod tests;

pub use keys::{CredentialKeys, NoSuchKey};

use arc_swap::ArcSwap;
use keyward_model::caller::{Method, TokenClaims, TokenFacts, TokenScopes};
use keyward_model::id::{CredentialId, TeamId};
use keyward_model::name::Name;
use keyward_model::resource::credential::{
    CredentialProof, KeyMaterial, KeyedHash, PasswordMaterial,
};
use keyward_model::resource::{Credential, Resource, Spec};
use keyward_model::{Caller, Code, Fault, Timestamp};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// All credentials of a node, as workers see them.
#[derive(Debug)]
pub struct CredentialIndex {
    keys: CredentialKeys,
    current: ArcSwap<Entries>,
    epoch: AtomicU64,
}

/// The credentials as of one change. Never changed.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    by_key: HashMap<(TeamId, KeyedHash), Arc<Entry>>,
    by_name: HashMap<TeamId, HashMap<Box<str>, Arc<Entry>>>,
    /// Those that are not switched off, and when they end.
    enabled: HashMap<CredentialId, Option<Timestamp>>,
    /// A hash of argon2 for names that nobody has: checking it takes as long as checking one that somebody has.
    pub(crate) decoy: Option<Box<str>>,
}

/// A credential that may be shown.
#[derive(Debug)]
pub(crate) struct Entry {
    team: TeamId,
    name: Name,
    id: CredentialId,
    subject: Box<str>,
    scopes: Vec<String>,
    roles: Vec<String>,
    expires: Option<Timestamp>,
    enabled: bool,
    /// `None` of an API key, which is found by its hash.
    password: Option<StoredPassword>,
}

/// What a password is checked against.
#[derive(Debug)]
pub(crate) enum StoredPassword {
    Hashed(KeyedHash),
    Argon2(Box<str>),
}

impl CredentialIndex {
    /// Without any credential yet.
    #[must_use]
    pub fn new(keys: CredentialKeys) -> Self {
        Self {
            keys,
            current: ArcSwap::default(),
            epoch: AtomicU64::new(0),
        }
    }

    /// The keys that secrets are hashed under.
    #[must_use]
    pub fn keys(&self) -> &CredentialKeys {
        &self.keys
    }

    /// The number that tells of a change.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Hashes the credentials among `resources`. Nothing changes before [`publish`](Self::publish); the error
    /// names the one that can't be used.
    pub(crate) fn prepare(
        &self,
        resources: &[Arc<Resource>],
    ) -> Result<Entries, (String, NoSuchKey)> {
        let mut entries = Entries::default();
        for resource in resources {
            if let Spec::Credential(credential) = &resource.spec {
                entries
                    .add(resource, credential, &self.keys)
                    .map_err(|error| (resource.name.to_string(), error))?;
            }
        }
        Ok(entries)
    }

    /// From now on these count, and no others.
    pub(crate) fn publish(&self, entries: Entries) {
        self.current.store(Arc::new(entries));
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// The credentials as they are.
    pub(crate) fn load(&self) -> Arc<Entries> {
        self.current.load_full()
    }

    /// Whether what was opened by a credential as of `epoch` may stay at `now`: it is still there, not switched
    /// off and not over. Of its secret, which may have been replaced, nothing is known here.
    pub(crate) fn still_has(&self, credential: CredentialId, epoch: u64, now: Timestamp) -> bool {
        if epoch == self.epoch() {
            return true;
        }
        let entries = self.current.load();
        let ends = entries.enabled.get(&credential);
        ends.is_some_and(|ends| ends.is_none_or(|end| now < end))
    }

    /// Whose API key this is.
    pub(crate) fn of_api_key(&self, team: TeamId, key: &[u8]) -> Option<Arc<Entry>> {
        let entries = self.current.load();
        if entries.by_key.is_empty() {
            return None;
        }
        let mut hashes = self.keys.api_key_hashes(key);
        hashes.find_map(|hash| entries.by_key.get(&(team, hash)).cloned())
    }
}

impl Entries {
    fn add(
        &mut self,
        resource: &Resource,
        credential: &Credential,
        keys: &CredentialKeys,
    ) -> Result<(), NoSuchKey> {
        let mut entry = Entry {
            team: resource.team,
            name: resource.name.clone(),
            id: keys::credential_id(resource.team, &resource.name),
            subject: credential.subject.clone(),
            scopes: credential.scopes.iter().cloned().collect(),
            roles: credential.roles.iter().cloned().collect(),
            expires: credential.expires,
            enabled: credential.enabled,
            password: None,
        };
        if entry.enabled {
            self.enabled.insert(entry.id, entry.expires);
        }
        match &credential.proof {
            CredentialProof::ApiKey(material) => {
                let hash = match material {
                    KeyMaterial::Clear(key) => keys.hash_api_key(key.reveal().as_bytes()),
                    KeyMaterial::Hashed(hash) => keys.known(*hash)?,
                };
                self.by_key.insert((resource.team, hash), Arc::new(entry));
            }
            CredentialProof::Password { username, password } => {
                entry.password = Some(match password {
                    PasswordMaterial::Clear(password) => {
                        StoredPassword::Hashed(keys.hash_password(username, password.reveal()))
                    }
                    PasswordMaterial::Hashed(hash) => StoredPassword::Hashed(keys.known(*hash)?),
                    PasswordMaterial::Argon2(text) => {
                        self.decoy.get_or_insert_with(|| text.clone());
                        StoredPassword::Argon2(text.clone())
                    }
                });
                let team = self.by_name.entry(resource.team).or_default();
                team.insert(username.clone(), Arc::new(entry));
            }
        }
        Ok(())
    }

    /// Whose password this name says it has.
    pub(crate) fn of_username(&self, team: TeamId, username: &str) -> Option<Arc<Entry>> {
        self.by_name.get(&team)?.get(username).cloned()
    }
}

impl Entry {
    /// What its password is checked against, if it has one.
    pub(crate) fn password(&self) -> Option<&StoredPassword> {
        self.password.as_ref()
    }

    /// Whether it may be used now; only who has shown it is told why not.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), Fault> {
        if !self.enabled {
            return Err(Fault::new(
                Code::CredentialInvalid,
                "The credential is switched off; ask the API's publisher",
            )
            .because(format_args!("credential `{}`", self.name)));
        }
        if self.expires.is_some_and(|end| now >= end) {
            return Err(Fault::new(
                Code::CredentialExpired,
                "The credential has expired; get a new one",
            )
            .because(format_args!("credential `{}`", self.name)));
        }
        Ok(())
    }

    /// When it ends.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Who calls with it.
    pub(crate) fn caller(&self, method: Method) -> Result<Caller, Fault> {
        // What identity headers and conditions can speak of as claims.
        let claims = json!({
            "sub": self.subject,
            "credential": self.name.as_str(),
            "roles": self.roles,
            "scope": self.scopes.join(" "),
        });
        let scopes: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
        let mut caller = Caller::of_token(&TokenFacts {
            claims: TokenClaims::Json(&claims.to_string()),
            subject: Some(&self.subject),
            // By which one credential of a subject's can be revoked.
            token_id: Some(&self.id.to_string()),
            scopes: TokenScopes::Listed(&scopes),
            ..TokenFacts::default()
        })
        .map_err(|error| {
            Fault::new(Code::CredentialInvalid, "The credential is too long").because(error)
        })?;
        caller.method = method;
        caller.team = Some(self.team);
        // So that a subject of ours is not taken for one of the same name that an issuer vouches for.
        caller.issuer = Some(Arc::from(ISSUER));
        caller.credential = Some(self.id);
        caller.expires = self.expires;
        Ok(caller)
    }
}

/// Who vouches for the callers that a credential of this node stands for, as upstreams, limits and revocations
/// call it.
pub const ISSUER: &str = "urn:keyward:credentials";
