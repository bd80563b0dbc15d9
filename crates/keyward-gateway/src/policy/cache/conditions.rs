//! Conditions and ranges of a request, met by an answer that is kept (RFC 9111, section 4.3.2; RFC 9110,
//! sections 13 and 14).

use super::entry::Entry;
use super::freshness::date;
use crate::message::{Fields, Header};
use http::{Method, StatusCode};

/// What of a kept answer a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// The client has it.
    NotModified,
    /// From this byte, up to before that one.
    Range(usize, usize),
    /// It has no such bytes.
    Unsatisfiable,
}

/// Fields by which a client asks for less than the whole.
pub(super) const CONDITIONAL: &[&[u8]] = &[
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"range",
];

/// Fields that make a request one of a kind: it goes to the upstream, which alone can answer it.
pub(super) const PRECONDITIONS: &[&[u8]] = &[b"if-match", b"if-unmodified-since"];

pub(super) fn part(method: &Method, asked: &Fields, entry: &Entry) -> Part {
    if entry.status != StatusCode::OK {
        return Part::Whole;
    }
    if is_not_modified(asked, entry) {
        return Part::NotModified;
    }
    let mut ranges = asked.all_named("range");
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if *method == Method::GET && if_range_holds(asked, entry) => {
            of_range(range, entry.body.len())
        }
        _ => Part::Whole,
    }
}

fn is_not_modified(asked: &Fields, entry: &Entry) -> bool {
    if asked.has(Header::IfNoneMatch) {
        // It comes before dates (RFC 9110, section 13.2.2), and is weak (section 13.1.2).
        let own = entry.fields.get(Header::Etag).map(opaque);
        return asked
            .all(Header::IfNoneMatch)
            .flat_map(tags)
            .any(|tag| tag == b"*" || Some(opaque(tag)) == own);
    }
    let Some(since) = asked.get_named(b"if-modified-since").and_then(date) else {
        return false;
    };
    let modified = entry.fields.get_named(b"last-modified");
    let modified = modified.or_else(|| entry.fields.get(Header::Date));
    modified.and_then(date).is_some_and(|at| at <= since)
}

/// Entity tags of a list. Inside quotes a comma is part of the tag.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    list.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    })
    .map(<[u8]>::trim_ascii)
    .filter(|tag| !tag.is_empty())
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether the client's part is of this very body (RFC 9110, section 13.1.5): weak validators prove nothing.
fn if_range_holds(asked: &Fields, entry: &Entry) -> bool {
    let Some(condition) = asked.get_named(b"if-range") else {
        return true;
    };
    if condition.starts_with(b"W/") {
        return false;
    }
    if condition.starts_with(b"\"") {
        return entry.fields.get(Header::Etag) == Some(condition);
    }
    entry.fields.get_named(b"last-modified") == Some(condition)
}

/// One range of bytes (RFC 9110, section 14.1.2). What can't be read, and several ranges, are as if nothing had
/// been asked.
pub(super) fn of_range(range: &[u8], length: usize) -> Part {
    let Some(spec) = strip_unit(range) else {
        return Part::Whole;
    };
    let Some(dash) = spec.iter().position(|byte| *byte == b'-') else {
        return Part::Whole;
    };
    let (first, last) = spec.split_at(dash);
    let last = last.get(1..).unwrap_or_default();
    match (number(first), number(last)) {
        (Some(Some(first)), Some(last)) => {
            if last.is_some_and(|last| last < first) {
                return Part::Whole;
            }
            if first >= length {
                return Part::Unsatisfiable;
            }
            let end = last.map_or(length, |last| last.saturating_add(1).min(length));
            Part::Range(first, end)
        }
        (Some(None), Some(Some(count))) => match count.min(length) {
            0 => Part::Unsatisfiable,
            count => Part::Range(length - count, length),
        },
        _ => Part::Whole,
    }
}

fn strip_unit(range: &[u8]) -> Option<&[u8]> {
    let (unit, rest) = range.split_at_checked(b"bytes=".len())?;
    unit.eq_ignore_ascii_case(b"bytes=")
        .then(|| rest.trim_ascii())
}

/// Digits; the inner `None`: there are none. The outer: it is no number.
fn number(text: &[u8]) -> Option<Option<usize>> {
    if text.is_empty() {
        return Some(None);
    }
    let digits = text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| digits)?;
    Some(Some(text.parse().unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        for (range, expected) in [
            ("bytes=0-0", Part::Range(0, 1)),
            ("bytes=2-", Part::Range(2, 10)),
            ("Bytes=8-99", Part::Range(8, 10)),
            ("bytes=-3", Part::Range(7, 10)),
            ("bytes=-99", Part::Range(0, 10)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=5-4", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=a-", Part::Whole),
            ("bytes=-", Part::Whole),
            ("items=0-1", Part::Whole),
            ("bytes=99999999999999999999-", Part::Unsatisfiable),
        ] {
            assert_eq!(of_range(range.as_bytes(), 10), expected, "{range}");
        }
    }

    #[test]
    fn commas_in_a_tag_are_part_of_it() {
        let list: Vec<_> = tags(b"\"a,b\", W/\"c\" ,, *").collect();
        assert_eq!(list, [&b"\"a,b\""[..], b"W/\"c\"", b"*"]);
    }
}
