//! Another master key in the place of the one there is.
//!
//! The new key is on the disk under a name of its own before the database changes over, and gets the old one's name
//! after: whenever the machine stops, one of the two files opens the database, and the next start finds out which.

use super::data_dir::{self, MASTER_KEY_FILE, failed, file_failed};
use crate::command::Failure;
use crate::configuration::DataPlace;
use crate::environment;
use keyward_model::{Secret, Timestamp};
use keyward_store::{Error, Location, MasterKey, Store};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Who does it, in the audit log.
const ACTOR: &str = "command line";

/// The new key's name until the database is under it.
const NEXT: &str = "master.key.next";

/// What was done.
#[derive(Debug)]
pub(crate) enum Rotated {
    /// The environment gave both.
    Environment,
    /// The files.
    File {
        /// Where the new one is.
        new: PathBuf,
        /// Where the old one is kept.
        old: PathBuf,
    },
}

/// Replaces the master key of the database of `place`.
pub(crate) async fn rotate(
    place: &DataPlace,
    from_environment: Option<Secret<String>>,
    new_from_environment: Option<Secret<String>>,
    now: Timestamp,
) -> Result<Rotated, Failure> {
    match (from_environment, new_from_environment) {
        (Some(old), Some(new)) => {
            let store = data_dir::open_existing(place, Some(old.clone()), now).await?;
            let (old, new) = (
                data_dir::given(&old)?,
                given(environment::NEW_MASTER_KEY, &new)?,
            );
            let replaced = store.rotate_master(&old, &new, ACTOR, now).await;
            store.close().await;
            replaced.map_err(|error| failed(&place.location(), &error))?;
            Ok(Rotated::Environment)
        }
        (Some(_), None) => Err(Failure::new(
            environment::NEW_MASTER_KEY,
            format!(
                "{} gives the master key: give the new one here, 64 hexadecimal digits (`openssl rand -hex 32`)",
                environment::MASTER_KEY
            ),
            "master_key_missing",
        )),
        (None, Some(_)) => Err(Failure::new(
            environment::NEW_MASTER_KEY,
            format!(
                "the master key is a file here: a new one is made beside it; leave the variable out, or give the old key in {}",
                environment::MASTER_KEY
            ),
            "contradiction",
        )),
        (None, None) => rotate_file(place, now).await,
    }
}

fn given(name: &'static str, text: &Secret<String>) -> Result<MasterKey, Failure> {
    MasterKey::parse(text.reveal())
        .map_err(|error| Failure::new(name, error.to_string(), error.code()))
}

async fn rotate_file(place: &DataPlace, now: Timestamp) -> Result<Rotated, Failure> {
    let path = place.data_dir.join(MASTER_KEY_FILE);
    let next = place.data_dir.join(NEXT);
    // It brings an earlier try to its end, or finds that it came to nothing.
    let store = data_dir::open_existing(place, None, now).await?;
    let old = data_dir::read(&path)?
        .ok_or_else(|| file_failed(&path, "read it", &io::Error::from(io::ErrorKind::NotFound)))?;
    remove_if_there(&next)?;
    let new = MasterKey::generate()
        .map_err(|error| Failure::new("master key", error.to_string(), error.code()))?;
    data_dir::write(&next, &new).map_err(|error| file_failed(&next, "write it", &error))?;
    let replaced = store.rotate_master(&old, &new, ACTOR, now).await;
    store.close().await;
    if let Err(error) = replaced {
        // Whether it is under the new key is not known where the answer was lost: both stay, and the next start
        // finds out.
        return Err(failed(&place.location(), &error));
    }
    let kept = take_over(&path, &next, now)?;
    Ok(Rotated::File {
        new: path,
        old: kept,
    })
}

/// Gives the next key the name of the one that counts; the old one stays under the name that is returned.
fn take_over(path: &Path, next: &Path, now: Timestamp) -> Result<PathBuf, Failure> {
    let kept = path.with_extension(format!("key.until-{}", now.as_seconds()));
    match std::fs::hard_link(path, &kept) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(file_failed(&kept, "keep the old key there", &error)),
    }
    std::fs::rename(next, path).map_err(|error| file_failed(path, "replace it", &error))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| file_failed(folder, "bring it to the disk", &error))?;
    Ok(kept)
}

fn remove_if_there(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(file_failed(path, "remove it", &error)),
    }
}

/// Opens the database under the next key, where a rotation was cut off between the database and the file: then it is
/// brought to its end. `None` where there was none.
pub(super) async fn resumed(
    place: &DataPlace,
    location: &Location,
    now: Timestamp,
) -> Result<Option<Store>, Failure> {
    let next = place.data_dir.join(NEXT);
    let Some(master) = data_dir::read(&next)? else {
        return Ok(None);
    };
    match Store::open_at(location, &master, now).await {
        Ok(store) => {
            let path = place.data_dir.join(MASTER_KEY_FILE);
            let kept = take_over(&path, &next, now)?;
            tracing::warn!(
                "the master key was being replaced when the process stopped: it is now; the old one is in {}",
                kept.display()
            );
            Ok(Some(store))
        }
        Err(Error::WrongMasterKey) => Ok(None),
        Err(error) => Err(failed(location, &error)),
    }
}
