//! Teams, and the paths that are theirs.

use super::change::begin_revision;
use super::{Author, team_is_there};
use crate::database::Transaction;
use crate::error::is_unique_violation;
use crate::hierarchy::random_id;
use crate::{Error, Store};
use keyward_model::id::TeamId;
use keyward_model::resource::TeamPath;
use keyward_model::{Revision, TeamName, Timestamp};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// A team as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// The row.
    pub id: TeamId,
    /// Its name.
    pub name: TeamName,
    /// When it was made.
    pub created_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct TeamRow {
    id: String,
    name: String,
    created_at: i64,
}

impl TryFrom<TeamRow> for Team {
    type Error = Error;
    fn try_from(row: TeamRow) -> Result<Self, Error> {
        let malformed = |column| Error::malformed("teams", column, &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| malformed("id"))?,
            name: row.name.parse().map_err(|_| malformed("name"))?,
            created_at: Timestamp::from_micros(row.created_at),
        })
    }
}

impl Store {
    /// All teams by name, without those that were deleted.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn teams(&self) -> Result<Vec<Team>, Error> {
        let rows: Vec<TeamRow> = sqlx::query_as(
            "SELECT id, name, created_at FROM teams WHERE deleted_at IS NULL ORDER BY name",
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter().map(Team::try_from).collect()
    }

    /// Makes a team, with these paths where it gets any: they were looked at when `base` was the newest revision.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is one of this name; [`Error::Conflict`] when it gets paths and `base` is no longer
    /// the newest revision.
    pub async fn create_team(
        &self,
        name: &TeamName,
        base: Revision,
        paths: &BTreeSet<TeamPath>,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<Team, Error> {
        let id = TeamId::new(now, random_id()?);
        let mut transaction = self.begin_write().await?;
        let inserted = sqlx::query("INSERT INTO teams (id, name, created_at) VALUES ($1, $2, $3)")
            .bind(id.to_string())
            .bind(name.as_str())
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await;
        if let Err(error) = inserted {
            return Err(if is_unique_violation(&error) {
                Error::Exists {
                    what: format!("the team `{name}`"),
                }
            } else {
                error.into()
            });
        }
        let about = ("team.create", format!("team {name}"));
        self.told(
            &mut transaction,
            author,
            id,
            (about.0, &about.1),
            json!({}),
            now,
        )
        .await?;
        let team = Team {
            id,
            name: name.clone(),
            created_at: now,
        };
        if !paths.is_empty() {
            self.write_team_paths(&mut transaction, base, &team, paths, author, now)
                .await?;
        }
        transaction.commit().await?;
        self.tell_of_change();
        Ok(team)
    }

    /// The paths of all teams.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn team_paths(&self) -> Result<BTreeMap<TeamId, BTreeSet<TeamPath>>, Error> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT team, host, path FROM team_paths")
                .fetch_all(self.pool())
                .await?;
        let mut all: BTreeMap<TeamId, BTreeSet<TeamPath>> = BTreeMap::new();
        for (team, host, path) in rows {
            let malformed =
                |column| Error::malformed("team_paths", column, format!("{host}{path}"));
            let id = team.parse().map_err(|_| malformed("team"))?;
            let read = format!("{host}{path}").parse();
            let path = read.map_err(|_| malformed("path"))?;
            all.entry(id).or_default().insert(path);
        }
        Ok(all)
    }

    /// Gives a team these paths and no others, as a revision on top of `base`, of which it was looked at that they are
    /// no other's.
    ///
    /// # Errors
    /// [`Error::Conflict`] when `base` is no longer the newest revision.
    pub async fn set_team_paths(
        &self,
        base: Revision,
        team: &Team,
        paths: &BTreeSet<TeamPath>,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<Revision, Error> {
        let mut transaction = self.begin_write().await?;
        let revision = self
            .write_team_paths(&mut transaction, base, team, paths, author, now)
            .await?;
        transaction.commit().await?;
        self.tell_of_change();
        Ok(revision)
    }

    async fn write_team_paths(
        &self,
        transaction: &mut Transaction,
        base: Revision,
        team: &Team,
        paths: &BTreeSet<TeamPath>,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<Revision, Error> {
        team_is_there(transaction, team.id).await?;
        let summary = format!("give paths to the team {}", team.name);
        let about = (author, summary.as_str(), "");
        let revision = begin_revision(&mut *transaction, base, about, now).await?;
        let id = team.id.to_string();
        let before: Vec<(String,)> = sqlx::query_as(
            "SELECT host || path FROM team_paths WHERE team = $1 ORDER BY host, path",
        )
        .bind(&id)
        .fetch_all(&mut **transaction)
        .await?;
        let before: Vec<String> = before.into_iter().map(|(path,)| path).collect();
        sqlx::query("DELETE FROM team_paths WHERE team = $1")
            .bind(&id)
            .execute(&mut **transaction)
            .await?;
        for path in paths {
            let host = path.host.as_ref().map(ToString::to_string);
            sqlx::query(
                "INSERT INTO team_paths (host, path, team, created_at) VALUES ($1, $2, $3, $4)",
            )
            .bind(host.unwrap_or_default())
            .bind(path.path.as_str())
            .bind(&id)
            .bind(now.as_micros())
            .execute(&mut **transaction)
            .await?;
        }
        let after: Vec<String> = paths.iter().map(ToString::to_string).collect();
        let object = format!("team {}", team.name);
        let action = ("team.paths", object.as_str());
        let about = json!({ "before": before, "after": after });
        self.told(transaction, author, team.id, action, about, now)
            .await?;
        Ok(revision)
    }
}
