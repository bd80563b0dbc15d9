//! What the store refuses, and what can go wrong below it.

use std::path::PathBuf;

/// Why the store could not do what it was asked. No text holds any part of a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder can't be used.
    #[error("{}: can't {doing}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or folder is open to others than its owner.
    #[error("{}: mode {mode:03o} lets others {able}: change it with `chmod {wanted}`", path.display())]
    Exposed {
        /// Which one.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What others could do.
        able: &'static str,
        /// The mode it should have.
        wanted: &'static str,
    },
    /// The file is no database, or its pages contradict one another.
    #[error(
        "the database file is damaged or is no database ({0}): put a backup in its place, or move it away to start anew"
    )]
    Corrupt(String),
    /// The database has tables, but not Keyward's.
    #[error("this database belongs to another program: name an empty or Keyward's own one")]
    Foreign,
    /// Another process holds the database for too long.
    #[error("the database is locked by another process: end it, or wait for it, and try again")]
    Locked,
    /// The file, its folder or the file system can't be written.
    #[error(
        "the database can't be written: check the owner and permissions of the file and of its folder, and that its file system is not read-only"
    )]
    ReadOnly,
    /// There is no room.
    #[error("the disk is full: make room where the database lies")]
    DiskFull,
    /// A newer binary changed the schema so that this one can't work with it.
    #[error(
        "the database has schema {found}, which serves binaries that know schema {serves_from} or later; this one knows {known}: run version {applied_by} of Keyward or later"
    )]
    SchemaTooNew {
        /// The newest migration in the database.
        found: i64,
        /// The oldest schema whose binaries may still work with it.
        serves_from: i64,
        /// The newest migration in this binary.
        known: i64,
        /// The version of the binary that changed it.
        applied_by: String,
    },
    /// A migration that was applied is not the one that this binary holds.
    #[error(
        "migration {version} of the database is not the one of this binary: it was made by a build that was never released"
    )]
    MigrationChanged {
        /// Which migration.
        version: i64,
    },
    /// What was given as master key is none.
    #[error(
        "the master key must be 32 random bytes as 64 hexadecimal digits or as base64: make one with `openssl rand -base64 32`"
    )]
    MasterKeyMalformed,
    /// The data was encrypted under another master key.
    #[error(
        "this is not the master key under which the database was encrypted: give the right one in KEYWARD_MASTER_KEY, or put the right file back"
    )]
    WrongMasterKey,
    /// Another process replaced the master key meanwhile.
    #[error("the master key was replaced by another process: restart with the new one")]
    MasterKeyReplaced,
    /// A sealed field does not open: it was changed, or moved from another row.
    #[error("{place} can't be decrypted: it was changed or moved; put a backup in its place")]
    Sealed {
        /// Table, column and row.
        place: String,
    },
    /// A row holds what this binary can't read.
    #[error("{place} holds what can't be read: put a backup in its place")]
    Malformed {
        /// Table, column and row.
        place: String,
    },
    /// The row was changed by another since it was read.
    #[error("{what} was changed by another meanwhile: read it again and decide anew")]
    Conflict {
        /// What was to be changed.
        what: String,
    },
    /// There is one already.
    #[error("{what} is there already")]
    Exists {
        /// What was to be made.
        what: String,
    },
    /// Nobody would have a role that somebody has to have.
    #[error("nobody would be `{role}` any more: give the role to another first")]
    Last {
        /// The role.
        role: String,
    },
    /// The audit log was changed after it was written.
    #[error("the audit log is broken at event {sequence}: {why}")]
    AuditBroken {
        /// The first event that does not fit.
        sequence: i64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The cryptographic library refused an operation that should have worked.
    #[error("cryptographic operation failed: {0}")]
    Crypto(&'static str),
    /// Anything else that the database said.
    #[error("the database failed: {0}")]
    Database(sqlx::Error),
}

impl Error {
    /// The stable code, in snake case.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "store_file",
            Self::Exposed { .. } => "store_exposed",
            Self::Corrupt(_) => "store_corrupt",
            Self::Foreign => "store_foreign",
            Self::Locked => "store_locked",
            Self::ReadOnly => "store_read_only",
            Self::DiskFull => "store_disk_full",
            Self::SchemaTooNew { .. } => "store_schema_too_new",
            Self::MigrationChanged { .. } => "store_migration_changed",
            Self::MasterKeyMalformed => "master_key_malformed",
            Self::WrongMasterKey => "master_key_wrong",
            Self::MasterKeyReplaced => "master_key_replaced",
            Self::Sealed { .. } => "store_sealed",
            Self::Malformed { .. } => "store_malformed",
            Self::Conflict { .. } => "store_conflict",
            Self::Exists { .. } => "store_exists",
            Self::Last { .. } => "store_last",
            Self::AuditBroken { .. } => "audit_broken",
            Self::Crypto(_) => "store_crypto",
            Self::Database(_) => "store_database",
        }
    }

    pub(crate) fn malformed(table: &str, column: &str, row: impl std::fmt::Display) -> Self {
        Self::Malformed {
            place: format!("`{column}` of {table} {row}"),
        }
    }
}

/// SQLite's primary result codes that an operator can do something about.
mod sqlite_code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const NOTADB: i32 = 26;
    /// The primary code is the low byte of an extended one.
    pub(super) const PRIMARY: i32 = 0xff;
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(|error| error.code())
            .and_then(|code| code.parse::<i32>().ok())
            .map(|code| code & sqlite_code::PRIMARY);
        match code {
            Some(sqlite_code::BUSY | sqlite_code::LOCKED) => Self::Locked,
            Some(sqlite_code::READONLY | sqlite_code::PERM) => Self::ReadOnly,
            Some(sqlite_code::FULL) => Self::DiskFull,
            Some(sqlite_code::CORRUPT | sqlite_code::NOTADB) => Self::Corrupt(error.to_string()),
            Some(_) | None => Self::Database(error),
        }
    }
}

/// Whether a unique constraint refused the row.
pub(crate) fn is_unique_violation(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
