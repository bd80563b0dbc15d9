//! Reading `compression` and `decompression`, of an API or of a route.

use super::field::Field;
use super::problem::Problems;
use crate::resource::coding::{
    Compression, CompressionLevels, ContentCoding, Decompression, MediaPattern,
};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Answers below this grow rather than shrink, or save less than a packet.
const MIN_BYTES: u64 = 1024;
/// The most types: each answer is held against them.
const TYPES_MAX: usize = 64;
/// The largest that comes out, where nothing else is said.
const MAX_BYTES: u64 = 10_000_000;
/// Texts that people and programs write shrink to a fifth or a twentieth: what shrinks beyond a hundredth
/// was made to.
const MAX_RATIO: u32 = 100;
/// The most that may be said: gzip's own greatest ratio.
const MAX_RATIO_MAX: u64 = 1032;

/// What each coding's level may be. Above, an answer would hold a worker up.
const GZIP_LEVELS: RangeInclusive<u64> = 1..=9;
const BROTLI_LEVELS: RangeInclusive<u64> = 0..=9;
const ZSTD_LEVELS: RangeInclusive<u64> = 1..=9;

/// Of answers, the one first that is quick and small.
const OF_ANSWERS: [ContentCoding; 3] = [
    ContentCoding::Zstd,
    ContentCoding::Brotli,
    ContentCoding::Gzip,
];

/// `compression`. The inner `None`: it is off.
pub(super) fn compression(
    field: Field<'_>,
    problems: &mut Problems,
) -> Option<Option<Arc<Compression>>> {
    let usual = Compression {
        codings: OF_ANSWERS.to_vec(),
        types: MediaPattern::usual(),
        min_bytes: MIN_BYTES,
        levels: CompressionLevels::default(),
    };
    if let Some(on) = field.as_boolean() {
        return Some(on.then(|| Arc::new(usual)));
    }
    let fields = field.fields(&["codings", "types", "min_size", "levels"], problems)?;
    let codings = match fields.optional("codings") {
        Some(field) => codings(field, &OF_ANSWERS, problems),
        None => Some(usual.codings),
    };
    let types = match fields.optional("types") {
        Some(field) => types(field, problems),
        None => Some(usual.types),
    };
    let min_bytes = match fields.optional("min_size") {
        Some(field) => field.byte_size(problems),
        None => Some(usual.min_bytes),
    };
    let levels = match fields.optional("levels") {
        Some(field) => levels(field, problems),
        None => Some(usual.levels),
    };
    Some(Some(Arc::new(Compression {
        codings: codings?,
        types: types?,
        min_bytes: min_bytes?,
        levels: levels?,
    })))
}

/// `decompression`; `max_body` is the API's. The inner `None`: it is off.
pub(super) fn decompression(
    field: Field<'_>,
    max_body: Option<u64>,
    problems: &mut Problems,
) -> Option<Option<Arc<Decompression>>> {
    let usual = Decompression {
        codings: ContentCoding::ALL.to_vec(),
        max_bytes: max_body.unwrap_or(MAX_BYTES),
        max_ratio: MAX_RATIO,
    };
    if let Some(on) = field.as_boolean() {
        return Some(on.then(|| Arc::new(usual)));
    }
    let fields = field.fields(&["codings", "max_size", "max_ratio"], problems)?;
    let codings = match fields.optional("codings") {
        Some(field) => codings(field, &ContentCoding::ALL, problems),
        None => Some(usual.codings),
    };
    let max_bytes = match fields.optional("max_size") {
        Some(field) => {
            let size = field.byte_size(problems)?;
            if let Some(bound) = max_body
                && size > bound
            {
                field.refuse(
                    "is more than `max_body`, which is the most that the upstream gets: it never holds",
                    problems,
                );
                return None;
            }
            Some(size)
        }
        None => Some(usual.max_bytes),
    };
    let max_ratio = match fields.optional("max_ratio") {
        Some(field) => field
            .whole(1..=MAX_RATIO_MAX, problems)
            .and_then(|ratio| u32::try_from(ratio).ok()),
        None => Some(usual.max_ratio),
    };
    Some(Some(Arc::new(Decompression {
        codings: codings?,
        max_bytes: max_bytes?,
        max_ratio: max_ratio?,
    })))
}

/// Codings, each once.
fn codings(
    field: Field<'_>,
    known: &[ContentCoding],
    problems: &mut Problems,
) -> Option<Vec<ContentCoding>> {
    let words: Vec<_> = known
        .iter()
        .map(|coding| (coding.as_str(), *coding))
        .collect();
    let mut codings = Vec::new();
    for member in field.filled_list(problems)? {
        let Some(coding) = member.one_of(&words, problems) else {
            continue;
        };
        if codings.contains(&coding) {
            member.refuse("stands in the list twice", problems);
        } else {
            codings.push(coding);
        }
    }
    Some(codings)
}

fn types(field: Field<'_>, problems: &mut Problems) -> Option<Vec<MediaPattern>> {
    let members = field.filled_list(problems)?;
    if members.len() > TYPES_MAX {
        problems.error(
            field.place(),
            "too_many",
            format!(
                "`types` has {} entries: {TYPES_MAX} are the most",
                members.len()
            ),
        );
        return None;
    }
    let mut types = Vec::with_capacity(members.len());
    for member in members {
        match member.text(problems)?.parse() {
            Ok(pattern) => types.push(pattern),
            Err(error) => {
                let error: crate::resource::coding::NoMediaPattern = error;
                member.refuse(&error.to_string(), problems);
            }
        }
    }
    Some(types)
}

fn levels(field: Field<'_>, problems: &mut Problems) -> Option<CompressionLevels> {
    let fields = field.fields(&["gzip", "br", "zstd"], problems)?;
    let usual = CompressionLevels::default();
    let mut level = |key: &str, range: RangeInclusive<u64>, usual| match fields.optional(key) {
        Some(field) => field
            .whole(range, problems)
            .and_then(|level| u32::try_from(level).ok()),
        None => Some(usual),
    };
    let gzip = level("gzip", GZIP_LEVELS, usual.gzip);
    let brotli = level("br", BROTLI_LEVELS, usual.brotli);
    let zstd = level("zstd", ZSTD_LEVELS, usual.zstd);
    Some(CompressionLevels {
        gzip: gzip?,
        brotli: brotli?,
        zstd: zstd?,
    })
}
