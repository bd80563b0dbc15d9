//! The schema and its migrations: forward only, all in one transaction, so that of two processes that
//! start at once one migrates and the other finds it done.
//!
//! Each migration says which binaries the schema still serves after it: those that know the migration
//! `serves_from` or a later one. So two versions run side by side during an upgrade, and one that would
//! break is told so.

use crate::Error;
use crate::database::BEGIN_WRITE;
use aws_lc_rs::digest::{SHA256, digest};
use keyward_model::Timestamp;
use sqlx::{AnyPool, Executor};
use std::fmt::Write as _;

/// One step of the schema.
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) serves_from: i64,
    pub(crate) sql: &'static str,
}

/// All steps, in order.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        serves_from: 1,
        sql: include_str!("../migrations/0001_foundation.sql"),
    },
    Migration {
        version: 2,
        serves_from: 1,
        sql: include_str!("../migrations/0002_acme.sql"),
    },
    Migration {
        version: 3,
        serves_from: 1,
        sql: include_str!("../migrations/0003_revocation_changes.sql"),
    },
    Migration {
        version: 4,
        serves_from: 1,
        sql: include_str!("../migrations/0004_quotas.sql"),
    },
    Migration {
        version: 20,
        serves_from: 1,
        sql: include_str!("../migrations/0020_management.sql"),
    },
];

/// The version of the binary, told in messages.
pub(crate) const BINARY_VERSION: &str = env!("CARGO_PKG_VERSION");

const RECORD: &str = "
    CREATE TABLE IF NOT EXISTS schema_record (
        version     BIGINT PRIMARY KEY,
        serves_from BIGINT NOT NULL,
        checksum    TEXT   NOT NULL,
        applied_by  TEXT   NOT NULL,
        applied_at  BIGINT NOT NULL
    )";

#[derive(sqlx::FromRow)]
struct Applied {
    version: i64,
    serves_from: i64,
    checksum: String,
    applied_by: String,
}

/// Brings the schema to the last of `migrations`, or says why this binary can't work with it.
pub(crate) async fn migrate(
    pool: &AnyPool,
    migrations: &[Migration],
    now: Timestamp,
) -> Result<(), Error> {
    let mut transaction = pool.begin_with(BEGIN_WRITE).await?;
    let (tables, ours): (i64, i64) = sqlx::query_as(
        "SELECT count(*), coalesce(sum(name = 'schema_record'), 0)
         FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )
    .fetch_one(&mut *transaction)
    .await?;
    if tables > 0 && ours == 0 {
        return Err(Error::Foreign);
    }
    transaction.execute(RECORD).await?;
    let applied: Vec<Applied> = sqlx::query_as(
        "SELECT version, serves_from, checksum, applied_by FROM schema_record ORDER BY version",
    )
    .fetch_all(&mut *transaction)
    .await?;
    check(&applied, migrations)?;

    let reached = applied.last().map_or(0, |last| last.version);
    for migration in migrations.iter().filter(|one| one.version > reached) {
        transaction.execute(sqlx::raw_sql(migration.sql)).await?;
        sqlx::query(
            "INSERT INTO schema_record (version, serves_from, checksum, applied_by, applied_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(migration.version)
        .bind(migration.serves_from)
        .bind(checksum(migration.sql))
        .bind(BINARY_VERSION)
        .bind(now.as_micros())
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn check(applied: &[Applied], migrations: &[Migration]) -> Result<(), Error> {
    let known = migrations.last().map_or(0, |last| last.version);
    for one in applied {
        if one.serves_from > known {
            return Err(Error::SchemaTooNew {
                found: applied.last().map_or(0, |last| last.version),
                serves_from: one.serves_from,
                known,
                applied_by: one.applied_by.clone(),
            });
        }
        let ours = migrations.iter().find(|ours| ours.version == one.version);
        if ours.is_some_and(|ours| checksum(ours.sql) != one.checksum) {
            return Err(Error::MigrationChanged {
                version: one.version,
            });
        }
    }
    Ok(())
}

fn checksum(sql: &str) -> String {
    hexadecimal(digest(&SHA256, sql.as_bytes()).as_ref())
}

/// Lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
