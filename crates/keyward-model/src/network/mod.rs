//! Ranges of addresses, and which addresses are not the public network.

mod allow_rule;
mod special;

pub use allow_rule::{AllowRule, NoRule};
pub use special::{Refusal, refusal};

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses in CIDR form (RFC 4632): `10.0.0.0/8`, `fd00::/8`, or one address alone. The
/// bits behind the prefix are zero, so that what is written is what is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no range of addresses: write it as 10.0.0.0/8 or fd00::/8, with zeros behind the prefix, or as one address"
)]
pub struct NoNetwork(String);

impl Network {
    /// Whether `address` lies in the range. An IPv4 address mapped into IPv6 (`::ffff:10.0.0.1`) counts
    /// as the IPv4 address it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = mask_v4(self.prefix);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = mask_v6(self.prefix);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The first address of the range.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits the addresses share.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }
}

impl FromStr for Network {
    type Err = NoNetwork;
    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        parse(text).ok_or_else(|| NoNetwork(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => {
            let digits = prefix.bytes().all(|b| b.is_ascii_digit());
            (address, Some(prefix.parse::<u8>().ok().filter(|_| digits)?))
        }
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let (prefix, clean) = match address {
        IpAddr::V4(v4) => {
            let prefix = prefix.unwrap_or(32);
            (prefix, prefix <= 32 && v4.to_bits() & !mask_v4(prefix) == 0)
        }
        IpAddr::V6(v6) => {
            let prefix = prefix.unwrap_or(128);
            (
                prefix,
                prefix <= 128 && v6.to_bits() & !mask_v6(prefix) == 0,
            )
        }
    };
    clean.then_some(Network { address, prefix })
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(Ipv4Addr::BITS.saturating_sub(u32::from(prefix)))
        .unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX
        .checked_shl(Ipv6Addr::BITS.saturating_sub(u32::from(prefix)))
        .unwrap_or(0)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses_alone() {
        for (network, address, held) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("fd00::/8", "fdff::1", true),
            ("::/0", "2001:db8::1", true),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                held,
                "{network} {address}"
            );
        }
    }

    #[test]
    fn networks_with_stray_bits_are_refused() {
        for bad in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10/8",
            "fd00::1/8",
            "::/129",
            "localhost",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
