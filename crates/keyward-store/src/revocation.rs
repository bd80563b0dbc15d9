//! Revocations as rows: what the index in memory is filled from.

use crate::audit::{self, Action};
use crate::changes::{Subject, raise};
use crate::hierarchy::random_id;
use crate::management::{Author, team_is_there};
use crate::{Error, Store};
use keyward_model::Timestamp;
use keyward_model::id::{RevocationId, TeamId};
use keyward_model::revocation::{Revocation, RevocationKind};
use serde_json::json;

#[derive(sqlx::FromRow)]
struct RevocationRow {
    id: String,
    team: String,
    issuer: String,
    kind: String,
    value: String,
    not_before: i64,
    expires_at: i64,
}

impl TryFrom<RevocationRow> for Revocation {
    type Error = Error;
    fn try_from(row: RevocationRow) -> Result<Self, Error> {
        let malformed = |column| Error::malformed("revocations", column, &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| malformed("id"))?,
            team: row.team.parse().map_err(|_| malformed("team"))?,
            kind: RevocationKind::parse(&row.kind).ok_or_else(|| malformed("kind"))?,
            issuer: row.issuer,
            value: row.value,
            not_before: Timestamp::from_micros(row.not_before),
            expires: Timestamp::from_micros(row.expires_at),
        })
    }
}

/// How far the rows of revocations have come: what a node asks for often, and compares with what it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevocationMark {
    /// How many rows have come.
    pub inserted: i64,
    /// How many were taken back.
    pub removed: i64,
}

impl Store {
    /// How far the rows have come. To be asked before the rows themselves: what comes between is then asked for
    /// again, and missed never.
    ///
    /// # Errors
    /// What the database says.
    pub async fn revocation_mark(&self) -> Result<RevocationMark, Error> {
        Ok(self.marks().await?.revocations)
    }

    /// The revocations in force at `now` that came after `mark`.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn revocations_after(
        &self,
        mark: RevocationMark,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, Error> {
        let rows: Vec<RevocationRow> = sqlx::query_as(
            "SELECT id, team, issuer, kind, value, not_before, expires_at
             FROM revocations WHERE sequence > $1 AND expires_at > $2 ORDER BY sequence",
        )
        .bind(mark.inserted)
        .bind(now.as_micros())
        .fetch_all(self.pool())
        .await?;
        rows.into_iter().map(Revocation::try_from).collect()
    }

