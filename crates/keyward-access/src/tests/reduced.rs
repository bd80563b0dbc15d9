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
    "principal.claims has tenant && principal.claims has level && [principal.claims.tenant].containsAny([\"acme\", \"x\"])",
];

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
    (subject, tenant, level, groups, roles).prop_map(|(sub, tenant, level, groups, roles)| {
        json!({ "sub": sub, "tenant": tenant, "level": level, "groups": groups, "realm_access": { "roles": roles } })
    })
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
    (region, address, method, user, 0..200_000_i64).prop_map(
        |(region, address, method, user, later)| Asked {
            method,
            path: format!("/orders/{user}/7"),
            address,
            time: NOW + later,
            headers: vec![("x-region", region)],
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
        asked in call(),
    ) {
        let declared = json!({ "tenant": "String", "level": "Long", "groups": "Set<String>" });
        let api = api(&json!({ "policies": [ { "cedar": text, "claims": declared } ] }));
        let rule = || Arc::try_unwrap(try_rule(&api, &[issuer()]).unwrap()).unwrap();
        let caller = caller(&claims);
        let (reduced, whole) = (rule(), rule().reading_everything());
        let by_reduced = asked.decide(&reduced, &caller);
        let by_whole = asked.decide(&whole, &caller);
        prop_assert_eq!(told(&by_reduced), told(&by_whole), "{}", text);
        // And what is remembered of the caller changes nothing either.
        let mut memory = crate::Memory::default();
        for _ in 0..2 {
            let again = asked.decide_with(&reduced, &caller, &mut memory);
            prop_assert_eq!(told(&again), told(&by_whole), "{}", text);
        }
    }
}
