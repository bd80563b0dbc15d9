//! What the store refuses, and what can go wrong below it.

use crate::management::TeamContents;
use keyward_model::Name;
use sqlx::error::DatabaseError;
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
        "the database is damaged or is no database ({0}): put a backup in its place, or move it away to start anew"
    )]
    Corrupt(String),
    /// The database has tables, but not Keyward's.
    #[error("this database belongs to another program: name an empty or Keyward's own one")]
    Foreign,
    /// A table among Keyward's is another program's.
    #[error(
        "the database has a table `{table}` that is not Keyward's: move it into a database or a schema of its own, since it would be lost"
    )]
    ForeignTable {
        /// Its name.
        table: String,
    },
    /// A text has the one character that PostgreSQL does not keep.
    #[error("{what} has the character U+0000, which databases do not keep")]
    Nul {
        /// What has it.
        what: String,
    },
    /// PostgreSQL gave up what it was asked, and nothing of it was done.
    #[error("the database gave up what it was asked ({0}): try again")]
    TryAgain(String),
    /// PostgreSQL can't be reached, or does not answer.
    #[error("the database does not answer ({0}): see that it runs and can be reached from here")]
    Unreachable(String),
    /// PostgreSQL lets this user do nothing, or not what is needed.
    #[error(
        "the database refuses what is asked ({0}): check the user, the password and the database's name, and that the user may create tables there"
    )]
    Denied(String),
    /// The connection can't be protected as it should be.
    #[error(
        "the database can't be spoken to by TLS ({0}): give the server a certificate of its host's name, by a public authority or one named by `sslrootcert`; or write `sslmode=disable` into its address, where the network between is trusted"
    )]
    Tls(String),
    /// The server is one that only reads.
    #[error("this PostgreSQL can be read alone, as a standby can: name the primary")]
    Standby,
    /// Others have the database open.
    #[error(
        "other processes have the database open: stop all nodes that serve from it, and try again"
    )]
    InUse,
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
    /// The schema is older than what this binary knows how to bring up to date.
    #[error(
        "the database has schema {found}, and this version of Keyward brings it up to date from schema {oldest} on: start the version before this one once with it, then this one"
    )]
    SchemaTooOld {
        /// The newest migration in the database.
        found: i64,
        /// The oldest that this binary can go on from.
        oldest: i64,
    },
    /// A migration was left out: the ones behind it were applied.
    #[error(
        "the database has schema {found} without its migration {version}, as only a build that was never released makes it: put a backup in its place, or start anew with an empty one"
    )]
    MigrationMissing {
        /// Which migration.
        version: i64,
        /// The newest migration in the database.
        found: i64,
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
    /// Two credentials of a team would be shown in the same way.
    #[error("the credential `{other}` is shown in the same way as `{name}`")]
    SameCredential {
        /// What was to be written.
        name: Name,
        /// The one that is there.
        other: Name,
    },
    /// The connection was lost while what was written was about to be kept.
    #[error("the database did not say whether it keeps what was written ({0})")]
    Unacknowledged(String),
    /// No node has begun to use the database.
    #[error("the database is empty: no node has run with it")]
    Missing,
    /// The database holds what a restore would take away.
    #[error(
        "the database holds data already: name an empty one, or say `--replace` to lose what is there"
    )]
    NotEmpty,
    /// What was given is no backup, or none that can be read.
    #[error("this is no backup that can be restored: {0}")]
    NoBackup(&'static str),
    /// A backup is not as it was written.
    #[error(
        "line {line} of the backup: {why}: it was cut off or changed after it was made; nothing was restored; take another"
    )]
    BackupBroken {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A backup of a schema that this binary does not know.
    #[error(
        "the backup was made by version {made_by} of Keyward, whose schema this version does not know: restore it with that or a later one"
    )]
    BackupTooNew {
        /// The version of the binary that made it.
        made_by: String,
    },
    /// A backup could not be read.
    #[error("the backup can't be read: {0}")]
    Input(std::io::Error),
    /// A backup could not be written.
    #[error("the backup can't be written: {0}")]
    Output(std::io::Error),
    /// Nobody would have a role that somebody has to have.
    #[error("nobody would be `{role}` any more: give the role to another first")]
    Last {
        /// The role.
        role: String,
    },
    /// Somebody has a role that the author of a change stands below.
    #[error("only whoever is `{role}` gives that role, or takes anything from those who have it")]
    Above {
        /// The role.
        role: String,
    },
    /// A team is not there, or was deleted.
    #[error("the team is not there any more")]
    NoTeam,
    /// A team that is to go has something.
    #[error("the team has {contents}")]
    TeamInUse {
        /// What.
        contents: TeamContents,
    },
    /// A custom role that is given is not there.
    #[error("the team has no role `{role}`")]
    NoRole {
        /// The role.
        role: String,
    },
    /// Members have a custom role that is to go.
    #[error("{members} members have the role `{role}`: give them other roles first")]
    RoleInUse {
        /// The role.
        role: String,
        /// How many.
        members: u64,
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
            Self::Foreign | Self::ForeignTable { .. } => "store_foreign",
            Self::Nul { .. } => "store_nul",
            Self::TryAgain(_) => "store_try_again",
            Self::Unreachable(_) => "store_unreachable",
            Self::Denied(_) => "store_denied",
            Self::Tls(_) => "store_tls",
            Self::Standby => "store_standby",
            Self::InUse => "store_in_use",
            Self::Locked => "store_locked",
            Self::ReadOnly => "store_read_only",
            Self::DiskFull => "store_disk_full",
            Self::SchemaTooNew { .. } => "store_schema_too_new",
            Self::SchemaTooOld { .. } => "store_schema_too_old",
            Self::MigrationMissing { .. } => "store_migration_missing",
            Self::MigrationChanged { .. } => "store_migration_changed",
            Self::MasterKeyMalformed => "master_key_malformed",
            Self::WrongMasterKey => "master_key_wrong",
            Self::MasterKeyReplaced => "master_key_replaced",
            Self::Sealed { .. } => "store_sealed",
            Self::Malformed { .. } => "store_malformed",
            Self::Conflict { .. } => "store_conflict",
            Self::Exists { .. } => "store_exists",
            Self::SameCredential { .. } => "store_same_credential",
            Self::Unacknowledged(_) => "store_unacknowledged",
            Self::Missing => "database_missing",
            Self::NotEmpty => "store_not_empty",
            Self::NoBackup(_) => "backup_unreadable",
            Self::BackupBroken { .. } => "backup_broken",
            Self::BackupTooNew { .. } => "backup_too_new",
            Self::Input(_) => "backup_input",
            Self::Output(_) => "backup_output",
            Self::Last { .. } => "store_last",
            Self::Above { .. } => "store_above",
            Self::NoTeam => "store_no_team",
            Self::TeamInUse { .. } => "store_team_in_use",
            Self::NoRole { .. } => "store_no_role",
            Self::RoleInUse { .. } => "store_role_in_use",
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
        if let Some(database) = error.as_database_error() {
            if let Some(ours) = of_postgres(database) {
                return ours;
            }
            if let Some(ours) = of_sqlite(database) {
                return ours;
            }
        }
        if let sqlx::Error::Io(source) = &error {
            // A handshake that fails is told as bytes that make no sense.
            return if source.kind() == std::io::ErrorKind::InvalidData {
                Self::Tls(source.to_string())
            } else {
                Self::Unreachable(source.to_string())
            };
        }
        if let sqlx::Error::Tls(source) = &error {
            return Self::Tls(source.to_string());
        }
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Unreachable("no connection in time".to_owned());
        }
        Self::Database(error)
    }
}

