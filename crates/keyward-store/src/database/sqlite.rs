//! The SQLite file: made for its owner alone, opened so that what was committed stays.

use super::{Pool, connect, options, push_encoded};
use crate::Error;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Executor};
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What begins a transaction that will write. SQLite's own default would take the lock at the first
/// write, when another may have changed what was read before.
pub(super) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// What begins a transaction that reads: in the write-ahead log it sees one state until it ends.
pub(super) const BEGIN_READ: &str = "BEGIN";

/// SQLite writes one at a time; this many readers beside it are more than the control plane asks for.
pub(super) const CONNECTIONS_MAX: u32 = 4;

/// How often the change to the write-ahead log is tried: SQLite does not wait for that lock by itself.
const WAL_TRIES: u32 = 50;

/// The mode of what only the owner may read.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Opens the file, which is made if there is none, together with its folder.
pub(super) async fn open(path: &Path, busy_timeout: Duration) -> Result<AnyPool, Error> {
    let path = make_file(path)?;
    let options = options(&url_of(&path)?)?;
    let mut first = connect(&options).await?;
    configure(&mut first, busy_timeout).await?;
    write_ahead_log(&mut first, busy_timeout).await?;
    first.close().await?;
    pool_of(options, busy_timeout).await
}

/// Opens a file that is there.
pub(super) async fn open_to_look(path: &Path, busy_timeout: Duration) -> Result<AnyPool, Error> {
    let path = path.canonicalize().map_err(|source| Error::File {
        path: path.to_owned(),
        doing: "find its whole path",
        source,
    })?;
    pool_of(options(&url_of(&path)?)?, busy_timeout).await
}

async fn pool_of(options: AnyConnectOptions, busy_timeout: Duration) -> Result<AnyPool, Error> {
    let pool = AnyPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(busy_timeout.saturating_mul(2))
        .after_connect(move |connection, _| Box::pin(configure(connection, busy_timeout)))
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// What SQLite keeps per connection. Synchronous FULL: what was acknowledged survives a loss of power.
async fn configure(
    connection: &mut AnyConnection,
    busy_timeout: Duration,
) -> Result<(), sqlx::Error> {
    let busy_ms = busy_timeout.as_millis();
    let pragmas = format!(
        "PRAGMA busy_timeout = {busy_ms};
         PRAGMA foreign_keys = ON;
         PRAGMA synchronous = FULL;
         PRAGMA secure_delete = ON;
         PRAGMA trusted_schema = OFF;"
    );
    connection
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(pragmas)))
        .await?;
    Ok(())
}

/// Readers and the writer don't wait for one another. The setting stays in the file.
async fn write_ahead_log<C>(connection: &mut C, busy_timeout: Duration) -> Result<(), Error>
where
    for<'c> &'c mut C: Executor<'c, Database = Any>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        let changed = connection.execute("PRAGMA journal_mode = WAL").await;
        match changed.map_err(Error::from) {
            Ok(_) => return Ok(()),
            Err(Error::Locked) if tries < WAL_TRIES => {
                tokio::time::sleep(busy_timeout / WAL_TRIES).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// A file leaves the write-ahead log only while nobody else has it open; then it goes back to it.
pub(super) async fn check_alone(pool: &Pool, busy_timeout: Duration) -> Result<(), Error> {
    let mut connection = pool.acquire().await?;
    let left = connection.execute("PRAGMA journal_mode = DELETE").await;
    match left.map_err(Error::from) {
        Ok(_) => write_ahead_log(&mut connection, busy_timeout).await,
        Err(Error::Locked) => Err(Error::InUse),
        Err(error) => Err(error),
    }
}

/// The database's absolute path. Its side files get the same mode from SQLite.
fn make_file(path: &Path) -> Result<PathBuf, Error> {
    let failed = |doing| {
        let path = path.to_owned();
        move |source| Error::File {
            path,
            doing,
            source,
        }
    };
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)
        .map_err(failed("make the folder for it"))?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
        .map_err(failed("open or make the database"))?;
    let metadata = file.metadata().map_err(failed("read its mode"))?;
    if !metadata.is_file() {
        let source = std::io::Error::other("not a file");
        return Err(failed("use it as the database")(source));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::Exposed {
            path: path.to_owned(),
            mode,
            able: "read the database",
            wanted: "600",
        });
    }
    let metadata = folder
        .metadata()
        .map_err(failed("read its folder's mode"))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(Error::Exposed {
            path: folder.to_owned(),
            mode,
            able: "replace the database",
            wanted: "700",
        });
    }
    path.canonicalize().map_err(failed("find its whole path"))
}

/// The driver reads the path back from a URL, as UTF-8 with percent signs undone.
fn url_of(path: &Path) -> Result<String, Error> {
    let text = path.to_str().ok_or_else(|| Error::File {
        path: path.to_owned(),
        doing: "use it as the database",
        source: std::io::Error::other("the path is not UTF-8"),
    })?;
    let mut url = "sqlite://".to_owned();
    push_encoded(&mut url, text, b"/-_.");
    url.push_str("?mode=rw");
    Ok(url)
}
