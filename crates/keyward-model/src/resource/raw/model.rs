//! Reading `kind: model`.

use super::Value;
use super::authorization;
use super::budgets::{self, Holder};
use super::field::{Field, Fields};
use super::guardrail;
use super::problem::Problems;
use super::provider::weight;
use super::read::name;
use super::upstream::header_name;
use crate::resource::Authorization;
use crate::resource::model::{
    Answers, AskedAbility, Model, ModelChoice, ModelTarget, Sticky, TargetCondition,
};
use std::num::NonZeroU32;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &[
    "targets",
    "fallbacks",
    "choose",
    "hedge",
    "authorization",
    "attempts",
    "allow_model_members",
    "rate_limits",
    "quotas",
    "guardrails",
    "cache",
];

/// Each is looked at for a call.
const TARGETS_MAX: usize = 64;
/// What the longest names of models have is far less.
const MODEL_MAX_BYTES: usize = 256;
/// No model reads more.
const TOKENS_MAX: u64 = 1_000_000_000;
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
    let choose = match fields.optional("choose") {
        Some(field) => choice(field, problems),
        None => Some(ModelChoice::Weighted),
    };
    let hedge = match fields.optional("hedge") {
        Some(field) => hedge(field, problems).map(Some),
        None => Some(None),
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
    let allow_model_members = match fields.optional("allow_model_members") {
        Some(field) => field.boolean(problems),
        None => Some(false),
    };
    let budgets = budgets::read(fields, Holder::Model, problems);
    let guarded = guardrail::read(fields, problems);
    Some(Model {
        targets: targets?,
        fallbacks: fallbacks?,
        choose: choose?,
        hedge: hedge?,
        authorization: authorization?,
        attempts: attempts?,
        allow_model_members: allow_model_members?,
        budgets: budgets?,
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
        &["provider", "model", "alias", "weight", "when"]
    } else {
        &["provider", "model", "alias", "when"]
    };
    let fields = field.fields(known, problems)?;
    let answers = answers(&fields, problems);
    let weight = weight(&fields, problems);
    let when = match fields.optional("when") {
        Some(field) => condition(field, problems),
        None => Some(TargetCondition::default()),
    };
    Some(ModelTarget {
        answers: answers?,
        weight: weight?,
        when: when?,
    })
}

fn answers(fields: &Fields<'_>, problems: &mut Problems) -> Option<Answers> {
    if let Some(alias) = fields.optional("alias") {
        for key in ["provider", "model"] {
            if let Some(other) = fields.optional(key) {
                problems.error(
                    other.place(),
                    "contradiction",
                    format!(
                        "`{key}` stands beside `alias`, which names another model of the team: take one of them out"
                    ),
                );
                return None;
            }
        }
        return name(alias, problems).map(Answers::Alias);
    }
    let provider = fields
        .required(
            "provider",
            "name the provider, of the same team, or another model of the team with `alias`",
            problems,
        )
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
    Some(Answers::Provider {
        provider: provider?,
        model: model?,
    })
}

fn condition(field: Field<'_>, problems: &mut Problems) -> Option<TargetCondition> {
    let fields = field.fields(&["input_tokens", "abilities", "claims"], problems)?;
    let (min, max) = match fields.optional("input_tokens") {
        Some(field) => tokens(field, problems)?,
        None => (0, None),
    };
    let abilities = match fields.optional("abilities") {
        Some(field) => {
            let words = AskedAbility::ALL.map(|ability| (ability.as_str(), ability));
            let members = field.filled_list(problems)?;
            let read: Vec<_> = members
                .into_iter()
                .map(|member| member.one_of(&words, problems))
                .collect();
            let mut read = read.into_iter().collect::<Option<Vec<_>>>()?;
            read.sort_unstable();
            read.dedup();
            read
        }
        None => Vec::new(),
    };
    let claims = match fields.optional("claims") {
        Some(field) => authorization::claims(field, problems)?,
        None => Vec::new(),
    };
    let condition = TargetCondition {
        min_input_tokens: min,
        max_input_tokens: max,
        abilities,
        claims,
    };
    if condition.is_empty() {
        field.refuse(
            "says nothing: name `input_tokens`, `abilities` or `claims`, or take it out",
            problems,
        );
        return None;
    }
    Some(condition)
}

fn tokens(field: Field<'_>, problems: &mut Problems) -> Option<(u64, Option<u64>)> {
    let fields = field.fields(&["min", "max"], problems)?;
    let mut bound = |key: &str| match fields.optional(key) {
        Some(field) => field.whole(0..=TOKENS_MAX, problems).map(Some),
        None => Some(None),
    };
    let (min, max) = (bound("min"), bound("max"));
    let (min, max) = (min?.unwrap_or(0), max?);
    if max.is_some_and(|max| max < min) {
        problems.error(
            fields.place(),
            "contradiction",
            "`max` is less than `min`, so that no call could fit: exchange them",
        );
        return None;
    }
    Some((min, max))
}

fn choice(field: Field<'_>, problems: &mut Problems) -> Option<ModelChoice> {
    if !matches!(field.node().value, Value::Map(_)) {
        let words = [
            ("weighted", 0),
            ("latency", 1),
            ("busy", 2),
            ("cost", 3),
            ("sticky", 4),
        ];
        return match field.one_of(&words, problems)? {
            0 => Some(ModelChoice::Weighted),
            1 => Some(ModelChoice::Latency),
            2 => Some(ModelChoice::Busy),
            3 => Some(ModelChoice::Cost),
            _sticky => {
                field.refuse(
                    "does not say by what: write `choose: { sticky: subject }`, or `user`, or `{ header: x-session }`",
                    problems,
                );
                None
            }
        };
    }
    let fields = field.fields(&["sticky"], problems)?;
    let sticky = fields.required(
        "sticky",
        "without it, `choose` is a word: weighted, latency, busy or cost",
        problems,
    )?;
    let by = if matches!(sticky.node().value, Value::Map(_)) {
        let fields = sticky.fields(&["header"], problems)?;
        let header = fields.required("header", "name the header, such as x-session", problems)?;
        Sticky::Header(header_name(header, problems)?)
    } else {
        if sticky.one_of(&[("subject", true), ("user", false)], problems)? {
            Sticky::Subject
        } else {
            Sticky::User
        }
    };
    Some(ModelChoice::Sticky(by))
}

fn hedge(field: Field<'_>, problems: &mut Problems) -> Option<std::time::Duration> {
    let fields = field.fields(&["after"], problems)?;
    let after = fields.required(
        "after",
        "say how long a first token is waited for, such as `after: 2s`",
        problems,
    )?;
    after.positive_duration(problems)
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
