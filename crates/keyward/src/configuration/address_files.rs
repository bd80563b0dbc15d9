//! Whether the files of addresses that policies name can be used; they are watched with the configuration.

use super::file::SeenFile;
use keyward_gateway::check_address_file;
use keyward_model::resource::Spec;
use keyward_model::resource::raw::{Declared, Problems};
use std::collections::HashSet;
use std::path::PathBuf;

/// The files that were looked at, so that each is read once however many routes name it.
#[derive(Debug)]
pub(super) struct AddressFiles(HashSet<PathBuf>);

impl AddressFiles {
    /// Those that are among `files` were looked at, and have not changed since.
    pub(super) fn beside(files: &[SeenFile]) -> Self {
        Self(files.iter().map(|file| file.path().to_owned()).collect())
    }

    /// Tells what is wrong with the files of an API's policies, and adds them to those that are watched.
    pub(super) fn check(
        &mut self,
        declared: &Declared,
        files: &mut Vec<SeenFile>,
        problems: &mut Problems,
    ) {
        let Spec::Api(api) = &declared.resource.spec else {
            return;
        };
        for path in api.routes.iter().flat_map(|route| route.policies.paths()) {
            if !self.0.insert(path.clone()) {
                continue;
            }
            files.push(SeenFile::now(path));
            if let Err(error) = check_address_file(path) {
                problems.error(
                    declared.node.place_of(&["ip_filter"]),
                    "file",
                    format!("`ip_filter`: {error}"),
                );
            }
        }
    }
}
