//! Reading `kind: provider`.

use super::budgets::{self, Holder};
use super::field::{Field, Fields};
use super::problem::Problems;
use super::read::name;
use super::upstream::{WEIGHT_MAX, one_target};
use crate::name::Name;
use crate::resource::provider::{KeyHeader, Provider, ProviderEjection, ProviderKey};
use crate::secret::Secret;
use std::num::NonZeroU32;
use std::time::Duration;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &[
    "catalogue",
    "dialect",
    "base_url",
    "key_header",
    "credentials",
    "connect_timeout",
    "first_token_timeout",
    "total_timeout",
    "ejection",
];

/// More keys than that are a sign that each belongs to somebody of their own.
const CREDENTIALS_MAX: usize = 64;
/// More failures in a row than that are waited for by nobody.
const FAILURES_MAX: u64 = 1_000;
/// Longer than any provider's; a header has to hold it.
const KEY_MAX_BYTES: usize = 4096;

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
    let credentials = match fields.optional("credentials") {
        Some(field) => credentials(field, problems),
        None => Some(Vec::new()),
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
        key_header,
        credentials: credentials?,
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

fn credentials(field: Field<'_>, problems: &mut Problems) -> Option<Vec<ProviderKey>> {
    let members = field.filled_list(problems)?;
    if members.len() > CREDENTIALS_MAX {
        field.refuse("has more than 64 entries", problems);
        return None;
    }
    let mut keys: Vec<ProviderKey> = Vec::new();
    for member in members {
        let Some(credential) = credential(member, problems) else {
            continue;
        };
        if keys.iter().any(|known| known.key == credential.key) {
            problems.error(
                member.place(),
                "bad_value",
                "`credentials` has one key twice: give it a `weight` instead",
            );
            continue;
        }
        keys.push(credential);
    }
    Some(keys)
}

fn credential(field: Field<'_>, problems: &mut Problems) -> Option<ProviderKey> {
    let fields = field.fields(&["key", "weight", "rate_limits", "quotas"], problems)?;
    let key = fields.required("key", "write `key: ${ENV:NAME}`", problems);
    let weight = weight(&fields, problems);
    let budgets = budgets::read(&fields, Holder::Key, problems);
    let key = key?;
    let fits = |text: &&str| {
        text.len() <= KEY_MAX_BYTES
            && !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_graphic())
    };
    let Some(text) = key.as_text().filter(fits) else {
        // What was written may be a secret: it is not repeated.
        problems.error(
            key.place(),
            "bad_value",
            "`key` is no key: it has 1 to 4096 printable characters of ASCII without spaces, such as `key: ${ENV:NAME}`",
        );
        return None;
    };
    Some(ProviderKey {
        key: Secret::new(text.to_owned()),
        weight: weight?,
        budgets: budgets?,
    })
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
