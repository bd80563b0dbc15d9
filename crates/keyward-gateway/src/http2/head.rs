//! A request's head as the `h2` crate has read it, made into the one that every call has (RFC 9113, section 8).
//!
//! The crate refuses names in upper case, pseudo-header fields that are unknown, missing, doubled or out of
//! place, fields of a connection, `te` with anything but `trailers`, and a length that is not the body's. What
//! it lets pass and could be read in two ways further on is refused here.

use crate::http1::{HeadBounds, decimal};
use crate::message::fields::has_control;
use crate::message::{Class, Fields, Header, RequestHead, Span, Target, Version};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method};
use keyward_model::{Code, Fault};

/// What separates the values of `Cookie` when they are put together (RFC 9113, section 8.2.3).
const CRUMBS: &[u8] = b"; ";

/// A head, and what it says of its body's length.
#[derive(Debug)]
pub(super) struct ReadHead {
    pub(super) head: RequestHead,
    pub(super) content_length: Option<u64>,
}

/// Reads a head into the memory of `spare`, which is empty.
pub(super) fn read(
    parts: Parts,
    bounds: HeadBounds,
    (fields, bytes): (Fields, Vec<u8>),
) -> Result<ReadHead, Fault> {
    let Parts {
        method,
        uri,
        headers,
        extensions,
        ..
    } = parts;
    let tunnel = extensions
        .get::<h2::ext::Protocol>()
        .is_some_and(|protocol| protocol.as_str() == "websocket");
    // From here on it is what it would be in HTTP/1.1.
    let method = if tunnel { Method::GET } else { method };
    let mut reader = Reader {
        bounds,
        fields,
        bytes,
    };
    let target = match uri.path_and_query() {
        Some(path) => reader.target(path.as_str())?,
        // Of `CONNECT`, which has none (RFC 9113, section 8.5).
        None if method == Method::CONNECT => Target::default(),
        None => return Err(malformed("The request has no `:path`")),
    };
    reader.host(uri.authority(), &headers)?;
    let content_length = content_length(&headers)?;
    for name in headers.keys() {
        let header = Header::of(name.as_str().as_bytes());
        if header == Header::Host || (tunnel && header == Header::SecWebsocketKey) {
            continue;
        }
        if header.class().meets(Class::HOP) && header != Header::Te && is_of_connection(header) {
            return Err(malformed(
                "A header of the connection was sent (`Connection`, `Transfer-Encoding`, …): HTTP/2 has none",
            ));
        }
        let mut values = headers.get_all(name).iter().map(|value| value.as_bytes());
        if header == Header::Cookie {
            reader.cookie(name.as_str(), values)?;
        } else {
            values.try_for_each(|value| reader.field(header, name.as_str(), &[value]))?;
        }
    }
    if tunnel {
        reader.ask_for_tunnel()?;
    }
    let Reader { fields, bytes, .. } = reader;
    Ok(ReadHead {
        head: RequestHead::new(method, Version::Http2, target, fields, bytes),
        content_length,
    })
}

struct Reader {
    bounds: HeadBounds,
    fields: Fields,
    bytes: Vec<u8>,
}

