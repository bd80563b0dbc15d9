//! Reading `cache`.

use crate::resource::content::{Cache, SetCookie};
use crate::resource::raw::api::is_token;
use crate::resource::raw::field::Field;
use crate::resource::raw::problem::Problems;
use std::sync::Arc;
use std::time::Duration;

const KEYS: &[&str] = &[
    "default_ttl",
    "max_ttl",
    "max_entry",
    "stale_while_revalidate",
    "stale_if_error",
    "key_headers",
    "per_caller",
    "set_cookie",
    "client_directives",
    "wait",
    "status_header",
];

/// What is larger is a download: it would push everything else out.
const MAX_ENTRY_MAX: u64 = 1 << 30;
/// More tell so many answers apart that none is found again.
const KEY_HEADERS_MAX: usize = 16;
/// A year: what RFC 9111 (section 1.2.2) calls longer than anyone needs is 68 years.
const TTL_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// Who waits longer has given up.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Headers that are part of the key anyway, or that differ with every call.
const NO_KEY: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "request-id",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "upgrade",
];

/// Reads it. The inner `None`: nothing is kept.
pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Option<Arc<Cache>>> {
    let usual = Cache::default();
    if let Some(on) = field.as_boolean() {
        return Some(on.then(|| Arc::new(usual)));
    }
    let fields = field.fields(KEYS, problems)?;
    let mut time = |key: &str, usual: Option<Duration>| match fields.optional(key) {
        Some(field) => bounded(field, TTL_MAX, "1 year", problems).map(Some),
        None => Some(usual),
    };
    let default_ttl = time("default_ttl", None);
    let max_ttl = time("max_ttl", None);
    let stale_while_revalidate = time("stale_while_revalidate", Some(usual.stale_while_revalidate));
    let stale_if_error = time("stale_if_error", Some(usual.stale_if_error));
    if let (Some(Some(default)), Some(Some(most)), Some(field)) =
        (default_ttl, max_ttl, fields.optional("default_ttl"))
        && default > most
    {
        problems.error(
            field.place(),
            "contradiction",
            "`default_ttl` is longer than `max_ttl`, so that it never holds: make one of them the other",
        );
    }
    let max_entry_bytes = match fields.optional("max_entry") {
        Some(field) => {
            let bytes = field.byte_size(problems)?;
            if !(1..=MAX_ENTRY_MAX).contains(&bytes) {
                field.refuse("is not between 1 byte and 1GiB", problems);
                return None;
            }
            usize::try_from(bytes).ok()
        }
        None => Some(usual.max_entry_bytes),
    };
    let key_headers = match fields.optional("key_headers") {
        Some(field) => key_headers(field, problems),
        None => Some(usual.key_headers),
    };
    let mut flag = |key: &str, usual| match fields.optional(key) {
        Some(field) => field.boolean(problems),
        None => Some(usual),
    };
    let per_caller = flag("per_caller", usual.per_caller);
    let status_header = flag("status_header", usual.status_header);
    let set_cookie = match fields.optional("set_cookie") {
        Some(field) => field.one_of(
            &[
                ("refuse", SetCookie::Refuse),
                ("strip", SetCookie::Strip),
                ("keep", SetCookie::Keep),
            ],
            problems,
        ),
        None => Some(usual.set_cookie),
    };
    let client_directives = match fields.optional("client_directives") {
        Some(field) => field.one_of(&[("honour", true), ("ignore", false)], problems),
        None => Some(usual.client_directives),
    };
    let wait = match fields.optional("wait") {
        Some(field) => bounded(field, WAIT_MAX, "5m", problems),
        None => Some(usual.wait),
    };
    Some(Some(Arc::new(Cache {
        default_ttl: default_ttl?,
        max_ttl: max_ttl?,
        max_entry_bytes: max_entry_bytes?,
        stale_while_revalidate: stale_while_revalidate?.unwrap_or_default(),
        stale_if_error: stale_if_error?.unwrap_or_default(),
        key_headers: key_headers?,
        per_caller: per_caller?,
        set_cookie: set_cookie?,
        client_directives: client_directives?,
        wait: wait?,
        status_header: status_header?,
    })))
}

fn bounded(
    field: Field<'_>,
    most: Duration,
    most_text: &str,
    problems: &mut Problems,
) -> Option<Duration> {
    let time = field.duration(problems)?;
    if time > most {
        field.refuse(&format!("is longer than {most_text}"), problems);
        return None;
    }
    Some(time)
}

