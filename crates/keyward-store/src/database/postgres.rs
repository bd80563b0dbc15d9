//! PostgreSQL: what is said of it in the configuration, and connections to it.

mod settings;
#[cfg(test)]
mod tests;

pub use settings::{PostgresSettings, Refusal, Tls};

use super::connection::check_other_end;
use super::{BUSY_TIMEOUT, Pool, connect, options};
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

/// What lets a transaction take its time, and those it waits for.
pub(super) const UNHURRIED: &str = "
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0";

/// What holds for migrations: they take their time, and hold up nobody for longer who comes for a table that they
/// wait for. A node that does not go on in the middle is cut off as always: all wait for it.
pub(super) const MIGRATING: &str = "
    SET LOCAL statement_timeout = 0;
    SET LOCAL lock_timeout = '2s'";

/// How many connections of a node's own there are: all it asks for comes from the control plane.
pub(super) const CONNECTIONS_MAX: u32 = 8;

/// How long one statement may take: a migration, a backup and a restore set their own.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a transaction may wait for a node that does not go on: less than others wait for their turn, so that a node
/// that hangs, or whose line has gone silent, fails by itself and nobody else with it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
const _: () = assert!(IDLE_TIMEOUT.as_millis() < BUSY_TIMEOUT.as_millis());

/// How many times longer than other writes one that takes long waits for its turn: another node's
/// migration may be under way.
const LONG_WAITS: u32 = 60;

/// After how much silence the server asks whether the machine of a connection is there still, how often it asks again,
/// and after how many questions without an answer it is gone, with what it held: after a minute in all, where systems
/// take two hours by themselves.
const KEEPALIVES: &str = "
    SET tcp_keepalives_idle = 30;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3;";

/// How long it is waited for a sign of life on a connection that nobody uses. Short: when the server has gone without a
/// word all of them are asked one after another, and a new one is soon made.
const PING_WITHIN: Duration = Duration::from_secs(1);

/// How often, and after how long, is looked whether others have gone.
const ALONE_TRIES: u32 = 20;
const ALONE_WAIT: Duration = Duration::from_millis(50);

/// As operators see our connections in `pg_stat_activity`, until they are set up.
pub(super) const APPLICATION_NAME: &str = "keyward";

/// And from then on: several deployments may share a database, each in a schema of its own.
const NAME: &str =
    "SELECT set_config('application_name', 'keyward ' || coalesce(current_schema(), ''), false)";

/// Where changes are told, by triggers (migrations 5 and 7).
const CHANNEL: &str = "keyward_changes";

/// A transaction that writes can't be begun on a server that recovers, as a standby does all the time.
const NOT_SUPPORTED: &str = "0A000";

/// How long an answer may take, and a connection: longer than a statement may wait for another's lock, so that the
/// server's own word comes first.
pub(super) fn patience(busy_timeout: Duration) -> Duration {
    busy_timeout.saturating_mul(2)
}

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
        let patience = patience(busy_timeout);
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
            .test_before_acquire(false)
            .before_acquire(|connection, _| Box::pin(check_other_end(connection, PING_WITHIN)))
            .after_release(move |connection, _| Box::pin(check_other_end(connection, busy_timeout)))
            .connect_lazy_with(options);
        Ok(pool)
    }

    /// A connection that hears of changes.
    pub(crate) async fn listen(&self, patience: Duration) -> Result<Listening, Error> {
        let listening = tokio::time::timeout(patience, self.connect_listening(patience));
        let listening = listening.await;
        listening.map_err(|_| Error::Unreachable("it did not answer in time".to_owned()))?
    }

    async fn connect_listening(&self, patience: Duration) -> Result<Listening, Error> {
        let options: PgConnectOptions = self.url.reveal().parse().map_err(Error::from)?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(patience)
            .connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.execute(NAME).await?;
        listener.execute(sqlx::raw_sql(KEEPALIVES)).await?;
        let schema: Option<String> = sqlx::query_scalar("SELECT current_schema()::text")
            .fetch_one(&mut listener)
            .await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(Listening {
            listener,
            schema: schema.unwrap_or_default(),
        })
    }
}

/// A connection that hears of changes.
pub(crate) struct Listening {
    listener: PgListener,
    schema: String,
}

impl Listening {
    /// Waits for the next change of this schema: `false` when the connection is lost.
    pub(crate) async fn told(&mut self) -> bool {
        while let Ok(Some(notice)) = self.listener.try_recv().await {
            // Of a schema before migration 7 it is not said whose they are.
            if notice.payload().is_empty() || notice.payload() == self.schema {
                return true;
            }
        }
        false
    }
}

/// Why a transaction that writes could not be begun.
pub(super) fn not_begun(error: sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(|error| error.code());
    if code.as_deref() == Some(NOT_SUPPORTED) {
        return Error::Standby;
    }
    error.into()
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
         {KEEPALIVES}
         {NAME};
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

/// What lets a transaction wait longer for others that take their time.
pub(super) fn wait_long(busy_timeout: Duration) -> String {
    let wait_ms = busy_timeout.saturating_mul(LONG_WAITS).as_millis();
    format!("SET LOCAL lock_timeout = {wait_ms}; SET LOCAL statement_timeout = 0")
}

/// Connections of other processes to the same schema carry our name. Those that were closed a moment ago are waited for;
/// after that nobody may come for as long as is watched.
pub(super) async fn check_alone(pool: &Pool, watched: Duration) -> Result<(), Error> {
    let mut tries = 0;
    while others(pool).await? > 0 {
        tries += 1;
        if tries == ALONE_TRIES {
            return Err(Error::InUse);
        }
        tokio::time::sleep(ALONE_WAIT).await;
    }
    let mut left = watched;
    while !left.is_zero() {
        let wait = left.min(ALONE_WAIT);
        tokio::time::sleep(wait).await;
        left = left.saturating_sub(wait);
        if others(pool).await? > 0 {
            return Err(Error::InUse);
        }
    }
    Ok(())
}

async fn others(pool: &Pool) -> Result<i64, Error> {
    let (others,): (i64,) = sqlx::query_as(
        "SELECT count(*) FROM pg_catalog.pg_stat_activity
         WHERE datname = current_database()
           AND application_name = current_setting('application_name')
           AND pid <> pg_backend_pid()",
    )
    .fetch_one(pool)
    .await?;
    Ok(others)
}
