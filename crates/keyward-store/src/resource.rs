//! Declared resources and the configuration's revision.

use crate::database::Connection;
use crate::{Error, Store};
use keyward_model::id::{ResourceId, TeamId};
use keyward_model::{Name, Origin, Revision};

/// A resource as stored: its body is what a person wrote, as JSON, and is read by who knows the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResource {
    /// The row.
    pub id: ResourceId,
    /// The owner.
    pub team: TeamId,
    /// The owner's name.
    pub team_name: Name,
    /// Its kind, as written in `kind`.
    pub kind: String,
    /// Unique per team, kind and version.
    pub name: Name,
    /// Empty for kinds that have none.
    pub version: String,
    /// Where it was declared.
    pub origin: Origin,
    /// The revision that brought it in.
    pub revision: Revision,
    /// The declaration, as JSON.
    pub body: String,
}

#[derive(sqlx::FromRow)]
struct ResourceRow {
    id: String,
    team: String,
    team_name: String,
    kind: String,
    name: String,
    version: String,
    origin: String,
    revision: i64,
    body: String,
}

impl TryFrom<ResourceRow> for StoredResource {
    type Error = Error;
    fn try_from(row: ResourceRow) -> Result<Self, Error> {
        let malformed = |column| Error::malformed("resources", column, &row.id);
        let origin = [Origin::File, Origin::Database]
            .into_iter()
            .find(|origin| origin.as_str() == row.origin);
        let revision = u64::try_from(row.revision).map_err(|_| malformed("revision"))?;
        Ok(Self {
            id: row.id.parse().map_err(|_| malformed("id"))?,
            team: row.team.parse().map_err(|_| malformed("team"))?,
            team_name: row.team_name.parse().map_err(|_| malformed("team"))?,
            name: row.name.parse().map_err(|_| malformed("name"))?,
            origin: origin.ok_or_else(|| malformed("origin"))?,
            revision: Revision(revision),
            kind: row.kind,
            version: row.version,
            body: row.body,
        })
    }
}

impl Store {
    /// All resources, by team, kind, name and version. Where a node's own file declares one of the same
    /// name, that is the one which the node serves.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn resources(&self) -> Result<Vec<StoredResource>, Error> {
        let mut connection = self.pool().acquire().await?;
        all(&mut connection).await
    }

    /// All resources as of one revision, which is the newest.
    ///
    /// # Errors
    /// As [`resources`](Self::resources).
    pub async fn resources_at_once(&self) -> Result<(Revision, Vec<StoredResource>), Error> {
        let mut transaction = self.database().begin_read().await?;
        let revision = newest(&mut transaction).await?;
        let resources = all(&mut transaction).await?;
        transaction.rollback().await?;
        Ok((revision, resources))
    }

    /// The newest revision; 0 before the first change.
    ///
    /// # Errors
    /// What the database says.
    pub async fn revision(&self) -> Result<Revision, Error> {
        let mut connection = self.pool().acquire().await?;
        newest(&mut connection).await
    }
}

async fn all(connection: &mut Connection) -> Result<Vec<StoredResource>, Error> {
    let rows: Vec<ResourceRow> = sqlx::query_as(
        "SELECT resources.id, team, teams.name AS team_name, kind, resources.name, version, origin,
                    revision, body
             FROM resources JOIN teams ON teams.id = resources.team
             ORDER BY team, kind, resources.name, version",
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(StoredResource::try_from).collect()
}

async fn newest(connection: &mut Connection) -> Result<Revision, Error> {
    let (number,): (i64,) = sqlx::query_as("SELECT coalesce(max(number), 0) FROM revisions")
        .fetch_one(connection)
        .await?;
    u64::try_from(number)
        .map(Revision)
        .map_err(|_| Error::malformed("revisions", "number", number))
}
