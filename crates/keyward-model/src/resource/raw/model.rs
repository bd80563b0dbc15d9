//! Reading `kind: model`.

use super::authorization;
use super::field::{Field, Fields};
use super::guardrail;
use super::problem::Problems;
use super::provider::weight;
use super::read::name;
use crate::resource::Authorization;
use crate::resource::model::{Model, ModelTarget};
use std::num::NonZeroU32;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &[
    "targets",
    "fallbacks",
    "authorization",
    "attempts",
    "guardrails",
    "cache",
];

/// Each is looked at for a call.
const TARGETS_MAX: usize = 64;
/// What the longest names of models have is far less.
const MODEL_MAX_BYTES: usize = 256;
/// More attempts make a caller wait for nothing.
const ATTEMPTS_MAX: u64 = 16;
/// Another target, its other key, and one more.
const ATTEMPTS_DEFAULT: NonZeroU32 = NonZeroU32::MIN.saturating_add(3);

pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Model> {
    let targets = fields
        .required(
            "targets",
            "say who answers, such as `targets: [ { provider: openai, model: gpt-5 } ]`",
            problems,
        )
        .and_then(|field| targets(field, true, problems));
    let fallbacks = match fields.optional("fallbacks") {
        Some(field) => targets_in_order(field, problems),
        None => Some(Vec::new()),
    };
    let authorization = match fields.optional("authorization") {
        Some(field) => authorization::read(field, None, problems),
        None => Some(Authorization::default()),
    };
    let attempts = match fields.optional("attempts") {
        Some(field) => field
            .whole(1..=ATTEMPTS_MAX, problems)
            .and_then(|count| u32::try_from(count).ok())
            .and_then(NonZeroU32::new),
        None => Some(ATTEMPTS_DEFAULT),
    };
    let guarded = guardrail::read(fields, problems);
    Some(Model {
        targets: targets?,
        fallbacks: fallbacks?,
        authorization: authorization?,
        attempts: attempts?,
        guarded: guarded?,
    })
}

fn targets_in_order(field: Field<'_>, problems: &mut Problems) -> Option<Vec<ModelTarget>> {
    targets(field, false, problems)
}

fn targets(field: Field<'_>, weighted: bool, problems: &mut Problems) -> Option<Vec<ModelTarget>> {
    let members = field.filled_list(problems)?;
    if members.len() > TARGETS_MAX {
        field.refuse("has more than 64 entries", problems);
        return None;
    }
    let read: Vec<_> = members
        .into_iter()
        .map(|member| target(member, weighted, problems))
        .collect();
    read.into_iter().collect()
}

fn target(field: Field<'_>, weighted: bool, problems: &mut Problems) -> Option<ModelTarget> {
    // What comes in order has no share.
    let known: &[&str] = if weighted {
        &["provider", "model", "weight"]
    } else {
        &["provider", "model"]
    };
    let fields = field.fields(known, problems)?;
    let provider = fields
        .required("provider", "name the provider, of the same team", problems)
        .and_then(|field| name(field, problems));
    let model = fields
        .required("model", "say what the provider calls the model", problems)
        .and_then(|field| {
            field.parsed(
                |text| model_name(text).then(|| text.into()),
                "is no model's name: it has letters, digits and `-_.:@/`, without empty or dotted segments",
                problems,
            )
        });
    let weight = weight(&fields, problems);
    Some(ModelTarget {
        provider: provider?,
        model: model?,
        weight: weight?,
    })
}

/// Some dialects have the name in their address: one such as `../../admin` would lead elsewhere.
fn model_name(text: &str) -> bool {
    let letters = |segment: &str| {
        segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte))
    };
    text.len() <= MODEL_MAX_BYTES
        && text.split('/').all(|segment| {
            !segment.is_empty() && letters(segment) && !segment.bytes().all(|byte| byte == b'.')
        })
}
