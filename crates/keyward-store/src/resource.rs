//! Declared resources and the configuration's revision.

use crate::database::Connection;
use crate::management::{Base, newest_base};
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
    /// The revision that brought it in; of a credential the one that was the newest then.
    pub revision: Revision,
    /// How often credentials had been changed when this one was; 0 of all else.
    pub mark: i64,
    /// The declaration, as JSON.
    pub body: String,
}

#[derive(sqlx::FromRow)]
pub(crate) struct ResourceRow {
    id: String,
    team: String,
    team_name: String,
    kind: String,
    name: String,
    version: String,
    origin: String,
    revision: i64,
    mark: i64,
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
            mark: row.mark,
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

    /// All resources as of one moment, and how far everything had come then.
    ///
    /// # Errors
    /// As [`resources`](Self::resources).
    pub async fn resources_at_once(&self) -> Result<(Base, Vec<StoredResource>), Error> {
        let mut transaction = self.database().begin_read().await?;
        let base = newest_base(&mut transaction).await?;
        let resources = all(&mut transaction).await?;
        transaction.rollback().await?;
        Ok((base, resources))
    }

    /// The newest revision; 0 before the first change.
    ///
    /// # Errors
    /// What the database says.
    pub async fn revision(&self) -> Result<Revision, Error> {
        let mut connection = self.pool().acquire().await?;
        newest_revision(&mut connection).await
    }
}

/// The columns of a [`ResourceRow`], of resources with their teams.
macro_rules! resource_columns {
    () => {
        "SELECT resources.id, team, teams.name AS team_name, kind, resources.name, version, origin,
                revision, mark, body
         FROM resources JOIN teams ON teams.id = resources.team"
    };
}
pub(crate) use resource_columns;

async fn all(connection: &mut Connection) -> Result<Vec<StoredResource>, Error> {
    let rows: Vec<ResourceRow> = sqlx::query_as(concat!(
        resource_columns!(),
        " WHERE teams.deleted_at IS NULL ORDER BY team, kind, resources.name, version"
    ))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(StoredResource::try_from).collect()
}

pub(crate) async fn newest_revision(connection: &mut Connection) -> Result<Revision, Error> {
    let (number,): (i64,) = sqlx::query_as("SELECT coalesce(max(number), 0) FROM revisions")
        .fetch_one(connection)
        .await?;
    revision_number(number)
}

pub(crate) fn revision_number(number: i64) -> Result<Revision, Error> {
    u64::try_from(number)
        .map(Revision)
        .map_err(|_| Error::malformed("revisions", "number", number))
}
