//! Version 1: a line of text.

use super::{Header, Reading};
use std::net::{IpAddr, SocketAddr};
use std::str::{FromStr, Split};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// The longest line, its end included (section 2.1 of the protocol's text).
const LINE_MAX: usize = 107;

pub(super) fn read(bytes: &[u8]) -> Reading {
    let line = bytes.get(..bytes.len().min(LINE_MAX)).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', line) else {
        return if bytes.len() < LINE_MAX {
            Reading::NeedMore
        } else {
            Reading::Refused("has a line that does not end")
        };
    };
    let Some(line) = line.get(..end).and_then(|line| line.strip_suffix(b"\r")) else {
        return Reading::Refused("has a line that ends without a carriage return");
    };
    let line = line.strip_prefix(SIGNATURE).unwrap_or_default();
    // What follows UNKNOWN is to be ignored, whatever it is.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Reading::Parsed(Header::without_addresses(end + 1));
    }
    let Some((source, destination)) = std::str::from_utf8(line).ok().and_then(addresses) else {
        return Reading::Refused("has a line that names no two addresses");
    };
    Reading::Parsed(Header {
        source: Some(source),
        destination: Some(destination),
        consumed: end + 1,
    })
}

fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = line.split(' ');
    let parse = match words.next()? {
        "TCP4" => |word: &str| word.parse().ok().map(IpAddr::V4),
        "TCP6" => |word: &str| word.parse().ok().map(IpAddr::V6),
        _ => return None,
    };
    let (source, destination) = (parse(words.next()?)?, parse(words.next()?)?);
    let (source_port, destination_port) = (port(&mut words)?, port(&mut words)?);
    words.next().is_none().then_some((
        SocketAddr::new(source, source_port),
        SocketAddr::new(destination, destination_port),
    ))
}

/// Digits alone, without a zero before others.
fn port(words: &mut Split<'_, char>) -> Option<u16> {
    let word = words.next()?;
    let plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let padded = word.len() > 1 && word.starts_with('0');
    u16::from_str(word).ok().filter(|_| plain && !padded)
}