fn key_headers(field: Field<'_>, problems: &mut Problems) -> Option<Vec<Box<str>>> {
    let members = field.list(problems)?;
    if members.len() > KEY_HEADERS_MAX {
        problems.error(
            field.place(),
            "too_many",
            format!(
                "`key_headers` has {} entries: {KEY_HEADERS_MAX} are the most",
                members.len()
            ),
        );
        return None;
    }
    let mut headers: Vec<Box<str>> = Vec::with_capacity(members.len());
    for member in members {
        let name = member.text(problems)?.to_ascii_lowercase();
        if !is_token(&name) {
            member.refuse("is no header name", problems);
        } else if NO_KEY.contains(&&*name) {
            member.refuse(
                "tells no answers apart: it is part of the key by itself, or differs with every call (for answers of one caller alone, say `per_caller: true`)",
                problems,
            );
        } else if headers.iter().any(|known| **known == *name) {
            member.refuse("stands in the list twice", problems);
        } else {
            headers.push(name.into());
        }
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use crate::resource::Spec;
    use crate::resource::content::{Cache, SetCookie};
    use crate::resource::raw::tests::{api, read};
    use serde_json::{Value as Json, json};
    use std::sync::Arc;
    use std::time::Duration;

    fn caches(value: &Json) -> Vec<Option<Arc<Cache>>> {
        match read(&api(value)).unwrap().resource.spec {
            Spec::Api(api) => api
                .routes
                .into_iter()
                .map(|route| route.content.and_then(|content| content.cache.clone()))
                .collect(),
            Spec::Issuer(_)
            | Spec::Upstream(_)
            | Spec::Credential(_)
            | Spec::Role(_)
            | Spec::AccessPolicy(_)
            | Spec::KeySet(_)
            | Spec::Webhook(_)
            | Spec::ManagementRole(_)
            | Spec::Provider(_)
            | Spec::Model(_)
            | Spec::Prompt(_) => {
                panic!("not an API")
            }
        }
    }

    #[test]
    fn routes_keep_what_they_say_and_else_what_their_api_says() {
        assert_eq!(caches(&json!({})), [None]);
        assert_eq!(
            caches(&json!({ "cache": true })),
            [Some(Arc::new(Cache::default()))]
        );
        let caches = caches(&json!({
            "cache": { "default_ttl": "1m", "key_headers": ["Accept-Language"] },
            "routes": [
                { "match": { "path": "/a" } },
                { "match": { "path": "/b" }, "cache": false },
                { "match": { "path": "/c" }, "cache": { "max_entry": "4KiB", "set_cookie": "strip" } },
            ],
        }));
        let [Some(of_api), None, Some(own)] = caches.as_slice() else {
            panic!("{caches:?}")
        };
        assert_eq!(of_api.default_ttl, Some(Duration::from_secs(60)));
        assert_eq!(of_api.key_headers, ["accept-language".into()]);
        assert_eq!(
            (own.max_entry_bytes, own.set_cookie),
            (4096, SetCookie::Strip)
        );
        assert_eq!(own.default_ttl, None);
    }

    #[test]
    fn mistakes_are_told() {
        for (cache, expected) in [
            (json!("yes"), "`cache`"),
            (json!({ "ttl": "1s" }), "`default_ttl`"),
            (json!({ "default_ttl": 5 }), "a duration"),
            (json!({ "default_ttl": "400d" }), "longer than 1 year"),
            (
                json!({ "default_ttl": "2m", "max_ttl": "1m" }),
                "never holds",
            ),
            (json!({ "max_entry": 0 }), "between 1 byte and 1GiB"),
            (json!({ "max_entry": "2GiB" }), "between 1 byte and 1GiB"),
            (json!({ "key_headers": ["a b"] }), "is no header name"),
            (json!({ "key_headers": ["Cookie"] }), "per_caller: true"),
            (json!({ "key_headers": ["a", "A"] }), "twice"),
            (json!({ "set_cookie": "drop" }), "`refuse`, `strip`, `keep`"),
            (json!({ "client_directives": true }), "`honour`, `ignore`"),
            (json!({ "wait": "10m" }), "longer than 5m"),
            (json!({ "status_header": "no" }), "`true` or `false`"),
        ] {
            let problems = read(&api(&json!({ "cache": cache }))).unwrap_err();
            let told = format!("{problems:?}");
            assert!(told.contains(expected), "{expected} is not in {told}");
        }
    }
}
