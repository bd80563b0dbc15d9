//! Reading `security_headers`.

use super::super::api::is_token;
use super::super::field::Field;
use super::super::problem::Problems;
use super::{is_off, too_many};
use crate::resource::policy::{SecurityHeaders, SecurityPreset, StrictTransport};
use std::sync::Arc;
use std::time::Duration;

/// The longest value, in bytes: as long as most clients take a header.
const VALUE_MAX: usize = 4096;
/// The most names to take off.
const REMOVE_MAX: usize = 32;
/// What a list of hosts that are built into browsers asks for.
const PRELOAD_MIN: Duration = Duration::from_secs(365 * 24 * 3600);

/// A setting and the header that it sets.
const SETTINGS: &[(&str, &str)] = &[
    ("content_security_policy", "content-security-policy"),
    (
        "content_security_policy_report_only",
        "content-security-policy-report-only",
    ),
    ("referrer_policy", "referrer-policy"),
    ("permissions_policy", "permissions-policy"),
    ("cross_origin_opener_policy", "cross-origin-opener-policy"),
    (
        "cross_origin_embedder_policy",
        "cross-origin-embedder-policy",
    ),
    (
        "cross_origin_resource_policy",
        "cross-origin-resource-policy",
    ),
];

const KEYS: &[&str] = &[
    "preset",
    "strict_transport_security",
    "nosniff",
    "frame_options",
    "content_security_policy",
    "content_security_policy_report_only",
    "referrer_policy",
    "permissions_policy",
    "cross_origin_opener_policy",
    "cross_origin_embedder_policy",
    "cross_origin_resource_policy",
    "remove",
    "from_upstream",
];

const REFERRER_POLICIES: &[&str] = &[
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
];
const OPENER_POLICIES: &[&str] = &[
    "unsafe-none",
    "same-origin-allow-popups",
    "same-origin",
    "noopener-allow-popups",
];
const EMBEDDER_POLICIES: &[&str] = &["unsafe-none", "require-corp", "credentialless"];
const RESOURCE_POLICIES: &[&str] = &["same-site", "same-origin", "cross-origin"];

/// Headers that say where a message ends, or that a browser can't do without.
const NOT_REMOVED: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "location",
    "request-id",
    "set-cookie",
    "transfer-encoding",
    "vary",
    "www-authenticate",
];

/// The inner `None`: it is off.
pub(super) fn read(
    field: Field<'_>,
    problems: &mut Problems,
) -> Option<Option<Arc<SecurityHeaders>>> {
    if is_off(field) {
        return Some(None);
    }
    if field.as_boolean() == Some(true) {
        return Some(Some(Arc::new(of_preset(SecurityPreset::Api))));
    }
    let fields = field.fields(KEYS, problems)?;
    let presets = [
        SecurityPreset::Api,
        SecurityPreset::Web,
        SecurityPreset::None,
    ]
    .map(|preset| (preset.as_str(), preset));
    let preset = match fields.optional("preset") {
        Some(field) => field.one_of(&presets, problems)?,
        None => SecurityPreset::Api,
    };
    let mut headers = of_preset(preset);
    if let Some(field) = fields.optional("strict_transport_security") {
        headers.strict_transport = strict_transport(field, problems)?;
    }
    if let Some(field) = fields.optional("nosniff") {
        let on = field.boolean(problems)?;
        headers.put("x-content-type-options", on.then_some("nosniff"));
    }
    if let Some(field) = fields.optional("frame_options") {
        let value = if is_off(field) {
            None
        } else {
            let words = [("deny", "DENY"), ("same_origin", "SAMEORIGIN")];
            Some(field.one_of(&words, problems)?)
        };
        headers.put("x-frame-options", value);
    }
    for (key, name) in SETTINGS {
        if let Some(field) = fields.optional(key) {
            let value = if is_off(field) {
                None
            } else {
                Some(value(field, key, problems)?)
            };
            headers.put(name, value);
        }
    }
    if let Some(field) = fields.optional("remove") {
        headers.remove = removed(field, problems)?;
    }
    if let Some(field) = fields.optional("from_upstream") {
        headers.keep_upstreams = field.one_of(&[("replace", false), ("keep", true)], problems)?;
    }
    let nothing =
        headers.strict_transport.is_none() && headers.set.is_empty() && headers.remove.is_empty();
    if nothing {
        field.refuse(
            "sets nothing and takes nothing off: say `security_headers: false`, or what to set",
            problems,
        );
        return None;
    }
    Some(Some(Arc::new(headers)))
}

fn of_preset(preset: SecurityPreset) -> SecurityHeaders {
    SecurityHeaders {
        strict_transport: preset.strict_transport(),
        set: preset
            .set()
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
        remove: preset.remove().iter().copied().map(Into::into).collect(),
        keep_upstreams: false,
    }
}

impl SecurityHeaders {
    fn put(&mut self, name: &str, value: Option<&str>) {
        self.set.retain(|(known, _)| **known != *name);
        if let Some(value) = value {
            self.set.push((name.into(), value.into()));
        }
    }
}

fn strict_transport(field: Field<'_>, problems: &mut Problems) -> Option<Option<StrictTransport>> {
    if is_off(field) {
        return Some(None);
    }
    if field.as_boolean() == Some(true) {
        return Some(Some(StrictTransport::YEAR));
    }
    let fields = field.fields(&["max_age", "include_subdomains", "preload"], problems)?;
    // Zero is a value of its own: it takes back what was said before (RFC 6797, section 6.1.1).
    let max_age = match fields.optional("max_age") {
        Some(field) => field.duration(problems)?,
        None => StrictTransport::YEAR.max_age,
    };
    let mut boolean = |key: &str| match fields.optional(key) {
        Some(field) => field.boolean(problems),
        None => Some(false),
    };
    let include_subdomains = boolean("include_subdomains")?;
    let preload = boolean("preload")?;
    if preload && (!include_subdomains || max_age < PRELOAD_MIN) {
        field.refuse(
            "has `preload`, which browsers take with `include_subdomains: true` and a `max_age` of 365d at least",
            problems,
        );
        return None;
    }
    Some(Some(StrictTransport {
        max_age,
        include_subdomains,
        preload,
    }))
}

fn value<'n>(field: Field<'n>, key: &str, problems: &mut Problems) -> Option<&'n str> {
    let words: &[&str] = match key {
        "referrer_policy" => REFERRER_POLICIES,
        "cross_origin_opener_policy" => OPENER_POLICIES,
        "cross_origin_embedder_policy" => EMBEDDER_POLICIES,
        "cross_origin_resource_policy" => RESOURCE_POLICIES,
        _ => &[],
    };
    if !words.is_empty() {
        let words: Vec<_> = words.iter().map(|word| (*word, *word)).collect();
        field.one_of(&words, problems)?;
    }
    let text = field.text(problems)?;
    let good = text.len() <= VALUE_MAX && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if !good {
        field.refuse(
            "can't be a header's value: it has printable ASCII alone, on one line, 4,096 bytes at most",
            problems,
        );
        return None;
    }
    Some(text)
}

fn removed(field: Field<'_>, problems: &mut Problems) -> Option<Vec<Box<str>>> {
    let members = field.list(problems)?;
    if too_many(field, members.len(), REMOVE_MAX, problems) {
        return None;
    }
    let mut names: Vec<Box<str>> = Vec::new();
    for member in members {
        let name = member.text(problems)?.to_ascii_lowercase();
        if !is_token(&name) {
            member.refuse("is no header name", problems);
        } else if NOT_REMOVED.contains(&name.as_str()) {
            member.refuse(
                "is needed to read or to keep the answer: it can't be taken off",
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
