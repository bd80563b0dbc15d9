//! Which addresses may call.

use super::address_set::{AddressFileError, AddressSet};
use keyward_model::resource::policy::{AddressList, IpFilter};
use keyward_model::{Code, Fault};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// Addresses that may call, and addresses that may not.
#[derive(Debug)]
pub(super) struct AddressFilter {
    /// `None`: everyone may who is not denied.
    allow: Option<Box<[Arc<AddressSet>]>>,
    deny: Box<[Arc<AddressSet>]>,
}

impl AddressFilter {
    pub(super) fn new(
        declared: &IpFilter,
        file: &mut dyn FnMut(&Path) -> Result<Arc<AddressSet>, AddressFileError>,
    ) -> Result<Self, AddressFileError> {
        let mut sets = |list: &AddressList| {
            let own = AddressSet::new(list.networks.iter().copied());
            let mut sets = vec![Arc::new(own)];
            for path in &list.files {
                sets.push(file(path)?);
            }
            Ok(sets.into_boxed_slice())
        };
        Ok(Self {
            allow: declared.allow.as_ref().map(&mut sets).transpose()?,
            deny: declared
                .deny
                .as_ref()
                .map_or(Ok(Box::default()), &mut sets)?,
        })
    }

    /// Whether a call from there goes on. Who is on both lists may not call: a list of those who do harm has to
    /// hold inside a network that is let in.
    pub(super) fn lets_in(&self, address: IpAddr) -> bool {
        let has = |sets: &[Arc<AddressSet>]| sets.iter().any(|set| set.has(address));
        !has(&self.deny) && self.allow.as_deref().is_none_or(has)
    }
}

pub(super) fn refusal(address: IpAddr) -> Fault {
    Fault::new(
        Code::AddressRefused,
        "Calls from your address are not taken here; if they should be, ask the API's publisher",
    )
    .because(format_args!("the IP filter refuses {address}"))
}