impl Reader {
    fn target(&mut self, path: &str) -> Result<Target, Fault> {
        let most = self.bounds.line;
        if path.len() > most {
            return Err(Fault::new(
                Code::UriTooLong,
                format!("`:path` is longer than {most} bytes; shorten the address"),
            ));
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(path.as_bytes());
        Target::of_path(path.as_bytes(), at).ok_or_else(|| {
            malformed(
                "The request's target is no path; it begins with `/`, and other characters than those of a URL are percent-encoded",
            )
        })
    }

    /// Whom the request is for stands in `:authority`, or else in `host`; both say the same (RFC 9113, section
    /// 8.3.1). From here on it stands in `host` alone.
    fn host(&mut self, authority: Option<&Authority>, headers: &HeaderMap) -> Result<(), Fault> {
        let mut hosts = headers.get_all("host").iter();
        let host = hosts.next().map(|value| value.as_bytes());
        if hosts.next().is_some() {
            return Err(malformed("`host` stands there twice; send it once"));
        }
        let authority = authority.map(|authority| authority.as_str().as_bytes());
        if authority.is_some_and(|authority| authority.contains(&b'@')) {
            return Err(malformed(
                "`:authority` has a user before its host; send the host alone",
            ));
        }
        let named = match (authority, host) {
            (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
                return Err(malformed(
                    "`:authority` and `host` name different hosts; send `:authority` alone",
                ));
            }
            (Some(named), _) | (None, Some(named)) => named,
            (None, None) => return Err(malformed("`:authority` is missing, and so is `host`")),
        };
        let named = named.to_vec();
        self.field(Header::Host, "host", &[&named])
    }

    /// Writes the wish for a tunnel as HTTP/1.1 has it (RFC 8441, section 5): with a key, by which the upstream
    /// shows that it has understood it.
    fn ask_for_tunnel(&mut self) -> Result<(), Fault> {
        let mut key = [0; 16];
        rand::fill(&mut key)
            .map_err(|_| Fault::new(Code::Internal, "Something went wrong here"))?;
        let key = STANDARD.encode(key);
        for (header, value) in [
            (Header::Connection, &b"Upgrade"[..]),
            (Header::Upgrade, b"websocket"),
            (Header::SecWebsocketKey, key.as_bytes()),
        ] {
            let name = std::str::from_utf8(header.as_bytes()).unwrap_or_default();
            self.field(header, name, &[value])?;
        }
        Ok(())
    }

    fn cookie<'a>(
        &mut self,
        name: &str,
        crumbs: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), Fault> {
        let mut whole = Vec::new();
        for crumb in crumbs {
            if !whole.is_empty() {
                whole.push(CRUMBS);
            }
            whole.push(crumb);
        }
        self.field(Header::Cookie, name, &whole)
    }

    /// Notes a field whose value is put together from these pieces.
    fn field(&mut self, header: Header, name: &str, pieces: &[&[u8]]) -> Result<(), Fault> {
        if self.fields.len() >= self.bounds.fields {
            let most = self.bounds.fields;
            return Err(Fault::new(
                Code::HeadersTooLarge,
                format!("There are more than {most} header fields"),
            ));
        }
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        let middle = self.bytes.len();
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        let end = self.bytes.len();
        if end > self.bounds.head {
            let most = self.bounds.head;
            return Err(Fault::new(
                Code::HeadersTooLarge,
                format!("The header section is larger than {most} bytes"),
            ));
        }
        let value = self.bytes.get(middle..end).unwrap_or_default();
        if has_control(value) || value.trim_ascii().len() != value.len() {
            return Err(malformed(
                "A header's value has a control character, or white space around it",
            ));
        }
        self.fields
            .note(header, Span::new(begin, middle), Span::new(middle, end));
        Ok(())
    }
}

/// The fields that frame a message or steer a connection in HTTP/1.1 (RFC 9113, section 8.2.2).
fn is_of_connection(header: Header) -> bool {
    matches!(
        header,
        Header::Connection
            | Header::KeepAlive
            | Header::ProxyConnection
            | Header::TransferEncoding
            | Header::Upgrade
    )
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let mut lengths = headers.get_all("content-length").iter();
    let Some(length) = lengths.next() else {
        return Ok(None);
    };
    if lengths.next().is_some() {
        return Err(malformed(
            "`Content-Length` stands there twice; send it once",
        ));
    }
    decimal(length.as_bytes())
        .map(Some)
        .ok_or_else(|| malformed("`Content-Length` is not a plain decimal number"))
}

fn malformed(detail: &'static str) -> Fault {
    Fault::new(Code::BadRequest, detail)
}
