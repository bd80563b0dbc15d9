//! The resources of the database as this node knows them, followed from revision to revision.

use super::draft::stored_version;
use super::kind::KindDescription;
use super::path::TeamPaths;
use super::secret;
use crate::node::{CredentialUpdate, DatabaseResource, LeftOut, ResourceKey, Update};
use crate::problem::MemberFlaw;
use crate::site::Site;
use keyward_model::id::{ResourceId, TeamId};
use keyward_model::resource::Kind;
use keyward_model::{Name, Revision, Secret, TeamName, Timestamp};
use keyward_store::StoredResource;
use keyward_store::management::{Base, Team};
use rpds::RedBlackTreeMapSync;
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// From so many revisions on everything is read rather than what each did: more would be read of the history than
/// there is.
const FOLLOWED_MAX: u64 = 256;

/// Resources by their keys. What is the same as in the map before is shared with it.
type Resources = RedBlackTreeMapSync<ResourceKey, Arc<DatabaseResource>>;

/// All resources of the database, as of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) base: Base,
    /// Whether anything was read at all.
    is_read: bool,
    /// But credentials, which are many and change without a revision.
    resources: Resources,
    credentials: Resources,
    /// Which paths each team publishes below.
    pub(crate) paths: Arc<TeamPaths>,
    /// What another version has declared, and this one can't read.
    unreadable: BTreeMap<RowKey, LeftOut>,
}

/// What identifies a row: team, kind, name and version.
type RowKey = (TeamId, String, Name, String);

impl Catalogue {
    /// What stands under a key.
    pub(crate) fn get(&self, key: &ResourceKey) -> Option<&Arc<DatabaseResource>> {
        self.of_kind(key.kind).get(key)
    }

    /// Everything.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<DatabaseResource>> {
        self.resources.values().chain(self.credentials.values())
    }

    /// What a list of a kind looks through, in the order of the keys.
    pub(crate) fn of(
        &self,
        team: TeamId,
        kind: Kind,
    ) -> impl Iterator<Item = &Arc<DatabaseResource>> {
        let all = self.of_kind(kind).values();
        all.filter(move |resource| resource.key.team == team && resource.key.kind == kind)
    }

    fn of_kind(&self, kind: Kind) -> &Resources {
        if kind.changes_by_row() {
            &self.credentials
        } else {
            &self.resources
        }
    }

    fn of_kind_mut(&mut self, kind: Kind) -> &mut Resources {
        if kind.changes_by_row() {
            &mut self.credentials
        } else {
            &mut self.resources
        }
    }

    /// Puts this in its place.
    pub(crate) fn insert(&mut self, resource: Arc<DatabaseResource>) {
        let key = resource.key.clone();
        self.of_kind_mut(key.kind).insert_mut(key, resource);
    }

    /// Takes away what stands under a key.
    pub(crate) fn remove(&mut self, key: &ResourceKey) {
        self.of_kind_mut(key.kind).remove_mut(key);
    }

    /// What the node is told of it that serves `before`; of all of it where nothing is served.
    pub(crate) fn update(&self, before: &Self) -> Update {
        Update {
            credentials: self.credential_updates(before),
            all_credentials: !before.is_read,
            ..self.update_but_credentials(before)
        }
    }

    /// The same, without the credentials.
    pub(crate) fn update_but_credentials(&self, before: &Self) -> Update {
        let resources = &self.resources;
        let changed = !before.is_read || !resources.ptr_eq(&before.resources);
        Update {
            resources: changed.then(|| resources.values().map(Arc::clone).collect()),
            unreadable: self.unreadable.values().cloned().collect(),
            ..Update::default()
        }
    }

    /// The credentials that are others than `before`: both are walked through side by side.
    fn credential_updates(&self, before: &Self) -> Vec<CredentialUpdate> {
        let mut updates = Vec::new();
        if self.credentials.ptr_eq(&before.credentials) {
            return updates;
        }
        let mut old = before.credentials.iter().peekable();
        let mut new = self.credentials.iter().peekable();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return updates,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((old, _)), Some((new, _))) => old.cmp(new),
            };
            let gone = old.next_if(|_| order.is_le());
            let now = new.next_if(|_| order.is_ge()).map(|(_, now)| now);
            let is_same = match (gone, now) {
                (Some((_, gone)), Some(now)) => Arc::ptr_eq(gone, now),
                (Some(_), None) | (None, Some(_)) | (None, None) => false,
            };
            let key = now.map(|now| &now.key).or(gone.map(|(key, _)| key));
            if let Some(key) = key.filter(|_| !is_same) {
                updates.push(CredentialUpdate {
                    key: key.clone(),
                    now: now.map(Arc::clone),
                });
            }
        }
    }

    /// The same with the credentials of `newer`.
    pub(crate) fn with_credentials_of(&self, newer: &Self) -> Self {
        Self {
            base: Base {
                revision: self.base.revision,
                credentials: newer.base.credentials,
            },
            credentials: newer.credentials.clone(),
            ..self.clone()
        }
    }

    /// Forgets what was known of a row.
    fn forget(&mut self, (team, kind, name, version): &RowKey) {
        if let Some(kind) = KindDescription::named(kind) {
            self.remove(&ResourceKey {
                team: *team,
                kind: kind.kind,
                name: name.clone(),
                version: version.parse().ok(),
            });
        }
        let key = (*team, kind.clone(), name.clone(), version.clone());
        self.unreadable.remove(&key);
    }

    /// The same without a team.
    pub(crate) fn without(&self, team: TeamId) -> Self {
        let mut left = self.clone();
        let all = self.values().filter(|resource| resource.key.team == team);
        for resource in all {
            left.remove(&resource.key);
        }
        left.unreadable.retain(|(of, ..), _| *of != team);
        let mut paths = TeamPaths::clone(&left.paths);
        paths.remove(&team);
        left.paths = Arc::new(paths);
        left
    }

    /// Why what stands under a key can't be read, if it can't.
    pub(crate) fn unreadable(&self, key: &ResourceKey) -> Option<&LeftOut> {
        if self.unreadable.is_empty() {
            return None;
        }
        let version = stored_version(key.version.as_ref());
        let kind = key.kind.as_str().to_owned();
        self.unreadable
            .get(&(key.team, kind, key.name.clone(), version))
    }
}

