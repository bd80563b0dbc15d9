use super::{Asked, NOW, api, caller, issuer, rule, told, try_rule};
use crate::{Decision, HeaderValue, Memory};
use keyward_model::Caller;
use serde_json::{Value, json};

/// What a policy in the API's own text says.
#[track_caller]
fn check(cedar: &str, caller: &Caller, asked: &Asked, expected: &str) {
    let claims = json!({ "tenant": "String", "level": "Long", "admin": "Bool", "groups": "Set<String>", "a.b": "String" });
    let rule = rule(
        &json!({ "policies": [ { "cedar": cedar, "claims": claims } ] }),
        &[issuer()],
    );
    let decision = asked.decide(&rule, caller);
    assert_eq!(told(&decision), expected, "{cedar}");
}

fn permit(condition: &str) -> String {
    format!("permit (principal, action, resource) when {{ {condition} }};")
}

const YES: &str = "yes by api:1";
const NO: &str = "no: permitted by none of the policies api:1";

#[test]
fn every_part_of_a_call_can_be_asked_for() {
    let alice = caller(&json!({
        "sub": "alice", "client_id": "shop", "scope": "read write", "tenant": "acme", "level": 3, "admin": true,
        "groups": ["a", "b"], "a": { "b": "c" }, "realm_access": { "roles": ["editor"] },
    }));
    let asked = Asked::default().with("x-region", "eu");
    for (condition, passes) in [
        ("principal == Caller::\"main/alice\"", true),
        ("principal == Caller::\"other/alice\"", false),
        ("principal in Role::\"editor\"", true),
        ("principal in Role::\"owner\"", false),
        (
            "principal has subject && principal.subject == \"alice\"",
            true,
        ),
        ("principal has client && principal.client == \"shop\"", true),
        (
            "principal has issuer && principal.issuer == \"https://main.example\"",
            true,
        ),
        ("principal.method == \"jwt\"", true),
        ("principal.scopes.contains(\"write\")", true),
        (
            "principal.scopes.containsAll([\"write\", \"admin\"])",
            false,
        ),
        ("principal.roles.contains(\"editor\")", true),
        (
            "principal.claims has tenant && principal.claims.tenant == \"acme\"",
            true,
        ),
        (
            "principal.claims has level && principal.claims.level > 3",
            false,
        ),
        (
            "principal.claims has level && principal.claims.level >= 3",
            true,
        ),
        ("principal.claims has admin && principal.claims.admin", true),
        (
            "principal.claims has groups && principal.claims.groups.contains(\"b\")",
            true,
        ),
        (
            "principal.claims has \"a.b\" && principal.claims[\"a.b\"] == \"c\"",
            true,
        ),
        (
            "resource == Route::\"orders/v1 /orders/{user}/{order}\"",
            true,
        ),
        ("resource in Api::\"orders/v1\"", true),
        ("resource in Api::\"orders/v2\"", false),
        (
            "resource.api == \"orders\" && resource.version == \"v1\" && resource.team == \"default\"",
            true,
        ),
        ("resource.name like \"/orders/{user}/*\"", true),
        ("action == Action::\"GET\"", true),
        ("action in Action::\"read\"", true),
        ("action in Action::\"write\"", false),
        ("context.method == \"GET\"", true),
        ("context.path == \"/orders/alice/7\"", true),
        ("context.path like \"/orders/*\"", true),
        ("context.host == \"api.example\"", true),
        ("context.address.isInRange(ip(\"192.0.2.0/24\"))", true),
        ("context.address.isInRange(ip(\"10.0.0.0/8\"))", false),
        ("context.address.isIpv4()", true),
        ("context.time > datetime(\"2026-11-29T22:41:48Z\")", true),
        ("context.time < datetime(\"2026-11-29T22:41:49Z\")", false),
        ("context.time.toTime() > duration(\"22h\")", true),
        ("context.hour == 22", true),
        ("context.hour >= 8 && context.hour < 18", false),
        ("context.weekday == 7", true),
        (
            "context.headers has \"x-region\" && context.headers[\"x-region\"] == \"eu\"",
            true,
        ),
        (
            "context.headers has \"x-other\" && context.headers[\"x-other\"] == \"eu\"",
            false,
        ),
        (
            "context.parameters has user && principal has subject && context.parameters.user == principal.subject",
            true,
        ),
        (
            "context.parameters has order && context.parameters.order == \"8\"",
            false,
        ),
    ] {
        check(
            &permit(condition),
            &alice,
            &asked,
            if passes { YES } else { NO },
        );
    }
}

