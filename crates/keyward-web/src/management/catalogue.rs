//! The resources of the database as this node knows them, followed from revision to revision.

use super::draft::stored_version;
use super::kind::KindDescription;
use super::path::TeamPaths;
use crate::node::{DatabaseResource, ResourceKey};
use crate::problem::MemberFlaw;
use crate::site::Site;
use keyward_model::id::{ResourceId, TeamId};
use keyward_model::{Name, Revision, TeamName, Timestamp};
use keyward_store::management::Team;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All resources of the database, as of one revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) revision: Revision,
    pub(crate) resources: BTreeMap<ResourceKey, Arc<DatabaseResource>>,
    /// Which paths each team publishes below.
    pub(crate) paths: Arc<TeamPaths>,
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

/// Why the database's resources can't be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Store(keyward_store::Error),
    Resource(String),
}

impl From<keyward_store::Error> for Unreadable {
    fn from(error: keyward_store::Error) -> Self {
        Self::Store(error)
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => write!(f, "{error} [{}]", error.code()),
            Self::Resource(why) => f.write_str(why),
        }
    }
}

impl Site {
    /// The catalogue as the database has it now; `before` where nothing has changed since.
    pub(crate) async fn followed(
        &self,
        before: &Arc<Catalogue>,
    ) -> Result<Arc<Catalogue>, Unreadable> {
        let newest = self.store().revision().await?;
        if newest == before.revision {
            return Ok(Arc::clone(before));
        }
        // A database that was restored from a backup begins anew.
        if newest < before.revision || before.revision == Revision(0) {
            return self.read_all().await.map(Arc::new);
        }
        let changes = self
            .store()
            .resource_changes(None, before.revision, newest)
            .await?;
        let mut followed = Catalogue::clone(before);
        for change in changes {
            let Some(kind) = KindDescription::named(&change.kind) else {
                continue;
            };
            let key = ResourceKey {
                team: change.team,
                kind: kind.kind,
                name: change.name.clone(),
                version: change.version.parse().ok(),
            };
            let Some(body) = change.after else {
                followed.resources.remove(&key);
                continue;
            };
            let row = Row {
                team: change.team,
                team_name: change.team_name,
                kind: change.kind,
                name: change.name,
                version: change.version,
                id: change.id,
                revision: change.revision,
                body,
            };
            let resource = self.resource_of(row).await?;
            followed.resources.insert(key, Arc::new(resource));
        }
        // Paths that are newer than the revision do no harm: a change on top of it is refused, and looked at again.
        followed.paths = Arc::new(self.store().team_paths().await?);
        followed.revision = newest;
        Ok(Arc::new(followed))
    }

    async fn read_all(&self) -> Result<Catalogue, Unreadable> {
        loop {
            let revision = self.store().revision().await?;
            let rows = self.store().resources().await?;
            let paths = Arc::new(self.store().team_paths().await?);
            if self.store().revision().await? != revision {
                continue;
            }
            let mut resources = BTreeMap::new();
            for row in rows {
                let resource = self
                    .resource_of(Row {
                        team: row.team,
                        team_name: row.team_name,
                        kind: row.kind,
                        name: row.name,
                        version: row.version,
                        id: row.id,
                        revision: row.revision,
                        body: row.body,
                    })
                    .await?;
                resources.insert(resource.key.clone(), Arc::new(resource));
            }
            return Ok(Catalogue {
                revision,
                resources,
                paths,
            });
        }
    }

    async fn resource_of(&self, row: Row) -> Result<DatabaseResource, Unreadable> {
        let told = |why: &str| {
            let version = match row.version.as_str() {
                "" => String::new(),
                version => format!(":{version}"),
            };
            Unreadable::Resource(format!(
                "{} `{}{version}` of team `{}` in the database: {why}",
                row.kind, row.name, row.team_name
            ))
        };
        let kind = KindDescription::named(&row.kind)
            .ok_or_else(|| told("this version knows no such kind"))?;
        let body = serde_json::from_str(&row.body).map_err(|error| told(&error.to_string()))?;
        let team = Team {
            id: row.team,
            name: row.team_name.clone(),
            created_at: Timestamp::from_micros(0),
        };
        let read = self.stored(kind, &team, body).await?;
        let resource = read.map_err(|flaws: Vec<MemberFlaw>| {
            let why = flaws
                .first()
                .map_or("it can't be read", |flaw| &flaw.detail);
            told(why)
        })?;
        if resource.key.name != row.name
            || stored_version(resource.key.version.as_ref()) != row.version
        {
            return Err(told("it says that it is another"));
        }
        Ok(DatabaseResource {
            id: Some(row.id),
            revision: Some(row.revision),
            ..resource
        })
    }
}
