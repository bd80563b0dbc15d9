//! Reading `authorization` of an API or a route.

use super::access_policy;
use super::api::scope_list;
use super::field::Field;
use super::problem::Problems;
use super::read::name;
use super::{Value, shortened};
use crate::resource::authorization::{
    Authorization, ClaimCondition, ClaimPath, ClaimTest, PolicyReference, Scalar,
};
use crate::resource::{Authentication, AuthenticationMethod};
use std::collections::BTreeSet;

const KEYS: &[&str] = &[
    "scopes",
    "any_scopes",
    "roles",
    "any_roles",
    "claims",
    "policies",
];

/// The tests of a claim.
const TESTS: &[&str] = &[
    "equals",
    "not",
    "one_of",
    "contains",
    "contains_any",
    "contains_all",
    "at_least",
    "at_most",
    "starts_with",
    "ends_with",
    "present",
];

/// More than anyone writes; each is looked at for each caller.
const CONDITIONS_MAX: usize = 32;
/// The most values that one test compares with.
const VALUES_MAX: usize = 256;
/// The most roles of one list.
const ROLES_MAX: usize = 64;
/// The most policies of one list: each takes its time at each call.
const POLICIES_MAX: usize = 32;
/// The longest name of a role, in bytes.
const ROLE_MAX_BYTES: usize = 256;

/// Reads it. What the callers of `authentication` can't have is told, where that is known.
pub(super) fn read(
    field: Field<'_>,
    authentication: Option<&Authentication>,
    problems: &mut Problems,
) -> Option<Authorization> {
    let fields = field.fields(KEYS, problems)?;
    let mut scopes = |key| match fields.optional(key) {
        Some(list) => scope_list(list, problems),
        None => Some(BTreeSet::new()),
    };
    let (all, any) = (scopes("scopes"), scopes("any_scopes"));
    let mut named = |key| match fields.optional(key) {
        Some(list) => roles(list, problems),
        None => Some(BTreeSet::new()),
    };
    let (all_roles, any_roles) = (named("roles"), named("any_roles"));
    let conditions = match fields.optional("claims") {
        Some(field) => claims(field, problems),
        None => Some(Vec::new()),
    };
    let policies = match fields.optional("policies") {
        Some(field) => policies(field, problems),
        None => Some(Vec::new()),
    };
    for key in ["any_scopes", "any_roles", "policies"] {
        if let Some(list) = fields.optional(key)
            && matches!(&list.node().value, Value::List(members) if members.is_empty())
        {
            problems.error(
                list.place(),
                "bad_value",
                format!(
                    "`{key}` is empty, so that nobody could fit it: name one, or take `{key}` out"
                ),
            );
        }
    }
    let authorization = Authorization {
        scopes: all?,
        any_scopes: any?,
        roles: all_roles?,
        any_roles: any_roles?,
        claims: conditions?,
        policies: policies?,
    };
    if let Some(authentication) = authentication {
        contradictions(field, &authorization, authentication, problems);
    }
    Some(authorization)
}

/// What is asked for and nobody can have.
fn contradictions(
    field: Field<'_>,
    asked: &Authorization,
    authentication: &Authentication,
    problems: &mut Problems,
) {
    let scopes = !asked.scopes.is_empty() || !asked.any_scopes.is_empty();
    if scopes && let Some(why) = super::authentication::without_scopes(authentication) {
        problems.error(field.place(), "contradiction", why);
        return;
    }
    let why = match authentication {
        Authentication::None if asked.asks_for_roles() || !asked.claims.is_empty() => {
            "`authorization` asks for roles or claims, but `authentication: none` lets everyone call without a token: name issuers, or take them out"
        }
        Authentication::Methods(methods)
            if !asked.claims.is_empty()
                && methods
                    .iter()
                    .all(|method| matches!(method, AuthenticationMethod::MutualTls(_))) =>
        {
            "`authorization` asks for claims, which certificates do not carry: give callers a role (`kind: role`) or scopes (`callers`) instead"
        }
        Authentication::None | Authentication::Methods(_) => return,
    };
    problems.error(field.place(), "contradiction", why);
}

fn roles(field: Field<'_>, problems: &mut Problems) -> Option<BTreeSet<Box<str>>> {
    field.list(problems)?;
    let names = field.texts(problems);
    if names.len() > ROLES_MAX {
        field.refuse(
            "has more than 64 roles: make one that includes them",
            problems,
        );
        return None;
    }
    if let Some(long) = names.iter().find(|name| name.len() > ROLE_MAX_BYTES) {
        problems.error(
            field.place(),
            "bad_value",
            format!("`{}` is longer than 256 bytes", shortened(long)),
        );
        return None;
    }
    Some(names.into_iter().collect())
}

