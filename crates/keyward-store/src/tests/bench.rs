//! What a test of the store works with: an empty database of one kind, and a master key.

use super::*;
use keyward_testkit::PostgresServer;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

const PATIENCE: Duration = Duration::from_secs(20);

/// Makes two tests of each function: one on SQLite, one on a PostgreSQL of its own. One that is left out is
/// code that nobody calls, which is a warning.
macro_rules! on_each_database {
    ($($test:ident,)*) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                super::$test(super::Bench::sqlite()).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                super::$test(super::Bench::postgres().await).await;
            })*
        }
    };
}
pub(super) use on_each_database;

pub(super) struct Bench {
    pub(super) folder: TempDir,
    pub(super) location: Location,
    pub(super) master: MasterKey,
    /// How long it is waited for others: on a busy machine, too, nobody is late.
    pub(super) patience: Duration,
    server: Option<Mutex<PostgresServer>>,
}

impl Bench {
    pub(super) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            location: Location::File(folder.path().join("data").join("keyward.db")),
            folder,
            master: MasterKey::generate().unwrap(),
            patience: PATIENCE,
            server: None,
        }
    }

    pub(super) async fn postgres() -> Self {
        let mut server = PostgresServer::start().await;
        Self {
            location: at(&server.new_database()),
            folder: tempfile::tempdir().unwrap(),
            master: MasterKey::generate().unwrap(),
            patience: PATIENCE,
            server: Some(Mutex::new(server)),
        }
    }

    /// Goes over to another empty database of the same kind, and gives the one before.
    pub(super) fn renew(&mut self) -> Location {
        let empty = self.another();
        std::mem::replace(&mut self.location, empty)
    }

    /// Another empty database of the same kind.
    pub(super) fn another(&self) -> Location {
        match &self.server {
            Some(server) => at(&server.try_lock().unwrap().new_database()),
            None => {
                let folder = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
                Location::File(folder.join("data").join("keyward.db"))
            }
        }
    }

    /// The file of one that is SQLite.
    pub(super) fn path(&self) -> PathBuf {
        match &self.location {
            Location::File(path) => path.clone(),
            Location::Postgres(_) => panic!("it is no file"),
        }
    }

    pub(super) fn server(&self) -> MutexGuard<'_, PostgresServer> {
        self.server.as_ref().unwrap().try_lock().unwrap()
    }

    /// Everything that the database has written.
    pub(super) fn files(&self) -> Vec<Vec<u8>> {
        let folder = match &self.server {
            Some(server) => {
                let server = server.try_lock().unwrap();
                server.sql("postgres", "CHECKPOINT");
                server.data()
            }
            None => self.path().parent().unwrap().to_owned(),
        };
        let mut files = Vec::new();
        read_all(&folder, &mut files);
        files
    }

    pub(super) async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    pub(super) async fn try_open(&self) -> Result<Store, Error> {
        Store::open_within(&self.location, &self.master, NOW, self.patience).await
    }

    pub(super) async fn database(&self) -> Database {
        Database::open(&self.location, self.patience).await.unwrap()
    }
}

pub(super) fn at(url: &str) -> Location {
    Location::Postgres(PostgresSettings::parse(url).unwrap())
}

fn read_all(folder: &Path, files: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, files);
        } else if let Ok(bytes) = std::fs::read(&path) {
            // One of PostgreSQL's may have gone meanwhile.
            files.push(bytes);
        }
    }
}
