//! Reading `guardrails` of an API with `ai` and of a model.

use super::Value;
use super::answer_cache;
use super::content::document;
use super::field::{Field, Fields};
use super::policy::{question_path, question_timeout, too_many};
use super::problem::Problems;
use super::read::name;
use crate::name::Name;
use crate::resource::guardrail::{
    GuardAction, GuardCheck, Guarded, GuardedSide, Guardrail, InjectionCheck, KeywordsCheck,
    ModerationCheck, PiiCheck, PiiKind, RegexCheck, WebhookCheck,
};
use std::sync::Arc;
use std::time::Duration;

/// Each looks at every text of a call.
const GUARDRAILS_MAX: usize = 32;
/// Each is an automaton of its own.
const PATTERNS_MAX: usize = 64;
/// The longest that anyone reads.
const PATTERN_MAX_BYTES: usize = 2_048;
/// A list that is looked for in one pass; its automaton takes some megabytes.
const WORDS_MAX: usize = 10_000;
/// A word, or a phrase. Streams are held back by as much.
const WORD_MAX_BYTES: usize = 256;
/// OpenAI's moderation has some thirteen.
const CATEGORIES_MAX: usize = 64;
/// What all signs together come to is less.
const POINTS_MAX: u64 = 1_000;
/// A model takes longer than a service that looks at words.
const MODERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// The kinds of guardrail, each a key of its own.
const CHECKS: &[&str] = &[
    "regex",
    "keywords",
    "pii",
    "prompt_injection",
    "answer_schema",
    "webhook",
    "moderation",
];

const GUARDRAIL_KEYS: &[&str] = &[
    "name",
    "on",
    "action",
    "regex",
    "keywords",
    "pii",
    "prompt_injection",
    "answer_schema",
    "webhook",
    "moderation",
];

pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Guarded> {
    let guardrails = match fields.optional("guardrails") {
        Some(field) => guardrails(field, problems),
        None => Some(Vec::new()),
    };
    let cache = match fields.optional("cache") {
        Some(field) => answer_cache::read(field, problems).map(Some),
        None => Some(None),
    };
    Some(Guarded {
        guardrails: guardrails?,
        cache: cache?,
    })
}

fn guardrails(field: Field<'_>, problems: &mut Problems) -> Option<Vec<Guardrail>> {
    let members = field.list(problems)?;
    if too_many(field, members.len(), GUARDRAILS_MAX, problems) {
        return None;
    }
    let read: Vec<_> = members
        .iter()
        .map(|member| guardrail(*member, problems))
        .collect();
    let read: Vec<Guardrail> = read.into_iter().collect::<Option<_>>()?;
    let mut names: Vec<&Name> = Vec::new();
    for (guardrail, member) in read.iter().zip(&members) {
        if names.contains(&&guardrail.name) {
            problems.error(
                member.place(),
                "duplicate_name",
                format!(
                    "`guardrails`: two are called `{}`, so that nobody could say which of them fired",
                    guardrail.name
                ),
            );
        }
        names.push(&guardrail.name);
    }
    Some(read)
}

fn guardrail(field: Field<'_>, problems: &mut Problems) -> Option<Guardrail> {
    let fields = field.fields(GUARDRAIL_KEYS, problems)?;
    let own_name = fields
        .required(
            "name",
            "what it is called where it is told that it fired",
            problems,
        )
        .and_then(|field| name(field, problems));
    let written: Vec<&str> = CHECKS
        .iter()
        .copied()
        .filter(|key| fields.optional(key).is_some())
        .collect();
    let [key] = written[..] else {
        problems.error(
            fields.place(),
            if written.is_empty() {
                "missing_key"
            } else {
                "contradiction"
            },
            format!(
                "a guardrail looks for one thing, and this one for {}: it has one of {}",
                written.len(),
                super::field::listed(CHECKS)
            ),
        );
        return None;
    };
    let on = match fields.optional("on") {
        Some(field) => field.one_of(
            &[
                ("request", GuardedSide::Request),
                ("answer", GuardedSide::Answer),
                ("both", GuardedSide::Both),
            ],
            problems,
        ),
        None if key == "answer_schema" => Some(GuardedSide::Answer),
        None => Some(GuardedSide::Request),
    };
    let action = fields
        .required(
            "action",
            "say what follows: `block`, `mask` or `flag`",
            problems,
        )
        .and_then(|field| {
            field.one_of(
                &[
                    ("block", GuardAction::Block),
                    ("mask", GuardAction::Mask),
                    ("flag", GuardAction::Flag),
                ],
                problems,
            )
        });
    let check = fields
        .optional(key)
        .and_then(|field| check(field, problems));
    let (on, action, check) = (on?, action?, check?);
    fits(&fields, key, on, action, &check, problems);
    Some(Guardrail {
        name: own_name?,
        on,
        action,
        check,
    })
}