/// `claims`: what each of them must be.
pub(super) fn claims(field: Field<'_>, problems: &mut Problems) -> Option<Vec<ClaimCondition>> {
    let entries = field.entries(problems)?;
    if entries.is_empty() || entries.len() > CONDITIONS_MAX {
        field.refuse("has from 1 to 32 claims", problems);
        return None;
    }
    let conditions: Vec<_> = entries
        .into_iter()
        .map(|entry| condition(entry, problems))
        .collect();
    conditions.into_iter().collect()
}

fn condition(entry: Field<'_>, problems: &mut Problems) -> Option<ClaimCondition> {
    let Some(claim) = ClaimPath::parse(entry.key()) else {
        problems.error(
            entry.place(),
            "bad_value",
            format!(
                "`{}` names no claim: it has 1 to 256 bytes, with `.` for what is inside of objects",
                shortened(entry.key())
            ),
        );
        return None;
    };
    let tests = match &entry.node().value {
        Value::Map(_) => tests(entry, problems)?,
        Value::List(_) => vec![ClaimTest::OneOf(values(entry, problems)?)],
        Value::Null | Value::Boolean(_) | Value::Whole(_) | Value::Number(_) | Value::Text(_) => {
            vec![ClaimTest::Equals(scalar(entry, problems)?)]
        }
    };
    Some(ClaimCondition { claim, tests })
}

fn tests(entry: Field<'_>, problems: &mut Problems) -> Option<Vec<ClaimTest>> {
    let fields = entry.fields(TESTS, problems)?;
    let mut tests = Vec::new();
    for key in TESTS {
        let Some(field) = fields.optional(key) else {
            continue;
        };
        tests.push(test(field, problems)?);
    }
    if tests.is_empty() {
        entry.refuse(
            "says nothing of the claim: write a value, or a test such as `{ contains: editor }`",
            problems,
        );
        return None;
    }
    Some(tests)
}

fn test(field: Field<'_>, problems: &mut Problems) -> Option<ClaimTest> {
    Some(match field.key() {
        "equals" => ClaimTest::Equals(scalar(field, problems)?),
        "not" => ClaimTest::Not(scalar(field, problems)?),
        "one_of" => ClaimTest::OneOf(values(field, problems)?),
        "contains" => ClaimTest::Contains(scalar(field, problems)?),
        "contains_any" => ClaimTest::ContainsAny(values(field, problems)?),
        "contains_all" => ClaimTest::ContainsAll(values(field, problems)?),
        "at_least" => ClaimTest::AtLeast(whole(field, problems)?),
        "at_most" => ClaimTest::AtMost(whole(field, problems)?),
        "starts_with" => ClaimTest::StartsWith(field.text(problems)?.into()),
        "ends_with" => ClaimTest::EndsWith(field.text(problems)?.into()),
        _ => ClaimTest::Present(field.boolean(problems)?),
    })
}

fn values(field: Field<'_>, problems: &mut Problems) -> Option<Vec<Scalar>> {
    let members = field.filled_list(problems)?;
    if members.len() > VALUES_MAX {
        field.refuse("has more than 256 values", problems);
        return None;
    }
    let values: Vec<_> = members
        .into_iter()
        .map(|member| scalar(member, problems))
        .collect();
    values.into_iter().collect()
}

fn scalar(field: Field<'_>, problems: &mut Problems) -> Option<Scalar> {
    match &field.node().value {
        Value::Boolean(value) => Some(Scalar::Boolean(*value)),
        Value::Whole(value) => Some(Scalar::Whole(*value)),
        Value::Text(text) => Some(Scalar::Text(text.as_str().into())),
        Value::Null | Value::Number(_) | Value::List(_) | Value::Map(_) => {
            field.refuse(
                "is nothing that claims are compared with: write a text, a whole number, `true` or `false`",
                problems,
            );
            None
        }
    }
}

fn whole(field: Field<'_>, problems: &mut Problems) -> Option<i64> {
    match field.node().value {
        Value::Whole(value) => Some(value),
        Value::Null
        | Value::Boolean(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_) => {
            field.refuse("is no whole number", problems);
            None
        }
    }
}

/// `policies`: names of access policies, and policies that are written here.
fn policies(field: Field<'_>, problems: &mut Problems) -> Option<Vec<PolicyReference>> {
    let members = field.list(problems)?;
    if members.len() > POLICIES_MAX {
        field.refuse("has more than 32 policies", problems);
        return None;
    }
    let mut policies: Vec<PolicyReference> = Vec::new();
    let mut whole = true;
    for member in members {
        let policy = if member.as_text().is_some() {
            name(member, problems).map(PolicyReference::Named)
        } else {
            access_policy::inline(member, problems)
                .map(|policy| PolicyReference::Inline(Box::new(policy)))
        };
        match policy {
            Some(PolicyReference::Named(_)) if policies.contains(policy.as_ref()?) => {
                member.refuse("stands in the list twice", problems);
            }
            Some(policy) => policies.push(policy),
            None => whole = false,
        }
    }
    whole.then_some(policies)
}