    /// Takes a revocation back: `false` when there is none with this id; of `team` alone where one is named.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove_revocation(
        &self,
        id: RevocationId,
        team: Option<TeamId>,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin_write().await?;
        let row: Option<RevocationRow> = sqlx::query_as(
            "DELETE FROM revocations WHERE id = $1 AND ($2 = '' OR team = $2)
             RETURNING id, team, issuer, kind, value, not_before, expires_at",
        )
        .bind(id.to_string())
        .bind(team.map(|team| team.to_string()).unwrap_or_default())
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            return Ok(false);
        };
        let revocation = Revocation::try_from(row)?;
        raise(&mut transaction, Subject::RevocationsRemoved).await?;
        let action = Action {
            team: revocation.team,
            actor: author.name,
            action: "revocation.remove",
            object: &format!("revocation {id}"),
            detail: author.detail(json!({
                "issuer": revocation.issuer,
                "kind": revocation.kind.as_str(),
                "value": revocation.value,
            })),
        };
        audit::append(&mut transaction, self.node(), action, now).await?;
        transaction.commit().await?;
        self.tell_of_change();
        Ok(true)
    }

    /// Forgets the revocations whose time is over; how many there were.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sweep_revocations(&self, now: Timestamp) -> Result<u64, Error> {
        // As whoever writes: rows that are taken in no order can't be waited for in a circle.
        let mut transaction = self.begin_write().await?;
        let swept = sqlx::query("DELETE FROM revocations WHERE expires_at <= $1")
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(swept.rows_affected())
    }

    /// The revocations in force at `now`.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn revocations(&self, now: Timestamp) -> Result<Vec<Revocation>, Error> {
        let rows: Vec<RevocationRow> = sqlx::query_as(
            "SELECT id, team, issuer, kind, value, not_before, expires_at
             FROM revocations WHERE expires_at > $1 ORDER BY id",
        )
        .bind(now.as_micros())
        .fetch_all(self.pool())
        .await?;
        rows.into_iter().map(Revocation::try_from).collect()
    }

    /// A page of those in force at `now`, the oldest first: `limit` at most, behind the one with the id `after`, which is
    /// empty for the first page; of `team` alone where one is named.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn revocations_page(
        &self,
        team: Option<TeamId>,
        after: &str,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, Error> {
        let rows: Vec<RevocationRow> = sqlx::query_as(
            "SELECT id, team, issuer, kind, value, not_before, expires_at
             FROM revocations WHERE id > $1 AND expires_at > $2 AND ($4 = '' OR team = $4)
             ORDER BY id LIMIT $3",
        )
        .bind(after)
        .bind(now.as_micros())
        .bind(i64::from(limit))
        .bind(team.map(|team| team.to_string()).unwrap_or_default())
        .fetch_all(self.pool())
        .await?;
        rows.into_iter().map(Revocation::try_from).collect()
    }

    /// How many revocations are in force at `now`; of `team` alone where one is named.
    ///
    /// # Errors
    /// What the database says.
    pub async fn revocation_count(
        &self,
        team: Option<TeamId>,
        now: Timestamp,
    ) -> Result<usize, Error> {
        let count: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM revocations WHERE expires_at > $1 AND ($2 = '' OR team = $2)",
        )
        .bind(now.as_micros())
        .bind(team.map(|team| team.to_string()).unwrap_or_default())
        .fetch_one(self.pool())
        .await?;
        // A count is never negative.
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Stores a revocation before it goes into the index, and forgets those that have expired.
    ///
    /// # Errors
    /// [`Error::Nul`], and what the database says.
    #[expect(
        clippy::too_many_arguments,
        reason = "the columns, each of which the caller must think of"
    )]
    pub async fn insert_revocation(
        &self,
        team: TeamId,
        issuer: &str,
        kind: RevocationKind,
        value: &str,
        not_before: Timestamp,
        expires: Timestamp,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<Revocation, Error> {
        // The same on both: what one database takes can be restored into the other.
        for (what, text) in [("the issuer", issuer), ("the value", value)] {
            if text.contains('\0') {
                return Err(Error::Nul {
                    what: what.to_owned(),
                });
            }
        }
        let revocation = Revocation {
            id: RevocationId::new(now, random_id()?),
            team,
            issuer: issuer.to_owned(),
            kind,
            value: value.to_owned(),
            not_before,
            expires,
        };
        let mut transaction = self.begin_write().await?;
        team_is_there(&mut transaction, team).await?;
        sqlx::query("DELETE FROM revocations WHERE expires_at <= $1")
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await?;
        let sequence = raise(&mut transaction, Subject::Revocations).await?;
        sqlx::query(
            "INSERT INTO revocations
             (id, team, issuer, kind, value, not_before, expires_at, created_at, sequence)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(revocation.id.to_string())
        .bind(team.to_string())
        .bind(issuer)
        .bind(kind.as_str())
        .bind(value)
        .bind(not_before.as_micros())
        .bind(expires.as_micros())
        .bind(now.as_micros())
        .bind(sequence)
        .execute(&mut *transaction)
        .await?;
        let action = Action {
            team,
            actor: author.name,
            action: "revocation.create",
            object: &format!("revocation {}", revocation.id),
            detail: author.detail(json!({
                "issuer": issuer,
                "kind": kind.as_str(),
                "value": value,
                "not_before": not_before.to_string(),
                "expires": expires.to_string(),
            })),
        };
        audit::append(&mut transaction, self.node(), action, now).await?;
        transaction.commit().await?;
        self.tell_of_change();
        Ok(revocation)
    }
}
