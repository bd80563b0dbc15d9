//! The schema and its migrations: forward only, all in one transaction, so that of two processes that
//! start at once one migrates and the other finds it done.
//!
//! Each migration says which binaries the schema still serves after it: those that know the migration
//! `serves_from` or a later one. So two versions run side by side during an upgrade, and one that would
//! break is told so.

use crate::Error;
use crate::database::catalogue::{self, Table};
use crate::database::{Connection, Database, Engine, Transaction};
use aws_lc_rs::digest::{SHA256, digest};
use keyward_model::Timestamp;
use sqlx::Executor as _;
use std::fmt::Write as _;
use std::time::Duration;

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
        version: 5,
        serves_from: 1,
        sql: include_str!("../migrations/0005_change_notices.sql"),
    },
    Migration {
        version: 6,
        serves_from: 1,
        sql: include_str!("../migrations/0006_management.sql"),
    },
    Migration {
        version: 7,
        serves_from: 1,
        sql: include_str!("../migrations/0007_certificate_names.sql"),
    },
    Migration {
        version: 8,
        serves_from: 1,
        sql: include_str!("../migrations/0008_owned_paths.sql"),
    },
    Migration {
        version: 10,
        serves_from: 1,
        sql: include_str!("../migrations/0010_key_sets.sql"),
    },
    Migration {
        version: 11,
        serves_from: 1,
        sql: include_str!("../migrations/0011_audit_anchors.sql"),
    },
    Migration {
        version: 12,
        serves_from: 1,
        sql: include_str!("../migrations/0012_webhooks.sql"),
    },
    Migration {
        version: 13,
        // A binary from before hears of no credential that is changed here, brings back keys that are gone, and lets
        // pass what custom roles forbid: it would run and do harm, so it does not start.
        serves_from: 13,
        sql: include_str!("../migrations/0013_credentials_by_row.sql"),
    },
    Migration {
        version: 14,
        serves_from: 1,
        sql: include_str!("../migrations/0014_deleted_teams.sql"),
    },
    Migration {
        version: 15,
        serves_from: 1,
        sql: include_str!("../migrations/0015_module_keys.sql"),
    },
];

/// What a migration does beside its own text where the database is PostgreSQL: what SQLite has no use for.
/// Never a table or a column.
const ON_POSTGRES: &[(i64, &str)] = &[
    (
        5,
        include_str!("../migrations/0005_change_notices.postgres.sql"),
    ),
    (
        7,
        include_str!("../migrations/0007_certificate_names.postgres.sql"),
    ),
];

/// How often migrations are tried, and after how long, while others read tables that they change: a backup takes
/// minutes.
const TRIES: u32 = 200;
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How texts are compared on PostgreSQL.
const COLLATION: &str = include_str!("../migrations/collation.postgres.sql");

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

/// The name of the table that tells a database of ours from another program's.
pub(crate) const RECORD_TABLE: &str = "schema_record";

/// A migration that was applied.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Applied {
    pub(crate) version: i64,
    pub(crate) serves_from: i64,
    pub(crate) checksum: String,
    pub(crate) applied_by: String,
}

