//! `keyward serve`: run a node.

use super::{Failure, terminal};
use crate::configuration::kept::Kept;
use crate::configuration::{self, DEFAULT_FILE, NodeConfiguration};
use crate::serve::{GivenSockets, Supervisor};
use crate::{environment, serve};
use clap::Args;
use keyward_model::Secret;
use std::path::{Path, PathBuf};
use tracing_subscriber::EnvFilter;

/// Run a node: the gateway, and the operations listener
///
/// Reads the configuration, makes what a first start needs (a master key, signing keys) in the data
/// directory, and serves until SIGINT or SIGTERM, when calls that run may finish. What happens is told on
/// standard error; KEYWARD_LOG chooses how much (error, warn, info, debug; info without it).
///
/// The configuration is read anew when its file changes and on SIGHUP: what can't be served is told, and
/// what was served stays. SIGUSR2 upgrades in place: a new process is started from the same program, takes
/// the listening sockets over, and this one ends when its calls have.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// The node's configuration. Without this option KEYWARD_CONFIG names it; without that it is
    /// keyward.yaml, or defaults for --demo
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// Publish a working example, and print the calls to try
    #[arg(long)]
    demo: bool,

    /// Take over from the process that serves from the same data directory: its listening sockets pass
    /// to this one, and it ends when this one serves
    #[arg(long)]
    take_over: bool,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        // First, while there is one thread.
        let sockets = environment::passed_sockets()
            .map_err(|error| Failure::new("socket activation", error.to_string(), "sockets"))?;
        log_to_standard_error()?;
        let notified = environment::variable(environment::NOTIFY_SOCKET);
        let supervisor = Supervisor::at(notified.as_deref()).map_err(|error| {
            Failure::new(environment::NOTIFY_SOCKET, error.to_string(), "supervisor")
        })?;
        let (kept, path) = self.configuration()?;
        let master_key = environment::variable(environment::MASTER_KEY).map(Secret::new);
        serve::run(serve::Request {
            kept,
            path,
            demo: self.demo,
            master_key,
            sockets: GivenSockets::of_manager(sockets)?,
            take_over: self.take_over,
            supervisor,
        })
    }

    /// The configuration, and where it stands.
    fn configuration(&self) -> Result<(Kept, Option<PathBuf>), Failure> {
        let named = || environment::variable(environment::CONFIG).map(PathBuf::from);
        let path = match self.config.clone().or_else(named) {
            Some(path) => path,
            None if self.demo && !Path::new(DEFAULT_FILE).exists() => {
                return Ok((Kept::unwritten(NodeConfiguration::default()), None));
            }
            None => PathBuf::from(DEFAULT_FILE),
        };
        let loaded = configuration::load(Some(&path), &[], &environment::variable);
        for problem in loaded.report.problems() {
            terminal::complain(&loaded.report.line(problem));
        }
        let usable = !loaded.report.has_errors();
        match Kept::of(&path, loaded).filter(|_| usable) {
            Some(kept) => Ok((kept, Some(path))),
            None => Err(Failure::new(
                path.display().to_string(),
                "this configuration can't run; see above, and try `keyward check`",
                "configuration",
            )),
        }
    }
}

fn log_to_standard_error() -> Result<(), Failure> {
    let wanted = environment::variable(environment::LOG).unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::try_new(&wanted).map_err(|error| {
        Failure::new(
            environment::LOG,
            format!("`{wanted}` is no log filter: {error}"),
            "log_filter",
        )
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal::someone_reads_errors())
        .with_target(false)
        .try_init()
        .map_err(|error| Failure::new("log", error.to_string(), "log"))
}