/// A row, wherever it was read from.
struct Row {
    team: TeamId,
    team_name: TeamName,
    kind: String,
    name: Name,
    version: String,
    id: ResourceId,
    revision: Revision,
    mark: i64,
    body: String,
}

impl From<StoredResource> for Row {
    fn from(row: StoredResource) -> Self {
        Self {
            team: row.team,
            team_name: row.team_name,
            kind: row.kind,
            name: row.name,
            version: row.version,
            id: row.id,
            revision: row.revision,
            mark: row.mark,
            body: row.body,
        }
    }
}

impl Row {
    /// For operators.
    fn told(&self) -> String {
        let version = match self.version.as_str() {
            "" => String::new(),
            version => format!(":{version}"),
        };
        format!(
            "{} `{}{version}` of team `{}`",
            self.kind, self.name, self.team_name
        )
    }

    fn key(&self) -> RowKey {
        let (kind, version) = (self.kind.clone(), self.version.clone());
        (self.team, kind, self.name.clone(), version)
    }
}

impl Site {
    /// The catalogue as the database has it now; `before` where nothing has changed since.
    pub(crate) async fn followed(
        &self,
        before: &Arc<Catalogue>,
    ) -> Result<Arc<Catalogue>, keyward_store::Error> {
        let newest = self.store().base().await?;
        if before.is_read && newest == before.base {
            return Ok(Arc::clone(before));
        }
        // A database that was restored from a backup begins anew.
        let (revision, known) = (newest.revision, before.base.revision);
        let behind = revision.0.checked_sub(known.0);
        if !before.is_read || behind.is_none_or(|behind| behind > FOLLOWED_MAX) {
            return self.read_all().await.map(Arc::new);
        }
        let credentials = self.store().credential_changes(before.base.credentials);
        let credentials = credentials.await?;
        let changes = self.store().resource_differences(None, known, revision);
        let (Some(changes), Some(changed)) = (changes.await?, credentials.changed) else {
            return self.read_all().await.map(Arc::new);
        };
        let mut followed = Catalogue::clone(before);
        let mut rows: Vec<Row> = Vec::new();
        // Credentials in revisions are of the version before, beside which this one runs: which of two changes came last
        // can't be told from both histories.
        if changes
            .iter()
            .any(|change| change.kind == Kind::Credential.as_str())
        {
            return self.read_all().await.map(Arc::new);
        }
        for change in changes {
            let row = Row {
                team: change.team,
                team_name: change.team_name,
                kind: change.kind,
                name: change.name,
                version: change.version,
                id: change.id,
                revision: change.revision,
                mark: 0,
                body: change.after.unwrap_or_default(),
            };
            followed.forget(&row.key());
            // The version before knows no end of a team, and may give it something.
            if !row.body.is_empty() && !change.team_ended {
                rows.push(row);
            }
        }
        for change in changed {
            let kind = Kind::Credential.as_str().to_owned();
            followed.forget(&(change.team, kind, change.name, String::new()));
            if let Some(row) = change.now {
                rows.push(row.into());
            }
        }
        self.add(&mut followed, rows).await?;
        // Paths that are newer than the revision do no harm: a change on top of it is refused, and looked at again.
        followed.paths = Arc::new(self.store().team_paths().await?);
        followed.base = Base {
            revision,
            credentials: credentials.mark,
        };
        Ok(Arc::new(followed))
    }

