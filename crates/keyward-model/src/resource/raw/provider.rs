//! Reading `kind: provider`.

use super::field::{Field, Fields};
use super::problem::Problems;
use super::provider_key;
use super::read::name;
use super::upstream::{WEIGHT_MAX, one_target};
use crate::name::Name;
use crate::resource::provider::{KeyHeader, OwnKey, Provider, ProviderEjection, SharedWith};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &[
    "catalogue",
    "dialect",
    "base_url",
    "at",
    "api_version",
    "key_header",
    "credentials",
    "own_key",
    "shared",
    "connect_timeout",
    "first_token_timeout",
    "total_timeout",
    "ejection",
];

/// More teams than anyone lists.
const TEAMS_MAX: usize = 1_000;
/// No address has more words of one's own.
const AT_MAX: usize = 8;
/// What the longest of them have is far less.
const AT_MAX_BYTES: usize = 128;
/// More failures in a row than that are waited for by nobody.
const FAILURES_MAX: u64 = 1_000;

pub(super) fn read(
    fields: &Fields<'_>,
    own_name: Option<&Name>,
    problems: &mut Problems,
) -> Option<Provider> {
    let dialect = match fields.optional("dialect") {
        Some(field) => Some(Box::from(field.text(problems)?)),
        None => None,
    };
    let catalogue = match fields.optional("catalogue") {
        Some(field) => Some(name(field, problems)?),
        // What says how it speaks needs no catalogue.
        None if dialect.is_some() => None,
        None => Some(own_name?.clone()),
    };
    let base_url = match fields.optional("base_url") {
        Some(field) => Some(one_target(field, problems)?),
        None => None,
    };
    if let (Some(field), Some(_)) = (fields.optional("catalogue"), &dialect) {
        problems.error(
            field.place(),
            "contradiction",
            "`catalogue` stands beside `dialect`: the catalogue says which dialect the provider speaks; take one of them out",
        );
    }
    if dialect.is_some() && base_url.is_none() {
        problems.error(
            fields.place(),
            "missing_key",
            "`base_url` is missing: a provider that the catalogue does not know is called at an address, such as `base_url: http://127.0.0.1:8000/v1`",
        );
    }
    let key_header = match fields.optional("key_header") {
        Some(field) => Some(field.one_of(
            &[
                ("authorization", KeyHeader::Bearer),
                ("x-api-key", KeyHeader::XApiKey),
                ("x-goog-api-key", KeyHeader::XGoogApiKey),
                ("api-key", KeyHeader::ApiKey),
            ],
            problems,
        )?),
        None => None,
    };
    let at = match fields.optional("at") {
        Some(field) => at(field, problems),
        None => Some(BTreeMap::new()),
    };
    let api_version = match fields.optional("api_version") {
        Some(field) => Some(field.parsed(
            |text| api_version(text).then(|| Box::from(text)),
            "is no version of Azure's interface: write it as `2024-10-21` or `2025-04-01-preview`",
            problems,
        )?),
        None => None,
    };
    let credentials = match fields.optional("credentials") {
        Some(field) => provider_key::read(field, problems),
        None => Some(Vec::new()),
    };
    let own_key = match fields.optional("own_key") {
        Some(field) => field.one_of(
            &[
                ("refuse", OwnKey::Refuse),
                ("allow", OwnKey::Allow),
                ("require", OwnKey::Require),
            ],
            problems,
        )?,
        None => OwnKey::default(),
    };
    if let (Some(field), OwnKey::Require) = (fields.optional("credentials"), own_key) {
        problems.error(
            field.place(),
            "contradiction",
            "`credentials` stands beside `own_key: require`, where callers bring the keys: take one of them out",
        );
    }
    let shared = match fields.optional("shared") {
        Some(field) => shared(field, problems)?,
        None => SharedWith::default(),
    };
    let mut time = |key: &str, default: Duration| match fields.optional(key) {
        Some(field) => field.positive_duration(problems),
        None => Some(default),
    };
    let connect_timeout = time("connect_timeout", Provider::CONNECT_TIMEOUT);
    let first_token_timeout = time("first_token_timeout", Provider::FIRST_TOKEN_TIMEOUT);
    let total_timeout = time("total_timeout", Provider::TOTAL_TIMEOUT);
    let ejection = match fields.optional("ejection") {
        Some(field) => ejection(field, problems),
        None => Some(Some(ProviderEjection::default())),
    };
    Some(Provider {
        catalogue,
        dialect,
        base_url,
        at: at?,
        api_version,
        key_header,
        credentials: credentials?,
        own_key,
        shared,
        connect_timeout: connect_timeout?,
        first_token_timeout: first_token_timeout?,
        total_timeout: total_timeout?,
        ejection: ejection?,
    })
}

