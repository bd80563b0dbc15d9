//! Reading limits in what AI calls take: `tokens` and `cost` in place of `requests`, of an API with `ai`; and those of a
//! model, of a provider's key and of a credential.

use super::field::{Field, Fields};
use super::limits::{self, Kind, LIMITS_MAX, ON_OUTAGE};
use super::problem::Problems;
use super::read::name;
use crate::limit::{Budget, LimitSubject, Period, Span, Unit, Unpriced};
use crate::name::Name;
use crate::usage::PicoUsd;
use std::num::NonZeroU64;

/// More tokens than any deployment takes in a month; sums of such amounts stay far below what a number holds.
const AMOUNT_MAX: u64 = 1_000_000_000_000_000;

/// Whose limits they are, where that says by what they count.
#[derive(Clone, Copy)]
pub(super) enum Holder {
    /// An API's: each says by what it counts.
    Api,
    /// A model's: by what it counts, or all its calls.
    Model,
    /// A key's: what it counts is the key.
    Key,
}

impl Holder {
    const fn keys(self, kind: Kind) -> &'static [&'static str] {
        match (self, kind) {
            (Self::Api | Self::Model, Kind::Rate) => &[
                "by",
                "requests",
                "tokens",
                "cost",
                "per",
                "burst",
                "name",
                "on_outage",
                "unpriced",
                "lower_max_tokens",
            ],
            (Self::Api | Self::Model, Kind::Quota | Kind::Concurrency) => &[
                "by",
                "requests",
                "tokens",
                "cost",
                "per",
                "name",
                "on_outage",
                "unpriced",
                "lower_max_tokens",
            ],
            (Self::Key, Kind::Rate) => &[
                "requests",
                "tokens",
                "cost",
                "per",
                "burst",
                "name",
                "on_outage",
                "unpriced",
                "lower_max_tokens",
            ],
            (Self::Key, Kind::Quota | Kind::Concurrency) => &[
                "requests",
                "tokens",
                "cost",
                "per",
                "name",
                "on_outage",
                "unpriced",
                "lower_max_tokens",
            ],
        }
    }
}

/// The `rate_limits` and `quotas` of a model, a provider's key or a credential.
pub(super) fn read(
    fields: &Fields<'_>,
    holder: Holder,
    problems: &mut Problems,
) -> Option<Vec<Budget>> {
    let mut budgets: Vec<Budget> = Vec::new();
    let mut sound = true;
    for (key, kind) in [("rate_limits", Kind::Rate), ("quotas", Kind::Quota)] {
        let Some(field) = fields.optional(key) else {
            continue;
        };
        let members = field.list(problems).unwrap_or_default();
        if budgets.len() + members.len() > LIMITS_MAX {
            problems.error(
                field.place(),
                "too_many",
                format!("with `{key}` there are more than {LIMITS_MAX} limits: each costs every call a look-up"),
            );
            return None;
        }
        for (index, member) in members.into_iter().enumerate() {
            let Some(budget) = budget(member, kind, index, holder, problems) else {
                sound = false;
                continue;
            };
            if budgets.iter().any(|other| other.name == budget.name) {
                duplicate(member, &budget.name, problems);
                sound = false;
            }
            budgets.push(budget);
        }
    }
    sound.then_some(budgets)
}

/// Answers name the limit.
pub(super) fn duplicate(member: Field<'_>, name: &Name, problems: &mut Problems) {
    problems.error(
        member.place(),
        "duplicate_name",
        format!(
            "two limits of the same calls are called `{name}`: answers name the limit, so each needs its own `name`"
        ),
    );
}