    async fn read_all(&self) -> Result<Catalogue, keyward_store::Error> {
        let (base, rows) = self.store().resources_at_once().await?;
        let mut all = Catalogue {
            base,
            is_read: true,
            // Those that are newer than the revision do no harm, as above.
            paths: Arc::new(self.store().team_paths().await?),
            ..Catalogue::default()
        };
        self.add(&mut all, rows.into_iter().map(Row::from)).await?;
        Ok(all)
    }

    /// Adds rows, among those that can be read or among the others. The secrets that they refer to are asked for at once.
    async fn add(
        &self,
        catalogue: &mut Catalogue,
        rows: impl IntoIterator<Item = Row>,
    ) -> Result<(), keyward_store::Error> {
        let rows: Vec<(Row, Result<Parsed, String>)> = rows
            .into_iter()
            .map(|row| {
                let parsed = Parsed::of(&row);
                (row, parsed)
            })
            .collect();
        let references = rows.iter().flat_map(|(row, parsed)| {
            let references = parsed.iter().flat_map(|parsed| &parsed.references);
            references.map(|reference| (row.team, reference.clone()))
        });
        let references: Vec<_> = references.collect();
        let secrets = self.store().resource_secrets(&references).await?;
        for (row, parsed) in rows {
            let (key, name) = (row.key(), row.told());
            let read = parsed.and_then(|parsed| self.resource_of(row, parsed, &secrets));
            match read {
                Ok(resource) => catalogue.insert(Arc::new(resource.to_be_kept())),
                Err(why) => {
                    let left_out = LeftOut {
                        resource: name,
                        why,
                    };
                    catalogue.unreadable.insert(key, left_out);
                }
            }
        }
        Ok(())
    }

    fn resource_of(
        &self,
        row: Row,
        parsed: Parsed,
        secrets: &Secrets,
    ) -> Result<DatabaseResource, String> {
        let team = Team {
            id: row.team,
            name: row.team_name,
            created_at: Timestamp::from_micros(0),
        };
        let mut own = HashMap::with_capacity(parsed.references.len());
        for reference in parsed.references {
            match secrets.get(&(row.team, reference.clone())) {
                Some(Ok(secret)) => drop(own.insert(reference, secret.clone())),
                // One secret that does not open is no reason to serve nothing that comes later.
                Some(Err(error)) => return Err(error.to_string()),
                None => {}
            }
        }
        let read = self.read(parsed.kind, &team, parsed.body, &own);
        let resource = read.map_err(|flaws| {
            let first = flaws.into_iter().next();
            first.map_or_else(
                || "it can't be read".to_owned(),
                |MemberFlaw { member, detail, .. }| format!("{member}: {detail}"),
            )
        })?;
        if resource.key.name != row.name
            || stored_version(resource.key.version.as_ref()) != row.version
        {
            return Err("it says that it is another".to_owned());
        }
        Ok(DatabaseResource {
            id: Some(row.id),
            revision: Some(row.revision),
            mark: row.mark,
            ..resource
        })
    }
}

/// Secrets of teams by their references, each opened or with why it does not open.
type Secrets = HashMap<(TeamId, String), Result<Secret<String>, keyward_store::Error>>;

/// The body of a row, with the secrets that it refers to.
struct Parsed {
    kind: &'static KindDescription,
    body: Value,
    references: Vec<String>,
}

impl Parsed {
    fn of(row: &Row) -> Result<Self, String> {
        let kind = KindDescription::named(&row.kind).ok_or("this version knows no such kind")?;
        let body = serde_json::from_str(&row.body).map_err(|error| error.to_string())?;
        Ok(Self {
            references: secret::references(&body, kind),
            kind,
            body,
        })
    }
}
