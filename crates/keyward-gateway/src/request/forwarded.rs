//! What trusted proxies say of a call's way here: `Forwarded` (RFC 7239) and `X-Forwarded-*`.
//!
//! Either is read from the right, through trusted proxies only: what stands further left was written by strangers.
//! A proxy that speaks the one often lets the other pass as its client wrote it, so that where both come they must
//! say the same; else the call is refused, and nobody has to guess which of them was forged. From here on a call has
//! `X-Forwarded-*` alone, which is what upstreams read.

use super::headers;
use super::screen::is_trusted;
use crate::message::{Fields, Header};
use crate::request::Client;
use crate::worker::Worker;
use keyward_model::{Code, Fault, Network};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

#[cfg(test)]
mod tests;

/// Puts what a trusted proxy says in `Forwarded` into `X-Forwarded-*`. From anybody else it is left as it is, and
/// taken out with all that is not believed.
///
/// # Errors
/// It can't be read, or `X-Forwarded-*` says something else.
pub(crate) fn take(worker: &Worker, client: &Client, fields: &mut Fields) -> Result<(), Fault> {
    if !fields.has(Header::Forwarded) || !is_trusted(worker, client.address()) {
        return Ok(());
    }
    // What `Connection` names was for the proxy's connection to us, and is read by nobody.
    headers::strip_connection_options(fields);
    if !fields.has(Header::Forwarded) {
        return Ok(());
    }
    let networks = &worker.settings.trusted_proxies;
    let said = Said::read(client.address(), fields.all(Header::Forwarded), networks)
        .map_err(|Malformed| malformed())?;
    if fields.has(Header::XForwardedFor) {
        let by_the_other = walk(
            client.address(),
            fields.all(Header::XForwardedFor),
            networks,
        );
        if by_the_other != said.address {
            return Err(contradicts("X-Forwarded-For"));
        }
    } else {
        // Whoever wrote the address wrote the others, too: these are a client's.
        fields.remove(Header::XForwardedProto);
        fields.remove(Header::XForwardedHost);
        let chain: Vec<String> = said.chain.iter().rev().map(IpAddr::to_string).collect();
        if !chain.is_empty() {
            fields.append(Header::XForwardedFor, chain.join(", ").as_bytes());
        }
    }
    for (header, name, said) in [
        (Header::XForwardedProto, "X-Forwarded-Proto", said.proto),
        (
            Header::XForwardedHost,
            "X-Forwarded-Host",
            said.host.as_deref(),
        ),
    ] {
        let Some(said) = said else { continue };
        match fields.get(header) {
            None => fields.append(header, said.as_bytes()),
            Some(other) if other.eq_ignore_ascii_case(said.as_bytes()) => {}
            Some(_) => return Err(contradicts(name)),
        }
    }
    Ok(())
}

fn malformed() -> Fault {
    Fault::new(
        Code::BadRequest,
        "`Forwarded` can't be read (RFC 7239): have the proxy in front of the gateway replace what clients send",
    )
}

fn contradicts(name: &str) -> Fault {
    Fault::new(
        Code::BadRequest,
        format!(
            "`Forwarded` and `{name}` contradict one another: have the proxy in front of the gateway take out the one that it does not write itself"
        ),
    )
}

/// Where a call comes from that has these values in `Forwarded` and `X-Forwarded-For`: `peer`, unless that is a
/// trusted proxy; and of a trusted proxy that can't be understood or contradicts itself, the proxy itself.
pub fn client_address<'v>(
    peer: IpAddr,
    forwarded: impl Iterator<Item = &'v [u8]>,
    x_forwarded_for: impl Iterator<Item = &'v [u8]>,
    trusted_proxies: &[Network],
) -> IpAddr {
    if !holds(trusted_proxies, peer) {
        return peer;
    }
    let mut forwarded = forwarded.peekable();
    let mut other = x_forwarded_for.peekable();
    let told = forwarded
        .peek()
        .is_some()
        .then(|| Said::read(peer, forwarded, trusted_proxies));
    let told = match told {
        None => return walk(peer, other, trusted_proxies),
        Some(Err(Malformed)) => return peer,
        Some(Ok(said)) => said.address,
    };
    if other.peek().is_none() || walk(peer, other, trusted_proxies) == told {
        told
    } else {
        peer
    }
}

fn holds(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// From the right, the first address of `X-Forwarded-For` that is no trusted proxy.
pub(super) fn walk<'v>(
    peer: IpAddr,
    values: impl Iterator<Item = &'v [u8]>,
    trusted_proxies: &[Network],
) -> IpAddr {
    if !holds(trusted_proxies, peer) {
        return peer;
    }
    let mut address = peer;
    let chain: Vec<&str> = values
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .collect();
    for hop in chain.into_iter().rev() {
        let Ok(hop) = hop.trim().parse::<IpAddr>() else {
            break;
        };
        address = hop.to_canonical();
        if !holds(trusted_proxies, address) {
            break;
        }
    }
    address
}

/// What `Forwarded` says, as far as trusted proxies wrote it.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    /// Who called: the first that is no trusted proxy; where that is not told, the outermost proxy that is.
    address: IpAddr,
    /// Who called whom, the nearest first.
    chain: Vec<IpAddr>,
    /// How the client called the outermost trusted proxy: `http` or `https`.
    proto: Option<&'static str>,
    /// The host that it asked that proxy for.
    host: Option<String>,
}

