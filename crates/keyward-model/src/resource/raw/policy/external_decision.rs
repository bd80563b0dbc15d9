//! Reading `external_decision`.

use super::super::api::{TAKEN_HEADERS, is_token};
use super::super::field::{Field, Fields};
use super::super::problem::Problems;
use super::super::read::name;
use super::{is_off, too_many};
use crate::resource::policy::{DecisionCache, ExternalDecision};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

const KEYS: &[&str] = &[
    "upstream",
    "path",
    "request_headers",
    "set_headers",
    "answer_headers",
    "timeout",
    "cache",
    "on_failure",
];

/// The most names of one list.
const NAMES_MAX: usize = 32;
/// A decision that takes longer holds its call up longer than most callers wait.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(1);
/// What says who calls.
const REQUEST_HEADERS: &[&str] = &["authorization", "cookie"];
/// What a caller needs to do better: where to log in, with what, and the state of that.
const ANSWER_HEADERS: &[&str] = &["location", "set-cookie", "www-authenticate"];
/// What says who calls, unless something else is said.
const ENTRIES: u64 = 10_000;
const ENTRIES_MAX: u64 = 1_000_000;
/// What was decided is not changed by a log-out for so long.
const TTL_MAX: Duration = Duration::from_secs(3600);
const PATH_MAX: usize = 1024;

/// Headers that frame a message or belong to its connection.
const FRAMING: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "request-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-proto",
    "x-forwarded-uri",
];

/// The inner `None`: it is off.
pub(super) fn read(
    field: Field<'_>,
    problems: &mut Problems,
) -> Option<Option<Arc<ExternalDecision>>> {
    if is_off(field) {
        return Some(None);
    }
    let fields = field.fields(KEYS, problems)?;
    let upstream = fields
        .required("upstream", "name the upstream that is asked", problems)
        .and_then(|field| name(field, problems));
    let path = match fields.optional("path") {
        Some(field) => question_path(field, problems),
        None => Some("/".into()),
    };
    let request_headers = names(
        &fields,
        "request_headers",
        REQUEST_HEADERS,
        FRAMING,
        problems,
    );
    let answer_headers = names(&fields, "answer_headers", ANSWER_HEADERS, FRAMING, problems);
    // A token for the upstream in the place of the caller's is what such services are for.
    let taken: Vec<&str> = TAKEN_HEADERS
        .iter()
        .copied()
        .filter(|name| *name != "authorization")
        .collect();
    let set_headers = names(&fields, "set_headers", &[], &taken, problems);
    let timeout = question_timeout(&fields, None, problems);
    let cache = match fields.optional("cache") {
        Some(field) if is_off(field) => Some(None),
        Some(field) => cache(field, request_headers.as_deref(), problems).map(Some),
        None => Some(None),
    };
    let allow_on_failure = match fields.optional("on_failure") {
        Some(field) => field.one_of(&[("refuse", false), ("allow", true)], problems),
        None => Some(false),
    };
    Some(Some(Arc::new(ExternalDecision {
        upstream: upstream?,
        path: path?,
        request_headers: request_headers?,
        set_headers: set_headers?,
        answer_headers: answer_headers?,
        timeout: timeout?,
        cache: cache?,
        allow_on_failure: allow_on_failure?,
    })))
}

/// How long the answer to a question may take.
pub(in crate::resource::raw) fn question_timeout(
    fields: &Fields<'_>,
    usual: Option<Duration>,
    problems: &mut Problems,
) -> Option<Duration> {
    let Some(field) = fields.optional("timeout") else {
        return Some(usual.unwrap_or(TIMEOUT));
    };
    let timeout = field.positive_duration(problems)?;
    if timeout > TIMEOUT_MAX {
        field.refuse(
            "is longer than 30s, for which the call would wait",
            problems,
        );
        return None;
    }
    Some(timeout)
}

/// The path that a question is asked at.
pub(in crate::resource::raw) fn question_path(
    field: Field<'_>,
    problems: &mut Problems,
) -> Option<Box<str>> {
    field.parsed(
        |text| {
            let good = text.starts_with('/')
                && text.len() <= PATH_MAX
                && text
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'<' | b'>' | b'"' | b'`'));
            good.then(|| text.into())
        },
        "is no path: it begins with `/` and has what may stand in an address alone, 1,024 bytes at most",
        problems,
    )
}

fn names(
    fields: &Fields<'_>,
    key: &str,
    usual: &[&str],
    taken: &[&str],
    problems: &mut Problems,
) -> Option<Vec<Box<str>>> {
    let Some(field) = fields.optional(key) else {
        return Some(usual.iter().copied().map(Into::into).collect());
    };
    let members = field.list(problems)?;
    if too_many(field, members.len(), NAMES_MAX, problems) {
        return None;
    }
    let mut names: Vec<Box<str>> = Vec::new();
    for member in members {
        let name = member.text(problems)?.to_ascii_lowercase();
        if !is_token(&name) {
            member.refuse("is no header name", problems);
        } else if taken.contains(&name.replace('_', "-").as_str()) {
            member.refuse(
                "is set or taken out by the gateway itself: it can't be chosen here",
                problems,
            );
        } else if names.iter().any(|known| **known == *name) {
            member.refuse("stands in the list twice", problems);
        } else {
            names.push(name.into());
        }
    }
    Some(names)
}

fn cache(
    field: Field<'_>,
    sent: Option<&[Box<str>]>,
    problems: &mut Problems,
) -> Option<DecisionCache> {
    let fields = field.fields(&["by", "ttl", "entries", "any_path"], problems)?;
    let sent = sent.unwrap_or_default();
    let by = match fields.optional("by") {
        Some(by) => {
            let names = names(&fields, "by", &[], FRAMING, problems)?;
            // What the service reads and the cache does not look at would give one caller another's decision.
            if let Some(left_out) = sent.iter().find(|name| !names.contains(name)) {
                by.refuse(
                    &format!("leaves out `{left_out}`, which is asked with: a decision would count for callers that differ in it. Add it, or take it out of `request_headers`"),
                    problems,
                );
                return None;
            }
            names
        }
        None => sent.to_vec(),
    };
    let ttl = fields
        .required(
            "ttl",
            "say how long a decision is remembered, such as 10s",
            problems,
        )
        .and_then(|field| {
            let ttl = field.positive_duration(problems)?;
            if ttl > TTL_MAX {
                field.refuse(
                    "is longer than 1h: whoever is barred meanwhile would go on for as long",
                    problems,
                );
                return None;
            }
            Some(ttl)
        });
    let entries = match fields.optional("entries") {
        Some(field) => field.whole(1..=ENTRIES_MAX, problems),
        None => Some(ENTRIES),
    };
    let any_path = match fields.optional("any_path") {
        Some(field) => field.boolean(problems),
        None => Some(false),
    };
    Some(DecisionCache {
        by,
        ttl: ttl?,
        entries: u32::try_from(entries?).ok().and_then(NonZeroU32::new)?,
        any_path: any_path?,
    })
}
