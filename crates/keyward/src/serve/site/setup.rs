//! The setup secret of this node: shown to whoever sits at it, or left where only the owner reads.

use crate::command::{Failure, terminal};
use keyward_access::management::ManagementRole;
use keyward_model::Timestamp;
use keyward_store::management::{Author, NeededSetup, SetupSecret};
use keyward_store::{Error, Store};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long it counts.
const LASTS: Duration = Duration::from_secs(3600);

/// Its file's name in the data directory.
const FILE: &str = "setup-secret";
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

fn author(name: &str) -> Author<'_> {
    Author {
        name,
        address: "",
        request_id: "",
        team: None,
        token: "",
        policy: "",
    }
}

fn store_failed(error: Error) -> Failure {
    Failure::new("setup secret", error.to_string(), error.code())
}

/// Makes a setup secret where nobody is an operator yet, and shows it.
pub(super) async fn make_if_needed(
    store: &Store,
    data_dir: &Path,
    now: Timestamp,
) -> Result<(), Failure> {
    let operator = ManagementRole::Operator.as_str();
    let made = store
        .setup_secret_if_needed(operator, LASTS, author("node"), now)
        .await
        .map_err(store_failed)?;
    let made = match made {
        NeededSetup::No => return Ok(()),
        NeededSetup::InForce(until) => {
            tracing::warn!(
                "setup: nobody manages this deployment yet: the secret that was made before counts until {until}; `keyward admin reset` makes another"
            );
            return Ok(());
        }
        NeededSetup::Made(made) => made,
    };
    match shown(&made, store, data_dir).await? {
        None => tracing::warn!(
            "setup: nobody manages this deployment yet: the secret was shown on the terminal"
        ),
        Some(path) => tracing::warn!(
            "setup: nobody manages this deployment yet: the secret that makes the first administrator is in {}, for an hour",
            path.display()
        ),
    }
    Ok(())
}

/// Makes a new setup secret in the place of any before, and shows it; says where, if that is a file.
pub(crate) async fn reset(
    store: &Store,
    data_dir: &Path,
    now: Timestamp,
) -> Result<Option<PathBuf>, Failure> {
    let made = store
        .new_setup_secret(LASTS, author("command line"), now)
        .await
        .map_err(store_failed)?;
    shown(&made, store, data_dir).await
}

/// Shows a secret, or takes it back: one that nobody has seen would keep the next from being made.
async fn shown(
    made: &SetupSecret,
    store: &Store,
    data_dir: &Path,
) -> Result<Option<PathBuf>, Failure> {
    let shown = show(made, data_dir);
    if shown.is_err() {
        store
            .forget_setup_secret(made)
            .await
            .map_err(store_failed)?;
    }
    shown
}

/// On a terminal, where it is in no log; else in a file, whose path is returned.
fn show(made: &SetupSecret, data_dir: &Path) -> Result<Option<PathBuf>, Failure> {
    if terminal::someone_reads_errors() {
        terminal::complain(&format!(
            "setup secret (until {}): {}",
            made.expires_at,
            made.secret.reveal()
        ));
        return Ok(None);
    }
    let path = data_dir.join(FILE);
    let failed = |error: std::io::Error| {
        Failure::new(
            format!("setup secret {}", path.display()),
            format!("it can't be written: {error}"),
            "file",
        )
    };
    // Where the database is elsewhere and the environment has the master key, nothing has made it so far.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(data_dir)
        .map_err(failed)?;
    // A file of before may be open to others: it is another file from now on.
    remove(data_dir);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(failed)?;
    file.write_all(made.secret.reveal().as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    Ok(Some(path))
}

/// Takes the file away: the secret is used, or another has taken its place.
pub(super) fn remove(data_dir: &Path) {
    let path = data_dir.join(FILE);
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(%error, "setup: {} could not be removed", path.display());
        }
    }
}