/// Brings the schema to the last of `migrations`, or says why this binary can't work with it. Where nothing is to be
/// done nobody is waited for, and nobody waits.
pub(crate) async fn migrate(
    database: &Database,
    migrations: &[Migration],
    now: Timestamp,
) -> Result<(), Error> {
    let mut tries = 0;
    while !is_up_to_date(database, migrations).await? {
        tries += 1;
        let mut transaction = database.begin_migration().await?;
        let migrated = migrate_within(&mut transaction, database.engine(), migrations, now).await;
        match migrated {
            Ok(()) => transaction.commit().await?,
            // A table that another reads. To go on waiting for it would hold up all who come for it after us, and all
            // who write: they go first.
            Err(Error::Locked) if tries < TRIES => {
                transaction.rollback().await?;
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn is_up_to_date(database: &Database, migrations: &[Migration]) -> Result<bool, Error> {
    let mut connection = database.pool().acquire().await?;
    if !is_ours(&mut connection, database.engine()).await? {
        return Ok(false);
    }
    let applied = applied(&mut connection).await?;
    check(&applied, migrations)?;
    let wanted = migrations.last().map_or(0, |last| last.version);
    Ok(applied.last().is_some_and(|last| last.version >= wanted))
}

/// The same, as a part of something else.
pub(crate) async fn migrate_within(
    transaction: &mut Transaction,
    engine: Engine,
    migrations: &[Migration],
    now: Timestamp,
) -> Result<(), Error> {
    let is_ours = is_ours(transaction, engine).await?;
    // Not when it is there: a user who may not make tables can work with those that are.
    if !is_ours {
        transaction.execute(RECORD).await?;
    }
    let applied = applied(transaction).await?;
    check(&applied, migrations)?;
    let reached = applied.last().map_or(0, |last| last.version);
    for migration in migrations.iter().filter(|one| one.version > reached) {
        transaction.execute(sqlx::raw_sql(migration.sql)).await?;
        if engine == Engine::Postgres {
            let beside = ON_POSTGRES
                .iter()
                .filter(|(version, _)| *version == migration.version);
            for (_, sql) in beside {
                transaction.execute(sqlx::raw_sql(*sql)).await?;
            }
        }
        sqlx::query(
            "INSERT INTO schema_record (version, serves_from, checksum, applied_by, applied_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .persistent(false)
        .bind(migration.version)
        .bind(migration.serves_from)
        .bind(checksum(migration.sql))
        .bind(BINARY_VERSION)
        .bind(now.as_micros())
        .execute(&mut **transaction)
        .await?;
    }
    let has_migrated = migrations.iter().any(|one| one.version > reached);
    if has_migrated && engine == Engine::Postgres {
        transaction.execute(sqlx::raw_sql(COLLATION)).await?;
    }
    Ok(())
}

/// Whether the tables are ours; `false` when there are none.
///
/// # Errors
/// [`Error::Foreign`] when there are others.
pub(crate) async fn is_ours(connection: &mut Connection, engine: Engine) -> Result<bool, Error> {
    let tables = catalogue::table_names(connection, engine).await?;
    let is_ours = tables.iter().any(|name| name == RECORD_TABLE);
    if !tables.is_empty() && !is_ours {
        return Err(Error::Foreign);
    }
    Ok(is_ours)
}

/// That there are no tables but ours: another program's would be lost, or can't be restored. Tables of later versions
/// are not known here; where one has been at work all are taken for ours.
pub(crate) fn check_tables(tables: &[Table], applied: &[Applied]) -> Result<(), Error> {
    let is_known = |one: &Applied| MIGRATIONS.iter().any(|ours| ours.version == one.version);
    if !applied.iter().all(is_known) {
        return Ok(());
    }
    let ours: Vec<&str> = MIGRATIONS.iter().flat_map(tables_of).collect();
    let is_foreign = |name: &str| name != RECORD_TABLE && !ours.contains(&name);
    match tables.iter().find(|table| is_foreign(&table.name)) {
        Some(table) => Err(Error::ForeignTable {
            table: table.name.clone(),
        }),
        None => Ok(()),
    }
}

/// The tables that a migration makes, by its text, in which each stands at the beginning of a line.
fn tables_of(migration: &Migration) -> impl Iterator<Item = &'static str> {
    let lines = migration.sql.lines();
    let made = lines.filter_map(|line| line.strip_prefix("CREATE TABLE "));
    made.filter_map(|rest| rest.split([' ', '(']).next())
}

/// Whether a master key was ever used with the database.
pub(crate) async fn is_begun(database: &Database) -> Result<bool, Error> {
    let mut connection = database.pool().acquire().await?;
    if !is_ours(&mut connection, database.engine()).await? {
        return Ok(false);
    }
    let (keys,): (i64,) = sqlx::query_as("SELECT count(*) FROM master_keys")
        .fetch_one(&mut connection)
        .await?;
    Ok(keys > 0)
}

/// The migrations that were applied, in order.
pub(crate) async fn applied(connection: &mut Connection) -> Result<Vec<Applied>, Error> {
    let applied = sqlx::query_as(
        "SELECT version, serves_from, checksum, applied_by FROM schema_record ORDER BY version",
    )
    // Not prepared for later: PostgreSQL refuses a statement whose table was changed since.
    .persistent(false)
    .fetch_all(connection)
    .await?;
    Ok(applied)
}

/// Whether this binary, which holds `migrations`, can work with what was applied and bring it up to date.
pub(crate) fn check(applied: &[Applied], migrations: &[Migration]) -> Result<(), Error> {
    let known = migrations.last().map_or(0, |last| last.version);
    let found = applied.last().map_or(0, |last| last.version);
    for one in applied {
        if one.serves_from > known {
            return Err(Error::SchemaTooNew {
                found,
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
    // A later version may leave out the oldest, when no database can be without them any more.
    if let Some(oldest) = migrations.first()
        && (1..oldest.version).contains(&found)
    {
        return Err(Error::SchemaTooOld {
            found,
            oldest: oldest.version,
        });
    }
    let left_out = migrations
        .iter()
        .filter(|ours| ours.version < found)
        .find(|ours| applied.iter().all(|one| one.version != ours.version));
    match left_out {
        Some(ours) => Err(Error::MigrationMissing {
            version: ours.version,
            found,
        }),
        None => Ok(()),
    }
}

/// What a migration is recognised by.
pub(crate) fn checksum(sql: &str) -> String {
    hexadecimal(digest(&SHA256, sql.as_bytes()).as_ref())
}

/// Lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
