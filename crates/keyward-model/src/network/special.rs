//! Addresses that nobody outside should make us talk to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not dialled unless the operator allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// This machine: `127.0.0.0/8`, `::1`.
    Loopback,
    /// This link, and with it the metadata services of clouds: `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// RFC 1918, unique local (RFC 4193), site-local.
    Private,
    /// Carrier-grade NAT (RFC 6598): `100.64.0.0/10`.
    SharedSpace,
    /// A cloud's internal service at an address that looks public.
    CloudInternal,
    /// Documentation (RFC 5737, RFC 3849, RFC 9637).
    Documentation,
    /// Benchmarks (RFC 2544, RFC 5180).
    Benchmark,
    /// Multicast or broadcast.
    Multicast,
    /// Reserved, or not handed out as global unicast.
    Reserved,
    /// A transition form (6to4, Teredo, v4-compatible, local NAT64) that hides where it leads.
    Transition,
    /// One of this node's own listeners.
    OwnListener,
    /// This machine, by the address it has for others.
    OwnMachine,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Private => "a private address",
            Self::SharedSpace => "a carrier's shared address",
            Self::CloudInternal => "a cloud's internal service",
            Self::Documentation => "an address for documentation",
            Self::Benchmark => "an address for benchmarks",
            Self::Multicast => "a multicast or broadcast address",
            Self::Reserved => "a reserved address",
            Self::Transition => "an address of a transition mechanism",
            Self::OwnListener => "a listener of this node",
            Self::OwnMachine => "this machine",
        })
    }
}

/// Blocks of IPv4 that are not the public network (the IANA special-purpose registry, RFC 6890).
const REFUSED_4: &[(Ipv4Addr, u32, Refusal)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, Refusal::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Refusal::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Refusal::SharedSpace),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Refusal::Loopback),
    (Ipv4Addr::new(168, 63, 129, 16), 32, Refusal::CloudInternal),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Refusal::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Refusal::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Refusal::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Refusal::Documentation),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Refusal::Transition),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Refusal::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Refusal::Benchmark),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Refusal::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Refusal::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Refusal::Multicast),
    (Ipv4Addr::new(255, 255, 255, 255), 32, Refusal::Multicast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Refusal::Reserved),
];

const fn v6(a: u16, b: u16, c: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
}

/// Blocks of IPv6 that are not the public network. The first that fits gives the reason.
const REFUSED_6: &[(Ipv6Addr, u32, Refusal)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, Refusal::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Refusal::Loopback),
    // v4-compatible, deprecated by RFC 4291, section 2.5.5.1.
    (Ipv6Addr::UNSPECIFIED, 96, Refusal::Transition),
    // NAT64 for local use (RFC 8215).
    (v6(0x64, 0xff9b, 1), 48, Refusal::Transition),
    (v6(0x2001, 0, 0), 32, Refusal::Transition),
    (v6(0x2001, 2, 0), 48, Refusal::Benchmark),
    // What is left of the block of protocol assignments (RFC 2928).
    (v6(0x2001, 0, 0), 23, Refusal::Reserved),
    (v6(0x2001, 0xdb8, 0), 32, Refusal::Documentation),
    (v6(0x2002, 0, 0), 16, Refusal::Transition),
    (v6(0x3fff, 0, 0), 20, Refusal::Documentation),
    (v6(0xfc00, 0, 0), 7, Refusal::Private),
    (v6(0xfe80, 0, 0), 10, Refusal::LinkLocal),
    (v6(0xfec0, 0, 0), 10, Refusal::Private),
    (v6(0xff00, 0, 0), 8, Refusal::Multicast),
];

/// The prefix under which NAT64 reaches all of IPv4 (RFC 6052, section 2.1).
const NAT64: Ipv6Addr = v6(0x64, 0xff9b, 0);
/// What is handed out as global unicast (RFC 4291, section 2.4).
const GLOBAL_UNICAST: Ipv6Addr = v6(0x2000, 0, 0);

/// Why `address` is no address of the public network; `None` where it is one.
#[must_use]
pub fn refusal(address: IpAddr) -> Option<Refusal> {
    match address.to_canonical() {
        IpAddr::V4(v4) => refusal_4(v4),
        IpAddr::V6(v6) => refusal_6(v6),
    }
}

fn refusal_4(address: Ipv4Addr) -> Option<Refusal> {
    REFUSED_4
        .iter()
        .find(|(network, prefix, _)| in_block_4(address, *network, *prefix))
        .map(|(_, _, refusal)| *refusal)
}

