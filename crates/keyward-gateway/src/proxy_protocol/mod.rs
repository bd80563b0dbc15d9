//! The PROXY protocol, versions 1 and 2: how a balancer in front of us tells who is connected to it.
//!
//! The form is HAProxy's `proxy-protocol.txt`. [`read`] is pure: it looks at the bytes that have come so
//! far and says whether the header is whole. Whom to believe is the listener's matter
//! ([`TrustedSenders`]): what a stranger writes here would be believed by every policy that asks for an
//! address.

mod binary;
mod text;

#[cfg(test)]
mod tests;

use keyward_model::network::Network;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The longest header that is read. Version 1 has 107 bytes at most; version 2 carries what balancers add
/// (a client's certificate, identifiers of a private link), which stays far below.
pub const HEADER_MAX: usize = 4096;

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The beginning of a header: all bytes belong to it, and more must come.
    NeedMore,
    /// A whole header; behind it stands what the client sent.
    Parsed(Header),
    /// No header, whatever may follow; the reason finishes the sentence "the header …".
    Refused(&'static str),
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who is connected to the balancer. `None` when it speaks for itself (`LOCAL`, `UNKNOWN`: health
    /// checks) or over what has no IP address: then the connection's own address holds.
    pub source: Option<SocketAddr>,
    /// Where the client connected to.
    pub destination: Option<SocketAddr>,
    /// How many bytes the header has.
    pub consumed: usize,
}

impl Header {
    const fn without_addresses(consumed: usize) -> Self {
        Self {
            source: None,
            destination: None,
            consumed,
        }
    }
}

/// Reads the beginning of a connection.
///
/// ```
/// use keyward_gateway::proxy_protocol::{Reading, read};
/// let Reading::Parsed(header) = read(b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\nGET /") else {
///     panic!("a whole header");
/// };
/// assert_eq!(header.source.unwrap().to_string(), "192.0.2.7:40000");
/// assert_eq!(header.consumed, 45);
/// assert_eq!(read(b"PROXY TC"), Reading::NeedMore);
/// assert!(matches!(read(b"GET / HTTP/1.1\r\n"), Reading::Refused(_)));
/// ```
#[must_use]
pub fn read(bytes: &[u8]) -> Reading {
    if begins(bytes, binary::SIGNATURE) {
        binary::read(bytes)
    } else if begins(bytes, text::SIGNATURE) {
        text::read(bytes)
    } else {
        Reading::Refused("is missing: the connection begins with something else")
    }
}

/// Whether `bytes` can be the beginning of what begins with `signature`.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    let length = bytes.len().min(signature.len());
    bytes.get(..length) == signature.get(..length)
}

/// Who must send the header, and is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedSenders {
    /// The balancers' addresses.
    pub from: Vec<Network>,
}

impl TrustedSenders {
    /// Whether a connection from `address` begins with a header. Others may connect too, and then speak
    /// for themselves: a header from them is a malformed request.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        self.from.iter().any(|network| network.contains(address))
    }
}

/// Takes the header off a connection and no byte more.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] when there is none, else what the connection says.
pub(crate) async fn take(socket: &mut TcpStream) -> io::Result<Header> {
    let mut bytes = vec![0; HEADER_MAX];
    let mut filled = 0;
    loop {
        let room = bytes.get_mut(filled..).unwrap_or_default();
        // Looked at before it is taken: what stands behind the header belongs to the next reader.
        let seen = socket.peek(room).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = filled + seen;
        let (header, taken) = match read(bytes.get(..end).unwrap_or_default()) {
            Reading::NeedMore if end < HEADER_MAX => (None, end),
            Reading::NeedMore => return Err(refused("is too long")),
            Reading::Parsed(header) => (Some(header), header.consumed),
            Reading::Refused(why) => return Err(refused(why)),
        };
        let rest = bytes.get_mut(filled..taken).unwrap_or_default();
        socket.read_exact(rest).await?;
        filled = taken;
        if let Some(header) = header {
            return Ok(header);
        }
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the PROXY protocol's header {why}"),
    )
}
