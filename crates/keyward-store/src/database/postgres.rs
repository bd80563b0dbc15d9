//! PostgreSQL: what is said of it in the configuration, and connections to it.

mod settings;
#[cfg(test)]
mod tests;

pub use settings::{PostgresSettings, Refusal, Tls};

use super::{connect, options};
use crate::Error;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection as _, Executor as _};
use sqlx_postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::fmt;
use std::time::Duration;

/// What begins a transaction that will write. Each statement sees what others have committed before it.
pub(super) const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// What comes next: one writes at a time, as in SQLite, so that the same statements are right on both. The lock
/// is that of the schema in use, and ends with the transaction. A statement of its own: when the wait is over
/// in vain, the transaction has to be known as one to be rolled back.
pub(super) const LOCK: &str =
    "SELECT pg_advisory_xact_lock(1262835012, hashtext(current_schema()))";

/// What begins a transaction that reads: one state until it ends, however long that takes.
pub(super) const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// What lets a transaction take its time.
pub(super) const UNHURRIED: &str = "
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0";

/// How many connections of a node's own there are: all it asks for comes from the control plane.
const CONNECTIONS_MAX: u32 = 8;

/// How long one statement may take: a migration, a backup and a restore set their own.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a transaction may wait for a node that does not go on: a node that hangs must not hold up the
/// writes of the others for longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// How many times longer than other writes one that takes long waits for its turn: another node's
/// migration may be under way.
const LONG_WAITS: u32 = 60;

/// How often, and after how long, is looked whether others have gone.
const ALONE_TRIES: u32 = 20;
const ALONE_WAIT: Duration = Duration::from_millis(50);

/// As operators see our connections in `pg_stat_activity`.
pub(super) const APPLICATION_NAME: &str = "keyward";

/// Where changes are told, by triggers (migration 5).
const CHANNEL: &str = "keyward_changes";

/// How to reach it.
#[derive(Clone)]
pub(crate) struct Postgres {
    /// With the password: for the driver alone.
    url: keyward_model::Secret<String>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Postgres([secret])")
    }
}

impl Postgres {
    pub(super) fn new(settings: &PostgresSettings) -> Self {
        Self {
            url: settings.url(),
        }
    }

    pub(super) async fn open(&self, busy_timeout: Duration) -> Result<AnyPool, Error> {
        let options = options(self.url.reveal())?;
        let patience = busy_timeout.saturating_mul(2);
        let first = async {
            let mut first = connect(&options).await?;
            configure(&mut first, busy_timeout).await?;
            Ok::<_, Error>(first.close().await?)
        };
        tokio::time::timeout(patience, first)
            .await
            .map_err(|_| Error::Unreachable("it did not answer in time".to_owned()))??;
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(patience)
            .after_connect(move |connection, _| Box::pin(configure(connection, busy_timeout)))
            .connect_lazy_with(options);
        Ok(pool)
    }

    /// A connection that hears of changes.
    pub(crate) async fn listen(&self, patience: Duration) -> Result<PgListener, Error> {
        let options: PgConnectOptions = self.url.reveal().parse().map_err(Error::from)?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(patience)
            .connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }
}

/// What is set on each connection. Where the server would acknowledge what is not yet on its disk, it is
/// told not to: what was acknowledged has to survive.
async fn configure(
    connection: &mut AnyConnection,
    busy_timeout: Duration,
) -> Result<(), sqlx::Error> {
    let settings = format!(
        "SET lock_timeout = {};
         SET statement_timeout = {};
         SET idle_in_transaction_session_timeout = {};
         SET client_min_messages = warning;
         SELECT set_config('synchronous_commit', 'on', false)
         WHERE current_setting('synchronous_commit') = 'off'",
        busy_timeout.as_millis(),
        STATEMENT_TIMEOUT.as_millis(),
        IDLE_TIMEOUT.as_millis(),
    );
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(settings)))
        .await?;
    Ok(())
}

/// What lets a transaction take its time, and wait for others that take theirs.
pub(super) fn unhurried(busy_timeout: Duration) -> String {
    let wait_ms = busy_timeout.saturating_mul(LONG_WAITS).as_millis();
    format!("SET LOCAL lock_timeout = {wait_ms}; {UNHURRIED}")
}

/// Connections of other processes to the same database carry our name. Those that were closed a moment ago are
/// waited for.
pub(super) async fn check_alone(pool: &AnyPool) -> Result<(), Error> {
    for _ in 0..ALONE_TRIES {
        let (others,): (i64,) = sqlx::query_as(
            "SELECT count(*) FROM pg_catalog.pg_stat_activity
             WHERE datname = current_database() AND application_name = $1
               AND pid <> pg_backend_pid()",
        )
        .bind(APPLICATION_NAME)
        .fetch_one(pool)
        .await?;
        if others == 0 {
            return Ok(());
        }
        tokio::time::sleep(ALONE_WAIT).await;
    }
    Err(Error::InUse)
}
