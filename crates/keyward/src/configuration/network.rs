//! Lists of address ranges.

use keyward_model::Network;
use keyward_model::resource::raw::{Field, Problems};

/// Reads a list of ranges, each once.
pub(super) fn networks(field: Field<'_>, problems: &mut Problems) -> Vec<Network> {
    let mut networks: Vec<Network> = Vec::new();
    for member in field.list(problems).unwrap_or_default() {
        let network = member.parsed(
            |text| text.parse().ok(),
            "is no range of addresses: write it as 10.0.0.0/8 or fd00::/8, with zeros behind the prefix, or as one address",
            problems,
        );
        match network {
            Some(network) if networks.contains(&network) => {
                member.refuse("stands in the list twice", problems)
            }
            Some(network) => networks.push(network),
            None => {}
        }
    }
    networks
}
