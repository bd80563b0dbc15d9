//! Reading `kind: access_policy`, and policies written where they are used.

use super::field::{Field, Fields};
use super::problem::{Problems, closest};
use super::shortened;
use crate::resource::access_policy::{AccessPolicy, ClaimType, PolicySource};
use crate::resource::authorization::ClaimPath;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &["cedar", "file", "claims"];

/// The most claims that policies read.
const CLAIMS_MAX: usize = 64;

/// One that is written where it is used.
pub(super) fn inline(field: Field<'_>, problems: &mut Problems) -> Option<AccessPolicy> {
    let fields = Fields::of(field.node(), "a policy", KEYS, problems)?;
    read(&fields, problems)
}

pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<AccessPolicy> {
    let source = match (fields.optional("cedar"), fields.optional("file")) {
        (Some(text), None) => text
            .text(problems)
            .map(|text| PolicySource::Text(text.into())),
        (None, Some(file)) => file
            .text(problems)
            .map(|path| PolicySource::File(PathBuf::from(path))),
        (Some(_), Some(file)) => {
            problems.error(
                file.place(),
                "contradiction",
                "`file` stands beside `cedar`: the policies stand here or in a file, not both",
            );
            None
        }
        (None, None) => {
            problems.error(
                fields.place(),
                "missing_key",
                "`cedar` is missing: write the policies under `cedar: |`, or name a `file` that has them",
            );
            None
        }
    };
    let claims = match fields.optional("claims") {
        Some(field) => claims(field, problems),
        None => Some(BTreeMap::new()),
    };
    let source = source?;
    if let PolicySource::Text(text) = &source
        && text.len() > AccessPolicy::TEXT_MAX_BYTES
    {
        problems.error(
            fields.place(),
            "too_many",
            "`cedar` is longer than 64KiB: every call pays for every policy, so split it by what it is attached to",
        );
        return None;
    }
    Some(AccessPolicy {
        source,
        claims: claims?,
    })
}

fn claims(field: Field<'_>, problems: &mut Problems) -> Option<BTreeMap<Box<str>, ClaimType>> {
    let entries = field.entries(problems)?;
    if entries.len() > CLAIMS_MAX {
        field.refuse("has more than 64 claims", problems);
        return None;
    }
    let mut claims = BTreeMap::new();
    for entry in entries {
        let Some(path) = ClaimPath::parse(entry.key()) else {
            problems.error(
                entry.place(),
                "bad_value",
                format!("`{}` names no claim", shortened(entry.key())),
            );
            continue;
        };
        let types = ClaimType::ALL.map(|known| (known.as_str(), known));
        let Some(text) = entry.text(problems) else {
            continue;
        };
        match types.iter().find(|(name, _)| *name == text) {
            Some((_, known)) => {
                claims.insert(path.as_str().into(), *known);
            }
            None => {
                let hint = closest(text, types.iter().map(|(name, _)| *name))
                    .map(|meant| format!(": did you mean `{meant}`?"))
                    .unwrap_or_default();
                entry.refuse(
                    &format!("is none of `String`, `Long`, `Bool`, `Set<String>`{hint}"),
                    problems,
                );
            }
        }
    }
    Some(claims)
}
