//! The resources of the database as this node knows them, followed from revision to revision.

use super::draft::stored_version;
use super::kind::KindDescription;
use super::path::TeamPaths;
use crate::node::{DatabaseResource, DatabaseResources, LeftOut, ResourceKey};
use crate::problem::MemberFlaw;
use crate::site::Site;
use keyward_model::id::{ResourceId, TeamId};
use keyward_model::{Name, Revision, TeamName, Timestamp};
use keyward_store::management::Team;
use std::collections::BTreeMap;
use std::sync::Arc;

/// From so many revisions on everything is read rather than what each did: more would be read of the history than
/// there is.
const FOLLOWED_MAX: u64 = 256;

/// All resources of the database, as of one revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) revision: Revision,
    pub(crate) resources: BTreeMap<ResourceKey, Arc<DatabaseResource>>,
    /// Which paths each team publishes below.
    pub(crate) paths: Arc<TeamPaths>,
    /// What another version has declared, and this one can't read.
    unreadable: BTreeMap<RowKey, LeftOut>,
}

/// What identifies a row: team, kind, name and version.
type RowKey = (TeamId, String, Name, String);

impl Catalogue {
    /// As the node is told of it.
    pub(crate) fn for_the_node(&self) -> DatabaseResources {
        DatabaseResources {
            resources: self.resources.values().map(Arc::clone).collect(),
            unreadable: self.unreadable.values().cloned().collect(),
        }
    }

    /// The same without a team.
    pub(crate) fn without(&self, team: TeamId) -> Self {
        let mut left = self.clone();
        left.resources.retain(|key, _| key.team != team);
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
    body: String,
}

impl Row {
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
        let newest = self.store().revision().await?;
        if newest == before.revision {
            return Ok(Arc::clone(before));
        }
        // A database that was restored from a backup begins anew.
        let behind = newest.0.checked_sub(before.revision.0);
        if before.revision == Revision(0) || behind.is_none_or(|behind| behind > FOLLOWED_MAX) {
            return self.read_all().await.map(Arc::new);
        }
        let changes = self
            .store()
            .resource_differences(None, before.revision, newest)
            .await?;
        let Some(changes) = changes else {
            return self.read_all().await.map(Arc::new);
        };
        let mut followed = Catalogue::clone(before);
        for change in changes {
            let kind = KindDescription::named(&change.kind);
            let key = kind.map(|kind| ResourceKey {
                team: change.team,
                kind: kind.kind,
                name: change.name.clone(),
                version: change.version.parse().ok(),
            });
            let row = Row {
                team: change.team,
                team_name: change.team_name,
                kind: change.kind,
                name: change.name,
                version: change.version,
                id: change.id,
                revision: change.revision,
                body: change.after.unwrap_or_default(),
            };
            if let Some(key) = &key {
                followed.resources.remove(key);
            }
            followed.unreadable.remove(&row.key());
            if !row.body.is_empty() {
                self.add(&mut followed, row).await?;
            }
        }
        // Paths that are newer than the revision do no harm: a change on top of it is refused, and looked at again.
        followed.paths = Arc::new(self.store().team_paths().await?);
        followed.revision = newest;
        Ok(Arc::new(followed))
    }

    async fn read_all(&self) -> Result<Catalogue, keyward_store::Error> {
        let (revision, rows) = self.store().resources_at_once().await?;
        let mut all = Catalogue {
            revision,
            // Those that are newer than the revision do no harm, as above.
            paths: Arc::new(self.store().team_paths().await?),
            ..Catalogue::default()
        };
        for row in rows {
            let row = Row {
                team: row.team,
                team_name: row.team_name,
                kind: row.kind,
                name: row.name,
                version: row.version,
                id: row.id,
                revision: row.revision,
                body: row.body,
            };
            self.add(&mut all, row).await?;
        }
        Ok(all)
    }

    /// Adds a row, among those that can be read or among the others.
    async fn add(&self, catalogue: &mut Catalogue, row: Row) -> Result<(), keyward_store::Error> {
        let key = row.key();
        let version = match row.version.as_str() {
            "" => String::new(),
            version => format!(":{version}"),
        };
        let name = format!(
            "{} `{}{version}` of team `{}`",
            row.kind, row.name, row.team_name
        );
        match self.resource_of(row).await? {
            Ok(resource) => {
                let key = resource.key.clone();
                catalogue.resources.insert(key, Arc::new(resource));
            }
            Err(why) => {
                let left_out = LeftOut {
                    resource: name,
                    why,
                };
                catalogue.unreadable.insert(key, left_out);
            }
        }
        Ok(())
    }

    async fn resource_of(
        &self,
        row: Row,
    ) -> Result<Result<DatabaseResource, String>, keyward_store::Error> {
        let Some(kind) = KindDescription::named(&row.kind) else {
            return Ok(Err("this version knows no such kind".to_owned()));
        };
        let body = match serde_json::from_str(&row.body) {
            Ok(body) => body,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let team = Team {
            id: row.team,
            name: row.team_name.clone(),
            created_at: Timestamp::from_micros(0),
        };
        let read = match self.stored(kind, &team, body).await {
            Ok(read) => read,
            // One secret that does not open is no reason to serve nothing that comes later.
            Err(
                error @ (keyward_store::Error::Sealed { .. }
                | keyward_store::Error::Malformed { .. }),
            ) => {
                return Ok(Err(error.to_string()));
            }
            Err(error) => return Err(error),
        };
        let resource = match read {
            Ok(resource) => resource,
            Err(flaws) => {
                let first = flaws.into_iter().next();
                let why = first.map_or_else(
                    || "it can't be read".to_owned(),
                    |MemberFlaw { member, detail, .. }| format!("{member}: {detail}"),
                );
                return Ok(Err(why));
            }
        };
        if resource.key.name != row.name
            || stored_version(resource.key.version.as_ref()) != row.version
        {
            return Ok(Err("it says that it is another".to_owned()));
        }
        Ok(Ok(DatabaseResource {
            id: Some(row.id),
            revision: Some(row.revision),
            ..resource
        }))
    }
}
