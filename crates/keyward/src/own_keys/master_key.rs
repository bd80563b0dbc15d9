//! Another master key in the place of the one there is.
//!
//! A new key in a file is on the disk under a name of its own before the database changes over, and gets the old one's
//! name after: whenever the machine stops, one of the two files opens the database, and the next start finds out which.
//! Keys in a PKCS#11 token and in the environment are there before and after; the configuration says which counts, and
//! is changed by whoever changes the key.

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

/// Where a master key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyPlace {
    /// In the environment.
    Environment,
    /// In a file of the data directory.
    File,
    /// Derived from the key of this label in the PKCS#11 token.
    Token(Box<str>),
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Rotated {
    /// Where the old key was.
    pub(crate) from: KeyPlace,
    /// Where the new one is.
    pub(crate) to: KeyPlace,
    /// The new one's file, where it is one.
    pub(crate) new_file: Option<PathBuf>,
    /// Where the old one's file is kept, where it was one.
    pub(crate) old_file: Option<PathBuf>,
    /// What could not be done about the files, and what follows: the database is under the new key all the same.
    pub(crate) left_undone: Option<String>,
}

/// What the environment gives.
pub(crate) struct FromEnvironment {
    /// The master key that counts.
    pub(crate) current: Option<Secret<String>>,
    /// The one that is to.
    pub(crate) new: Option<Secret<String>>,
}

/// Replaces the master key of the database of `place` by one at another place, or, without `to`, of the same kind.
pub(crate) async fn rotate(
    place: &DataPlace,
    to: Option<KeyPlace>,
    given: FromEnvironment,
    now: Timestamp,
) -> Result<Rotated, Failure> {
    let from = match (&given.current, &place.master_key) {
        (Some(_), _) => KeyPlace::Environment,
        (None, Some(label)) => KeyPlace::Token(label.clone()),
        (None, None) => KeyPlace::File,
    };
    let to = match (to, &from) {
        (Some(to), _) => to,
        (None, KeyPlace::Environment | KeyPlace::File) => from.clone(),
        (None, KeyPlace::Token(label)) => {
            return Err(Failure::new(
                "master key",
                format!(
                    "it is derived from the key `{label}` of the PKCS#11 token: say where the new one is to be, `--to pkcs11:LABEL` (`keyward keys make-master --label LABEL` makes the key) or `--to file`"
                ),
                "master_key_missing",
            ));
        }
    };
    let path = place.data_dir.join(MASTER_KEY_FILE);
    let next = place.data_dir.join(NEXT);
    // It is found before anything is changed; where it is a file it is made only after the database was opened.
    let mut new = new_key(place, &from, &to, given.new.as_ref()).await?;
    // It brings an earlier try to its end, or finds that it came to nothing.
    let store = data_dir::open_existing(place, given.current.clone(), now).await?;
    let old = match (&from, &given.current) {
        (KeyPlace::Environment, Some(text)) => data_dir::given(text)?,
        (KeyPlace::Token(label), _) => data_dir::in_token(place, label).await?,
        (KeyPlace::File | KeyPlace::Environment, _) => {
            data_dir::read(&path)?.ok_or_else(|| absent(&path))?
        }
    };
    if to == KeyPlace::File {
        remove_if_there(&next)?;
        let made = MasterKey::generate()
            .map_err(|error| Failure::new("master key", error.to_string(), error.code()))?;
        data_dir::write(&next, &made).map_err(|error| file_failed(&next, "write it", &error))?;
        new = Some(made);
    }
    let new = new.ok_or_else(|| absent(&next))?;
    let replaced = store.rotate_master(&old, &new, ACTOR, now).await;
    store.close().await;
    // Whether it is under the new key is not known where the answer was lost: both stay, and the next start finds out.
    replaced.map_err(|error| failed(&place.location(), &error))?;
    let mut rotated = Rotated {
        new_file: (to == KeyPlace::File).then(|| path.clone()),
        old_file: None,
        left_undone: None,
        from,
        to,
    };
    // The database is under the new key: nothing that goes wrong from here on makes it untrue that this is done.
    match (&rotated.from, &rotated.to) {
        (_, KeyPlace::File) => match take_over(&path, &next, now) {
            // A file that lay there beside the key that counted is not the old one: it is kept and not told of as that.
            Ok(old) => rotated.old_file = old.filter(|_| rotated.from == KeyPlace::File),
            Err(failure) => {
                rotated.left_undone = Some(format!(
                    "{}; the new key is in {} still, and the next start of a node, or of this command, gives it its name",
                    failure.reason(),
                    next.display()
                ));
                rotated.new_file = Some(next);
            }
        },
        (KeyPlace::File, KeyPlace::Environment | KeyPlace::Token(_)) => {
            match set_aside(&path, now) {
                Ok(()) => rotated.old_file = Some(kept(&path, now)),
                Err(failure) => {
                    rotated.left_undone = Some(format!(
                        "{}; the old key is in {} still: move it to another place",
                        failure.reason(),
                        path.display()
                    ));
                }
            }
        }
        (
            KeyPlace::Environment | KeyPlace::Token(_),
            KeyPlace::Environment | KeyPlace::Token(_),
        ) => {}
    }
    Ok(rotated)
}

