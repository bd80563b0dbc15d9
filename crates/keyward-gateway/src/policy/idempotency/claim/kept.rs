//! What became of a call, in bytes for the other nodes.
//!
//! Lengths are four bytes, big-endian; what is read is not believed to be well-formed: the server is not one of us.

use super::super::memory::Outcome;
use crate::message::{Class, Fields, Header};
use bytes::Bytes;
use http::StatusCode;
use keyward_model::{Code, Fault};

/// A larger answer, head and body, is kept by the node that got it alone: it would hold up the limits of other calls,
/// which go over the same connection. The others know that there was one.
const ANSWER_MAX: usize = 256 << 10;

/// An answer of HTTP has a few dozen.
const FIELDS_MAX: usize = 1_000;

const ANSWER: u8 = 1;
const FAILED: u8 = 2;
const LOST: u8 = 3;

pub(super) fn write(outcome: &Outcome) -> Vec<u8> {
    match outcome {
        Outcome::Answer {
            status,
            fields,
            body,
        } => {
            let mut written = vec![ANSWER];
            written.extend_from_slice(&status.as_u16().to_be_bytes());
            length(&mut written, fields.len());
            for field in fields.iter() {
                part(&mut written, field.name);
                part(&mut written, field.value);
            }
            part(&mut written, body);
            if written.len() > ANSWER_MAX || fields.len() > FIELDS_MAX {
                return write(&Outcome::Lost(Some(*status)));
            }
            written
        }
        Outcome::Failed(fault) => {
            let mut written = vec![FAILED];
            part(&mut written, fault.code().as_str().as_bytes());
            part(&mut written, fault.detail().as_bytes());
            written
        }
        Outcome::Lost(status) => {
            let mut written = vec![LOST];
            let status = status.map_or(0, |status| status.as_u16());
            written.extend_from_slice(&status.to_be_bytes());
            written
        }
    }
}

/// `None`: nothing that one of us has written.
pub(super) fn read(written: &[u8]) -> Option<Outcome> {
    let (kind, rest) = written.split_first()?;
    let mut rest = Reader(rest);
    let outcome = match *kind {
        ANSWER => {
            let status = final_status(rest.short()?)?;
            let count = rest.length()?;
            if count > FIELDS_MAX {
                return None;
            }
            let mut fields = Fields::new();
            for _ in 0..count {
                let (name, value) = (rest.part()?, rest.part()?);
                let name = std::str::from_utf8(name)
                    .ok()
                    .filter(|name| is_name(name) && !frames(name))?;
                if !is_value(value) {
                    return None;
                }
                fields.append_named(name, value);
            }
            Outcome::Answer {
                status,
                fields,
                body: Bytes::copy_from_slice(rest.part()?),
            }
        }
        FAILED => {
            let code = rest.part()?;
            let code = Code::ALL
                .iter()
                .find(|known| known.as_str().as_bytes() == code)?;
            let detail = std::str::from_utf8(rest.part()?).ok()?;
            Outcome::Failed(Fault::new(*code, detail))
        }
        LOST => match rest.short()? {
            0 => Outcome::Lost(None),
            status => Outcome::Lost(Some(final_status(status)?)),
        },
        _ => return None,
    };
    rest.0.is_empty().then_some(outcome)
}

fn length(written: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    written.extend_from_slice(&length.to_be_bytes());
}

fn part(written: &mut Vec<u8>, bytes: &[u8]) {
    length(written, bytes.len());
    written.extend_from_slice(bytes);
}

/// A field's name in lower case (RFC 9110, section 5.1).
fn is_name(name: &str) -> bool {
    let good = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    !name.is_empty() && name.bytes().all(good)
}

/// Whether it would say where the answer ends, or what the connection does next: that is for who sends it.
fn frames(name: &str) -> bool {
    let header = Header::of(name.as_bytes());
    header.class().meets(Class::HOP) || matches!(header, Header::ContentLength | Header::Trailer)
}

/// One that comes after no other (RFC 9110, section 15.2).
fn final_status(status: u16) -> Option<StatusCode> {
    let status = StatusCode::from_u16(status).ok()?;
    (!status.is_informational()).then_some(status)
}

/// Nothing that would end a field (RFC 9110, section 5.5).
fn is_value(value: &[u8]) -> bool {
    value
        .iter()
        .all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn short(&mut self) -> Option<u16> {
        let (short, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*short))
    }

    fn length(&mut self) -> Option<usize> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        usize::try_from(u32::from_be_bytes(*length)).ok()
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: &[(&str, &str)], body: &[u8]) -> Outcome {
        let mut all = Fields::new();
        for (name, value) in fields {
            all.append_named(name, value.as_bytes());
        }
        Outcome::Answer {
            status: StatusCode::CREATED,
            fields: all,
            body: Bytes::copy_from_slice(body),
        }
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        for outcome in [
            answer(&[], b""),
            answer(&[("location", "/orders/7"), ("x-a", "b\tc")], b"{\"id\":7}"),
            Outcome::Failed(Fault::new(Code::UpstreamTimeout, "It did not answer")),
            Outcome::Lost(None),
            Outcome::Lost(Some(StatusCode::OK)),
        ] {
            let read = read(&write(&outcome));
            assert_eq!(format!("{read:?}"), format!("{:?}", Some(outcome)));
        }
    }

    #[test]
    fn a_large_answer_is_known_and_not_kept() {
        let outcome = answer(&[], &vec![7; ANSWER_MAX]);
        let read = read(&write(&outcome));
        assert!(
            matches!(read, Some(Outcome::Lost(Some(StatusCode::CREATED)))),
            "{read:?}"
        );
    }

    #[test]
    fn nothing_else_is_believed() {
        let good = write(&answer(&[("location", "/orders/7")], b"body"));
        for length in 0..good.len() {
            assert!(read(&good[..length]).is_none(), "cut at {length}");
        }
        let with = |bytes: &[u8]| [&good[..], bytes].concat();
        assert!(read(&with(b"x")).is_none());
        // Fields of ours have no such values: it is put in the place of a good one.
        let value = b"/orders/7";
        let found = good.windows(value.len()).position(|part| part == value);
        let at = found.unwrap();
        let mut split = good.clone();
        split[at..at + value.len()].copy_from_slice(b"a\r\nb: c\r\n");
        assert!(read(&split).is_none());
        for name in [
            "loc ation",
            "Location",
            "connection",
            "content-length",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ] {
            let written = write(&answer(&[(name, "a")], b""));
            assert!(read(&written).is_none(), "{name}");
        }
        for status in [100_u16, 101, 199, 1_000] {
            let mut other = good.clone();
            other[1..3].copy_from_slice(&status.to_be_bytes());
            assert!(read(&other).is_none(), "{status}");
        }
        let failed = write(&Outcome::Failed(Fault::new(Code::Internal, "x")));
        let other = String::from_utf8_lossy(&failed).replace("internal", "whatever");
        assert!(read(other.as_bytes()).is_none());
        assert!(read(&[9, 0, 0]).is_none());
        assert!(read(&[LOST, 0, 7]).is_none());
    }
}
