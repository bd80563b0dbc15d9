//! Credentials by row: which have changed since a node has looked.

use super::change::{AT_ONCE, places};
use super::{Base, ResourceWrite};
use crate::database::Transaction;
use crate::resource::{ResourceRow, StoredResource, resource_columns};
use crate::{Error, Store};
use keyward_model::id::TeamId;
use keyward_model::{Name, Timestamp};
use sqlx::AssertSqlSafe;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// The kind that is changed by row.
pub(super) const CREDENTIAL: &str = "credential";

/// How long it is told which credentials were taken away. A node that has not looked for longer reads all.
const REMOVED_TOLD_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// What became of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialChange {
    /// The owner.
    pub team: TeamId,
    /// Its name.
    pub name: Name,
    /// What it is now; `None` of one that was taken away.
    pub now: Option<StoredResource>,
}

/// What became of credentials since a node has looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialChanges {
    /// How far they have come with these.
    pub mark: i64,
    /// Each that has changed, once; `None` where that is not known any more: all are to be read.
    pub changed: Option<Vec<CredentialChange>>,
}

#[derive(sqlx::FromRow)]
struct RemovedRow {
    team: String,
    name: String,
    mark: i64,
}

impl Store {
    /// What became of credentials after `mark`.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn credential_changes(&self, mark: i64) -> Result<CredentialChanges, Error> {
        let mut transaction = self.database().begin_read().await?;
        let (newest, forgotten): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT counter FROM change_counters WHERE subject = 'credentials'),
                    (SELECT counter FROM change_counters WHERE subject = 'credentials_removed')",
        )
        .fetch_one(&mut *transaction)
        .await?;
        if mark < forgotten || mark > newest {
            transaction.rollback().await?;
            return Ok(CredentialChanges {
                mark: newest,
                changed: None,
            });
        }
        let there: Vec<ResourceRow> = sqlx::query_as(concat!(
            resource_columns!(),
            " WHERE mark > $1 AND teams.deleted_at IS NULL"
        ))
        .bind(mark)
        .fetch_all(&mut *transaction)
        .await?;
        let removed: Vec<RemovedRow> =
            sqlx::query_as("SELECT team, name, mark FROM removed_credentials WHERE mark > $1")
                .bind(mark)
                .fetch_all(&mut *transaction)
                .await?;
        transaction.rollback().await?;
        let mut changed: BTreeMap<(TeamId, Name), (i64, Option<StoredResource>)> = BTreeMap::new();
        for row in removed {
            let malformed = |column| Error::malformed("removed_credentials", column, &row.name);
            let team = row.team.parse().map_err(|_| malformed("team"))?;
            let name = row.name.parse().map_err(|_| malformed("name"))?;
            changed.insert((team, name), (row.mark, None));
        }
        for row in there {
            let row = StoredResource::try_from(row)?;
            let key = (row.team, row.name.clone());
            let newer = changed.get(&key).is_none_or(|(mark, _)| *mark < row.mark);
            if newer {
                changed.insert(key, (row.mark, Some(row)));
            }
        }
        let changed = changed.into_iter();
        let changed = changed.map(|((team, name), (_, now))| CredentialChange { team, name, now });
        Ok(CredentialChanges {
            mark: newest,
            changed: Some(changed.collect()),
        })
    }

    /// Forgets which credentials were taken away long ago.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forget_removed_credentials(&self, now: Timestamp) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        let until = now.minus(REMOVED_TOLD_FOR).as_micros();
        let (newest,): (i64,) = sqlx::query_as(
            "SELECT coalesce(max(mark), 0) FROM removed_credentials WHERE removed_at <= $1",
        )
        .bind(until)
        .fetch_one(&mut *transaction)
        .await?;
        if newest > 0 {
            sqlx::query("DELETE FROM removed_credentials WHERE mark <= $1")
                .bind(newest)
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "UPDATE change_counters SET counter = $1
                 WHERE subject = 'credentials_removed' AND counter < $1",
            )
            .bind(newest)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// That none of these has changed after `base`, by row or by a revision of the version before.