/// One limit in what calls take.
pub(super) fn budget(
    field: Field<'_>,
    kind: Kind,
    index: usize,
    holder: Holder,
    problems: &mut Problems,
) -> Option<Budget> {
    let fields = field.fields(holder.keys(kind), problems)?;
    let by = by(&fields, holder, problems);
    let amount = amount(&fields, problems);
    let over = match kind {
        Kind::Rate => rate(&fields, amount, problems),
        Kind::Quota | Kind::Concurrency => limits::window(&fields, problems).map(Span::Window),
    };
    let on_outage = match fields.optional("on_outage") {
        Some(field) => field.one_of(&ON_OUTAGE, problems),
        None => Some(Default::default()),
    };
    let unpriced = match fields.optional("unpriced") {
        Some(field) => {
            if let Some((unit @ (Unit::Requests | Unit::Tokens), _)) = amount {
                field.refuse(
                    &format!(
                        "says nothing of a limit in {}: it is about models whose price is not known, under a limit in `cost`",
                        unit.as_str()
                    ),
                    problems,
                );
                return None;
            }
            field.one_of(
                &[Unpriced::Refuse, Unpriced::Free].map(|word| (word.as_str(), word)),
                problems,
            )
        }
        None => Some(Unpriced::default()),
    };
    let lower_max_tokens = match fields.optional("lower_max_tokens") {
        Some(field) => {
            if let Some((Unit::Requests, _)) = amount {
                field.refuse(
                    "says nothing of a limit in requests: a call takes one of them, however much it writes",
                    problems,
                );
                return None;
            }
            field.boolean(problems)
        }
        None => Some(false),
    };
    let given = match fields.optional("name") {
        Some(field) => name(field, problems),
        None => {
            let (unit, _) = amount?;
            let by = by.as_deref().and_then(<[_]>::first);
            let by = by.map_or("limit", LimitSubject::word);
            let (number, unit) = (index + 1, unit.as_str());
            let name = match over? {
                Span::Window(period) => format!("{by}-{unit}-{}-{number}", period.as_str()),
                Span::Rate { .. } => format!("{by}-{unit}-{number}"),
            };
            name.parse().ok()
        }
    };
    let (unit, amount) = amount?;
    Some(Budget {
        name: given?,
        by: by?,
        unit,
        amount,
        over: over?,
        on_outage: on_outage?,
        unpriced: unpriced?,
        lower_max_tokens: lower_max_tokens?,
    })
}

fn by(fields: &Fields<'_>, holder: Holder, problems: &mut Problems) -> Option<Box<[LimitSubject]>> {
    match (holder, fields.optional("by")) {
        (_, Some(field)) => limits::subjects(field, problems),
        (Holder::Api, None) => fields
            .required(
                "by",
                "say what is counted, such as `subject`, `team` or `model`",
                problems,
            )
            .and(None),
        (Holder::Model, None) => Some(Box::new([LimitSubject::Model])),
        (Holder::Key, None) => Some(Box::new([LimitSubject::Key])),
    }
}

/// What is counted, and how much of it.
fn amount(fields: &Fields<'_>, problems: &mut Problems) -> Option<(Unit, NonZeroU64)> {
    let given: Vec<Field<'_>> = ["requests", "tokens", "cost"]
        .into_iter()
        .filter_map(|key| fields.optional(key))
        .collect();
    let field = match given.as_slice() {
        [field] => *field,
        [] => {
            return fields
                .required(
                    "requests",
                    "say how many requests pass, or how much they may take together: `tokens: 1000000`, or `cost: \"25.00\"` in US dollars",
                    problems,
                )
                .and(None);
        }
        [_, second, ..] => {
            problems.error(
                second.place(),
                "contradiction",
                format!(
                    "`{}` stands beside another amount: a limit counts one thing; make two limits of it",
                    second.key()
                ),
            );
            return None;
        }
    };
    let unit = match field.key() {
        "requests" => Unit::Requests,
        "tokens" => Unit::Tokens,
        _ => Unit::Cost,
    };
    let amount = match unit {
        Unit::Requests | Unit::Tokens => field.whole(1..=AMOUNT_MAX, problems)?,
        Unit::Cost => money(field, problems)?,
    };
    NonZeroU64::new(amount).map(|amount| (unit, amount))
}

/// Dollars, in pico-dollars.
fn money(field: Field<'_>, problems: &mut Problems) -> Option<u64> {
    field.parsed(
        |text| {
            let pico = u64::try_from(PicoUsd::of_decimal(text)?.0).ok()?;
            (pico > 0 && pico <= COST_MAX).then_some(pico)
        },
        "is no amount of US dollars: write it as decimal text in quotes, such as \"25.00\", more than 0 and at most 9000000",
        problems,
    )
}

/// Nine million dollars: what a call may cost beside it is still within the number.
const COST_MAX: u64 = 9_000_000 * 1_000_000_000_000;

fn rate(
    fields: &Fields<'_>,
    amount: Option<(Unit, NonZeroU64)>,
    problems: &mut Problems,
) -> Option<Span> {
    let per = limits::pace(fields, problems);
    let (unit, amount) = amount?;
    let burst = match fields.optional("burst") {
        Some(field) => NonZeroU64::new(match unit {
            Unit::Requests | Unit::Tokens => field.whole(1..=AMOUNT_MAX, problems)?,
            Unit::Cost => money(field, problems)?,
        })?,
        None => amount,
    };
    Some(Span::Rate { per: per?, burst })
}

/// The periods by their words.
pub(super) fn periods() -> [(&'static str, Period); Period::ALL.len()] {
    Period::ALL.map(|period| (period.as_str(), period))
}
