//! Which addresses may call.

use crate::network::Network;
use std::path::PathBuf;

/// Addresses that may call, and addresses that may not. Who is on both may not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpFilter {
    /// Who may call; `None`: everyone who is not denied.
    pub allow: Option<AddressList>,
    /// Who may not.
    pub deny: Option<AddressList>,
}

/// Ranges of addresses, in the configuration and in files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressList {
    /// Those that are written in the configuration.
    pub networks: Vec<Network>,
    /// Files with a range on each line; behind `#` stands what nobody reads. They are read when the configuration
    /// is, and again when they change.
    pub files: Vec<PathBuf>,
}

impl IpFilter {
    /// The files.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let lists = self.allow.iter_mut().chain(&mut self.deny);
        lists.flat_map(|list| &mut list.files)
    }

    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let lists = self.allow.iter().chain(&self.deny);
        lists.flat_map(|list| &list.files)
    }
}
