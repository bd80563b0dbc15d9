use super::{Asked, caller, rule, told};
use serde_json::{Value, json};

/// Whether a caller with these claims passes what is asked of claims.
#[track_caller]
fn check(asked: Value, claims: Value, expected: &str) {
    let rule = rule(&json!({ "claims": asked }), &[]);
    let decision = Asked::default().decide(&rule, &caller(&claims));
    assert_eq!(told(&decision), expected, "{asked} of {claims}");
}

#[test]
fn a_claim_is_what_is_asked_for_in_value_and_type() {
    let claims = json!({
        "tenant": "acme", "level": 3, "share": 2.5, "admin": true, "none": null, "big": 18_446_744_073_709_551_615_u64,
        "groups": ["a", "b"], "one": "a", "realm_access": { "roles": ["editor"] }, "https://example.com/roles": ["x"],
    });
    for (asked, passes) in [
        (json!({ "tenant": "acme" }), true),
        (json!({ "tenant": "Acme" }), false),
        (json!({ "tenant": "acme " }), false),
        (json!({ "tenant": ["umbrella", "acme"] }), true),
        (json!({ "tenant": ["umbrella"] }), false),
        (json!({ "tenant": { "not": "umbrella" } }), true),
        (json!({ "tenant": { "not": "acme" } }), false),
        (json!({ "missing": { "not": "acme" } }), false),
        (json!({ "level": { "not": 4 } }), true),
        (json!({ "level": { "not": 3 } }), false),
        (json!({ "share": { "not": 2 } }), true),
        (json!({ "admin": { "not": false } }), true),
        (json!({ "admin": { "not": true } }), false),
        (json!({ "level": { "not": "3" } }), false),
        (json!({ "tenant": { "not": 3 } }), false),
        (json!({ "admin": { "not": "true" } }), false),
        (json!({ "groups": { "not": "c" } }), false),
        (json!({ "groups": { "not": "a" } }), false),
        (json!({ "realm_access": { "not": "a" } }), false),
        (
            json!({ "tenant": { "starts_with": "ac", "ends_with": "me" } }),
            true,
        ),
        (
            json!({ "tenant": { "starts_with": "ac", "ends_with": "x" } }),
            false,
        ),
        (json!({ "level": { "starts_with": "3" } }), false),
        (json!({ "level": 3 }), true),
        (json!({ "level": "3" }), false),
        (json!({ "level": { "at_least": 3, "at_most": 3 } }), true),
        (json!({ "level": { "at_least": 4 } }), false),
        (json!({ "level": { "at_most": 2 } }), false),
        (json!({ "tenant": { "at_least": 0 } }), false),
        (json!({ "share": { "at_least": 2, "at_most": 3 } }), true),
        (json!({ "share": { "at_least": 3 } }), false),
        (json!({ "share": 2 }), false),
        (json!({ "big": { "at_least": 1 } }), true),
        (json!({ "big": { "at_most": 9 } }), false),
        (json!({ "admin": true }), true),
        (json!({ "admin": false }), false),
        (json!({ "admin": "true" }), false),
        (json!({ "groups": { "contains": "a" } }), true),
        (json!({ "groups": { "contains": "c" } }), false),
        (json!({ "groups": "a" }), false),
        (json!({ "groups": { "contains_any": ["c", "b"] } }), true),
        (json!({ "groups": { "contains_any": ["c", "d"] } }), false),
        (json!({ "groups": { "contains_all": ["a", "b"] } }), true),
        (json!({ "groups": { "contains_all": ["a", "c"] } }), false),
        (json!({ "one": { "contains": "a" } }), true),
        (json!({ "realm_access": { "contains": "editor" } }), false),
        (
            json!({ "realm_access.roles": { "contains": "editor" } }),
            true,
        ),
        (
            json!({ "realm_access.roles.0": { "present": true } }),
            false,
        ),
        (json!({ "realm_access.": { "present": true } }), false),
        (
            json!({ "https://example.com/roles": { "contains": "x" } }),
            true,
        ),
        (json!({ "missing": { "present": false } }), true),
        (json!({ "none": { "present": false } }), true),
        (json!({ "none": { "present": true } }), false),
        (json!({ "tenant": { "present": true } }), true),
        (json!({ "tenant": { "present": false } }), false),
        (json!({ "missing": "acme" }), false),
        (json!({ "tenant": "acme", "level": 3 }), true),
        (json!({ "tenant": "acme", "level": 4 }), false),
    ] {
        let rule = rule(&json!({ "claims": asked }), &[]);
        let decision = Asked::default().decide(&rule, &caller(&claims));
        assert_eq!(
            decision.is_allowed(),
            passes,
            "{asked}: {}",
            told(&decision)
        );
    }
}

#[test]
fn the_operator_is_told_what_was_missing_and_not_what_the_claim_was() {
    check(
        json!({ "tenant": "acme" }),
        json!({ "tenant": "umbrella" }),
        "no: claim `tenant` (a text) is not \"acme\"",
    );
    check(
        json!({ "tenant": "acme" }),
        json!({}),
        "no: claim `tenant` (missing) is not \"acme\"",
    );
    check(
        json!({ "level": { "at_least": 3 } }),
        json!({ "level": [7] }),
        "no: claim `level` (a list) is not at least 3",
    );
}

#[test]
fn one_of_several_scopes_will_do() {
    let rule = rule(&json!({ "any_scopes": ["read", "write"] }), &[]);
    for (scope, expected) in [
        ("write", "yes"),
        ("x read", "yes"),
        ("reader", "no: the caller has none of the scopes read write"),
        ("", "no: the caller has none of the scopes read write"),
    ] {
        let decision = Asked::default().decide(&rule, &caller(&json!({ "scope": scope })));
        assert_eq!(told(&decision), expected, "{scope}");
    }
}
