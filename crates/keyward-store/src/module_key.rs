//! Keys whose private part is in a module outside of the database, such as a PKCS#11 token.
//!
//! The module takes part in no transaction. So a key is announced before it is made there, and taken off the list by the
//! transaction that writes its row; what stays on the list came to nothing. A key that is over stays in its row by its
//! reference until the module has destroyed it. Whoever stops in between leaves something that is found.
//!
//! Of an announced key `announced_at` tells when that was, and below zero that it was given up: from then on no row can be
//! written for it, and only such a key is destroyed. It stays on the list, though nothing was found, as long as a module
//! may still be making what nobody waits for any more.

use crate::audit::{self, Action};
use crate::database::Transaction;
use crate::management::Author;
use crate::{Error, Store};
use keyward_model::Timestamp;
use keyward_model::id::TeamId;
use serde_json::json;
use std::time::Duration;

/// How long a key may take from being announced until it has a row: longer than any module takes to make one.
const MADE_WITHIN: Duration = Duration::from_secs(15 * 60);

/// So many are destroyed at a time; the others come next.
const REMAINS_AT_A_TIME: i64 = 100;

/// What is in a module and to be destroyed.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ModuleKeyRemains {
    /// What the module knows the key by.
    pub reference: String,
    /// The row of the key it was; none where it never became one.
    key: Option<String>,
    team: Option<String>,
    kid: Option<String>,
    announced_at: Option<i64>,
}

impl Store {
    /// Writes down that keys of these references are about to be made in a module.
    ///
    /// # Errors
    /// What the database says.
    pub async fn announce_module_keys(
        &self,
        references: &[String],
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        for reference in references {
            sqlx::query(
                "INSERT INTO module_keys_to_come (reference, announced_at) VALUES ($1, $2)",
            )
            .bind(reference)
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// What a module has to destroy, of the references that begin with `prefix` and come after `after`, in their order:
    /// keys that are retired or withdrawn, those of which it was said that nothing came of them, and those that were
    /// announced long ago. So many at a time; none where there are no more.
    ///
    /// # Errors
    /// What the database says.
    pub async fn module_key_remains(
        &self,
        prefix: &str,
        after: &str,
        now: Timestamp,
    ) -> Result<Vec<ModuleKeyRemains>, Error> {
        let remains = sqlx::query_as(
            r#"SELECT reference, "key", team, kid, announced_at FROM (
                 SELECT module_key AS reference, id AS "key", team, kid, CAST(NULL AS BIGINT) AS announced_at
                 FROM keys WHERE module_key IS NOT NULL AND state IN ('retired', 'withdrawn')
                 UNION ALL
                 SELECT reference, NULL, NULL, NULL, announced_at FROM module_keys_to_come
                 WHERE announced_at <= $1
               ) AS remains
               WHERE substr(reference, 1, length($2)) = $2 AND reference > $3
               ORDER BY reference LIMIT $4"#,
        )
        .bind(now.minus(MADE_WITHIN).as_micros())
        .bind(prefix)
        .bind(after)
        .bind(REMAINS_AT_A_TIME)
        .fetch_all(self.pool())
        .await?;
        Ok(remains)
    }

    /// Says of keys that were announced that nothing comes of them: they are to be destroyed. Those that have a row are
    /// left alone.
    ///
    /// # Errors
    /// What the database says.
    pub async fn give_up_module_keys(&self, references: &[String]) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        for reference in references {
            sqlx::query(
                "UPDATE module_keys_to_come SET announced_at = -announced_at
                 WHERE reference = $1 AND announced_at > 0",
            )
            .bind(reference)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Says, before a key is destroyed, that no row comes of it any more. Whether it may be destroyed: not where it has
    /// got its row since the list was read.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim_module_key(
        &self,
        remains: &ModuleKeyRemains,
        now: Timestamp,
    ) -> Result<bool, Error> {
        // A key that is over stays so.
        if remains.key.is_some() {
            return Ok(true);
        }
        let mut transaction = self.begin_write().await?;
        let claimed = sqlx::query(
            "UPDATE module_keys_to_come SET announced_at = -abs(announced_at)
             WHERE reference = $1 AND announced_at <= $2",
        )
        .bind(&remains.reference)
        .bind(now.minus(MADE_WITHIN).as_micros())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(claimed.rows_affected() == 1)
    }

    /// Writes down that the module has no such key any more; `found`: it had it and has destroyed it. One that was
    /// announced a short while ago may still come, and stays on the list.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forget_module_key(
        &self,
        remains: &ModuleKeyRemains,
        found: bool,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let may_come = remains
            .announced_at
            .is_some_and(|at| at.saturating_abs() > now.minus(MADE_WITHIN).as_micros());
        if may_come && !found {
            return Ok(());
        }
        let mut transaction = self.begin_write().await?;
        let reference = &remains.reference;
        let is_news = match &remains.key {
            Some(row) => {
                let forgotten = sqlx::query(
                    "UPDATE keys SET module_key = NULL
                     WHERE id = $1 AND module_key = $2 AND state IN ('retired', 'withdrawn')",
                )
                .bind(row)
                .bind(reference)
                .execute(&mut *transaction)
                .await?;
                // Another node did the same, and has told of it.
                forgotten.rows_affected() > 0
            }
            None => {
                if !may_come {
                    sqlx::query("DELETE FROM module_keys_to_come WHERE reference = $1")
                        .bind(reference)
                        .execute(&mut *transaction)
                        .await?;
                }
                // A key that never was is no event.
                found
            }
        };
        if !is_news {
            transaction.commit().await?;
            return Ok(());
        }
        let team = match &remains.team {
            Some(team) => team
                .parse()
                .map_err(|_| Error::malformed("keys", "team", reference))?,
            None => TeamId::DEFAULT,
        };
        let object = match &remains.key {
            Some(row) => format!("key {row}"),
            None => "key that was not stored".to_owned(),
        };
        let action = Action {
            team,
            actor: author.name,
            action: "key.destroy",
            object: &object,
            detail: author.detail(json!({ "kid": remains.kid, "module_key": reference })),
        };
        audit::append(&mut transaction, self.node(), action, now).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Takes a key off the list, in the transaction that writes its row.
pub(crate) async fn arrived(transaction: &mut Transaction, reference: &str) -> Result<(), Error> {
    let taken =
        sqlx::query("DELETE FROM module_keys_to_come WHERE reference = $1 AND announced_at > 0")
            .bind(reference)
            .execute(&mut **transaction)
            .await?;
    if taken.rows_affected() == 1 {
        return Ok(());
    }
    // It took too long, and may be destroyed by now.
    Err(Error::Conflict {
        what: format!("the key {reference}, which was given up"),
    })
}