pub(super) async fn check_unchanged<'w>(
    transaction: &mut Transaction,
    base: Base,
    writes: impl Iterator<Item = &'w ResourceWrite>,
) -> Result<(), Error> {
    let writes: Vec<_> = writes.collect();
    if writes.is_empty() {
        return Ok(());
    }
    let names = pairs(&writes, |write| write.name.as_str());
    // What stands in the text are numbers: the places are counted from one.
    let (mark, revision) = (base.credentials, base.revision.0);
    let there = format!(
        "SELECT count(*) FROM resources WHERE (mark > {mark} OR revision > {revision})
         AND (team, kind, name) IN (VALUES {})",
        places(names.len(), 3)
    );
    let removed = format!(
        "SELECT count(*) FROM removed_credentials WHERE mark > {mark}
         AND (team, name) IN (VALUES {})",
        places(names.len(), 2)
    );
    for (sql, kind) in [(there, Some(CREDENTIAL)), (removed, None)] {
        let mut query = sqlx::query_as(AssertSqlSafe(sql)).persistent(false);
        for (team, name) in &names {
            query = query.bind(team);
            if let Some(kind) = kind {
                query = query.bind(kind);
            }
            query = query.bind(*name);
        }
        let (changed,): (i64,) = query.fetch_one(&mut **transaction).await?;
        if changed > 0 {
            return Err(Error::Conflict {
                what: "the credentials".to_owned(),
            });
        }
    }
    Ok(())
}

/// That none of these is shown in the same way as another of its team that they leave as it is.
pub(super) async fn check_shown(
    transaction: &mut Transaction,
    writes: &[ResourceWrite],
) -> Result<(), Error> {
    let credentials = || writes.iter().filter(|write| write.is_credential());
    let changed: HashSet<(TeamId, &Name)> = credentials()
        .map(|write| (write.team, &write.name))
        .collect();
    let shown: Vec<_> = credentials()
        .filter(|write| !write.shown.is_empty())
        .collect();
    for some in shown.chunks(AT_ONCE) {
        let sql = format!(
            "SELECT team, name, shown FROM resources WHERE (team, shown) IN (VALUES {})",
            places(some.len(), 2)
        );
        let mut query = sqlx::query_as(AssertSqlSafe(sql)).persistent(false);
        for (team, shown) in pairs(some, |write| &write.shown) {
            query = query.bind(team).bind(shown);
        }
        let rows: Vec<(String, String, String)> = query.fetch_all(&mut **transaction).await?;
        for (team, other, shown) in rows {
            let malformed = |column| Error::malformed("resources", column, &other);
            let team: TeamId = team.parse().map_err(|_| malformed("team"))?;
            let other: Name = other.parse().map_err(|_| malformed("name"))?;
            if changed.contains(&(team, &other)) {
                continue;
            }
            let mut of_team = some.iter().filter(|write| write.team == team);
            if let Some(write) = of_team.find(|write| write.shown == shown) {
                let name = write.name.clone();
                return Err(Error::SameCredential { name, other });
            }
        }
    }
    Ok(())
}

fn pairs<'w>(
    writes: &[&'w ResourceWrite],
    value: impl Fn(&'w ResourceWrite) -> &'w str,
) -> Vec<(String, &'w str)> {
    let writes = writes.iter().copied();
    writes
        .map(|write| (write.team.to_string(), value(write)))
        .collect()
}

/// Keeps which credentials went with the mark `mark`.
pub(super) async fn remember_removed<'w>(
    transaction: &mut Transaction,
    gone: impl Iterator<Item = &'w ResourceWrite>,
    mark: i64,
    now: Timestamp,
) -> Result<(), Error> {
    for write in gone {
        sqlx::query(
            "INSERT INTO removed_credentials (team, name, mark, removed_at)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (team, name)
             DO UPDATE SET mark = excluded.mark, removed_at = excluded.removed_at",
        )
        .bind(write.team.to_string())
        .bind(write.name.as_str())
        .bind(mark)
        .bind(now.as_micros())
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}