/// It is no `Forwarded` by RFC 7239, section 4.
#[derive(Debug, PartialEq, Eq)]
struct Malformed;

impl Said {
    fn read<'v>(
        peer: IpAddr,
        values: impl Iterator<Item = &'v [u8]>,
        trusted_proxies: &[Network],
    ) -> Result<Self, Malformed> {
        let mut elements = Vec::new();
        for value in values {
            read_elements(value, &mut elements)?;
        }
        let mut said = Self {
            address: peer,
            chain: Vec::new(),
            proto: None,
            host: None,
        };
        // Each element was written by who is `address` so far, and is of what that proxy was asked.
        for element in elements.into_iter().rev() {
            if !holds(trusted_proxies, said.address) {
                break;
            }
            said.proto = element.proto.and_then(|proto| scheme(&proto));
            said.host = element.host.and_then(|host| plain_host(&host));
            // `unknown`, a name of the proxy's own, or nothing at all: nobody further out is known.
            let Some(address) = element.of.and_then(|node| node_address(&node)) else {
                break;
            };
            said.address = address;
            said.chain.push(address);
        }
        Ok(said)
    }
}

/// One proxy's word.
#[derive(Debug, Default)]
struct Element<'v> {
    of: Option<Cow<'v, [u8]>>,
    proto: Option<Cow<'v, [u8]>>,
    host: Option<Cow<'v, [u8]>>,
}

/// The elements of one field: `for=192.0.2.60;proto=http, for="[2001:db8::1]:47011"`. White space around `;`, and in
/// unquoted values `:`, `[` and `]`, are taken, since proxies write them and they mean one thing only.
fn read_elements<'v>(value: &'v [u8], elements: &mut Vec<Element<'v>>) -> Result<(), Malformed> {
    let mut rest = value.trim_ascii();
    let mut element = Element::default();
    let mut is_empty = true;
    loop {
        rest = rest.trim_ascii_start();
        match rest.split_first() {
            None => break,
            Some((b';', after)) => {
                rest = after;
                continue;
            }
            Some((b',', after)) => {
                rest = after;
                if !is_empty {
                    elements.push(std::mem::take(&mut element));
                    is_empty = true;
                }
                continue;
            }
            Some(_) => {}
        }
        let equals = rest.iter().position(|byte| *byte == b'=');
        let (name, after) = rest.split_at(equals.ok_or(Malformed)?);
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err(Malformed);
        }
        let after = after.split_first().map_or(&[][..], |(_, after)| after);
        let (text, after) = read_value(after)?;
        is_empty = false;
        let place = if name.eq_ignore_ascii_case(b"for") {
            Some(&mut element.of)
        } else if name.eq_ignore_ascii_case(b"proto") {
            Some(&mut element.proto)
        } else if name.eq_ignore_ascii_case(b"host") {
            Some(&mut element.host)
        } else {
            None
        };
        if let Some(place) = place
            && place.replace(text).is_some()
        {
            return Err(Malformed);
        }
        rest = after.trim_ascii_start();
        if !matches!(rest.first(), None | Some(b';' | b',')) {
            return Err(Malformed);
        }
    }
    if !is_empty {
        elements.push(element);
    }
    Ok(())
}

/// A value that begins here, and what is behind it.
fn read_value(text: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Malformed> {
    let Some((b'"', quoted)) = text.split_first() else {
        let is_plain = |byte: &u8| is_token(*byte) || matches!(byte, b':' | b'[' | b']');
        let end = text.iter().position(|byte| !is_plain(byte));
        let (plain, after) = text.split_at(end.unwrap_or(text.len()));
        return if plain.is_empty() {
            Err(Malformed)
        } else {
            Ok((Cow::Borrowed(plain), after))
        };
    };
    let mut value = Vec::new();
    let mut rest = quoted;
    loop {
        let (byte, after) = rest.split_first().ok_or(Malformed)?;
        match byte {
            b'"' => return Ok((Cow::Owned(value), after)),
            b'\\' => {
                let (escaped, after) = after.split_first().ok_or(Malformed)?;
                value.push(*escaped);
                rest = after;
            }
            byte => {
                value.push(*byte);
                rest = after;
            }
        }
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The address of a node (RFC 7239, section 6), whatever its port.
fn node_address(node: &[u8]) -> Option<IpAddr> {
    let node = std::str::from_utf8(node).ok()?;
    let (address, port) = if let Some(bracketed) = node.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port)
    } else {
        let (address, port) = node.split_at(node.find(':').unwrap_or(node.len()));
        (IpAddr::V4(address.parse().ok()?), port)
    };
    let is_port = |port: &str| {
        let (first, digits) = (port.starts_with('_'), port.bytes());
        first || (1..=5).contains(&port.len()) && digits.into_iter().all(|b| b.is_ascii_digit())
    };
    let is_written = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    is_written.then(|| address.to_canonical())
}

fn scheme(proto: &[u8]) -> Option<&'static str> {
    ["https", "http"]
        .into_iter()
        .find(|known| proto.eq_ignore_ascii_case(known.as_bytes()))
}

/// A host that upstreams read as one: no list, no path, no white space.
fn plain_host(host: &[u8]) -> Option<String> {
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
    };
    if host.is_empty() || !host.iter().copied().all(is_plain) {
        return None;
    }
    String::from_utf8(host.to_vec()).ok()
}