fn refusal_6(address: Ipv6Addr) -> Option<Refusal> {
    if in_block_6(address, NAT64, 96) {
        return refusal_4(embedded(address));
    }
    if let Some((_, _, refusal)) = REFUSED_6
        .iter()
        .find(|(network, prefix, _)| in_block_6(address, *network, *prefix))
    {
        return Some(*refusal);
    }
    if !in_block_6(address, GLOBAL_UNICAST, 3) {
        return Some(Refusal::Reserved);
    }
    // ISATAP (RFC 5214, section 6.1) puts an IPv4 address behind 0:5efe in any network.
    let [.., e, f, _, _] = address.segments();
    if e & !0x0200 == 0 && f == 0x5efe {
        return refusal_4(embedded(address)).map(|_| Refusal::Transition);
    }
    None
}

fn in_block_4(address: Ipv4Addr, network: Ipv4Addr, prefix: u32) -> bool {
    let different = address.to_bits() ^ network.to_bits();
    different.leading_zeros() >= prefix
}

fn in_block_6(address: Ipv6Addr, network: Ipv6Addr, prefix: u32) -> bool {
    let different = address.to_bits() ^ network.to_bits();
    different.leading_zeros() >= prefix
}

/// The last 32 bits as an IPv4 address.
fn embedded(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_public_are_refused() {
        for (address, expected) in [
            ("0.0.0.0", Some(Refusal::Unspecified)),
            ("0.1.2.3", Some(Refusal::Unspecified)),
            ("127.0.0.1", Some(Refusal::Loopback)),
            ("127.255.255.254", Some(Refusal::Loopback)),
            ("10.0.0.1", Some(Refusal::Private)),
            ("172.16.0.1", Some(Refusal::Private)),
            ("172.31.255.255", Some(Refusal::Private)),
            ("172.32.0.1", None),
            ("192.168.1.1", Some(Refusal::Private)),
            ("169.254.169.254", Some(Refusal::LinkLocal)),
            ("168.63.129.16", Some(Refusal::CloudInternal)),
            ("168.63.129.17", None),
            ("100.64.0.1", Some(Refusal::SharedSpace)),
            ("100.127.255.255", Some(Refusal::SharedSpace)),
            ("100.128.0.1", None),
            ("192.0.0.192", Some(Refusal::Reserved)),
            ("192.0.2.1", Some(Refusal::Documentation)),
            ("198.51.100.7", Some(Refusal::Documentation)),
            ("203.0.113.7", Some(Refusal::Documentation)),
            ("198.18.0.1", Some(Refusal::Benchmark)),
            ("198.19.255.255", Some(Refusal::Benchmark)),
            ("224.0.0.1", Some(Refusal::Multicast)),
            ("239.255.255.255", Some(Refusal::Multicast)),
            ("255.255.255.255", Some(Refusal::Multicast)),
            ("240.0.0.1", Some(Refusal::Reserved)),
            ("192.88.99.1", Some(Refusal::Transition)),
            ("8.8.8.8", None),
            ("::", Some(Refusal::Unspecified)),
            ("::1", Some(Refusal::Loopback)),
            ("::ffff:127.0.0.1", Some(Refusal::Loopback)),
            ("::ffff:169.254.169.254", Some(Refusal::LinkLocal)),
            ("::ffff:8.8.8.8", None),
            ("::127.0.0.1", Some(Refusal::Transition)),
            ("64:ff9b::10.0.0.1", Some(Refusal::Private)),
            ("64:ff9b::169.254.169.254", Some(Refusal::LinkLocal)),
            ("64:ff9b::8.8.8.8", None),
            ("64:ff9b:1::8.8.8.8", Some(Refusal::Transition)),
            ("2002:7f00:1::", Some(Refusal::Transition)),
            ("2001:0:4136:e378::", Some(Refusal::Transition)),
            ("2001:2::1", Some(Refusal::Benchmark)),
            ("2001:20::1", Some(Refusal::Reserved)),
            ("2001:db8::1", Some(Refusal::Documentation)),
            ("3fff::1", Some(Refusal::Documentation)),
            ("fd00:ec2::254", Some(Refusal::Private)),
            ("fe80::1", Some(Refusal::LinkLocal)),
            ("fec0::1", Some(Refusal::Private)),
            ("ff02::1", Some(Refusal::Multicast)),
            ("100::1", Some(Refusal::Reserved)),
            ("4000::1", Some(Refusal::Reserved)),
            ("2606:4700::5efe:10.0.0.1", Some(Refusal::Transition)),
            ("2606:4700::200:5efe:10.0.0.1", Some(Refusal::Transition)),
            ("2606:4700::5efe:8.8.8.8", None),
            ("2606:4700::1", None),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(refusal(parsed), expected, "{address}");
        }
    }
}
