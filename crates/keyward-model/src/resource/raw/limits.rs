//! Reading `rate_limits`, `quotas` and `concurrency`, of an API or of a route.

use super::api::is_token;
use super::budgets::{self, Holder};
use super::field::{Field, Fields, listed};
use super::problem::{Problems, closest};
use super::read::name;
use crate::limit::{
    Allowance, Budget, LimitRule, LimitSubject, OnOutage, Period, Quota, RateLimit,
};
use std::num::NonZeroU32;
use std::time::Duration;

/// The most limits that one call takes from: each costs it a look-up.
pub(super) const LIMITS_MAX: usize = 16;

/// The most that one limit counts by together.
const SUBJECTS_MAX: usize = 4;

/// The longest time of a rate limit: counts are kept in memory for as long.
const RATE_LIMIT_PER_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// What a limit may count by, but for claims and headers, which have names.
const PLAIN_SUBJECTS: [LimitSubject; 9] = [
    LimitSubject::Subject,
    LimitSubject::Client,
    LimitSubject::Team,
    LimitSubject::Issuer,
    LimitSubject::Key,
    LimitSubject::Address,
    LimitSubject::Model,
    LimitSubject::Route,
    LimitSubject::Api,
];

/// Headers whose values are credentials: they are no names to count by, and are gone when limits are taken.
const SECRET_HEADERS: &[&str] = &["authorization", "cookie", "dpop", "proxy-authorization"];

pub(in crate::resource::raw) const ON_OUTAGE: [(&str, OnOutage); 2] = [
    (OnOutage::AllowLocally.as_str(), OnOutage::AllowLocally),
    (OnOutage::Refuse.as_str(), OnOutage::Refuse),
];

/// The limits of an API or a route.
#[derive(Default)]
pub(super) struct Limits {
    /// Those that count calls.
    pub(super) rules: Vec<LimitRule>,
    /// Those that count what calls of models take.
    pub(super) budgets: Vec<Budget>,
}

/// The limits in `fields`: those on rates, then quotas, then concurrency, in the order they are taken.
/// `above` are those that the same calls take from before; `of_models` is said where AI models answer.
pub(super) fn read(
    fields: &Fields<'_>,
    above: &[LimitRule],
    of_models: bool,
    problems: &mut Problems,
) -> Limits {
    let mut rules: Vec<LimitRule> = Vec::new();
    let mut budgets: Vec<Budget> = Vec::new();
    for (key, kind) in [
        ("rate_limits", Kind::Rate),
        ("quotas", Kind::Quota),
        ("concurrency", Kind::Concurrency),
    ] {
        let Some(field) = fields.optional(key) else {
            continue;
        };
        let members = field.list(problems).unwrap_or_default();
        let before = above.len() + rules.len() + budgets.len();
        if before + members.len() > LIMITS_MAX {
            problems.error(
                field.place(),
                "too_many",
                format!(
                    "with `{key}` a call takes from {} limits: {LIMITS_MAX} are the most, those of the API and of the route together",
                    before + members.len()
                ),
            );
            continue;
        }
        for (index, member) in members.into_iter().enumerate() {
            let known = |name| {
                let rules = above.iter().chain(&rules).map(|other| &other.name);
                let mut names = rules.chain(budgets.iter().map(|other| &other.name));
                names.any(|other| other == name)
            };
            if !matches!(kind, Kind::Concurrency) && is_budget(member) {
                if !of_models {
                    problems.error(
                        member.place(),
                        "contradiction",
                        "`tokens` and `cost` count what AI models take, and none answers here: count `requests`, or put it on an API with `ai`",
                    );
                    continue;
                }
                let budget = budgets::budget(member, kind, index, Holder::Api, problems);
                if let Some(budget) = budget {
                    if known(&budget.name) {
                        budgets::duplicate(member, &budget.name, problems);
                    }
                    budgets.push(budget);
                }
                continue;
            }
            let Some(rule) = limit(member, kind, index, problems) else {
                continue;
            };
            if known(&rule.name) {
                budgets::duplicate(member, &rule.name, problems);
            }
            if rule.by.contains(&LimitSubject::Model) && !of_models {
                problems.error(
                    member.place(),
                    "contradiction",
                    "`by: model` counts each AI model, and none answers here: put it on an API with `ai`",
                );
            }
            rules.push(rule);
        }
    }
    Limits { rules, budgets }
}

/// Whether a limit counts what is known only when a call has ended.
fn is_budget(field: Field<'_>) -> bool {
    let has = |key| field.node().get(key).is_some();
    has("tokens") || has("cost")
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Rate,
    Quota,
    Concurrency,
}

impl Kind {
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Rate => &["by", "requests", "per", "burst", "name", "on_outage"],
            Self::Quota => &["by", "requests", "per", "name", "on_outage"],
            Self::Concurrency => &["by", "calls", "name", "on_outage"],
        }
    }
}

