//! The data directory: the database where no other is named, and the master key where the environment gives none.

use super::master_key;
use crate::command::Failure;
use crate::configuration::DataPlace;
use crate::environment;
use keyward_model::{Secret, Timestamp};
use keyward_pkcs11::Token;
use keyward_store::{Error, Location, MasterKey, Store};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The master key's name in the data directory.
pub(super) const MASTER_KEY_FILE: &str = "master.key";

/// More than any spelling of a master key.
const MASTER_KEY_FILE_MAX_BYTES: u64 = 1024;

/// What of the master key's folder is ours: the owner's alone.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Where the master key came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MasterKeySource {
    /// From the environment.
    Environment,
    /// From the environment, while the configuration names a key in a PKCS#11 token.
    EnvironmentBefore(Box<str>),
    /// Derived from the key of this label in a PKCS#11 token.
    Token(Box<str>),
    /// From the file, which was there.
    File(PathBuf),
    /// It was made now and is in the file.
    Made(PathBuf),
}

impl MasterKeySource {
    /// What the operator has to know.
    pub(crate) fn notice(&self) -> Option<String> {
        match self {
            Self::Environment | Self::File(_) | Self::Token(_) => None,
            Self::EnvironmentBefore(label) => Some(format!(
                "{} gives the master key: the key `{label}` of the PKCS#11 token (`master_key`) is not looked at",
                environment::MASTER_KEY
            )),
            Self::Made(path) => Some(format!(
                "made a master key in {}: keep a copy in another place than the database and its backups; without it nothing that is encrypted there can be read again",
                path.display()
            )),
        }
    }
}

/// Opens the database of `place` under the master key that the environment gives (`from_environment`: the
/// value of `KEYWARD_MASTER_KEY`) or else the file in its directory; makes what is not there yet.
pub(crate) async fn open_store(
    place: &DataPlace,
    from_environment: Option<Secret<String>>,
    now: Timestamp,
) -> Result<(Store, MasterKeySource), Failure> {
    let location = place.location();
    let (master, source) = match (from_environment, &place.master_key) {
        (Some(text), None) => (given(&text)?, MasterKeySource::Environment),
        (Some(text), Some(label)) => (
            given(&text)?,
            MasterKeySource::EnvironmentBefore(label.clone()),
        ),
        (None, Some(label)) => (
            in_token(place, label).await?,
            MasterKeySource::Token(label.clone()),
        ),
        (None, None) => match read_or_make(&place.data_dir, &location).await {
            Ok(found) => found,
            Err(failure) => match master_key::found_elsewhere(place, &location, now).await? {
                Some(found) => return Ok((found.store, MasterKeySource::File(found.path))),
                None => return Err(failure),
            },
        },
    };
    match Store::open_at(&location, &master, now).await {
        Ok(store) => Ok((store, source)),
        Err(error) => {
            if matches!(error, Error::WrongMasterKey) {
                match (
                    &source,
                    master_key::found_elsewhere(place, &location, now).await?,
                ) {
                    (MasterKeySource::File(_), Some(found)) => return Ok((found.store, source)),
                    (MasterKeySource::Made(_), _) | (_, None) => {}
                    (
                        MasterKeySource::Environment
                        | MasterKeySource::EnvironmentBefore(_)
                        | MasterKeySource::Token(_),
                        Some(found),
                    ) => {
                        found.store.close().await;
                        return Err(moved_into(&location, &found.path, &source));
                    }
                }
            }
            // Another node was faster, with another key: the one that was made for nothing must not be taken
            // for the right one.
            if let (Error::WrongMasterKey, MasterKeySource::Made(path)) = (&error, &source) {
                std::fs::remove_file(path)
                    .map_err(|error| file_failed(path, "take it away again", &error))?;
            }
            let failure = failed(&location, &error);
            if let (Error::WrongMasterKey, MasterKeySource::File(_)) = (&error, &source) {
                return Err(failure.adding(&format!(
                    "; if `keyward keys rotate-master --to` has moved it out of the file, say where it is: `master_key` in the configuration, or {}",
                    environment::MASTER_KEY
                )));
            }
            Err(failure)
        }
    }
}

/// Opens the database that a node has made before: a command that makes one would write where nobody reads.
pub(crate) async fn open_existing(
    place: &DataPlace,
    from_environment: Option<Secret<String>>,
    now: Timestamp,
) -> Result<Store, Failure> {
    let location = place.location();
    if !is_begun(&location).await? {
        return Err(missing(&location));
    }
    let (store, _) = open_store(place, from_environment, now).await?;
    Ok(store)
}

/// The master key that the environment gives, the token derives or the directory has; `None` when there is none.
pub(crate) async fn master_key(
    place: &DataPlace,
    from_environment: Option<Secret<String>>,
) -> Result<Option<MasterKey>, Failure> {
    match (from_environment, &place.master_key) {
        (Some(text), _) => given(&text).map(Some),
        (None, Some(label)) => in_token(place, label).await.map(Some),
        (None, None) => read(&place.data_dir.join(MASTER_KEY_FILE)),
    }
}

/// The master key that the token derives from its key of this label. None is made in silence: whoever mistypes a label
/// would encrypt under a key that nobody knows of.
pub(super) async fn in_token(place: &DataPlace, label: &str) -> Result<MasterKey, Failure> {
    let token = token(place)?;
    let derived = token.master_key(label).await;
    derived.map(MasterKey::derived).map_err(|error| {
        let mut why = error.to_string();
        if matches!(error, keyward_pkcs11::Error::KeyAbsent { .. }) {
            why.push_str(&format!(
                ": `keyward keys make-master --label '{label}'` makes it"
            ));
        }
        Failure::new("master key", why, error.code())
    })
}