/// The new key, where it is there before; `None` for one that is to be made in a file.
async fn new_key(
    place: &DataPlace,
    from: &KeyPlace,
    to: &KeyPlace,
    given_new: Option<&Secret<String>>,
) -> Result<Option<MasterKey>, Failure> {
    match (to, given_new) {
        (KeyPlace::Environment, Some(new)) => given(environment::NEW_MASTER_KEY, new).map(Some),
        (KeyPlace::Environment, None) => Err(Failure::new(
            environment::NEW_MASTER_KEY,
            "give the new master key here, 64 hexadecimal digits (`openssl rand -hex 32`)",
            "master_key_missing",
        )),
        (KeyPlace::File | KeyPlace::Token(_), Some(_)) => Err(Failure::new(
            environment::NEW_MASTER_KEY,
            "the new master key is to be in a file or in a PKCS#11 token: leave the variable out, or say `--to environment`",
            "contradiction",
        )),
        (KeyPlace::Token(_), None) if from == to => Err(Failure::new(
            "master key",
            "it is derived from this key of the PKCS#11 token already",
            "contradiction",
        )),
        (KeyPlace::Token(label), None) => data_dir::in_token(place, label).await.map(Some),
        (KeyPlace::File, None) => Ok(None),
    }
}

fn given(name: &'static str, text: &Secret<String>) -> Result<MasterKey, Failure> {
    MasterKey::parse(text.reveal())
        .map_err(|error| Failure::new(name, error.to_string(), error.code()))
}

fn absent(path: &Path) -> Failure {
    file_failed(path, "read it", &io::Error::from(io::ErrorKind::NotFound))
}

/// Gives the next key the name of the one that counts. An old one stays under the name that is returned.
fn take_over(path: &Path, next: &Path, now: Timestamp) -> Result<Option<PathBuf>, Failure> {
    let old = kept(path, now);
    let was_there = match std::fs::hard_link(path, &old) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(file_failed(&old, "keep the old key there", &error)),
    };
    std::fs::rename(next, path).map_err(|error| file_failed(path, "replace it", &error))?;
    to_the_disk(path)?;
    Ok(was_there.then_some(old))
}

/// Gives the old key another name: the one that counts is elsewhere.
fn set_aside(path: &Path, now: Timestamp) -> Result<(), Failure> {
    let old = kept(path, now);
    std::fs::rename(path, &old)
        .map_err(|error| file_failed(&old, "keep the old key there", &error))?;
    to_the_disk(path)
}

fn kept(path: &Path, now: Timestamp) -> PathBuf {
    path.with_extension(format!("key.until-{}", now.as_seconds()))
}

fn to_the_disk(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| file_failed(folder, "bring it to the disk", &error))
}

fn remove_if_there(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(file_failed(path, "remove it", &error)),
    }
}

/// The database, open under a key in a file that is not where the master key is said to be.
pub(super) struct Elsewhere {
    pub(super) store: Store,
    pub(super) path: PathBuf,
}

/// Opens the database under the next key, where a rotation was cut off between the database and the file: then it is
/// brought to its end. Else under the key in the file, for whoever says that it is somewhere else. `None` where neither
/// opens it.
pub(super) async fn found_elsewhere(
    place: &DataPlace,
    location: &Location,
    now: Timestamp,
) -> Result<Option<Elsewhere>, Failure> {
    let path = place.data_dir.join(MASTER_KEY_FILE);
    let next = place.data_dir.join(NEXT);
    if let Some(store) = opened_under(&next, location, now).await? {
        let path = match take_over(&path, &next, now) {
            Ok(kept) => {
                let old = kept.map(|kept| format!("; the old one is in {}", kept.display()));
                tracing::warn!(
                    "the master key was being replaced when the process stopped: it is now{}",
                    old.unwrap_or_default()
                );
                path
            }
            // It opens the database where it is, at this start and the next.
            Err(failure) => {
                tracing::warn!(
                    "the new master key is in {}: {}",
                    next.display(),
                    failure.reason()
                );
                next
            }
        };
        return Ok(Some(Elsewhere { store, path }));
    }
    let store = opened_under(&path, location, now).await?;
    Ok(store.map(|store| Elsewhere { store, path }))
}

async fn opened_under(
    path: &Path,
    location: &Location,
    now: Timestamp,
) -> Result<Option<Store>, Failure> {
    let Some(master) = data_dir::read(path)? else {
        return Ok(None);
    };
    match Store::open_at(location, &master, now).await {
        Ok(store) => Ok(Some(store)),
        Err(Error::WrongMasterKey) => Ok(None),
        Err(error) => Err(failed(location, &error)),
    }
}
