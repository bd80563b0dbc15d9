//! The database behind the store: SQLite in a file, or PostgreSQL.
//!
//! The same statements go to both. What differs is here and in this folder: how it is reached, how a
//! transaction that writes begins, and what its catalogue is called.

pub(crate) mod catalogue;
mod connection;
mod postgres;
mod sqlite;

pub use postgres::{PostgresSettings, Refusal, Tls};

use crate::Error;
pub(crate) use connection::{Connection, Pool, Transaction};
pub(crate) use postgres::{Listening, Postgres};
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions as _, Executor as _};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a statement waits for another process's write: each takes milliseconds.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the database is.
#[derive(Clone, Debug, PartialEq)]
pub enum Location {
    /// SQLite, in this file.
    File(PathBuf),
    /// PostgreSQL.
    Postgres(PostgresSettings),
}

/// For messages; never with a password.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(settings) => settings.fmt(f),
        }
    }
}

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// As backups name where they came from.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// How many connections those who wait for their turn to write leave to the others: one to ask how far everything
/// has come, which would else be taken for an outage, and one to read.
const CONNECTIONS_LEFT: u32 = 2;

/// The open database.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pool: Pool,
    kind: Kind,
    busy_timeout: Duration,
    /// Those of this process that write or wait for it.
    turns: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
enum Kind {
    Sqlite,
    Postgres(Postgres),
}

impl Database {
    /// Opens it. A file is made if there is none; PostgreSQL has to have the database that is named.
    pub(crate) async fn open(location: &Location, busy_timeout: Duration) -> Result<Self, Error> {
        install_drivers();
        let (pool, kind, connections) = match location {
            Location::File(path) => {
                let pool = sqlite::open(path, busy_timeout).await?;
                (Pool::new(pool, None), Kind::Sqlite, sqlite::CONNECTIONS_MAX)
            }
            Location::Postgres(settings) => {
                let postgres = Postgres::new(settings);
                let pool = postgres.open(busy_timeout).await?;
                let within = postgres::patience(busy_timeout);
                (
                    Pool::new(pool, Some(within)),
                    Kind::Postgres(postgres),
                    postgres::CONNECTIONS_MAX,
                )
            }
        };
        Ok(Self::new(pool, kind, connections, busy_timeout))
    }

    /// Opens a file that is there, to look into it: nothing is made, and nothing is set in it.
    pub(crate) async fn open_to_look(path: &Path, busy_timeout: Duration) -> Result<Self, Error> {
        install_drivers();
        let pool = sqlite::open_to_look(path, busy_timeout).await?;
        let pool = Pool::new(pool, None);
        let connections = sqlite::CONNECTIONS_MAX;
        Ok(Self::new(pool, Kind::Sqlite, connections, busy_timeout))
    }

