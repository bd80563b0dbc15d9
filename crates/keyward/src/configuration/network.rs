//! Lists of address ranges.

use keyward_model::Network;
use keyward_model::network::AllowRule;
use keyward_model::resource::raw::{Field, Problems};
use std::str::FromStr;

/// Reads a list of networks.
pub(super) fn networks(field: Field<'_>, problems: &mut Problems) -> Vec<Network> {
    list(
        field,
        "is no range of addresses: write it as 10.0.0.0/8 or fd00::/8, with zeros behind the prefix, or as one address",
        problems,
    )
}

/// Reads a list of networks with or without a port, that may be connected to.
pub(super) fn allow_rules(field: Field<'_>, problems: &mut Problems) -> Vec<AllowRule> {
    list(
        field,
        "is no range of addresses: write it as 10.0.0.0/8 or 127.0.0.1, with a port as in 10.0.0.0/8:443 or [fd00::/8]:443",
        problems,
    )
}

/// Reads a list, each member once.
fn list<T: FromStr + PartialEq>(
    field: Field<'_>,
    expected: &str,
    problems: &mut Problems,
) -> Vec<T> {
    let mut list: Vec<T> = Vec::new();
    for member in field.list(problems).unwrap_or_default() {
        match member.parsed(|text| text.parse().ok(), expected, problems) {
            Some(one) if list.contains(&one) => member.refuse("stands in the list twice", problems),
            Some(one) => list.push(one),
            None => {}
        }
    }
    list
}
