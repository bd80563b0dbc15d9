//! `keyward admin`: what is done at the node itself.

use super::Failure;
use super::node_configuration::node_configuration;
use super::terminal;
use crate::environment;
use crate::own_keys::data_dir;
use crate::serve::site;
use clap::{Args, Subcommand};
use keyward_model::{Clock as _, Secret, SystemClock};
use std::path::PathBuf;

/// What is done at the node itself
#[derive(Debug, Subcommand)]
pub(super) enum Admin {
    Reset(Reset),
}

impl Admin {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Reset(command) => command.run(),
        }
    }
}

/// Make a new setup secret, in the place of any before
///
/// Whoever shows it within an hour (`POST /api/v1/setup`) becomes an operator; those that there are stay. It is shown
/// on a terminal, or written to a file of mode 0600 in the data directory.
#[derive(Args, Debug)]
pub(super) struct Reset {
    /// The node's configuration. Without this option KEYWARD_CONFIG names it; without that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

impl Reset {
    fn run(self) -> Result<(), Failure> {
        let configuration = node_configuration(self.config.as_ref())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new("runtime", error.to_string(), "runtime"))?;
        let master_key = environment::variable(environment::MASTER_KEY).map(Secret::new);
        let written = runtime.block_on(async {
            let now = SystemClock::new().now();
            let store =
                data_dir::open_existing(&configuration.data_place(), master_key, now).await?;
            let written = site::reset(&store, &configuration.data_dir, now).await;
            store.close().await;
            written
        })?;
        match written {
            Some(path) => {
                terminal::write_line(&format!("setup secret: {} (for an hour)", path.display()))
            }
            None => Ok(()),
        }
    }
}