fn of_sqlite(error: &(dyn DatabaseError + 'static)) -> Option<Error> {
    error.try_downcast_ref::<sqlx_sqlite::SqliteError>()?;
    let code: i32 = error.code()?.parse().ok()?;
    match code & sqlite_code::PRIMARY {
        sqlite_code::BUSY | sqlite_code::LOCKED => Some(Error::Locked),
        sqlite_code::READONLY | sqlite_code::PERM => Some(Error::ReadOnly),
        sqlite_code::FULL => Some(Error::DiskFull),
        sqlite_code::CORRUPT | sqlite_code::NOTADB => Some(Error::Corrupt(error.to_string())),
        _ => None,
    }
}

/// By the classes of SQLSTATE, which are PostgreSQL's appendix A.
fn of_postgres(error: &(dyn DatabaseError + 'static)) -> Option<Error> {
    let error = error.try_downcast_ref::<sqlx_postgres::PgDatabaseError>()?;
    let said = || error.message().to_owned();
    match error.code() {
        // Lock not available.
        "55P03" => Some(Error::Locked),
        "53100" => Some(Error::DiskFull),
        "25006" => Some(Error::Standby),
        // Serialization failure, deadlock, transaction idle for too long, statement for too long.
        "40001" | "40P01" | "25P03" | "57014" => Some(Error::TryAgain(said())),
        "22021" => Some(Error::Nul {
            what: "what was to be written".to_owned(),
        }),
        // The user's `search_path` leads nowhere.
        "3F000" => Some(Error::Denied(format!(
            "{}: create the schema that the user's `search_path` names",
            said()
        ))),
        // Too many connections; shutting down, crashed, starting up.
        "53300" | "57P01" | "57P02" | "57P03" => Some(Error::Unreachable(said())),
        // No such database; insufficient privilege.
        "3D000" | "42501" => Some(Error::Denied(said())),
        code if code.starts_with("28") => Some(Error::Denied(said())),
        code if code.starts_with("08") => Some(Error::Unreachable(said())),
        // Data corrupted, index corrupted.
        code if code.starts_with("XX") && code != "XX000" => Some(Error::Corrupt(said())),
        _ => None,
    }
}

/// Whether a unique constraint refused the row.
pub(crate) fn is_unique_violation(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(DatabaseError::is_unique_violation)
}
