//! Revocations as rows: what the index in memory is filled from.

use crate::audit::{self, Action};
use crate::hierarchy::random_id;
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

impl Store {
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

    /// Stores a revocation before it goes into the index, and forgets those that have expired.
    ///
    /// # Errors
    /// What the database says.
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
        actor: &str,
        now: Timestamp,
    ) -> Result<Revocation, Error> {
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
        sqlx::query("DELETE FROM revocations WHERE expires_at <= $1")
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO revocations
             (id, team, issuer, kind, value, not_before, expires_at, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(revocation.id.to_string())
        .bind(team.to_string())
        .bind(issuer)
        .bind(kind.as_str())
        .bind(value)
        .bind(not_before.as_micros())
        .bind(expires.as_micros())
        .bind(now.as_micros())
        .execute(&mut *transaction)
        .await?;
        let action = Action {
            team,
            actor,
            action: "revocation.create",
            object: &format!("revocation {}", revocation.id),
            detail: json!({
                "issuer": issuer,
                "kind": kind.as_str(),
                "value": value,
                "not_before": not_before.to_string(),
                "expires": expires.to_string(),
            }),
        };
        audit::append(&mut transaction, self.node(), action, now).await?;
        transaction.commit().await?;
        Ok(revocation)
    }
}
