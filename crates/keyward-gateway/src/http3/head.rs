//! A request's head, read out of its header section and made into the one that every call has (RFC 9114, section
//! 4.3).
//!
//! Each line is checked as it comes: pseudo-header fields once each, known, and before all others; names in lower
//! case; no fields of a connection; values without control characters or white space around them. What could be
//! read in two ways further on is refused.

use super::qpack::{self, QpackError, Stopped};
use crate::http1::{HeadBounds, decimal};
use crate::message::fields::has_control;
use crate::message::{Fields, Header, RequestHead, Span, Target, Version};
use http::Method;
use keyward_model::{Code, Fault};

/// What separates the values of `Cookie` when they are put together (RFC 9114, section 4.2.1).
const CRUMBS: &[u8] = b"; ";

/// A head, and what it says of its body's length.
#[derive(Debug)]
pub(super) struct ReadHead {
    pub(super) head: RequestHead,
    pub(super) content_length: Option<u64>,
}

/// Why there is no head.
#[derive(Debug)]
pub(super) enum Unread {
    /// What the client is told, by the method as far as it was known.
    Refused(Method, Fault),
    /// The section can't be understood: its connection ends.
    Broken(QpackError),
}

/// Reads a head into the memory of `spare`, which is empty.
pub(super) fn read(
    section: &[u8],
    bounds: HeadBounds,
    (fields, bytes): (Fields, Vec<u8>),
) -> Result<ReadHead, Unread> {
    let mut reader = Reader {
        bounds,
        fields,
        bytes,
        pseudo: Pseudo::default(),
        host: None,
        cookie: None,
        length: None,
        regular: false,
    };
    let mut scratch = Vec::new();
    let read = qpack::decode(section, &mut scratch, |name, value| {
        reader.line(name, value)
    });
    let method = reader.pseudo.method.clone();
    let refused = |fault| Unread::Refused(method.unwrap_or(Method::GET), fault);
    match read {
        Ok(()) => reader.finish().map_err(refused),
        Err(Stopped::Refused(fault)) => Err(refused(fault)),
        Err(Stopped::Broken(error)) => Err(Unread::Broken(error)),
    }
}

/// Reads trailers; `None` where they are malformed, or larger than `most`.
pub(super) fn trailers(section: &[u8], most: usize) -> Option<Fields> {
    let mut fields = Fields::new();
    let read = qpack::decode(section, &mut Vec::new(), |name, value| {
        // Of pseudo-header fields there are none (section 4.3), and their colon is no character of a name.
        let name = std::str::from_utf8(name).ok().filter(|_| is_name(name));
        let Some(name) = name.filter(|_| is_value(value)) else {
            return Err(());
        };
        fields.append_named(name, value);
        if fields.bytes().len() > most {
            return Err(());
        }
        Ok(())
    });
    read.is_ok().then_some(fields)
}

/// A header section that is larger than it may be.
pub(super) fn too_large(most: usize) -> Fault {
    Fault::new(
        Code::HeadersTooLarge,
        format!("The header section is larger than {most} bytes"),
    )
}

/// The pseudo-header fields of a request.
#[derive(Debug, Default)]
struct Pseudo {
    method: Option<Method>,
    target: Option<Target>,
    /// Whether `:path` came, for it may be empty.
    path: bool,
    scheme: bool,
    authority: Option<Span>,
}

struct Reader {
    bounds: HeadBounds,
    fields: Fields,
    bytes: Vec<u8>,
    pseudo: Pseudo,
    /// The value of `host`.
    host: Option<Span>,
    /// The values of `cookie`, put together as they come.
    cookie: Option<Vec<u8>>,
    length: Option<u64>,
    /// Whether a field came that is no pseudo-header field: none may follow.
    regular: bool,
}

impl Reader {
    fn line(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        if name.first() == Some(&b':') {
            return self.pseudo_field(name, value);
        }
        self.regular = true;
        if !is_name(name) {
            return Err(malformed(
                "A header's name is empty, in upper case or has characters that no name has",
            ));
        }
        if !is_value(value) {
            return Err(malformed(
                "A header's value has a control character, or white space around it",
            ));
        }
        let header = Header::of(name);
        if is_of_connection(header) {
            return Err(malformed(
                "A header of the connection was sent (`Connection`, `Transfer-Encoding`, …): HTTP/3 has none",
            ));
        }
        if header == Header::Te && !value.eq_ignore_ascii_case(b"trailers") {
            return Err(malformed("`te` is something other than `trailers`"));
        }
        if header == Header::Host {
            if self.host.is_some() {
                return Err(malformed("`host` stands there twice; send it once"));
            }
            self.host = Some(self.keep(value)?);
            return Ok(());
        }
        if header == Header::Cookie {
            return self.crumb(value);
        }
        if header == Header::ContentLength {
            if self.length.is_some() {
                return Err(malformed(
                    "`Content-Length` stands there twice; send it once",
                ));
            }
            let length = decimal(value)
                .ok_or_else(|| malformed("`Content-Length` is not a plain decimal number"))?;
            self.length = Some(length);
        }
        let name = self.keep(name)?;
        let value = self.keep(value)?;
        self.fields.note(header, name, value);
        self.count()
    }