fn ejection(field: Field<'_>, problems: &mut Problems) -> Option<Option<ProviderEjection>> {
    if field.as_text() == Some("none") {
        return Some(None);
    }
    let fields = field.fields(&["failures", "time", "max_time"], problems)?;
    let default = ProviderEjection::default();
    let failures = match fields.optional("failures") {
        Some(field) => field
            .whole(1..=FAILURES_MAX, problems)
            .and_then(|count| u32::try_from(count).ok())
            .and_then(NonZeroU32::new),
        None => Some(default.failures),
    };
    let mut time = |key: &str| match fields.optional(key) {
        Some(field) => field.positive_duration(problems).map(Some),
        None => Some(None),
    };
    let (first, longest) = (time("time"), time("max_time"));
    let first = first?.unwrap_or(default.time);
    let longest = longest?.unwrap_or(default.max_time.max(first));
    if longest < first {
        problems.error(
            fields.place(),
            "contradiction",
            "`max_time` is shorter than `time`: make it as long at least",
        );
        return None;
    }
    Some(Some(ProviderEjection {
        failures: failures?,
        time: first,
        max_time: longest,
    }))
}

/// With all teams, or with those that are listed.
fn shared(field: Field<'_>, problems: &mut Problems) -> Option<SharedWith> {
    if !field.is_list() {
        return Some(if field.boolean(problems)? {
            SharedWith::All
        } else {
            SharedWith::Nobody
        });
    }
    let members = field.filled_list(problems)?;
    if members.len() > TEAMS_MAX {
        field.refuse(
            "has more than 1,000 entries: write `shared: true`",
            problems,
        );
        return None;
    }
    let mut teams: BTreeSet<Name> = BTreeSet::new();
    for member in members {
        teams.insert(name(member, problems)?);
    }
    Some(SharedWith::Teams(teams))
}

/// What stands for the words of an address: a word is one segment of a host or a path, so that no address becomes another.
fn at(field: Field<'_>, problems: &mut Problems) -> Option<BTreeMap<Box<str>, Box<str>>> {
    let entries = field.entries(problems)?;
    if entries.len() > AT_MAX {
        field.refuse("has more than 8 entries", problems);
        return None;
    }
    let mut words = BTreeMap::new();
    for entry in entries {
        let word = entry.parsed(
            |text| segment(text).then(|| Box::from(text)),
            "is no part of an address: it has letters, digits, `-`, `_` and `.` within",
            problems,
        )?;
        words.insert(Box::from(entry.key()), word);
    }
    Some(words)
}

/// What may stand for a word within a host or a path.
pub(super) fn segment(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let outer = |byte: &u8| byte.is_ascii_alphanumeric();
    text.len() <= AT_MAX_BYTES
        && text.bytes().all(inner)
        && text.as_bytes().first().is_some_and(outer)
        && text.as_bytes().last().is_some_and(outer)
        && !text.contains("..")
}

fn api_version(text: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    (1..=40).contains(&text.len()) && text.bytes().all(letters)
}

/// A share of calls.
pub(super) fn weight(fields: &Fields<'_>, problems: &mut Problems) -> Option<NonZeroU32> {
    match fields.optional("weight") {
        Some(field) => field
            .whole(1..=WEIGHT_MAX, problems)
            .and_then(|weight| u32::try_from(weight).ok())
            .and_then(NonZeroU32::new),
        None => Some(NonZeroU32::MIN),
    }
}
