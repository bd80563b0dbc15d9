//! The lines that a head is made of.

use super::head::malformed;
use crate::message::fields::has_control;
use crate::message::{Span, Target, Version, is_target_byte, path_and_query};
use http::{Method, StatusCode};
use keyward_model::Fault;
use memchr::memchr;

/// The first line.
#[derive(Clone, Debug)]
pub(super) enum Start {
    Request {
        method: Method,
        version: Version,
        target: Target,
    },
    Answer {
        status: StatusCode,
        version: Version,
    },
}

/// What speaks another protocol, TLS above all, would wait for an answer to a line that never ends.
pub(super) fn begins_as_http(line: &[u8]) -> Result<(), Fault> {
    match line.first() {
        Some(first) if *first != b'\r' && lower_case(*first).is_none() => Err(malformed(
            "This is no HTTP/1.1 request; is the client set to TLS? Plain HTTP is spoken here",
        )),
        Some(_) | None => Ok(()),
    }
}

/// Reads a request line that stands at `begin` (RFC 9112, section 3).
pub(super) fn request_line(line: &[u8], begin: usize) -> Result<Start, Fault> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    let version = match version {
        Some(b"HTTP/1.1") => Some(Version::Http11),
        Some(b"HTTP/1.0") => Some(Version::Http10),
        Some(_) | None => None,
    };
    let (Some(method), Some(target), Some(version), None) = (method, target, version, parts.next())
    else {
        return Err(malformed(
            "The request line is not `METHOD target HTTP/1.1` with single spaces",
        ));
    };
    let at = begin + method.len() + 1;
    let method = Method::from_bytes(method).map_err(|_| {
        malformed(
            "The request line does not begin with a method: letters, without quotes or brackets",
        )
    })?;
    let target = self::target(&method, target, at).ok_or_else(|| {
        malformed(
            "The request's target is no path; it begins with `/`, and other characters than those of a URL are percent-encoded",
        )
    })?;
    Ok(Start::Request {
        method,
        version,
        target,
    })
}

/// A path, `*`, a whole URL, or a host for `CONNECT` (RFC 9112, section 3.2), which stands at `at`.
fn target(method: &Method, target: &[u8], at: usize) -> Option<Target> {
    match target.first()? {
        b'*' | b'/' => Target::of_path(target, at),
        _ => {
            let uri = http::Uri::try_from(target).ok()?;
            if !target.iter().all(is_target_byte) {
                return None;
            }
            if *method == Method::CONNECT {
                return Some(Target::default());
            }
            uri.scheme()?;
            let slashes = target.windows(3).position(|three| three == b"://")?;
            let begin = slashes + 3;
            let rest = target.get(begin..)?;
            let authority = rest
                .iter()
                .position(|byte| matches!(byte, b'/' | b'?'))
                .unwrap_or(rest.len());
            let after = begin + authority;
            let (path, query) = path_and_query(target.get(after..)?, at + after);
            // An empty path is that of the root, for which a slash of the scheme's will do.
            let path = if path == Span::new(at + after, at + after) {
                Span::new(at + slashes + 1, at + slashes + 2)
            } else {
                path
            };
            Some(Target {
                authority: Some(Span::new(at + begin, at + after)),
                path,
                query,
            })
        }
    }
}

/// Reads a status line (RFC 9112, section 4).
pub(super) fn status_line(line: &[u8]) -> Result<Start, Fault> {
    let wrong = || malformed("The status line is not `HTTP/1.1 200 reason`");
    let (version, rest) = line.split_at_checked(9).ok_or_else(wrong)?;
    let version = match version {
        b"HTTP/1.1 " => Version::Http11,
        b"HTTP/1.0 " => Version::Http10,
        _ => return Err(wrong()),
    };
    let (status, reason) = rest.split_at_checked(3).ok_or_else(wrong)?;
    if !matches!(reason.first(), None | Some(b' ')) || has_control(reason) {
        return Err(wrong());
    }
    let status = StatusCode::from_bytes(status).map_err(|_| wrong())?;
    Ok(Start::Answer { status, version })
}

/// Reads a field line (RFC 9112, section 5), writing its name in lower case: the name's length, and where
/// the value begins and ends.
pub(super) fn field_line(line: &mut [u8]) -> Result<(usize, (usize, usize)), Fault> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(malformed(
            "A header is folded over several lines; send it on one",
        ));
    }
    let mut name = 0;
    for byte in line.iter_mut() {
        match lower_case(*byte) {
            Some(lower) => *byte = lower,
            None => break,
        }
        name += 1;
    }
    match line.get(name) {
        Some(b':') if name > 0 => {}
        Some(_) if memchr(b':', line).is_some() => {
            return Err(malformed(
                "A header's name has a character that may not stand there (a space before the colon?)",
            ));
        }
        Some(_) | None => return Err(malformed("A header line has no colon")),
    }
    let text = line.get(name + 1..).unwrap_or_default();
    if has_control(text) {
        return Err(malformed(
            "A header's value has a control character (a bare carriage return, a NUL, …)",
        ));
    }
    // Spaces and tabs, nothing else (RFC 9110, section 5.6.3).
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = text
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(begin, |at| at + 1);
    let offset = name + 1;
    Ok((name, (offset + begin, offset + end)))
}

/// A number in plain digits, as few as fit.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 19 && text.iter().all(u8::is_ascii_digit);
    digits.then(|| {
        text.iter()
            .fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    })
}

/// The byte in lower case if it may stand in a token (RFC 9110, section 5.6.2).
fn lower_case(byte: u8) -> Option<u8> {
    match LOWER_CASE.get(usize::from(byte)) {
        Some(0) | None => None,
        Some(lower) => Some(*lower),
    }
}

/// Bytes of a token in lower case; zero for others.
const LOWER_CASE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(
            clippy::indexing_slicing,
            clippy::cast_possible_truncation,
            reason = "evaluated by the compiler"
        )]
        {
            let b = byte as u8;
            let token = b.is_ascii_alphanumeric()
                || matches!(
                    b,
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
                );
            if token {
                table[byte] = b.to_ascii_lowercase();
            }
        }
        byte += 1;
    }
    table
};