    fn pseudo_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        if self.regular {
            return Err(malformed(
                "A pseudo-header field stands behind other fields: they come first",
            ));
        }
        let again = |there| {
            if there {
                Err(malformed(
                    "A pseudo-header field stands there twice; send each once",
                ))
            } else {
                Ok(())
            }
        };
        match name {
            b":method" => {
                again(self.pseudo.method.is_some())?;
                let method =
                    Method::from_bytes(value).map_err(|_| malformed("`:method` is no method"))?;
                self.pseudo.method = Some(method);
            }
            b":scheme" => {
                again(self.pseudo.scheme)?;
                if value != b"https" && value != b"http" {
                    return Err(malformed("`:scheme` is neither `https` nor `http`"));
                }
                self.pseudo.scheme = true;
            }
            b":path" => {
                again(self.pseudo.path)?;
                self.pseudo.path = true;
                self.pseudo.target = Some(self.target(value)?);
            }
            b":authority" => {
                again(self.pseudo.authority.is_some())?;
                if !is_authority(value) {
                    return Err(malformed(
                        "`:authority` is no host with or without a port; send the host alone",
                    ));
                }
                self.pseudo.authority = Some(self.keep(value)?);
            }
            _ => {
                return Err(malformed(
                    "A pseudo-header field is none of a request: `:method`, `:scheme`, `:authority`, `:path`",
                ));
            }
        }
        Ok(())
    }

    fn target(&mut self, path: &[u8]) -> Result<Target, Fault> {
        let most = self.bounds.line;
        if path.len() > most {
            return Err(Fault::new(
                Code::UriTooLong,
                format!("`:path` is longer than {most} bytes; shorten the address"),
            ));
        }
        let at = self.bytes.len();
        self.keep(path)?;
        Target::of_path(path, at).ok_or_else(|| {
            malformed(
                "The request's target is no path; it begins with `/`, and other characters than those of a URL are percent-encoded",
            )
        })
    }

    /// The head, now that all of its lines have come.
    fn finish(mut self) -> Result<ReadHead, Fault> {
        let pseudo = std::mem::take(&mut self.pseudo);
        let Some(method) = pseudo.method else {
            return Err(malformed("The request has no `:method`"));
        };
        let target = if method == Method::CONNECT {
            // It has neither (section 4.4).
            if pseudo.path || pseudo.scheme {
                return Err(malformed(
                    "`CONNECT` has no `:path` and no `:scheme`; send `:authority` alone",
                ));
            }
            Target::default()
        } else {
            if !pseudo.scheme {
                return Err(malformed("The request has no `:scheme`"));
            }
            pseudo
                .target
                .ok_or_else(|| malformed("The request has no `:path`"))?
        };
        self.host(pseudo.authority)?;
        self.cookie()?;
        let Self {
            fields,
            bytes,
            length,
            ..
        } = self;
        Ok(ReadHead {
            head: RequestHead::new(method, Version::Http3, target, fields, bytes),
            content_length: length,
        })
    }

    /// Whom the request is for stands in `:authority`, or else in `host`; both say the same (section 4.3.1). From
    /// here on it stands in `host` alone.
    fn host(&mut self, authority: Option<Span>) -> Result<(), Fault> {
        let named = match (authority, self.host) {
            (Some(authority), Some(host)) => {
                let same = authority
                    .of(&self.bytes)
                    .eq_ignore_ascii_case(host.of(&self.bytes));
                if !same {
                    return Err(malformed(
                        "`:authority` and `host` name different hosts; send `:authority` alone",
                    ));
                }
                authority
            }
            (Some(named), None) | (None, Some(named)) => named,
            (None, None) => return Err(malformed("`:authority` is missing, and so is `host`")),
        };
        let name = self.keep(Header::Host.as_bytes())?;
        self.fields.note(Header::Host, name, named);
        self.count()
    }

    /// Cookies that come in crumbs go on as one field, and count as one: how many there are is bounded by their bytes.
    fn crumb(&mut self, value: &[u8]) -> Result<(), Fault> {
        let cookie = self.cookie.get_or_insert_default();
        if !cookie.is_empty() {
            cookie.extend_from_slice(CRUMBS);
        }
        cookie.extend_from_slice(value);
        if self.bytes.len() + cookie.len() > self.bounds.head {
            return Err(too_large(self.bounds.head));
        }
        Ok(())
    }

    fn cookie(&mut self) -> Result<(), Fault> {
        let Some(cookie) = self.cookie.take() else {
            return Ok(());
        };
        let name = self.keep(Header::Cookie.as_bytes())?;
        let value = self.keep(&cookie)?;
        self.fields.note(Header::Cookie, name, value);
        self.count()
    }

    /// Keeps these bytes, within the bound.
    fn keep(&mut self, bytes: &[u8]) -> Result<Span, Fault> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let end = self.bytes.len();
        if end > self.bounds.head {
            return Err(too_large(self.bounds.head));
        }
        Ok(Span::new(start, end))
    }

    fn count(&self) -> Result<(), Fault> {
        let most = self.bounds.fields;
        if self.fields.len() > most {
            return Err(Fault::new(
                Code::HeadersTooLarge,
                format!("There are more than {most} header fields"),
            ));
        }
        Ok(())
    }
}

/// The fields that frame a message or steer a connection in HTTP/1.1 (RFC 9114, section 4.2).
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

/// Whether a field may have this name (RFC 9110, section 5.6.2), which is in lower case.
fn is_name(name: &[u8]) -> bool {
    let is_token = |byte: &u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
    };
    !name.is_empty() && name.iter().all(is_token)
}

fn is_value(value: &[u8]) -> bool {
    !has_control(value) && value.trim_ascii().len() == value.len()
}

/// Whether it is a host with or without a port: no user before it, and nothing that would end it.
fn is_authority(value: &[u8]) -> bool {
    !value.is_empty()
        && value.iter().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'-' | b'.'
                        | b'_'
                        | b'~'
                        | b'!'
                        | b'$'
                        | b'&'
                        | b'\''
                        | b'('
                        | b')'
                        | b'*'
                        | b'+'
                        | b','
                        | b';'
                        | b'='
                        | b':'
                        | b'%'
                        | b'['
                        | b']'
                )
        })
}

fn malformed(detail: &'static str) -> Fault {
    Fault::new(Code::BadRequest, detail)
}
