//! The database behind the store: SQLite in a file, or PostgreSQL.
//!
//! The same statements go to both. What differs is here and in this folder: how it is reached, how a
//! transaction that writes begins, and what its catalogue is called.

pub(crate) mod catalogue;
mod postgres;
mod sqlite;

pub use postgres::{PostgresSettings, Refusal, Tls};

use crate::Error;
pub(crate) use postgres::Postgres;
use sqlx::any::AnyConnectOptions;
use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions as _, Executor as _, Transaction,
};
use std::fmt;
use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

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

/// The open database.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pool: AnyPool,
    kind: Kind,
    busy_timeout: Duration,
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
        let (pool, kind) = match location {
            Location::File(path) => (sqlite::open(path, busy_timeout).await?, Kind::Sqlite),
            Location::Postgres(settings) => {
                let postgres = Postgres::new(settings);
                (postgres.open(busy_timeout).await?, Kind::Postgres(postgres))
            }
        };
        Ok(Self {
            pool,
            kind,
            busy_timeout,
        })
    }

    pub(crate) fn engine(&self) -> Engine {
        match self.kind {
            Kind::Sqlite => Engine::Sqlite,
            Kind::Postgres(_) => Engine::Postgres,
        }
    }

    pub(crate) fn pool(&self) -> &AnyPool {
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
    pub(crate) async fn begin_write(&self) -> Result<Transaction<'static, Any>, Error> {
        match self.kind {
            Kind::Sqlite => Ok(self.pool.begin_with(sqlite::BEGIN_WRITE).await?),
            Kind::Postgres(_) => {
                let mut transaction = self.pool.begin_with(postgres::BEGIN_WRITE).await?;
                transaction.execute(postgres::LOCK).await?;
                Ok(transaction)
            }
        }
    }

    /// As [`begin_write`](Self::begin_write), for what may take long itself and waits longer for others
    /// that do the same: migrations, and a restore.
    pub(crate) async fn begin_long_write(&self) -> Result<Transaction<'static, Any>, Error> {
        match self.kind {
            Kind::Sqlite => self.begin_write().await,
            Kind::Postgres(_) => {
                let mut transaction = self.pool.begin_with(postgres::BEGIN_WRITE).await?;
                let unhurried = postgres::unhurried(self.busy_timeout);
                transaction
                    .execute(sqlx::raw_sql(AssertSqlSafe(unhurried)))
                    .await?;
                transaction.execute(postgres::LOCK).await?;
                Ok(transaction)
            }
        }
    }

    /// Begins a transaction that sees the database as it is now until it ends, and holds nobody up.
    pub(crate) async fn begin_read(&self) -> Result<Transaction<'static, Any>, Error> {
        match self.kind {
            Kind::Sqlite => Ok(self.pool.begin_with(sqlite::BEGIN_READ).await?),
            Kind::Postgres(_) => {
                let mut transaction = self.pool.begin_with(postgres::BEGIN_READ).await?;
                transaction
                    .execute(sqlx::raw_sql(postgres::UNHURRIED))
                    .await?;
                Ok(transaction)
            }
        }
    }

    /// That nobody else has the database open.
    pub(crate) async fn check_alone(&self) -> Result<(), Error> {
        match self.kind {
            Kind::Sqlite => sqlite::check_alone(&self.pool, self.busy_timeout).await,
            Kind::Postgres(_) => postgres::check_alone(&self.pool).await,
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