#[test]
fn forbid_comes_before_permit_and_nothing_before_both() {
    let alice = caller(&json!({ "sub": "alice" }));
    let asked = Asked::default();
    let permit = "permit (principal, action, resource);";
    let forbid =
        "@id(\"closed\") forbid (principal, action, resource) when { context.hour >= 22 };";
    let elsewhere = "permit (principal, action == Action::\"POST\", resource);";
    check(permit, &alice, &asked, YES);
    check(elsewhere, &alice, &asked, NO);
    let both = format!("{permit}\n{forbid}");
    check(
        &both,
        &alice,
        &asked,
        "no: forbidden by the policy api:1/closed",
    );
    let earlier = Asked {
        time: NOW - 3600,
        ..asked.clone()
    };
    check(&both, &alice, &earlier, "yes by api:1/1");
    let two = format!("{permit}\n@id(\"b\") {permit}");
    check(&two, &alice, &asked, "yes by api:1/1, api:1/b");
}

#[test]
fn what_can_not_be_evaluated_is_refused_even_where_another_policy_permits() {
    let alice = caller(&json!({ "sub": "alice", "level": 9_223_372_036_854_775_807_i64 }));
    let cedar = "permit (principal, action, resource);\n\
                 @id(\"sum\") forbid (principal, action, resource) when { principal.claims has level && principal.claims.level + 1 > 5 };";
    let rule = rule(
        &json!({ "policies": [ { "cedar": cedar, "claims": { "level": "Long" } } ] }),
        &[],
    );
    let decision = Asked::default().decide(&rule, &alice);
    let why = told(&decision);
    assert!(
        why.starts_with("no: ") && why.contains("api:1/sum") && why.contains("overflow"),
        "{why}"
    );
}

#[test]
fn a_claim_of_another_type_than_declared_is_refused() {
    for (claim, value, expected) in [
        (
            "level",
            json!("3"),
            "claim `level` is a text, and the policies read it as Long",
        ),
        (
            "level",
            json!(2.5),
            "claim `level` is a number, and the policies read it as Long",
        ),
        (
            "tenant",
            json!(7),
            "claim `tenant` is a number, and the policies read it as String",
        ),
        (
            "admin",
            json!("true"),
            "claim `admin` is a text, and the policies read it as Bool",
        ),
        (
            "groups",
            json!([1]),
            "claim `groups` is a list, and the policies read it as Set<String>",
        ),
    ] {
        let cedar = permit(&format!("!(principal.claims has {claim})"));
        check(
            &cedar,
            &caller(&json!({ claim: value })),
            &Asked::default(),
            &format!("no: {expected}"),
        );
        check(&cedar, &caller(&json!({})), &Asked::default(), YES);
    }
    // What no policy reads does not matter.
    check(
        &permit("true"),
        &caller(&json!({ "level": "x" })),
        &Asked::default(),
        YES,
    );
}

#[test]
fn a_header_that_has_two_readings_is_refused() {
    let cedar = permit("!(context.headers has \"x-region\")");
    let alice = caller(&json!({}));
    let with = |value| Asked {
        headers: vec![("x-region", value)],
        ..Asked::default()
    };
    check(&cedar, &alice, &Asked::default(), YES);
    check(
        &cedar,
        &alice,
        &with(HeaderValue::Several),
        "no: header `x-region`, which policies read, came more than once",
    );
    check(
        &cedar,
        &alice,
        &with(HeaderValue::NotText),
        "no: header `x-region`, which policies read, is no text",
    );
}

#[test]
fn a_parameter_is_read_as_the_upstream_reads_it() {
    let cedar = permit(
        "context.parameters has user && principal has subject && context.parameters.user == principal.subject",
    );
    for (path, subject, expected) in [
        ("/orders/alice/7", "alice", YES),
        ("/orders/a%40b/7", "a@b", YES),
        ("/orders/alice;v=1/7", "alice", YES),
        ("/orders/Alice/7", "alice", NO),
        (
            "/orders/%FF/7",
            "alice",
            "no: a parameter of the path, which policies read, is no text",
        ),
    ] {
        let asked = Asked {
            path: path.to_owned(),
            ..Asked::default()
        };
        check(
            &cedar,
            &caller(&json!({ "sub": subject })),
            &asked,
            expected,
        );
    }
}

#[test]
fn addresses_of_ipv4_inside_of_ipv6_are_those_of_ipv4() {
    let cedar = permit("context.address.isInRange(ip(\"192.0.2.0/24\"))");
    let alice = caller(&json!({}));
    for (address, expected) in [("::ffff:192.0.2.9", YES), ("2001:db8::1", NO)] {
        check(
            &cedar,
            &alice,
            &Asked {
                address,
                ..Asked::default()
            },
            expected,
        );
    }
}

