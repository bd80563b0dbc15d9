//! What a decision costs: five Cedar policies, of a caller who is known and of one who is new, with what policies
//! read of the call and without.

use criterion::{Criterion, criterion_group, criterion_main};
use keyward_access::{Call, Catalogue, HeaderValue, Memory, Rule};
use keyward_model::caller::{Caller, TokenClaims, TokenFacts, TokenScopes};
use keyward_model::id::TeamId;
use keyward_model::resource::raw::{Node, Problems, read_resource};
use keyward_model::resource::{Resource, Spec};
use keyward_model::{Origin, Timestamp};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;

/// Read caller, route and method alone: the decision is kept with the caller.
const BY_ROLE: &str = r#"
    permit (principal in Role::"reader", action in Action::"read", resource);
    permit (principal in Role::"editor", action in Action::"write", resource);
    permit (principal in Role::"admin", action, resource);
    forbid (principal in Role::"suspended", action, resource);
    forbid (principal, action == Action::"DELETE", resource) unless { principal in Role::"admin" };
"#;

/// Read the call as well: evaluated once for each that is not like one before.
const BY_CALL: &str = r#"
    permit (principal in Role::"reader", action in Action::"read", resource);
    permit (principal, action in Action::"write", resource)
    when { principal.claims has level && principal.claims.level >= 3 };
    forbid (principal, action in Action::"write", resource) when { context.hour >= 22 || context.hour < 6 };
    forbid (principal, action, resource) when { context.address.isInRange(ip("203.0.113.0/24")) };
    forbid (principal, action, resource)
    when { context.headers has "x-region" && context.headers["x-region"] != "eu" };
"#;

fn resource(json: &Value) -> Option<Resource> {
    let mut problems = Problems::new();
    let read = read_resource(Node::from_json(json), Origin::File, &mut problems);
    read.map(|declared| declared.resource)
}

fn rule(authorization: &Value) -> Option<Arc<Rule>> {
    let issuer = resource(&json!({
        "kind": "issuer", "name": "main", "issuer": "https://main.example", "jwks": { "discover": true },
        "roles_from": "roles",
    }))?;
    let api = resource(&json!({
        "kind": "api", "name": "orders", "version": "v1", "state": "published", "base_path": "/orders",
        "upstream": "echo", "authentication": { "issuers": ["main"], "audience": "orders" },
        "authorization": authorization,
    }))?;
    let catalogue = Catalogue::new(&[issuer, api.clone()], None).ok()?;
    let Spec::Api(declared) = &api.spec else {
        return None;
    };
    let inputs = catalogue.inputs(TeamId::DEFAULT, declared).ok()??;
    inputs.rules(&api, declared).ok()?.pop()?
}

fn caller() -> Option<Caller> {
    let claims = json!({ "sub": "alice", "scope": "read write", "roles": ["reader", "x"], "level": 3, "tenant": "acme" });
    let text = claims.to_string();
    let mut caller = Caller::of_token(&TokenFacts {
        claims: TokenClaims::Json(&text),
        subject: Some("alice"),
        scopes: TokenScopes::Spaced("read write"),
        ..TokenFacts::default()
    })
    .ok()?;
    caller.team = Some(TeamId::DEFAULT);
    caller.issuer_name = "main".parse().ok();
    Some(caller)
}

fn measure(criterion: &mut Criterion, name: &str, authorization: &Value) {
    let (Some(rule), Some(caller)) = (rule(authorization), caller()) else {
        return;
    };
    let header = |name: &str| match name {
        "x-region" => HeaderValue::Once(Cow::Borrowed("eu")),
        _ => HeaderValue::Absent,
    };
    let call = Call {
        method: "GET",
        path: "/orders/7",
        host: "api.example",
        address: std::net::IpAddr::from([192, 0, 2, 7]),
        time: Timestamp::from_seconds(1_795_992_109),
        header: &header,
    };
    let mut memory = Memory::default();
    assert!(
        rule.decide(&caller, Some(&mut memory), &call).is_allowed(),
        "{name}"
    );
    criterion.bench_function(&format!("{name}/known"), |bencher| {
        bencher.iter(|| rule.decide(black_box(&caller), Some(&mut memory), black_box(&call)));
    });
    let mut turn = 0_u32;
    criterion.bench_function(
        &format!("{name}/known, from elsewhere each time"),
        |bencher| {
            bencher.iter(|| {
                turn = turn.wrapping_add(1);
                let call = Call {
                    address: std::net::IpAddr::from(turn.to_be_bytes()),
                    ..call
                };
                rule.decide(black_box(&caller), Some(&mut memory), black_box(&call))
            });
        },
    );
    criterion.bench_function(&format!("{name}/new"), |bencher| {
        bencher.iter(|| rule.decide(black_box(&caller), None, black_box(&call)));
    });
}

fn decisions(criterion: &mut Criterion) {
    let policies =
        |cedar: &str| json!({ "policies": [ { "cedar": cedar, "claims": { "level": "Long" } } ] });
    measure(criterion, "five policies by role", &policies(BY_ROLE));
    measure(criterion, "five policies by call", &policies(BY_CALL));
    measure(
        criterion,
        "roles and claims",
        &json!({ "any_scopes": ["write"], "roles": ["reader"], "claims": { "tenant": "acme", "level": { "at_least": 3 } } }),
    );
}

criterion_group!(benches, decisions);
criterion_main!(benches);
