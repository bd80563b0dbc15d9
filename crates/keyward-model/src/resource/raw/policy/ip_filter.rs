//! Reading `ip_filter`.

use super::super::field::{Field, Fields};
use super::super::problem::Problems;
use super::{is_off, too_many};
use crate::network::Network;
use crate::resource::policy::{AddressList, IpFilter};
use std::path::PathBuf;
use std::sync::Arc;

/// The most ranges in one list of the configuration: more belong in a file.
const NETWORKS_MAX: usize = 1_000;
/// The most files of one list.
const FILES_MAX: usize = 16;

/// The inner `None`: it is off.
pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Option<Arc<IpFilter>>> {
    if is_off(field) {
        return Some(None);
    }
    let fields = field.fields(&["allow", "allow_files", "deny", "deny_files"], problems)?;
    let allow = list(&fields, "allow", "allow_files", problems);
    let deny = list(&fields, "deny", "deny_files", problems);
    let filter = IpFilter {
        allow: allow?,
        deny: deny?,
    };
    if filter == IpFilter::default() {
        field.refuse(
            "says nothing: say `allow`, `deny`, `allow_files` or `deny_files`",
            problems,
        );
        return None;
    }
    Some(Some(Arc::new(filter)))
}

fn list(
    fields: &Fields<'_>,
    networks: &str,
    files: &str,
    problems: &mut Problems,
) -> Option<Option<AddressList>> {
    let (networks, files) = (fields.optional(networks), fields.optional(files));
    if networks.is_none() && files.is_none() {
        return Some(None);
    }
    let mut list = AddressList::default();
    if let Some(field) = networks {
        let members = field.filled_list(problems)?;
        if too_many(field, members.len(), NETWORKS_MAX, problems) {
            return None;
        }
        for member in members {
            match member.text(problems)?.parse::<Network>() {
                Ok(network) if list.networks.contains(&network) => {
                    member.refuse("stands in the list twice", problems);
                }
                Ok(network) => list.networks.push(network),
                Err(_) => member.refuse(
                    "is no range of addresses: write it as 10.0.0.0/8 or fd00::/8, with zeros behind the prefix, or as one address",
                    problems,
                ),
            }
        }
    }
    if let Some(field) = files {
        let members = field.filled_list(problems)?;
        if too_many(field, members.len(), FILES_MAX, problems) {
            return None;
        }
        let files = field.texts(problems);
        list.files = files.iter().map(|file| PathBuf::from(&**file)).collect();
    }
    Some(Some(list))
}
