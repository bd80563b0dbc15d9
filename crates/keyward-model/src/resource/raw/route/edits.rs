//! Reading changes to headers and queries.

use super::super::api::is_token;
use super::super::field::{Field, Fields};
use super::super::problem::Problems;
use super::super::shortened;
use super::too_many;
use crate::resource::IdentityHeaders;
use crate::resource::route::{EditedValue, HeaderEdits, QueryEdits};

/// The most changes of one kind on one route: each is made on every call.
const EDITS_MAX: usize = 32;

/// The longest value, in bytes: as long as most servers take a header.
const VALUE_MAX: usize = 4096;

/// Headers that frame the message, belong to the connection (RFC 9110, section 7.6.1), or are told by the
/// gateway itself: a change would not hold, or would make a message that can be read in two ways.
const FIXED_HEADERS: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "request-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Names that begin so tell the upstream who calls.
const OWN_PREFIX: &str = "x-keyward-";

/// Whose headers are changed.
#[derive(Clone, Copy)]
pub(super) enum Direction<'a> {
    /// Those that the upstream gets, who calls among them.
    Request(&'a IdentityHeaders),
    /// Those that the caller gets.
    Response,
}

impl Direction<'_> {
    /// Why the header of this name can't be changed. Servers that turn `-` into `_` can't tell the two
    /// apart, so neither do we.
    fn refusal(self, name: &str) -> Option<&'static str> {
        let folded = name.replace('_', "-");
        if !is_token(name) {
            return Some("is no header name: it has letters, digits and `-` alone");
        }
        if FIXED_HEADERS.contains(&folded.as_str()) {
            return Some("is set or taken out by the gateway itself: it can't be changed here");
        }
        let tells_who_calls = match self {
            Self::Request(identity) => {
                folded.starts_with(OWN_PREFIX)
                    || identity.headers.iter().any(|(known, _)| **known == *folded)
            }
            Self::Response => false,
        };
        tells_who_calls.then_some(
            "tells the upstream who calls: it is set by `identity_headers`, and nothing else may write it",
        )
    }
}

pub(super) fn headers(
    field: Field<'_>,
    direction: Direction<'_>,
    problems: &mut Problems,
) -> Option<HeaderEdits> {
    let fields = edits(field, problems)?;
    let mut pairs = |key: &str| match fields.optional(key) {
        Some(field) => header_pairs(field, direction, problems),
        None => Some(Vec::new()),
    };
    let (set, add) = (pairs("set"), pairs("add"));
    let mut remove = Vec::new();
    for (name, member) in removed(&fields, problems)? {
        let name = name.to_ascii_lowercase();
        match direction.refusal(&name) {
            Some(why) => member.refuse(why, problems),
            None => remove.push(name.into()),
        }
    }
    Some(HeaderEdits {
        remove,
        set: set?,
        add: add?,
    })
}

/// Headers with their values, each name once.
pub(super) fn header_pairs(
    field: Field<'_>,
    direction: Direction<'_>,
    problems: &mut Problems,
) -> Option<Vec<(Box<str>, EditedValue)>> {
    let entries = field.entries(problems)?;
    if too_many(field, entries.len(), EDITS_MAX, problems) {
        return None;
    }
    let mut pairs: Vec<(Box<str>, EditedValue)> = Vec::new();
    for entry in entries {
        let name = entry.key().to_ascii_lowercase();
        let twice = pairs.iter().any(|(known, _)| **known == *name);
        let why = direction
            .refusal(&name)
            .or(twice.then_some("stands there twice (letter case makes no difference)"));
        if let Some(why) = why {
            problems.error(
                entry.place(),
                "bad_value",
                format!("`{}`: `{}` {why}", field.key(), shortened(entry.key())),
            );
            continue;
        }
        let value = entry.text(problems)?;
        if value.len() > VALUE_MAX || !is_field_value(value) {
            entry.refuse(
                "can't be a header's value: it has visible ASCII, with spaces inside alone, 4096 bytes at most",
                problems,
            );
            continue;
        }
        pairs.push((name.into(), EditedValue::new(value)));
    }
    Some(pairs)
}

pub(super) fn query(field: Field<'_>, problems: &mut Problems) -> Option<QueryEdits> {
    let fields = edits(field, problems)?;
    let mut pairs = |key: &str| match fields.optional(key) {
        Some(field) => query_pairs(field, problems),
        None => Some(Vec::new()),
    };
    let (set, add) = (pairs("set"), pairs("add"));
    let remove = removed(&fields, problems)?
        .into_iter()
        .map(|(name, _)| name.into())
        .collect();
    Some(QueryEdits {
        remove,
        set: set?,
        add: add?,
    })
}

fn query_pairs(field: Field<'_>, problems: &mut Problems) -> Option<Vec<(Box<str>, EditedValue)>> {
    let entries = field.entries(problems)?;
    if too_many(field, entries.len(), EDITS_MAX, problems) {
        return None;
    }
    let mut pairs = Vec::new();
    for entry in entries {
        let value = entry.text(problems)?;
        if value.len() > VALUE_MAX {
            entry.refuse("is longer than 4096 bytes", problems);
            continue;
        }
        pairs.push((entry.key().into(), EditedValue::new(value)));
    }
    Some(pairs)
}

fn edits<'n>(field: Field<'n>, problems: &mut Problems) -> Option<Fields<'n>> {
    let fields = field.fields(&["set", "add", "remove"], problems)?;
    let any = ["set", "add", "remove"]
        .iter()
        .any(|key| fields.optional(key).is_some());
    if !any {
        problems.error(
            field.place(),
            "bad_value",
            format!(
                "`{}` changes nothing: write `set`, `add` or `remove` under it, or take it out",
                field.key()
            ),
        );
        return None;
    }
    Some(fields)
}

fn removed<'n>(fields: &Fields<'n>, problems: &mut Problems) -> Option<Vec<(&'n str, Field<'n>)>> {
    let Some(field) = fields.optional("remove") else {
        return Some(Vec::new());
    };
    let members = field.filled_list(problems)?;
    if too_many(field, members.len(), EDITS_MAX, problems) {
        return None;
    }
    members
        .into_iter()
        .map(|member| Some((member.text(problems)?, member)))
        .collect()
}

/// Whether this can be a header's value (RFC 9110, section 5.5).
pub(super) fn is_field_value(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_graphic() || matches!(b, b' ' | b'\t');
    text.bytes().all(inside) && text.trim_matches([' ', '\t']) == text
}
