//! How far webhooks have been told.

use crate::database::Transaction;
use crate::management::team_is_there;
use crate::{AuditEvent, Error, Store};
use keyward_model::Timestamp;
use keyward_model::id::TeamId;
use keyward_model::resource::Kind;

/// How far one has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookPosition {
    /// The last event that it knows of, or was spared.
    pub sequence: i64,
    /// How often it was tried in vain to tell the next.
    pub attempts: u32,
    /// Since when that goes on.
    pub failing_since: Option<Timestamp>,
    /// When it is tried again.
    pub next_at: Timestamp,
    /// What went wrong the last time; empty where nothing did.
    pub problem: String,
}

#[derive(sqlx::FromRow)]
struct PositionRow {
    sequence: i64,
    attempts: i64,
    failing_since: Option<i64>,
    next_at: i64,
    problem: String,
}

impl From<PositionRow> for WebhookPosition {
    fn from(row: PositionRow) -> Self {
        Self {
            sequence: row.sequence,
            attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
            failing_since: row.failing_since.map(Timestamp::from_micros),
            next_at: Timestamp::from_micros(row.next_at),
            problem: row.problem,
        }
    }
}

impl Store {
    /// How far a webhook has been told; `None` of one that nobody has begun to tell.
    ///
    /// # Errors
    /// What the database says.
    pub async fn webhook_position(
        &self,
        team: TeamId,
        webhook: &str,
    ) -> Result<Option<WebhookPosition>, Error> {
        let row: Option<PositionRow> = sqlx::query_as(
            "SELECT sequence, attempts, failing_since, next_at, problem FROM webhook_positions
             WHERE team = $1 AND webhook = $2",
        )
        .bind(team.to_string())
        .bind(webhook)
        .fetch_optional(self.pool())
        .await?;
        Ok(row.map(WebhookPosition::from))
    }

    /// Begins to tell a webhook: of what is done from now on.
    ///
    /// # Errors
    /// What the database says.
    pub async fn begin_webhook(
        &self,
        team: TeamId,
        webhook: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        team_is_there(&mut transaction, team).await?;
        sqlx::query(
            "INSERT INTO webhook_positions
             (team, webhook, sequence, attempts, next_at, problem, node, leased_until)
             VALUES ($1, $2, (SELECT coalesce(max(sequence), 0) FROM audit_events), 0, $3, '', '', 0)
             ON CONFLICT (team, webhook) DO NOTHING",
        )
        .bind(team.to_string())
        .bind(webhook)
        .bind(now.as_micros())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The events of a team behind `sequence`, the oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn team_audit_events(
        &self,
        team: TeamId,
        sequence: i64,
        limit: u32,
    ) -> Result<Vec<AuditEvent>, Error> {
        let events = sqlx::query_as(
            "SELECT sequence, id, team, happened_at, node, actor, action, object, detail,
                    previous_hash, hash
             FROM audit_events WHERE team = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
        )
        .bind(team.to_string())
        .bind(sequence)
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await?;
        Ok(events)
    }

    /// Takes it upon this process to tell a webhook until then: `false` where another has done so.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lease_webhook(
        &self,
        team: TeamId,
        webhook: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin_write().await?;
        let leased = sqlx::query(
            "UPDATE webhook_positions SET node = $1, leased_until = $2
             WHERE team = $3 AND webhook = $4 AND (leased_until <= $5 OR node = $1)",
        )
        .bind(self.node().to_string())
        .bind(until.as_micros())
        .bind(team.to_string())
        .bind(webhook)
        .bind(now.as_micros())
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        transaction.commit().await?;
        Ok(leased == 1)
    }

    /// Writes down how far a webhook has been told by this process, as long as it is this one's to tell.
    ///
    /// # Errors
    /// What the database says.
    pub async fn move_webhook(
        &self,
        team: TeamId,
        webhook: &str,
        position: &WebhookPosition,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin_write().await?;
        let moved = sqlx::query(
            "UPDATE webhook_positions
             SET sequence = $1, attempts = $2, failing_since = $3, next_at = $4, problem = $5
             WHERE team = $6 AND webhook = $7 AND node = $8",
        )
        .bind(position.sequence)
        .bind(i64::from(position.attempts))
        .bind(position.failing_since.map(Timestamp::as_micros))
        .bind(position.next_at.as_micros())
        .bind(&position.problem)
        .bind(team.to_string())
        .bind(webhook)
        .bind(self.node().to_string())
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        transaction.commit().await?;
        Ok(moved == 1)
    }

    /// Forgets how far a webhook was told that this node does not serve any more, unless it stands in the database: there
    /// it was left out, and goes on where it is served again.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end_webhook(&self, team: TeamId, webhook: &str) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        let gone = gone(&mut transaction).await?;
        if gone.contains(&(team, webhook.to_owned())) {
            forget_webhook(&mut transaction, team, webhook).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets how far all other webhooks were told than these and those that stand in the database, which may have been
    /// left out; where the database is this node's alone: they went while it did not run. Of a database that nodes share,
    /// others may have them in their files.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end_other_webhooks(&self, declared: &[(TeamId, &str)]) -> Result<(), Error> {
        if self.database().postgres().is_some() {
            return Ok(());
        }
        let mut transaction = self.begin_write().await?;
        for (team, webhook) in gone(&mut transaction).await? {
            if !declared.contains(&(team, webhook.as_str())) {
                forget_webhook(&mut transaction, team, &webhook).await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// The webhooks that were told and don't stand in the database.
async fn gone(transaction: &mut Transaction) -> Result<Vec<(TeamId, String)>, Error> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT team, webhook FROM webhook_positions
         WHERE NOT EXISTS (SELECT 1 FROM resources WHERE resources.team = webhook_positions.team
                           AND resources.kind = $1 AND resources.name = webhook_positions.webhook)",
    )
    .bind(Kind::Webhook.as_str())
    .fetch_all(&mut **transaction)
    .await?;
    let rows = rows.into_iter().map(|(team, webhook)| {
        let team = team
            .parse()
            .map_err(|_| Error::malformed("webhook_positions", "team", &webhook))?;
        Ok((team, webhook))
    });
    rows.collect()
}

/// Forgets how far a webhook was told.
pub(crate) async fn forget_webhook(
    transaction: &mut Transaction,
    team: TeamId,
    webhook: &str,
) -> Result<(), Error> {
    sqlx::query("DELETE FROM webhook_positions WHERE team = $1 AND webhook = $2")
        .bind(team.to_string())
        .bind(webhook)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
