//! Reading `capture` of an API or a route.

use super::Value;
use super::field::Field;
use super::problem::Problems;
use crate::resource::capture::{Capture, MediaRange, folded};
use std::collections::BTreeSet;

/// The keys of `capture`.
const KEYS: &[&str] = &["bodies", "max_bytes", "content_types", "mask", "sample"];

/// More than anyone lists; each is looked at for each body.
const CONTENT_TYPES_MAX: usize = 32;
/// More than a body has members that matter.
const MASK_MAX: usize = 256;

/// Reads it; `none` says that nothing is captured.
pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Option<Capture>> {
    if field.as_text() == Some("none") {
        return Some(None);
    }
    let fields = field.fields(KEYS, problems)?;
    let (mut requests, mut responses) = (true, true);
    if let Some(field) = fields.optional("bodies") {
        let words = [("request", true), ("response", false)];
        let named: Option<Vec<bool>> = field
            .filled_list(problems)?
            .into_iter()
            .map(|member| member.one_of(&words, problems))
            .collect();
        let named = named?;
        (requests, responses) = (named.contains(&true), named.contains(&false));
    }
    let max_bytes = match fields.optional("max_bytes") {
        Some(field) => {
            let bytes = field.byte_size(problems)?;
            if !(1..=Capture::BYTES_MAX).contains(&bytes) {
                field.refuse("is not between 1 and 1MiB: what is captured is kept in memory until it is written", problems);
                return None;
            }
            usize::try_from(bytes).ok()?
        }
        None => Capture::DEFAULT_BYTES,
    };
    let content_types = match fields.optional("content_types") {
        Some(field) => content_types(field, problems)?,
        None => Capture::default_types(),
    };
    let mask: BTreeSet<Box<str>> = match fields.optional("mask") {
        Some(field) => {
            let names = field.texts(problems);
            if names.len() > MASK_MAX {
                field.refuse("has more than 256 names", problems);
                return None;
            }
            names.iter().map(|name| folded(name).into()).collect()
        }
        None => BTreeSet::new(),
    };
    let sample = match fields.optional("sample") {
        Some(field) => sample(field, problems)?,
        None => Capture::EVERY_CALL,
    };
    Some(Some(Capture {
        requests,
        responses,
        max_bytes,
        content_types,
        mask,
        sample,
    }))
}

fn content_types(field: Field<'_>, problems: &mut Problems) -> Option<Vec<MediaRange>> {
    let members = field.filled_list(problems)?;
    if members.len() > CONTENT_TYPES_MAX {
        field.refuse("has more than 32 media types", problems);
        return None;
    }
    members
        .into_iter()
        .map(|member| {
            member.parsed(
                MediaRange::parse,
                "is no media type: write `application/json`, `text/*` or `application/*+json`",
                problems,
            )
        })
        .collect()
}

fn sample(field: Field<'_>, problems: &mut Problems) -> Option<u32> {
    let share = match field.node().value {
        Value::Whole(0) => Some(0.0),
        Value::Whole(1) => Some(1.0),
        Value::Number(share) => Some(share),
        Value::Null
        | Value::Boolean(_)
        | Value::Whole(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_) => None,
    };
    let Some(share) = share.filter(|share| (0.0..=1.0).contains(share)) else {
        field.refuse(
            "is no share: write a number from 0 (no call) to 1 (every call), such as 0.01",
            problems,
        );
        return None;
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is from 0 to a million"
    )]
    Some((share * f64::from(Capture::EVERY_CALL)).round() as u32)
}

#[cfg(test)]
mod tests {
    use crate::resource::raw::tests::{api, read};
    use crate::resource::{Capture, Spec};
    use serde_json::{Value as Json, json};

    fn captures(value: &Json) -> Vec<Option<Capture>> {
        match read(&api(value)).unwrap().resource.spec {
            Spec::Api(api) => api.routes.into_iter().map(|route| route.capture).collect(),
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
            | Spec::Prompt(_) => panic!("not an API"),
        }
    }

    #[test]
    fn routes_capture_what_they_say_and_else_what_their_api_says() {
        assert_eq!(captures(&json!({})), [None]);
        assert!(captures(&json!({ "capture": {} }))[0].is_some());
        let captures = captures(&json!({
            "capture": { "bodies": ["request"], "sample": 0.25 },
            "routes": [
                { "match": { "path": "/a" } },
                { "match": { "path": "/b" }, "capture": "none" },
                { "match": { "path": "/c" }, "capture": { "max_bytes": "1KiB", "mask": ["Date-of_Birth"] } },
            ],
        }));
        let [Some(of_api), None, Some(own)] = captures.as_slice() else {
            panic!("{captures:?}")
        };
        assert!(of_api.requests && !of_api.responses);
        assert_eq!(of_api.sample, 250_000);
        assert!(own.requests && own.responses && own.masks("dateofbirth"));
        assert_eq!((own.max_bytes, own.sample), (1024, Capture::EVERY_CALL));
    }

    #[test]
    fn mistakes_are_told() {
        for (capture, expected) in [
            (json!("all"), "`capture`"),
            (json!({ "bodies": [] }), "`bodies`"),
            (json!({ "bodies": ["body"] }), "`request`, `response`"),
            (json!({ "max_bytes": "2MiB" }), "is not between 1 and 1MiB"),
            (json!({ "content_types": ["json"] }), "is no media type"),
            (json!({ "sample": 2 }), "from 0 (no call) to 1"),
            (json!({ "fields": [] }), "`fields`"),
        ] {
            let problems = read(&api(&json!({ "capture": capture }))).unwrap_err();
            let told = format!("{problems:?}");
            assert!(told.contains(expected), "{expected} is not in {told}");
        }
    }
}