fn limit(field: Field<'_>, kind: Kind, index: usize, problems: &mut Problems) -> Option<LimitRule> {
    let fields = field.fields(kind.keys(), problems)?;
    let by = fields
        .required(
            "by",
            "say what is counted, such as `subject`, `address` or `route`",
            problems,
        )
        .and_then(|field| subjects(field, problems));
    let allows = match kind {
        Kind::Rate => rate(&fields, problems).map(Allowance::Rate),
        Kind::Quota => quota(&fields, problems).map(Allowance::Quota),
        Kind::Concurrency => fields
            .required(
                "calls",
                "say how many calls may be under way at once",
                problems,
            )
            .and_then(|field| count(field, problems))
            .map(Allowance::Concurrency),
    };
    let on_outage = match fields.optional("on_outage") {
        Some(field) => field.one_of(&ON_OUTAGE, problems),
        None => Some(OnOutage::default()),
    };
    let given = match fields.optional("name") {
        Some(field) => name(field, problems),
        None => {
            let by = by.as_deref().and_then(<[_]>::first);
            let by = by.map_or("limit", LimitSubject::word);
            let number = index + 1;
            let name = match (kind, &allows) {
                (Kind::Quota, Some(Allowance::Quota(quota))) => {
                    format!("{by}-{}-{number}", quota.per.as_str())
                }
                (Kind::Concurrency, _) => format!("{by}-calls-{number}"),
                (Kind::Rate | Kind::Quota, _) => format!("{by}-{number}"),
            };
            name.parse().ok()
        }
    };
    Some(LimitRule {
        name: given?,
        by: by?,
        allows: allows?,
        on_outage: on_outage?,
    })
}

fn rate(fields: &Fields<'_>, problems: &mut Problems) -> Option<RateLimit> {
    let requests = requests(fields, problems);
    let per = pace(fields, problems);
    let burst = match fields.optional("burst") {
        Some(field) => Some(count(field, problems)?),
        None => requests,
    };
    Some(RateLimit {
        requests: requests?,
        per: per?,
        burst: burst?,
    })
}

/// The time in which the whole of a rate comes back.
pub(super) fn pace(fields: &Fields<'_>, problems: &mut Problems) -> Option<Duration> {
    fields
        .required("per", "say in which time, such as 1s or 1m", problems)
        .and_then(|field| {
            if let Some(period) = field.as_text().and_then(period) {
                problems.error(
                    field.place(),
                    "bad_value",
                    format!(
                        "`per`: a rate limit has a duration, such as 1s, 1m or 1h; windows of the calendar (`{}`) are what `quotas` has",
                        period.as_str()
                    ),
                );
                return None;
            }
            let per = field.positive_duration(problems)?;
            if per > RATE_LIMIT_PER_MAX {
                field.refuse(
                    "is longer than 31d: what is meant for months is a quota (`quotas`, `per: month`)",
                    problems,
                );
                return None;
            }
            Some(per)
        })
}

/// The windows of a quota.
pub(super) fn window(fields: &Fields<'_>, problems: &mut Problems) -> Option<Period> {
    fields
        .required(
            "per",
            "say in which window, such as `day` or `month`",
            problems,
        )
        .and_then(|field| field.one_of(&budgets::periods(), problems))
}

fn quota(fields: &Fields<'_>, problems: &mut Problems) -> Option<Quota> {
    let requests = requests(fields, problems);
    let per = window(fields, problems);
    Some(Quota {
        requests: requests?,
        per: per?,
    })
}

fn requests(fields: &Fields<'_>, problems: &mut Problems) -> Option<NonZeroU32> {
    fields
        .required("requests", "say how many requests pass", problems)
        .and_then(|field| count(field, problems))
}

fn period(text: &str) -> Option<Period> {
    Period::ALL
        .into_iter()
        .find(|period| period.as_str() == text)
}

fn count(field: Field<'_>, problems: &mut Problems) -> Option<NonZeroU32> {
    let count = field.whole(1..=u64::from(u32::MAX), problems)?;
    u32::try_from(count).ok().and_then(NonZeroU32::new)
}

/// One subject, or a list of those that are counted together.
pub(super) fn subjects(field: Field<'_>, problems: &mut Problems) -> Option<Box<[LimitSubject]>> {
    if field.as_text().is_some() {
        return Some(Box::new([subject(field, problems)?]));
    }
    let members = field.filled_list(problems)?;
    if members.len() > SUBJECTS_MAX {
        problems.error(
            field.place(),
            "too_many",
            format!(
                "`by` has {} entries: {SUBJECTS_MAX} are the most that are counted together",
                members.len()
            ),
        );
        return None;
    }
    let mut subjects: Vec<LimitSubject> = Vec::new();
    for member in members {
        let subject = subject(member, problems)?;
        if subjects.contains(&subject) {
            member.refuse("stands in the list twice", problems);
            return None;
        }
        subjects.push(subject);
    }
    Some(subjects.into())
}

fn subject(field: Field<'_>, problems: &mut Problems) -> Option<LimitSubject> {
    let text = field.text(problems)?;
    if let Some(claim) = text.strip_prefix("claim:") {
        if claim.is_empty() {
            field.refuse("names no claim: write `claim:NAME`", problems);
            return None;
        }
        return Some(LimitSubject::Claim(claim.into()));
    }
    if let Some(header) = text.strip_prefix("header:") {
        let header = header.to_ascii_lowercase();
        if !is_token(&header) {
            field.refuse("names no header: write `header:NAME`", problems);
            return None;
        }
        if SECRET_HEADERS.contains(&header.as_str()) {
            field.refuse(
                "is a credential: count by `subject`, `client` or `key`, which are what it proves",
                problems,
            );
            return None;
        }
        return Some(LimitSubject::Header(header.into()));
    }
    let found = PLAIN_SUBJECTS
        .into_iter()
        .find(|known| known.word() == text);
    if found.is_none() {
        let words = PLAIN_SUBJECTS.each_ref().map(LimitSubject::word);
        let hint = closest(text, words)
            .map(|meant| format!(": did you mean `{meant}`?"))
            .unwrap_or_default();
        field.refuse(
            &format!(
                "is none of {}, `claim:NAME`, `header:NAME`{hint}",
                listed(&words)
            ),
            problems,
        );
    }
    found
}