#[test]
fn a_route_does_not_loosen_what_its_api_asks_for() {
    let mut api = api(&json!({ "policies": ["staff"] }));
    let keyward_model::resource::Spec::Api(declared) = &mut api.spec else {
        panic!("not an API");
    };
    let other = super::api(&json!({ "policies": ["anyone"] }));
    let keyward_model::resource::Spec::Api(other) = &other.spec else {
        panic!("not an API");
    };
    declared.routes[0].authorization = other.authorization.clone();
    let policy =
        |name: &str, cedar: &str| json!({ "kind": "access_policy", "name": name, "cedar": cedar });
    let beside = [
        issuer(),
        policy(
            "staff",
            "permit (principal in Role::\"staff\", action, resource);",
        ),
        policy("anyone", "permit (principal, action, resource);"),
    ];
    let rule = try_rule(&api, &beside).unwrap();
    let decide = |claims: Value| told(&Asked::default().decide(&rule, &caller(&claims)));
    assert_eq!(
        decide(json!({})),
        "no: permitted by none of the policies staff"
    );
    let staff = json!({ "realm_access": { "roles": ["staff"] } });
    assert_eq!(decide(staff), "yes by staff, anyone");
}

#[test]
fn what_is_remembered_of_one_call_is_no_answer_to_another() {
    let alice = caller(&json!({ "sub": "alice" }));
    let lasting = rule(
        &json!({ "policies": [ { "cedar": "permit (principal, action in Action::\"read\", resource);" } ] }),
        &[],
    );
    let by_hour = rule(
        &json!({ "policies": [ { "cedar": permit("context.hour == 22") } ] }),
        &[],
    );
    let by_method = rule(
        &json!({ "policies": [ { "cedar": permit("context.method == \"PROPFIND\"") } ] }),
        &[],
    );
    let mut memory = Memory::default();
    let mut ask = |rule, asked: &Asked| asked.decide_with(rule, &alice, &mut memory).is_allowed();
    let (get, post) = (
        Asked::default(),
        Asked {
            method: "POST",
            ..Asked::default()
        },
    );
    let later = Asked {
        time: NOW + 7200,
        ..Asked::default()
    };
    let propfind = Asked {
        method: "PROPFIND",
        ..Asked::default()
    };
    let report = Asked {
        method: "REPORT",
        ..Asked::default()
    };
    for _ in 0..3 {
        assert!(ask(&lasting, &get));
        assert!(!ask(&lasting, &post));
        assert!(ask(&lasting, &later));
        assert!(ask(&by_hour, &get));
        assert!(!ask(&by_hour, &later));
        assert!(ask(&by_method, &propfind));
        assert!(!ask(&by_method, &report));
        assert!(!ask(&by_method, &get));
    }
    // And the caller itself is kept only for what has to be asked again.
    assert_eq!(memory.prepared(), 1);
}

#[test]
fn a_memory_is_bounded_and_forgets_nothing_that_matters() {
    let alice = caller(&json!({ "sub": "alice", "level": 1 }));
    let rules: Vec<_> = (0..40)
        .map(|level| {
            rule(
                &json!({ "claims": { "level": { "at_least": level } } }),
                &[],
            )
        })
        .collect();
    let mut memory = Memory::default();
    for _ in 0..3 {
        for (level, rule) in rules.iter().enumerate() {
            let decision = Asked::default().decide_with(rule, &alice, &mut memory);
            assert_eq!(decision.is_allowed(), level <= 1);
        }
    }
}

#[test]
fn an_explanation_says_what_each_part_came_to() {
    let cedar = "@id(\"staff\") permit (principal in Role::\"staff\", action, resource);\n\
                 @id(\"night\") forbid (principal, action, resource) when { context.hour >= 22 };";
    let rule = rule(
        &json!({ "any_scopes": ["read"], "roles": ["staff"], "claims": { "tenant": "acme" }, "policies": [ { "cedar": cedar } ] }),
        &[issuer()],
    );
    let alice =
        caller(&json!({ "scope": "read", "tenant": "x", "realm_access": { "roles": ["staff"] } }));
    let asked = Asked::default();
    let checks = asked.call(|call| rule.explain(&alice, call));
    let shown: Vec<String> = checks
        .iter()
        .map(|check| format!("{} {}: {}", check.passed, check.asked, check.why))
        .collect();
    assert_eq!(
        shown,
        [
            "true one of the scopes read: the caller has read",
            "true role staff: the caller has staff",
            "false claim tenant: claim `tenant` (a text) is not \"acme\"",
            "false policies api:1: forbidden by the policy api:1/night",
            "false   forbid api:1/night: it applies",
            "true   permit api:1/staff: it applies",
        ]
    );
    let Decision::Refused(refusal) = asked.decide(&rule, &alice) else {
        panic!("it passed");
    };
    assert_eq!(refusal.code(), keyward_model::Code::ClaimsRefused);
}
