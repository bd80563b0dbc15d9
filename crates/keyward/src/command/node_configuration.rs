//! The configuration of the node that a command speaks of.

use super::Failure;
use crate::configuration::{self, DEFAULT_FILE, NodeConfiguration};
use crate::environment;
use std::path::PathBuf;

/// Reads the file that is named, or `KEYWARD_CONFIG`, or `keyward.yaml`.
pub(super) fn node_configuration(named: Option<&PathBuf>) -> Result<NodeConfiguration, Failure> {
    let path = named
        .cloned()
        .or_else(|| environment::variable(environment::CONFIG).map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let loaded = configuration::load(Some(&path), &[], &environment::variable);
    let why = loaded.report.first_error();
    loaded.configuration.ok_or_else(|| {
        Failure::new(
            "the configuration",
            why.unwrap_or_else(|| "it can't be used; try `keyward check`".to_owned()),
            "configuration",
        )
    })
}
