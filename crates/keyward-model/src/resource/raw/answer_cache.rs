//! Reading `cache` of AI answers, of an API with `ai` and of a model.

use super::field::Field;
use super::guardrail::{flag, thousandths};
use super::problem::Problems;
use super::read::name;
use crate::resource::guardrail::{AnswerCache, SemanticCache};
use std::time::Duration;

/// What models say is old after a month, and the gateway was started again.
const TTL_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// What all models of a node have together.
const BYTES_MAX: u64 = 256 << 20;
const BYTES_MIN: u64 = 64 << 10;
/// Each is held against every new text: so many take some milliseconds, in which a worker does nothing else.
const ENTRIES_MAX: u64 = 10_000;

/// Reads `cache`. The inner `None`: nothing is kept.
pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Option<AnswerCache>> {
    if field.as_boolean() == Some(false) {
        return Some(None);
    }
    let fields = field.fields(
        &[
            "ttl",
            "shared",
            "only_deterministic",
            "max_bytes",
            "semantic",
        ],
        problems,
    )?;
    let ttl = match fields.optional("ttl") {
        Some(field) => field.positive_duration(problems).filter(|ttl| {
            if *ttl > TTL_MAX {
                field.refuse("is longer than 31d", problems);
            }
            *ttl <= TTL_MAX
        }),
        None => Some(AnswerCache::TTL),
    };
    let across_callers = match fields.optional("shared") {
        Some(field) => field.one_of(&[("caller", false), ("api", true)], problems),
        None => Some(false),
    };
    let only_deterministic = flag(&fields, "only_deterministic", true, problems);
    let max_bytes = match fields.optional("max_bytes") {
        Some(field) => {
            let bytes = field.byte_size(problems)?;
            if !(BYTES_MIN..=BYTES_MAX).contains(&bytes) {
                field.refuse("is not between 64KiB and 256MiB", problems);
                return None;
            }
            usize::try_from(bytes).ok()
        }
        None => Some(AnswerCache::MAX_BYTES),
    };
    let semantic = match fields.optional("semantic") {
        Some(field) => semantic(field, problems).map(Some),
        None => Some(None),
    };
    Some(Some(AnswerCache {
        ttl: ttl?,
        across_callers: across_callers?,
        only_deterministic: only_deterministic?,
        max_bytes: max_bytes?,
        semantic: semantic?,
    }))
}

fn semantic(field: Field<'_>, problems: &mut Problems) -> Option<SemanticCache> {
    let fields = field.fields(&["model", "threshold", "entries"], problems)?;
    let model = fields
        .required(
            "model",
            "name the model that makes numbers of texts, of the same team",
            problems,
        )
        .and_then(|field| name(field, problems));
    let threshold = match fields.optional("threshold") {
        Some(field) => thousandths(field, problems),
        None => Some(SemanticCache::THRESHOLD),
    };
    let entries = match fields.optional("entries") {
        Some(field) => field
            .whole(1..=ENTRIES_MAX, problems)
            .and_then(|count| usize::try_from(count).ok()),
        None => Some(SemanticCache::ENTRIES),
    };
    Some(SemanticCache {
        model: model?,
        threshold: threshold?,
        entries: entries?,
    })
}
