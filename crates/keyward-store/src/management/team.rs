//! Teams.

use super::Author;
use crate::error::is_unique_violation;
use crate::hierarchy::random_id;
use crate::{Error, Store};
use keyward_model::id::TeamId;
use keyward_model::{TeamName, Timestamp};
use serde_json::json;

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
    /// All teams by name.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn teams(&self) -> Result<Vec<Team>, Error> {
        let rows: Vec<TeamRow> =
            sqlx::query_as("SELECT id, name, created_at FROM teams ORDER BY name")
                .fetch_all(self.pool())
                .await?;
        rows.into_iter().map(Team::try_from).collect()
    }

    /// Makes a team.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is one of this name.
    pub async fn create_team(
        &self,
        name: &TeamName,
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
        transaction.commit().await?;
        Ok(Team {
            id,
            name: name.clone(),
            created_at: now,
        })
    }
}
