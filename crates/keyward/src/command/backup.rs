//! `keyward backup` and `keyward restore`.

use super::input::Input;
use super::node_configuration::node_configuration;
use super::node_store::to_its_end;
use super::{Failure, terminal};
use crate::configuration::DataPlace;
use crate::environment;
use crate::own_keys::data_dir;
use clap::{Args, ValueHint};
use keyward_model::{Clock as _, Secret, SystemClock};
use keyward_store::backup::{self, Restored, Saved};
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Who did it, in the audit log.
const ACTOR: &str = "command line";

/// Hashes of credentials and sealed keys are in it: for the owner alone.
const FILE_MODE: u32 = 0o600;

/// As much is written and read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Save everything that the database holds, while nodes go on
///
/// The backup is the database of one moment, in a form of its own that `keyward restore` reads into SQLite and
/// PostgreSQL alike, and ends with a hash of all that is in it. The master key is never in it, and what is sealed
/// stays sealed: keep that key too, in another place. Neither are files of the data directory but the database.
#[derive(Args, Debug)]
pub(super) struct Backup {
    /// The node's configuration, which says where the database is. Without this option KEYWARD_CONFIG names it;
    /// without that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// Print what was saved as JSON; only with a FILE
    #[arg(long)]
    json: bool,

    /// Where the backup goes; `-` is standard output. A file that is there is replaced when the backup is whole
    #[arg(default_value = "-", value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Input,
}

impl Backup {
    pub(super) fn run(self) -> Result<(), Failure> {
        let place = node_configuration(self.config.as_ref())?.data_place();
        match &self.output {
            Input::Standard => {
                if self.json {
                    return Err(Failure::usage(
                        "backup",
                        "--json needs a FILE: standard output is where the backup goes",
                    ));
                }
                let output = io::stdout();
                if output.is_terminal() {
                    return Err(Failure::new(
                        "standard output",
                        "a backup is not for the eye: name a file, or send it to a pipe",
                        "output",
                    ));
                }
                save(&place, output.lock())?;
                Ok(())
            }
            Input::File(path) => {
                let saved = save_file(&place, path)?;
                if self.json {
                    let shown = json!({ "file": path, "rows": saved.rows, "sha256": saved.sha256 });
                    return terminal::write_line(&shown.to_string());
                }
                terminal::write_line(&terminal::visible(&format!(
                    "saved {} rows of {} in {} (sha256 {})",
                    saved.rows,
                    place.location(),
                    path.display(),
                    saved.sha256
                )))
            }
        }
    }
}

/// Beside it first, and under its name when it is whole and on the disk: there is never half a backup, nor one
/// less.
fn save_file(place: &DataPlace, path: &Path) -> Result<Saved, Failure> {
    let failed = |doing: &'static str| {
        move |error: io::Error| {
            let what = format!("backup {}", path.display());
            Failure::new(what, format!("can't {doing}: {error}"), "backup_output")
        }
    };
    // Not the process's number: in a container it is one each time, and one that was killed would stand in the way of
    // all that come later.
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(io::Error::other)
        .map_err(failed("name what is written beside it"))?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{:016x}.new", u64::from_be_bytes(random)));
    let beside = PathBuf::from(beside);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&beside)
        .map_err(failed("write beside it"))?;
    let written = save(place, &file).and_then(|saved| {
        file.sync_all().map_err(failed("bring it to the disk"))?;
        std::fs::rename(&beside, path).map_err(failed("give it its name"))?;
        Ok(saved)
    });
    if written.is_err() {
        // What went wrong is told; what is left over would only be in the way.
        let _removed = std::fs::remove_file(&beside);
        return written;
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("bring its name to the disk"))?;
    written
}

fn save(place: &DataPlace, output: impl io::Write) -> Result<Saved, Failure> {
    let location = place.location();
    let now = SystemClock::new().now();
    let mut output = BufWriter::with_capacity(BUFFER_BYTES, output);
    let saved = runtime()?.block_on(Box::pin(backup::save(&location, now, &mut output)));
    let saved = saved.map_err(|error| {
        if matches!(error, keyward_store::Error::Missing) {
            data_dir::missing(&location)
        } else {
            data_dir::failed(&location, &error)
        }
    })?;
    output
        .flush()
        .map_err(|error| Failure::new("backup", error.to_string(), "backup_output"))?;
    Ok(saved)
}

/// Fill the database from a backup: an empty one, unless told to replace what is there
///
/// All of it is restored or nothing, and only a backup whose hash is right. The schema is brought up to date, so that
/// a backup of an earlier version can be restored by this one. Before nodes serve from it again they need the master
/// key under which the backup was sealed, in KEYWARD_MASTER_KEY or in the data directory; if it is there, it is
/// compared. What came after the backup is gone: revocations, too, and tokens they were against are good again.
#[derive(Args, Debug)]
pub(super) struct Restore {
    /// The node's configuration, which says where the database is. Without this option KEYWARD_CONFIG names it;
    /// without that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// Lose what the database holds now. All nodes that serve from it have to be stopped before
    #[arg(long)]
    replace: bool,

    /// Print what was restored as JSON
    #[arg(long)]
    json: bool,

    /// The backup; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE", value_hint = ValueHint::FilePath)]
    input: Input,
}

impl Restore {
    pub(super) fn run(self) -> Result<(), Failure> {
        let place = node_configuration(self.config.as_ref())?.data_place();
        let from_environment = environment::variable(environment::MASTER_KEY).map(Secret::new);
        let location = place.location();
        let now = SystemClock::new().now();
        let master = to_its_end(data_dir::master_key(&place, from_environment))?;
        let runtime = runtime()?;
        let restore = async |input: Box<dyn io::BufRead>| {
            backup::restore(&location, master.as_ref(), input, self.replace, ACTOR, now).await
        };
        let restored = match &self.input {
            Input::Standard => runtime.block_on(Box::pin(restore(Box::new(io::stdin().lock())))),
            Input::File(path) => {
                let file = File::open(path).map_err(|error| {
                    let what = format!("backup {}", path.display());
                    Failure::new(what, format!("can't open it: {error}"), "backup_input")
                })?;
                let input = BufReader::with_capacity(BUFFER_BYTES, file);
                runtime.block_on(Box::pin(restore(Box::new(input))))
            }
        };
        let restored = restored.map_err(|error| data_dir::failed(&location, &error))?;
        if master.is_none() {
            terminal::complain(&format!(
                "warning: there is no master key here to compare: nodes that serve from the database need the one under which the backup was sealed, in {} or in {}",
                environment::MASTER_KEY,
                place.data_dir.display()
            ));
        }
        self.tell(&restored)
    }

    fn tell(&self, restored: &Restored) -> Result<(), Failure> {
        if self.json {
            let shown = json!({
                "rows": restored.rows,
                "made_at": restored.made_at,
                "made_by": restored.made_by,
                "from": restored.database,
                "sha256": restored.sha256,
            });
            return terminal::write_line(&shown.to_string());
        }
        terminal::write_line(&terminal::visible(&format!(
            "restored {} rows of the backup that version {} made of {} at {}",
            restored.rows, restored.made_by, restored.database, restored.made_at
        )))
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("runtime", error.to_string(), "runtime"))
}
