//! Anchors of the audit log: hashes of it that nobody makes who has the database alone.
//!
//! Whoever can write the database can make the whole chain anew. So from time to time, for all the events since the
//! last time at once, the newest hash is written down under a key that the master key protects. An anchor is also what
//! the rest holds on to when the oldest events are forgotten.

use super::{Action, append};
use crate::database::Transaction;
use crate::hierarchy::{MacKey, Purpose};
use crate::management::Author;
use crate::schema::hexadecimal;
use crate::{Error, Store};
use aws_lc_rs::hmac;
use keyward_model::Timestamp;
use keyward_model::id::TeamId;
use serde_json::json;

/// A hash of the chain that was written down.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AuditAnchor {
    /// The event it is of.
    pub sequence: i64,
    /// That event's hash.
    pub hash: String,
    /// Under which data key.
    key: String,
    /// HMAC-SHA-256 of both, hexadecimal.
    mac: String,
}

impl AuditAnchor {
    fn new(sequence: i64, hash: String, key: &MacKey) -> Self {
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, key.key.reveal()),
            &text(sequence, &hash),
        );
        Self {
            sequence,
            hash,
            key: key.id.to_string(),
            mac: hexadecimal(tag.as_ref()),
        }
    }

    /// Whether it was made with one of these keys.
    pub(super) fn is_ours(&self, keys: &[MacKey]) -> bool {
        let made_with = keys.iter().find(|key| key.id.to_string() == self.key);
        made_with.is_some_and(|key| {
            let expected = Self::new(self.sequence, self.hash.clone(), key).mac;
            let (ours, theirs) = (expected.as_bytes(), self.mac.as_bytes());
            aws_lc_rs::constant_time::verify_slices_are_equal(ours, theirs).is_ok()
        })
    }
}

fn text(sequence: i64, hash: &str) -> Vec<u8> {
    format!("{sequence} {hash}").into_bytes()
}

impl Store {
    /// The anchors, the oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn audit_anchors(&self) -> Result<Vec<AuditAnchor>, Error> {
        let anchors = sqlx::query_as(
            "SELECT sequence, hash, data_key AS key, mac FROM audit_anchors ORDER BY sequence",
        )
        .fetch_all(self.pool())
        .await?;
        Ok(anchors)
    }

    /// Writes down the newest hash, where there are events since the last anchor.
    ///
    /// # Errors
    /// What the database says.
    pub async fn anchor_audit(&self, now: Timestamp) -> Result<Option<AuditAnchor>, Error> {
        let mut transaction = self.begin_write().await?;
        let newest: Option<(i64, String)> = sqlx::query_as(
            "SELECT sequence, hash FROM audit_events
             WHERE sequence > (SELECT coalesce(max(sequence), 0) FROM audit_anchors)
             ORDER BY sequence DESC LIMIT 1",
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let Some((sequence, hash)) = newest else {
            return Ok(None);
        };
        let keyring = self.keyring();
        let keys = keyring
            .mac_keys(&mut transaction, Purpose::Audit, now)
            .await?;
        let Some(key) = keys.first() else {
            return Ok(None);
        };
        let anchor = AuditAnchor::new(sequence, hash, key);
        write(&mut transaction, &anchor, now).await?;
        transaction.commit().await?;
        Ok(Some(anchor))
    }

    /// Forgets the events from before `time`, as far as none of a later time stands among them; how many there were.
    /// An anchor keeps the hash of the last of them, so that the rest can still be verified, and an event tells of it.
    /// The newest event stays in any case.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forget_audit_events(
        &self,
        time: Timestamp,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let mut transaction = self.begin_write().await?;
        let (kept, newest): (Option<i64>, Option<i64>) = sqlx::query_as(
            "SELECT (SELECT min(sequence) FROM audit_events WHERE happened_at >= $1),
                    (SELECT max(sequence) FROM audit_events)",
        )
        .bind(time.as_micros())
        .fetch_one(&mut *transaction)
        .await?;
        let Some(newest) = newest else {
            return Ok(0);
        };
        let last = kept.unwrap_or(newest) - 1;
        let found: Option<(String,)> =
            sqlx::query_as("SELECT hash FROM audit_events WHERE sequence = $1")
                .bind(last)
                .fetch_optional(&mut *transaction)
                .await?;
        let Some((hash,)) = found else {
            return Ok(0);
        };
        let keyring = self.keyring();
        let keys = keyring
            .mac_keys(&mut transaction, Purpose::Audit, now)
            .await?;
        if let Some(key) = keys.first() {
            write(
                &mut transaction,
                &AuditAnchor::new(last, hash.clone(), key),
                now,
            )
            .await?;
        }
        sqlx::query("DELETE FROM audit_anchors WHERE sequence < $1")
            .bind(last)
            .execute(&mut *transaction)
            .await?;
        let gone = sqlx::query("DELETE FROM audit_events WHERE sequence <= $1")
            .bind(last)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        let action = Action {
            team: TeamId::DEFAULT,
            actor: author.name,
            action: "audit.forget",
            object: "audit log",
            detail: author.detail(json!({
                "up_to": last, "hash": hash, "before": time.to_string(),
            })),
        };
        append(&mut transaction, self.node(), action, now).await?;
        transaction.commit().await?;
        Ok(gone)
    }
}

async fn write(
    transaction: &mut Transaction,
    anchor: &AuditAnchor,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO audit_anchors (sequence, hash, data_key, mac, created_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (sequence) DO NOTHING",
    )
    .bind(anchor.sequence)
    .bind(&anchor.hash)
    .bind(&anchor.key)
    .bind(&anchor.mac)
    .bind(now.as_micros())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
