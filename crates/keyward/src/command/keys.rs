//! `keyward keys`: the key above all others.

use super::node_configuration::node_configuration;
use super::node_store::to_its_end;
use super::{Failure, terminal};
use crate::environment;
use crate::own_keys::master_key::{self, Rotated};
use clap::{Args, Subcommand};
use keyward_model::{Clock as _, Secret, SystemClock};
use std::path::PathBuf;

/// The key above all others
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    RotateMaster(RotateMaster),
}

impl Keys {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::RotateMaster(command) => command.run(),
        }
    }
}

/// Put another master key in the place of the one there is
///
/// The keys that secrets are sealed under are wrapped anew; no secret is touched, no API key breaks, and what the node
/// signs stays good. Where the master key is a file in the data directory, a new one is made there, and the old one
/// stays beside it under another name: backups from before need it. Where KEYWARD_MASTER_KEY gives it, the new one is
/// read from KEYWARD_NEW_MASTER_KEY.
///
/// Nodes that run go on. Start each anew with the new key when it suits: until then it can't make further keys of the
/// hierarchy.
#[derive(Args, Debug)]
pub(super) struct RotateMaster {
    /// The node's configuration. Without this option KEYWARD_CONFIG names it; without that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

impl RotateMaster {
    fn run(self) -> Result<(), Failure> {
        let configuration = node_configuration(self.config.as_ref())?;
        let variable = |name| environment::variable(name).map(Secret::new);
        let rotated = to_its_end(master_key::rotate(
            &configuration.data_place(),
            variable(environment::MASTER_KEY),
            variable(environment::NEW_MASTER_KEY),
            SystemClock::new().now(),
        ))?;
        let told = match rotated {
            Rotated::Environment => format!(
                "done: start the nodes anew with the new key in {}, and keep the old one for the backups from before",
                environment::MASTER_KEY
            ),
            Rotated::File { new, old } => format!(
                "done: the new master key is in {}; the old one is in {}, for the backups from before: keep copies of both in another place, and start the nodes anew when it suits",
                new.display(),
                old.display()
            ),
        };
        terminal::write_line(&told)
    }
}
