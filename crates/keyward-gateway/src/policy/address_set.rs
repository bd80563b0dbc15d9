//! Many ranges of addresses, looked up in steps that grow with the logarithm of their number.

use aws_lc_rs::digest;
use keyward_model::network::Network;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The largest file: some two million ranges.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Ranges of addresses: sorted, without any that touch, so that one is found by halving.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressSet {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

/// Why a file of addresses can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressFileError {
    /// It can't be read.
    #[error("{path}: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// It is larger than any list.
    #[error("{0} is larger than 64 MiB: aggregate the ranges, or split the list")]
    TooLarge(PathBuf),
    /// A line is no range.
    #[error(
        "{path}, line {line}: `{text}` is no range of addresses: write one on each line, as 10.0.0.0/8 or fd00::/8, with zeros behind the prefix"
    )]
    NoRange {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Its beginning.
        text: String,
    },
}

impl AddressSet {
    pub(crate) fn new(networks: impl Iterator<Item = Network>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            let bits = u32::from(network.prefix());
            match network.address() {
                IpAddr::V4(address) => {
                    let first = address.to_bits();
                    v4.push((first, first | u32::MAX.checked_shr(bits).unwrap_or(0)));
                }
                IpAddr::V6(address) => {
                    let first = address.to_bits();
                    v6.push((first, first | u128::MAX.checked_shr(bits).unwrap_or(0)));
                }
            }
        }
        Self {
            v4: merged(v4, |end| end.checked_add(1)),
            v6: merged(v6, |end| end.checked_add(1)),
        }
    }

    /// Reads a file with a range on each line.
    pub(crate) fn read(path: &Path) -> Result<Self, AddressFileError> {
        let unreadable = |why: std::io::Error| AddressFileError::Unreadable {
            path: path.to_owned(),
            why: why.to_string(),
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(AddressFileError::TooLarge(path.to_owned()));
        }
        let mut networks = Vec::new();
        for (index, line) in text.lines().enumerate() {
            // Lists that are published have comments behind either.
            let range = line.split(['#', ';']).next().unwrap_or_default().trim();
            if range.is_empty() {
                continue;
            }
            networks.push(range.parse().map_err(|_| AddressFileError::NoRange {
                path: path.to_owned(),
                line: index + 1,
                text: range.chars().take(80).collect(),
            })?);
        }
        Ok(Self::new(networks.into_iter()))
    }

    /// Whether the address is in a range. An IPv4 address that is mapped into IPv6 counts as what it is.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => has(&self.v4, address.to_bits()),
            IpAddr::V6(address) => has(&self.v6, address.to_bits()),
        }
    }

    /// Stands for all of the ranges.
    pub(crate) fn digest(&self) -> Vec<u8> {
        let mut context = digest::Context::new(&digest::SHA256);
        for (first, last) in &self.v4 {
            context.update(&first.to_be_bytes());
            context.update(&last.to_be_bytes());
        }
        context.update(b"/");
        for (first, last) in &self.v6 {
            context.update(&first.to_be_bytes());
            context.update(&last.to_be_bytes());
        }
        context.finish().as_ref().to_vec()
    }
}

/// That the file can be used.
///
/// # Errors
/// [`AddressFileError`] when it can't.
pub fn check_address_file(path: &Path) -> Result<(), AddressFileError> {
    AddressSet::read(path).map(drop)
}

fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>, after: impl Fn(T) -> Option<T>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if after(*end).is_none_or(|after| first <= after) => {
                *end = (*end).max(last);
            }
            Some(_) | None => merged.push((first, last)),
        }
    }
    merged.into_boxed_slice()
}

fn has<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= address);
    behind
        .checked_sub(1)
        .and_then(|last| ranges.get(last))
        .is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn set(networks: &[&str]) -> AddressSet {
        AddressSet::new(networks.iter().map(|network| network.parse().unwrap()))
    }

    #[test]
    fn an_address_is_found_in_its_range_alone() {
        let set = set(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "192.0.2.1",
            "192.0.2.2",
            "255.255.255.255",
            "2001:db8::/32",
            "::1",
        ]);
        assert_eq!(set.v4.len(), 3, "ranges that touch are one");
        for (address, found) in [
            ("10.1.2.3", true),
            ("9.255.255.255", false),
            ("11.0.0.0", false),
            ("192.0.2.0", false),
            ("192.0.2.2", true),
            ("192.0.2.3", false),
            ("255.255.255.255", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:11.0.0.1", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::1", true),
            ("::", false),
        ] {
            assert_eq!(set.has(address.parse().unwrap()), found, "{address}");
        }
        assert!(!AddressSet::default().has("::1".parse().unwrap()));
    }

    #[test]
    fn everything_is_a_range_too() {
        let set = set(&["0.0.0.0/0", "::/0"]);
        assert!(set.has("0.0.0.0".parse().unwrap()));
        assert!(set.has("255.255.255.255".parse().unwrap()));
        assert!(set.has("::".parse().unwrap()));
    }

    #[test]
    fn a_file_has_comments_and_its_mistakes_have_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        std::fs::write(
            &path,
            "# ours\n10.0.0.0/8 # all\n\n192.0.2.1 ; SBL1\r\n::1\n",
        )
        .unwrap();
        let read = AddressSet::read(&path).unwrap();
        assert_eq!(read, set(&["10.0.0.0/8", "192.0.2.1", "::1"]));
        assert_eq!(
            read.digest(),
            set(&["::1", "192.0.2.1", "10.0.0.0/8"]).digest()
        );
        assert_ne!(read.digest(), set(&["10.0.0.0/8", "::1"]).digest());
        std::fs::write(&path, "10.0.0.0/8\n10.0.0.1/8\n").unwrap();
        let error = AddressSet::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 2: `10.0.0.1/8`"), "{error}");
        assert!(AddressSet::read(&folder.path().join("none")).is_err());
    }

    proptest! {
        #[test]
        fn it_says_what_each_network_says(
            networks in prop::collection::vec((any::<u32>(), 0_u8..=32), 0..40),
            wide in prop::collection::vec((any::<u128>(), 0_u8..=128), 0..20),
            addresses in prop::collection::vec((any::<u32>(), any::<u128>()), 1..40),
        ) {
            let v4 = networks.iter().map(|(bits, prefix)| {
                let mask = u32::MAX.checked_shl(32 - u32::from(*prefix)).unwrap_or(0);
                format!("{}/{prefix}", Ipv4Addr::from_bits(bits & mask))
            });
            let v6 = wide.iter().map(|(bits, prefix)| {
                let mask = u128::MAX.checked_shl(128 - u32::from(*prefix)).unwrap_or(0);
                format!("{}/{prefix}", Ipv6Addr::from_bits(bits & mask))
            });
            let networks: Vec<Network> = v4.chain(v6).map(|text| text.parse().unwrap()).collect();
            let set = AddressSet::new(networks.iter().copied());
            let near = networks.iter().map(|network| network.address());
            let any = addresses.iter().flat_map(|(v4, v6)| {
                [IpAddr::V4(Ipv4Addr::from_bits(*v4)), IpAddr::V6(Ipv6Addr::from_bits(*v6))]
            });
            for address in near.chain(any) {
                let expected = networks.iter().any(|network| network.contains(address));
                prop_assert_eq!(set.has(address), expected, "{}", address);
            }
        }
    }
}
