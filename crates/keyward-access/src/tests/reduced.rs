//! Policies get what they read and nothing else: that must change no decision.

use super::{Asked, NOW, api, caller, issuer, told, try_rule};
use crate::HeaderValue;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// Conditions that read one thing or another, nested in all ways that Cedar has.
const CONDITIONS: &[&str] = &[
    "true",
    "principal has subject && principal.subject == \"alice\"",
    "principal in Role::\"editor\"",
    "principal.claims has tenant && principal.claims.tenant == \"acme\"",
    "principal.claims has level && principal.claims.level > 2",
    "principal[\"claims\"] has groups && principal[\"claims\"][\"groups\"].contains(\"a\")",
    "if principal.claims has level then principal.claims.level < 2 else context.hour < 12",
    "context.address.isInRange(ip(\"192.0.2.0/24\"))",
    "context has address && context[\"address\"].isLoopback()",
    "context.time >= datetime(\"2026-11-29T12:00:00Z\")",
    "context.weekday == 7 || context.hour >= 22",
    "context.headers has \"x-region\" && context.headers[\"x-region\"] == \"eu\"",
    "context has headers && !(context.headers has \"x-debug\")",
    "context.parameters has user && principal has subject && context.parameters.user == principal.subject",
    "context.path like \"/orders/*/7\"",
    "context.host == \"api.example\" && context.method == \"GET\"",
    "[context.hour, 3].contains(22)",
    "{\"a\": context.hour}.a == 22",
    "context == context",
    "action in Action::\"read\"",
    "principal has claims.suspended",
    "principal has claims.tenant && principal.claims.tenant == \"x\"",
    "(if context.hour < 12 then principal else principal).claims has level",
    "{\"p\": principal}.p.claims has suspended",
    "[principal].contains(principal) && principal == principal",
    "context has headers.region",
    "(if context.hour < 12 then context.headers else context.headers) has \"x-debug\"",
    "(if context.hour < 12 then context else context).headers has \"x-region\"",
    "{\"c\": context}.c.parameters has user",
    "principal.claims has tenant && principal.claims has level && [principal.claims.tenant].containsAny([\"acme\", \"x\"])",
];

/// What can't be told apart by name, and is refused when it is configured.
const REFUSED: &[&str] = &["context.headers else", "context else", "{\"c\": context}"];

/// All headers that calls have here.
const HEADERS: &[&str] = &["x-region", "x-debug", "region"];

fn condition() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(CONDITIONS).prop_map(str::to_owned);
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    let policy = (any::<bool>(), condition()).prop_map(|(permit, condition)| {
        let effect = if permit { "permit" } else { "forbid" };
        format!("{effect} (principal, action, resource) when {{ {condition} }};")
    });
    proptest::collection::vec(policy, 1..5).prop_map(|policies| policies.join("\n"))
}

fn claims() -> impl Strategy<Value = Value> {
    let subject = prop_oneof![Just(json!("alice")), Just(json!("bob")), Just(Value::Null)];
    let tenant = prop_oneof![Just(json!("acme")), Just(json!("x")), Just(Value::Null)];
    let level = prop_oneof![(0..4_i64).prop_map(|level| json!(level)), Just(Value::Null)];
    let groups = prop_oneof![Just(json!(["a"])), Just(json!("a")), Just(json!([]))];
    let roles = prop_oneof![Just(json!(["editor"])), Just(json!([]))];
    let suspended = prop_oneof![Just(json!(true)), Just(Value::Null)];
    (subject, tenant, level, groups, roles, suspended).prop_map(
        |(sub, tenant, level, groups, roles, suspended)| {
            json!({
                "sub": sub, "tenant": tenant, "level": level, "groups": groups, "suspended": suspended,
                "realm_access": { "roles": roles },
            })
        },
    )
}

fn call() -> impl Strategy<Value = Asked> {
    let region = prop_oneof![
        Just(HeaderValue::Absent),
        Just(HeaderValue::Once(Cow::Borrowed("eu"))),
        Just(HeaderValue::Once(Cow::Borrowed("us"))),
    ];
    let address = proptest::sample::select(&["192.0.2.7", "127.0.0.1", "2001:db8::1"][..]);
    let method = proptest::sample::select(&["GET", "POST", "PROPFIND"][..]);
    let user = proptest::sample::select(&["alice", "bob"][..]);
    let more = prop_oneof![Just(vec![]), Just(vec!["x-debug", "region"])];
    (region, address, method, user, 0..200_000_i64, more).prop_map(
        |(region, address, method, user, later, more)| Asked {
            method,
            path: format!("/orders/{user}/7"),
            address,
            time: NOW + later,
            headers: std::iter::once(("x-region", region))
                .chain(
                    more.into_iter()
                        .map(|name| (name, HeaderValue::Once(Cow::Borrowed("1")))),
                )
                .collect(),
            ..Asked::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_decision_by_what_is_read_is_the_decision_by_all_there_is(
        text in text(),
        claims in claims(),
        calls in proptest::collection::vec(call(), 1..12),
    ) {
        let declared = json!({ "tenant": "String", "level": "Long", "groups": "Set<String>", "suspended": "Bool" });
        let api = api(&json!({ "policies": [ { "cedar": text, "claims": declared } ] }));
        let rule = || try_rule(&api, &[issuer()]).map(|rule| Arc::try_unwrap(rule).unwrap());
        let caller = caller(&claims);
        let (reduced, whole) = match (rule(), rule()) {
            (Ok(reduced), Ok(whole)) => (reduced, whole.reading_everything(HEADERS)),
            (Err(error), _) | (_, Err(error)) => {
                prop_assert!(error.to_string().contains("used as one value"), "{error}: {text}");
                prop_assert!(REFUSED.iter().any(|part| text.contains(part)), "{error}: {text}");
                return Ok(());
            }
        };
        // What is remembered of the caller, of this call and of those before it, changes nothing.
        let mut memory = crate::Memory::default();
        for asked in calls.iter().chain(&calls) {
            let by_whole = asked.decide(&whole, &caller);
            let by_reduced = asked.decide(&reduced, &caller);
            prop_assert_eq!(told(&by_reduced), told(&by_whole), "{}", text);
            let again = asked.decide_with(&reduced, &caller, &mut memory);
            prop_assert_eq!(told(&again), told(&by_whole), "{}", text);
        }
    }
}
