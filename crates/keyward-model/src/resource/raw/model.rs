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
    Answers, AskedAbility, KnownOfModel, Model, ModelChoice, ModelTarget, Sticky, TargetCondition,
    TokenPrice,
};
use crate::usage::PicoUsd;
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
    let keys: &[&str] = if weighted {
        &[
            "provider",
            "model",
            "alias",
            "weight",
            "when",
            "price",
            "context",
            "max_output",
            "abilities",
        ]
    } else {
        &[
            "provider",
            "model",
            "alias",
            "when",
            "price",
            "context",
            "max_output",
            "abilities",
        ]
    };
    let fields = field.fields(keys, problems)?;
    let answers = answers(&fields, problems);
    let weight = weight(&fields, problems);
    let when = match fields.optional("when") {
        Some(field) => condition(field, problems),
        None => Some(TargetCondition::default()),
    };
    let known = known(&fields, problems);
    let (answers, known) = (answers?, known?);
    if matches!(answers, Answers::Alias(_)) && !known.is_empty() {
        problems.error(
            fields.place(),
            "contradiction",
            "`price`, `context`, `max_output` and `abilities` are of a provider's model: say them where the model that `alias` names has its own targets",
        );
        return None;
    }
    Some(ModelTarget {
        answers,
        weight: weight?,
        when: when?,
        known,
    })
}

fn known(fields: &Fields<'_>, problems: &mut Problems) -> Option<KnownOfModel> {
    let price = match fields.optional("price") {
        Some(field) => price(field, problems).map(Some),
        None => Some(None),
    };
    let mut tokens = |key: &str| match fields.optional(key) {
        Some(field) => field.whole(1..=TOKENS_MAX, problems).map(Some),
        None => Some(None),
    };
    let (context, max_output) = (tokens("context"), tokens("max_output"));
    let abilities = match fields.optional("abilities") {
        Some(field) => {
            let members = field.list(problems)?;
            abilities(members, problems).map(Some)
        }
        None => Some(None),
    };
    Some(KnownOfModel {
        price: price?,
        context: context?,
        max_output: max_output?,
        abilities: abilities?,
    })
}

fn price(field: Field<'_>, problems: &mut Problems) -> Option<TokenPrice> {
    let fields = field.fields(
        &[
            "input",
            "output",
            "cached_input",
            "cache_write",
            "reasoning",
        ],
        problems,
    )?;
    let why = "say it in US dollars for a million tokens, such as `price: { input: \"0.60\", output: \"2.40\" }`";
    let mut rate = |key: &str| match fields.optional(key) {
        Some(field) => per_token(field, problems).map(Some),
        None => Some(None),
    };
    let (cached_input, cache_write, reasoning) =
        (rate("cached_input"), rate("cache_write"), rate("reasoning"));
    let mut needed = |key: &str| {
        let field = fields.required(key, why, problems)?;
        per_token(field, problems)
    };
    let (input, output) = (needed("input"), needed("output"));
    Some(TokenPrice {
        input: input?,
        output: output?,
        cached_input: cached_input?,
        cache_write: cache_write?,
        reasoning: reasoning?,
    })
}

/// Dollars for a million tokens, in pico-dollars for one.
fn per_token(field: Field<'_>, problems: &mut Problems) -> Option<u64> {
    field.parsed(
        |text| {
            let million = u64::try_from(PicoUsd::of_decimal(text)?.0).ok()?;
            (million % MILLION == 0 && million <= PRICE_MAX).then_some(million / MILLION)
        },
        "is no price: write US dollars for a million tokens as decimal text in quotes, such as \"0.60\", with six decimals at most and no more than 1000000",
        problems,
    )
}

const MILLION: u64 = 1_000_000;
/// A dollar for a token is beyond all prices; many of them are still within the number.
const PRICE_MAX: u64 = MILLION * 1_000_000_000_000;

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
            let members = field.filled_list(problems)?;
            abilities(members, problems)?
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

fn abilities(members: Vec<Field<'_>>, problems: &mut Problems) -> Option<Vec<AskedAbility>> {
    let words = AskedAbility::ALL.map(|ability| (ability.as_str(), ability));
    let read: Vec<_> = members
        .into_iter()
        .map(|member| member.one_of(&words, problems))
        .collect();
    let mut read = read.into_iter().collect::<Option<Vec<_>>>()?;
    read.sort_unstable();
    read.dedup();
    Some(read)
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