/// Whether what is looked for can be looked for there, and what follows can follow.
fn fits(
    fields: &Fields<'_>,
    key: &str,
    on: GuardedSide,
    action: GuardAction,
    check: &GuardCheck,
    problems: &mut Problems,
) {
    let place = |key: &str| {
        fields
            .optional(key)
            .map_or(fields.place(), |field| field.place())
    };
    let (sides, masks) = match check {
        GuardCheck::Regex(_) | GuardCheck::Keywords(_) | GuardCheck::Webhook(_) => (None, true),
        GuardCheck::Pii(pii) => {
            if pii.reversible && (action != GuardAction::Mask || !on.of_requests()) {
                problems.error(
                    place("pii"),
                    "contradiction",
                    "`reversible` gives back what was masked in the request: it needs `action: mask` and `on: request` or `both`",
                );
            }
            (None, true)
        }
        GuardCheck::PromptInjection(_) => (Some(GuardedSide::Request), false),
        GuardCheck::AnswerSchema(_) => (Some(GuardedSide::Answer), false),
        GuardCheck::Moderation(_) => (None, false),
    };
    if let Some(side) = sides
        && side != on
    {
        let word = if side == GuardedSide::Request {
            "request"
        } else {
            "answer"
        };
        problems.error(
            place("on"),
            "contradiction",
            format!("`{key}` looks at the {word} alone: write `on: {word}`"),
        );
    }
    if action == GuardAction::Mask && !masks {
        problems.error(
            place("action"),
            "contradiction",
            format!("`{key}` judges a text as a whole, of which no part could be masked: write `action: block` or `flag`"),
        );
    }
}

fn check(field: Field<'_>, problems: &mut Problems) -> Option<GuardCheck> {
    Some(match field.key() {
        "regex" => GuardCheck::Regex(regex(field, problems)?),
        "keywords" => GuardCheck::Keywords(keywords(field, problems)?),
        "pii" => GuardCheck::Pii(pii(field, problems)?),
        "prompt_injection" => GuardCheck::PromptInjection(injection(field, problems)?),
        "answer_schema" => GuardCheck::AnswerSchema(Arc::new(document::read(field, problems)?)),
        "webhook" => GuardCheck::Webhook(webhook(field, problems)?),
        _ => GuardCheck::Moderation(moderation(field, problems)?),
    })
}

pub(super) fn flag(
    fields: &Fields<'_>,
    key: &str,
    usual: bool,
    problems: &mut Problems,
) -> Option<bool> {
    match fields.optional(key) {
        Some(field) => field.boolean(problems),
        None => Some(usual),
    }
}

