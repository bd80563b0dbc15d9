//! What an operator opens of the addresses that are closed to others.

use super::Network;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no rule of what may be connected to: write a range of addresses such as 10.0.0.0/8, with a port as in 10.0.0.0/8:443 or [fd00::/8]:443"
)]
pub struct NoRule(String);

/// A network, with one port or all: `10.0.0.0/8`, `127.0.0.1`, `10.1.2.3:8443`, `10.0.0.0/8:443`,
/// `fd00::/8`, `[fd00::/8]:443`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AllowRule {
    network: Network,
    port: Option<u16>,
}

impl From<Network> for AllowRule {
    /// A rule for the network at every port.
    fn from(network: Network) -> Self {
        Self::new(network, None)
    }
}

impl AllowRule {
    /// A rule for `network`, at `port` alone when one is given.
    #[must_use]
    pub const fn new(network: Network, port: Option<u16>) -> Self {
        Self { network, port }
    }

    /// Whether it is for one port alone.
    #[must_use]
    pub const fn names_port(&self) -> bool {
        self.port.is_some()
    }

    /// Whether it opens this address.
    #[must_use]
    pub fn allows(&self, address: SocketAddr) -> bool {
        self.port.is_none_or(|port| port == address.port()) && self.network.contains(address.ip())
    }
}

impl FromStr for AllowRule {
    type Err = NoRule;
    fn from_str(text: &str) -> Result<Self, NoRule> {
        let refuse = || NoRule(text.chars().take(80).collect());
        let (network, port) = if let Some(bracketed) = text.strip_prefix('[') {
            let (network, rest) = bracketed.split_once(']').ok_or_else(refuse)?;
            if !network.contains(':') {
                return Err(refuse());
            }
            match rest {
                "" => (network, None),
                rest => (network, Some(rest.strip_prefix(':').ok_or_else(refuse)?)),
            }
        } else if text.matches(':').count() == 1 {
            let (network, port) = text.split_once(':').ok_or_else(refuse)?;
            (network, Some(port))
        } else {
            (text, None)
        };
        let port = match port {
            None => None,
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0') => {
                Some(port.parse().map_err(|_| refuse())?)
            }
            Some(_) => return Err(refuse()),
        };
        let network = network.parse().map_err(|_| refuse())?;
        Ok(Self { network, port })
    }
}

impl fmt::Display for AllowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => self.network.fmt(f),
            Some(port) if self.network.address().is_ipv6() => {
                write!(f, "[{}]:{port}", self.network)
            }
            Some(port) => write!(f, "{}:{port}", self.network),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_in_one_spelling() {
        for good in [
            "10.0.0.0/8",
            "127.0.0.1/32:8080",
            "fd00::/8",
            "[fd00::/8]:443",
            "[::1/128]:1",
        ] {
            assert_eq!(good.parse::<AllowRule>().unwrap().to_string(), good);
        }
        for bad in [
            "10.0.0.0/8:0",
            "10.0.0.0/8:",
            "10.0.0.0/8:65536",
            "10.0.0.0/8:+1",
            "[10.0.0.0/8]:1",
            "[fd00::/8",
            "[fd00::/8]443",
            "example.com",
            "*",
        ] {
            assert!(bad.parse::<AllowRule>().is_err(), "{bad}");
        }
    }
}