/// The token that the configuration names.
pub(crate) fn token(place: &DataPlace) -> Result<&Arc<Token>, Failure> {
    place.token.as_ref().ok_or_else(|| {
        Failure::new(
            "PKCS#11",
            "the configuration names no token: write `pkcs11: { module: …, token: …, pin: … }`",
            "pkcs11_not_configured",
        )
    })
}

/// That no node has made the database.
pub(crate) fn missing(location: &Location) -> Failure {
    let why = match location {
        Location::File(_) => {
            "it is not there: no node has run with this configuration (`data_dir`)"
        }
        Location::Postgres(_) => {
            "it is empty: no node has run with this configuration (`database`)"
        }
    };
    Failure::new(format!("database {location}"), why, "database_missing")
}

/// What the store says of the database at `location`.
pub(crate) fn failed(location: &Location, error: &Error) -> Failure {
    let what = format!("database {location}");
    Failure::new(what, error.to_string(), error.code())
}

/// That the master key was moved into the file, and what is said of it still names another place.
fn moved_into(location: &Location, path: &Path, source: &MasterKeySource) -> Failure {
    let said = match source {
        MasterKeySource::Environment => format!("take {} away", environment::MASTER_KEY),
        MasterKeySource::EnvironmentBefore(_) => format!(
            "take {} away, and `master_key` out of the configuration",
            environment::MASTER_KEY
        ),
        MasterKeySource::Token(_) | MasterKeySource::File(_) | MasterKeySource::Made(_) => {
            "take `master_key` out of the configuration".to_owned()
        }
    };
    Failure::new(
        format!("database {location}"),
        format!(
            "it is under the master key in {} since `keyward keys rotate-master`: {said}",
            path.display()
        ),
        Error::WrongMasterKey.code(),
    )
}

async fn is_begun(location: &Location) -> Result<bool, Failure> {
    Store::is_begun(location)
        .await
        .map_err(|error| failed(location, &error))
}

pub(super) fn given(text: &Secret<String>) -> Result<MasterKey, Failure> {
    MasterKey::parse(text.reveal())
        .map_err(|error| Failure::new(environment::MASTER_KEY, error.to_string(), error.code()))
}

async fn read_or_make(
    data_dir: &Path,
    location: &Location,
) -> Result<(MasterKey, MasterKeySource), Failure> {
    let path = data_dir.join(MASTER_KEY_FILE);
    // Asked first: whoever makes a database has its key by then.
    let is_begun = is_begun(location).await?;
    if let Some(master) = read(&path)? {
        return Ok((master, MasterKeySource::File(path)));
    }
    if is_begun {
        return Err(Failure::new(
            format!("master key {}", path.display()),
            format!(
                "it is not there, and the database {location} was encrypted under it: put the file there (of another node, if it is that one's), or give the key in {}; if it was moved into a PKCS#11 token, say so (`master_key`)",
                environment::MASTER_KEY
            ),
            "master_key_missing",
        ));
    }
    let master = MasterKey::generate()
        .map_err(|error| Failure::new("master key", error.to_string(), error.code()))?;
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(data_dir)
        .map_err(|error| file_failed(data_dir, "make the folder", &error))?;
    match write(&path, &master) {
        Ok(()) => Ok((master, MasterKeySource::Made(path))),
        // Another process was faster: its key counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match read(&path)? {
            Some(master) => Ok((master, MasterKeySource::File(path))),
            None => Err(file_failed(&path, "read it", &error)),
        },
        Err(error) => Err(file_failed(&path, "write it", &error)),
    }
}

pub(super) fn read(path: &Path) -> Result<Option<MasterKey>, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_failed(path, "read it", &error)),
    };
    let failed = |error| file_failed(path, "read it", &error);
    // Of the open file, so that it can't be another one's.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Failure::new(
            format!("master key {}", path.display()),
            format!(
                "mode {mode:03o} opens it to others than its owner: they may know it; change it with `chmod 600`, and make a new key if they are not to be trusted"
            ),
            "master_key_exposed",
        ));
    }
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(
        usize::try_from(MASTER_KEY_FILE_MAX_BYTES).unwrap_or_default() + 1,
    ));
    file.take(MASTER_KEY_FILE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let master = MasterKey::parse(text).map_err(|error| {
        let what = format!("master key {}", path.display());
        Failure::new(what, error.to_string(), error.code())
    })?;
    Ok(Some(master))
}

/// Whole or not at all, and never over one that is there: written beside it, then given its name, which
/// the system refuses if the name is taken.
pub(super) fn write(path: &Path, master: &MasterKey) -> io::Result<()> {
    // Not the process's number: in containers that share a folder all may be number one.
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(io::Error::other)?;
    let beside = path.with_extension(format!("{:016x}.new", u64::from_be_bytes(random)));
    let written = write_beside(&beside, master).and_then(|()| std::fs::hard_link(&beside, path));
    let removed = std::fs::remove_file(&beside);
    written.and(removed)?;
    // The name itself is on the disk before anything is encrypted under the key.
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn write_beside(beside: &Path, master: &MasterKey) -> io::Result<()> {
    let text = master.to_text();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(beside)?;
    file.write_all(text.reveal().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

pub(super) fn file_failed(path: &Path, doing: &str, error: &io::Error) -> Failure {
    Failure::new(
        format!("master key {}", path.display()),
        format!("can't {doing}: {error}"),
        "master_key_file",
    )
}