    fn new(pool: Pool, kind: Kind, connections: u32, busy_timeout: Duration) -> Self {
        let turns = usize::try_from(connections.saturating_sub(CONNECTIONS_LEFT)).unwrap_or(1);
        Self {
            pool,
            kind,
            busy_timeout,
            turns: Arc::new(Semaphore::new(turns)),
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        match self.kind {
            Kind::Sqlite => Engine::Sqlite,
            Kind::Postgres(_) => Engine::Postgres,
        }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Where PostgreSQL tells of changes, if it is that.
    pub(crate) fn postgres(&self) -> Option<&Postgres> {
        match &self.kind {
            Kind::Sqlite => None,
            Kind::Postgres(postgres) => Some(postgres),
        }
    }

    /// Begins a transaction that writes. One at a time has the right to, of all processes: what it reads
    /// is not changed by another before it ends.
    pub(crate) async fn begin_write(&self) -> Result<Transaction, Error> {
        self.begin(None).await
    }

    /// As [`begin_write`](Self::begin_write), for migrations: they may take long themselves, and wait longer for
    /// others that do the same. For a table that another reads they wait for a moment only, since whoever comes for
    /// it after them waits behind them, and end with [`Error::Locked`].
    pub(crate) async fn begin_migration(&self) -> Result<Transaction, Error> {
        self.begin(Some(postgres::MIGRATING)).await
    }

    /// As [`begin_write`](Self::begin_write), for a restore: it takes its time, and so may whoever sends it the
    /// backup.
    pub(crate) async fn begin_restore(&self) -> Result<Transaction, Error> {
        self.begin(Some(postgres::UNHURRIED)).await
    }

    /// Begins a transaction that writes. With `pace`, which is set on PostgreSQL when it has the lock, it waits longer
    /// for that, and for answers as long as they take.
    async fn begin(&self, pace: Option<&'static str>) -> Result<Transaction, Error> {
        let turn = Some(self.turn().await?);
        match self.kind {
            Kind::Sqlite => Ok(self.pool.begin(sqlite::BEGIN_WRITE, turn).await?),
            Kind::Postgres(_) => {
                let begun = self.pool.begin(postgres::BEGIN_WRITE, turn).await;
                let mut transaction = begun.map_err(postgres::not_begun)?;
                if pace.is_some() {
                    let waiting = AssertSqlSafe(postgres::wait_long(self.busy_timeout));
                    transaction.execute(sqlx::raw_sql(waiting)).await?;
                    transaction.answers_within(None);
                }
                transaction.execute(postgres::LOCK).await?;
                if let Some(pace) = pace {
                    transaction.execute(sqlx::raw_sql(pace)).await?;
                }
                Ok(transaction)
            }
        }
    }

    /// The right to wait for the lock on a connection of this process.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = tokio::time::timeout(postgres::patience(self.busy_timeout), turn).await;
        match turn {
            Ok(Ok(turn)) => Ok(turn),
            // It is never closed.
            Ok(Err(_)) | Err(_) => Err(Error::Locked),
        }
    }

    /// How many of this process may still begin to wait for the lock.
    #[cfg(test)]
    pub(crate) fn turns(&self) -> usize {
        self.turns.available_permits()
    }

    /// Begins a transaction that sees the database as it is now until it ends, and holds nobody up.
    pub(crate) async fn begin_read(&self) -> Result<Transaction, Error> {
        match self.kind {
            Kind::Sqlite => Ok(self.pool.begin(sqlite::BEGIN_READ, None).await?),
            Kind::Postgres(_) => {
                let mut transaction = self.pool.begin(postgres::BEGIN_READ, None).await?;
                transaction
                    .execute(sqlx::raw_sql(postgres::UNHURRIED))
                    .await?;
                Ok(transaction)
            }
        }
    }

    /// That nobody else has the database open, nor comes to it within `watched`: nodes that have lost it come back
    /// after a while.
    pub(crate) async fn check_alone(&self, watched: Duration) -> Result<(), Error> {
        match self.kind {
            Kind::Sqlite => sqlite::check_alone(&self.pool, self.busy_timeout).await,
            Kind::Postgres(_) => postgres::check_alone(&self.pool, watched).await,
        }
    }
}

fn install_drivers() {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(|| {
        let drivers = &[sqlx_sqlite::any::DRIVER, sqlx_postgres::any::DRIVER];
        // It fails when there are some already, and nobody else has any to install.
        let _installed = sqlx_core::any::driver::install_drivers(drivers);
    });
}

/// The driver's options: they hold the password, and are shown nowhere.
fn options(url: &str) -> Result<AnyConnectOptions, Error> {
    let options: AnyConnectOptions = url.parse().map_err(Error::from)?;
    Ok(options.disable_statement_logging())
}

/// One connection by itself. A pool tries again and again and then says that it took too long: what is
/// wrong is heard from a connection of its own.
async fn connect(options: &AnyConnectOptions) -> Result<AnyConnection, Error> {
    let connection: Result<AnyConnection, sqlx::Error> = options.connect().await;
    Ok(connection?)
}

/// Writes a part of a URL, of which only what is meant to may mean something.
fn push_encoded(url: &mut String, text: &str, kept: &[u8]) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
}
