//! The open database.

use crate::Error;
use crate::audit::{self, Action};
use crate::database::{BUSY_TIMEOUT, Database, Location, Pool, Transaction};
use crate::hierarchy::{Keyring, MacKey, MasterKey, Purpose, random_id};
use crate::schema::{self, BINARY_VERSION, MIGRATIONS};
use keyward_model::Timestamp;
use keyward_model::id::{NodeId, TeamId};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long it is remembered that a process opened the database: a year, so that a process that starts
/// every minute leaves half a million rows and no more.
const NODES_KEPT: Duration = Duration::from_secs(365 * 24 * 3600);

/// The database, with its schema up to date and its key hierarchy open. Cheap to clone.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use keyward_model::Timestamp;
/// use keyward_store::{MasterKey, Store};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("keyward.db");
/// let now = Timestamp::from_seconds(1_795_000_000);
/// let master = MasterKey::generate()?;
/// let store = Store::open(&path, &master, now).await?;
/// assert_eq!(store.verify_audit_chain().await?.events, 0);
/// store.close().await;
///
/// let another = MasterKey::generate()?;
/// let refused = Store::open(&path, &another, now).await.unwrap_err();
/// assert_eq!(refused.code(), "master_key_wrong");
/// # Ok(()) })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
    keyring: Arc<Keyring>,
    node: NodeId,
    /// Tells this process's feeds of its own changes.
    changed: watch::Sender<()>,
}

impl Store {
    /// Opens the SQLite file at `path`, which is made with its folder if there is none, brings the schema
    /// up to date and checks the master key.
    ///
    /// # Errors
    /// [`Error::Exposed`] when others than the owner can read the file or write its folder;
    /// [`Error::WrongMasterKey`]; [`Error::SchemaTooNew`]; [`Error::Foreign`]; [`Error::Corrupt`];
    /// [`Error::Locked`] after five seconds; [`Error::ReadOnly`]; [`Error::DiskFull`].
    pub async fn open(path: &Path, master: &MasterKey, now: Timestamp) -> Result<Self, Error> {
        Self::open_at(&Location::File(path.to_owned()), master, now).await
    }

    /// Opens the database at `location`, brings the schema up to date and checks the master key. Of
    /// processes that do so at once one changes the schema, and the others wait.
    ///
    /// # Errors
    /// As [`open`](Self::open); of PostgreSQL [`Error::Unreachable`], [`Error::Denied`], [`Error::Tls`],
    /// [`Error::Standby`].
    pub async fn open_at(
        location: &Location,
        master: &MasterKey,
        now: Timestamp,
    ) -> Result<Self, Error> {
        Self::open_within(location, master, now, BUSY_TIMEOUT).await
    }

    pub(crate) async fn open_within(
        location: &Location,
        master: &MasterKey,
        now: Timestamp,
        busy_timeout: Duration,
    ) -> Result<Self, Error> {
        let database = Database::open(location, busy_timeout).await?;
        schema::migrate(&database, MIGRATIONS, now).await?;
        let keyring = Keyring::open(&database, master, now).await?;
        let store = Self {
            database,
            keyring: Arc::new(keyring),
            node: NodeId::new(now, random_id()?),
            changed: watch::Sender::default(),
        };
        store.write_node(now).await?;
        Ok(store)
    }

    /// Whether a node has begun to use the database at `location`: what is sealed there is under its master
    /// key. Nothing is made or changed.
    ///
    /// # Errors
    /// What keeps the database from being asked.
    pub async fn is_begun(location: &Location) -> Result<bool, Error> {
        let database = match location {
            Location::File(path) if !path.exists() => return Ok(false),
            // Not by its being there: one that a restore has made and not filled is empty.
            Location::File(path) => Database::open_to_look(path, BUSY_TIMEOUT).await?,
            Location::Postgres(_) => Database::open(location, BUSY_TIMEOUT).await?,
        };
        let begun = schema::is_begun(&database).await;
        database.pool().close().await;
        begun
    }

    /// This process, as the database knows it since it was opened.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Replaces the master key: wraps all data keys anew. No encrypted field is touched. Other processes
    /// that have the database open go on reading, and must be restarted with the new key before they can
    /// make a data key.
    ///
    /// # Errors
    /// [`Error::WrongMasterKey`] when `old` is not the current one.
    pub async fn rotate_master(
        &self,
        old: &MasterKey,
        new: &MasterKey,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        let replaced = self
            .keyring
            .replace_master(&mut transaction, old, new, now)
            .await?;
        let action = Action {
            team: TeamId::DEFAULT,
            actor,
            action: "master_key.replace",
            object: "master key",
            detail: json!({ "data_keys": replaced.data_keys }),
        };
        audit::append(&mut transaction, self.node, action, now).await?;
        transaction.commit().await?;
        self.keyring.adopt(replaced);
        Ok(())
    }

    /// Keys for MACs of this purpose, the same on every node of the database: the current one first, made now if
    /// there is none, then those before it.
    ///
    /// # Errors
    /// [`Error::MasterKeyReplaced`] when another process has replaced the master key since this one was started.
    pub async fn mac_keys(&self, purpose: Purpose, now: Timestamp) -> Result<Vec<MacKey>, Error> {
        let mut transaction = self.begin_write().await?;
        let keys = self
            .keyring
            .mac_keys(&mut transaction, purpose, now)
            .await?;
        transaction.commit().await?;
        Ok(keys)
    }

    /// Those that there are; none is made.
    pub(crate) async fn existing_mac_keys(&self, purpose: Purpose) -> Result<Vec<MacKey>, Error> {
        let mut connection = self.pool().acquire().await?;
        let keyring = self.keyring();
        keyring.existing_mac_keys(&mut connection, purpose).await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// What it says.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(self.pool()).await?;
        Ok(())
    }

    /// Ends all connections, so that the write-ahead log goes into the file.
    pub async fn close(&self) {
        self.pool().close().await;
    }

    async fn write_node(&self, now: Timestamp) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        sqlx::query("DELETE FROM nodes WHERE started_at < $1")
            .bind(now.minus(NODES_KEPT).as_micros())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO nodes (id, binary_version, started_at) VALUES ($1, $2, $3)")
            .bind(self.node.to_string())
            .bind(BINARY_VERSION)
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(crate) fn pool(&self) -> &Pool {
        self.database.pool()
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn changed(&self) -> &watch::Sender<()> {
        &self.changed
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    pub(crate) async fn begin_write(&self) -> Result<Transaction, Error> {
        self.database.begin_write().await
    }
}
