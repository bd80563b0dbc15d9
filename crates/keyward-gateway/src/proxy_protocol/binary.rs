//! Version 2: a binary block.

use super::{HEADER_MAX, Header, Reading};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and protocol, length.
const PREFIX: usize = 16;
/// The type of the checksum among what may follow the addresses.
const CHECKSUM: u8 = 0x03;

pub(super) fn read(bytes: &[u8]) -> Reading {
    let Some(fixed) = bytes.first_chunk::<PREFIX>() else {
        return Reading::NeedMore;
    };
    let [.., command, family, high, low] = *fixed;
    let total = PREFIX + usize::from(u16::from_be_bytes([high, low]));
    if total > HEADER_MAX {
        return Reading::Refused("is longer than anything that a balancer has to say");
    }
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Reading::Refused("has a version or a command that is not known"),
    };
    let Some(block) = bytes.get(..total) else {
        return Reading::NeedMore;
    };
    // The sender speaks for itself: what it adds is skipped, not judged.
    if local {
        return Reading::Parsed(Header::without_addresses(total));
    }
    let body = block.get(PREFIX..).unwrap_or_default();
    let Some((addresses, extras)) = addresses(family, body) else {
        return Reading::Refused("has addresses of a kind that is not known, or too short");
    };
    if let Err(why) = judge(block, extras) {
        return Reading::Refused(why);
    }
    let (source, destination) = addresses.unzip();
    Reading::Parsed(Header {
        source,
        destination,
        consumed: total,
    })
}

/// The two ends of a connection.
type Ends = (SocketAddr, SocketAddr);

/// The addresses, where they are of IP, and what follows them.
fn addresses(family: u8, body: &[u8]) -> Option<(Option<Ends>, &[u8])> {
    match family {
        // Not said.
        0x00 => Some((None, body)),
        0x11 => {
            let (addresses, rest) = body.split_first_chunk::<12>()?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *addresses;
            let ends = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
            Some((Some(with_ports(ends, ports)), rest))
        }
        0x21 => {
            let (source, rest) = body.split_first_chunk::<16>()?;
            let (destination, rest) = rest.split_first_chunk::<16>()?;
            let (ports, rest) = rest.split_first_chunk::<4>()?;
            let ends = (Ipv6Addr::from(*source), Ipv6Addr::from(*destination));
            Some((Some(with_ports(ends, *ports)), rest))
        }
        // A local socket: two paths of 108 bytes, and no address.
        0x31 => Some((None, body.get(216..)?)),
        _ => None,
    }
}

fn with_ports<A: Into<IpAddr>>((source, destination): (A, A), ports: [u8; 4]) -> Ends {
    let [a, b, c, d] = ports;
    (
        SocketAddr::new(source.into(), u16::from_be_bytes([a, b])),
        SocketAddr::new(destination.into(), u16::from_be_bytes([c, d])),
    )
}

/// Walks through what follows the addresses: it must fill the block exactly, and a checksum must be right.
fn judge(block: &[u8], mut extras: &[u8]) -> Result<(), &'static str> {
    const BROKEN: &str = "has fields that do not fit into it";
    while let Some((&[kind, high, low], rest)) = extras.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(BROKEN)?;
        if kind == CHECKSUM {
            let start = block.len() - rest.len() - length;
            let stated = <[u8; 4]>::try_from(value).map_err(|_| BROKEN)?;
            if checksum(block, start) != u32::from_be_bytes(stated) {
                return Err("has a checksum that is not its own");
            }
        }
        extras = rest;
    }
    if extras.is_empty() {
        Ok(())
    } else {
        Err(BROKEN)
    }
}

/// CRC-32C (RFC 9260, appendix A) of the block, the four bytes of the checksum at `start` taken as zeros.
pub(super) fn checksum(block: &[u8], start: usize) -> u32 {
    /// Castagnoli's polynomial, the lowest bit first.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut crc = u32::MAX;
    for (position, byte) in block.iter().enumerate() {
        let own = (start..start + 4).contains(&position);
        crc ^= if own { 0 } else { u32::from(*byte) };
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            crc ^= POLYNOMIAL * carry;
        }
    }
    !crc
}