fn texts(
    field: Field<'_>,
    most: usize,
    longest: usize,
    problems: &mut Problems,
) -> Option<Vec<Box<str>>> {
    let members = field.filled_list(problems)?;
    if too_many(field, members.len(), most, problems) {
        return None;
    }
    for member in &members {
        if member.as_text().is_some_and(|text| text.len() > longest) {
            problems.error(
                member.place(),
                "bad_value",
                format!(
                    "`{}` has more than {longest} bytes in one entry",
                    field.key()
                ),
            );
            return None;
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut read = Vec::new();
    for member in members {
        let text = member.text(problems)?;
        if seen.insert(text) {
            read.push(text.into());
        } else {
            member.refuse("stands in the list twice", problems);
        }
    }
    Some(read)
}

fn regex(field: Field<'_>, problems: &mut Problems) -> Option<RegexCheck> {
    let fields = field.fields(&["patterns", "ignore_case", "normalise"], problems)?;
    let patterns = fields
        .required("patterns", "a list of regular expressions", problems)
        .and_then(|field| texts(field, PATTERNS_MAX, PATTERN_MAX_BYTES, problems));
    let ignore_case = flag(&fields, "ignore_case", false, problems);
    let normalise = flag(&fields, "normalise", false, problems);
    Some(RegexCheck {
        patterns: patterns?,
        ignore_case: ignore_case?,
        normalise: normalise?,
    })
}

fn keywords(field: Field<'_>, problems: &mut Problems) -> Option<KeywordsCheck> {
    let fields = field.fields(
        &["words", "ignore_case", "whole_words", "normalise"],
        problems,
    )?;
    let words = fields
        .required("words", "a list of words or phrases", problems)
        .and_then(|field| texts(field, WORDS_MAX, WORD_MAX_BYTES, problems));
    let ignore_case = flag(&fields, "ignore_case", true, problems);
    let whole_words = flag(&fields, "whole_words", true, problems);
    let normalise = flag(&fields, "normalise", true, problems);
    Some(KeywordsCheck {
        words: words?,
        ignore_case: ignore_case?,
        whole_words: whole_words?,
        normalise: normalise?,
    })
}

fn pii(field: Field<'_>, problems: &mut Problems) -> Option<PiiCheck> {
    let fields = field.fields(&["kinds", "reversible", "normalise"], problems)?;
    let kinds = fields
        .required(
            "kinds",
            "say which, such as `kinds: [email, phone, card, iban]`",
            problems,
        )
        .and_then(|field| {
            let mut kinds = Vec::new();
            for member in field.filled_list(problems)? {
                let kind = member.one_of(PiiKind::ALL, problems)?;
                if kinds.contains(&kind) {
                    member.refuse("stands in the list twice", problems);
                } else {
                    kinds.push(kind);
                }
            }
            Some(kinds)
        });
    let reversible = flag(&fields, "reversible", false, problems);
    let normalise = flag(&fields, "normalise", true, problems);
    Some(PiiCheck {
        kinds: kinds?,
        reversible: reversible?,
        normalise: normalise?,
    })
}

fn injection(field: Field<'_>, problems: &mut Problems) -> Option<InjectionCheck> {
    if field.as_boolean() == Some(true) {
        return Some(InjectionCheck {
            threshold: InjectionCheck::THRESHOLD,
        });
    }
    let fields = field.fields(&["threshold"], problems)?;
    let threshold = match fields.optional("threshold") {
        Some(field) => field
            .whole(1..=POINTS_MAX, problems)
            .and_then(|points| u32::try_from(points).ok()),
        None => Some(InjectionCheck::THRESHOLD),
    };
    Some(InjectionCheck {
        threshold: threshold?,
    })
}

fn on_failure(fields: &Fields<'_>, problems: &mut Problems) -> Option<bool> {
    match fields.optional("on_failure") {
        Some(field) => field.one_of(&[("refuse", false), ("allow", true)], problems),
        None => Some(false),
    }
}

fn webhook(field: Field<'_>, problems: &mut Problems) -> Option<WebhookCheck> {
    let fields = field.fields(&["upstream", "path", "timeout", "on_failure"], problems)?;
    let upstream = fields
        .required("upstream", "name the upstream that is asked", problems)
        .and_then(|field| name(field, problems));
    let path = match fields.optional("path") {
        Some(field) => question_path(field, problems),
        None => Some("/".into()),
    };
    let timeout = question_timeout(&fields, None, problems);
    let allow_on_failure = on_failure(&fields, problems);
    Some(WebhookCheck {
        upstream: upstream?,
        path: path?,
        timeout: timeout?,
        allow_on_failure: allow_on_failure?,
    })
}

fn moderation(field: Field<'_>, problems: &mut Problems) -> Option<ModerationCheck> {
    let fields = field.fields(&["model", "thresholds", "timeout", "on_failure"], problems)?;
    let model = fields
        .required(
            "model",
            "name the model that is asked, of the same team",
            problems,
        )
        .and_then(|field| name(field, problems));
    let thresholds = match fields.optional("thresholds") {
        Some(field) => {
            let entries = field.entries(problems)?;
            if too_many(field, entries.len(), CATEGORIES_MAX, problems) {
                return None;
            }
            entries
                .into_iter()
                .map(|entry| Some((entry.key().into(), thousandths(entry, problems)?)))
                .collect()
        }
        None => Some(Vec::new()),
    };
    let timeout = question_timeout(&fields, Some(MODERATION_TIMEOUT), problems);
    let allow_on_failure = on_failure(&fields, problems);
    Some(ModerationCheck {
        model: model?,
        thresholds: thresholds?,
        timeout: timeout?,
        allow_on_failure: allow_on_failure?,
    })
}

/// A number from 0 to 1, in thousandths.
pub(super) fn thousandths(field: Field<'_>, problems: &mut Problems) -> Option<u16> {
    let number = match field.node().value {
        Value::Whole(0) => Some(0.0),
        Value::Whole(1) => Some(1.0),
        Value::Number(number) => Some(number),
        Value::Whole(_)
        | Value::Null
        | Value::Boolean(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_) => None,
    };
    let whole = number
        .map(|number| (number * 1000.0).round())
        .filter(|number| (0.0..=1000.0).contains(number));
    // There are a thousand and one of them: the nearest is found without a cast.
    let found = whole.and_then(|whole| (0..=1000_u16).find(|step| f64::from(*step) >= whole));
    if found.is_none() {
        field.refuse("is no number from 0 to 1, such as 0.85", problems);
    }
    found
}
