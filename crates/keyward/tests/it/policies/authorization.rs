//! Scopes, roles, claims and Cedar policies: who passes, and how the others are refused.

use super::authentication::challenge;
use super::table::{Names, code};
use super::{Call, Table};
use crate::node::{Node, Plan};
use crate::token::{AUDIENCE, Issuer};
use keyward_jose::SignatureAlgorithm as A;
use serde_json::{Value, json};

/// A caller with these claims besides those that every good token has.
fn token(issuer: &Issuer, claims: &Value) -> String {
    let mut all = issuer.claims();
    if let Some(scope) = claims.get("scope").and_then(Value::as_str) {
        all = all.with_scopes(scope.split(' '));
    }
    for (name, value) in claims.as_object().unwrap() {
        if name == "sub" {
            all = all.with_subject(value.as_str().unwrap());
        } else if name != "scope" {
            all = all.with(name, value.clone()).unwrap();
        }
    }
    issuer.sign(&all)
}

/// A node with one guarded API `a` that asks for this.
async fn node(issuer: &Issuer, authorization: &str, beside: &[&str]) -> Node {
    let plan = Plan::default()
        .settings("workers: 1\ntrusted_proxies: [ 127.0.0.1 ]\naccess_log: { destination: off }")
        .resource(issuer.resource("roles_from: [roles, realm_access.roles]"));
    let plan = beside
        .iter()
        .fold(plan, |plan, resource| plan.resource(resource));
    let routes = "routes: [ { match: { prefix: / } }, { match: { path: \"/users/{user}\" } } ]";
    plan.api(
        "a",
        &format!(
            "{}, {routes}, authorization: {authorization}",
            issuer.authentication("")
        ),
    )
    .start()
    .await
}

/// One row: a call by a caller with these claims, which are told in the place of its token.
async fn drive(
    table: &mut Table,
    node: &Node,
    issuer: &Issuer,
    case: &str,
    claims: Value,
    call: Call,
) {
    let sent = format!(
        "{}<br>a token with {}",
        call.told(&Names::default()),
        code(&claims.to_string())
    );
    let before = node.upstream.received().len();
    let answer = call.bearer(&token(issuer, &claims)).send(node).await;
    let received = node.upstream.received();
    let received = received.get(before..).unwrap_or_default();
    table.add_received(case, &sent, &answer, received);
}

fn get() -> Call {
    Call::get("/a/x")
}

#[tokio::test]
async fn scopes() {
    let issuer = Issuer::new("main", A::Es256);
    let node = node(
        &issuer,
        "{ scopes: [read, list], any_scopes: [eu, us] }",
        &[],
    )
    .await;
    let mut table = Table::new("authorization", "scopes")
        .headers(&["www-authenticate"])
        .masking("www-authenticate", challenge);
    for (case, scope) in [
        ("all scopes and one of several", "read list us"),
        (
            "in another order, and more than is asked for",
            "us eu admin list read",
        ),
        ("one of all is missing", "read eu"),
        ("none of several", "read list"),
        ("a scope that begins like another", "read lists eu"),
        ("scopes are told apart by letter case", "READ list eu"),
        ("no scope at all", "other"),
    ] {
        drive(
            &mut table,
            &node,
            &issuer,
            case,
            json!({ "scope": scope }),
            get(),
        )
        .await;
    }
    table.finish();
}

#[tokio::test]
async fn roles() {
    let issuer = Issuer::new("main", A::Es256);
    let beside = [
        "- { kind: role, name: reader }",
        "- { kind: role, name: editor, includes: [reader] }",
        "- { kind: role, name: staff, given_to: [ { issuer: main, subjects: [carol] }, { issuer: main, claims: { groups: { contains: staff } } } ] }",
        "- { kind: role, name: batch, includes: [staff, reader], given_to: [ { issuer: main, clients: [batch], scopes: [jobs] } ] }",
    ];
    let node = node(
        &issuer,
        "{ roles: [reader], any_roles: [staff, admin] }",
        &beside,
    )
    .await;
    let mut table = Table::new("authorization", "roles")
        .headers(&["www-authenticate"])
        .masking("www-authenticate", challenge);
    for (case, claims) in [
        ("both in the token", json!({ "roles": ["reader", "admin"] })),
        (
            "in another claim of those that name roles",
            json!({ "realm_access": { "roles": ["reader", "admin"] } }),
        ),
        (
            "one role from each claim",
            json!({ "roles": ["reader"], "realm_access": { "roles": ["admin"] } }),
        ),
        (
            "a role that includes the one",
            json!({ "roles": ["editor", "admin"] }),
        ),
        (
            "a role by who the caller is",
            json!({ "sub": "carol", "roles": ["reader"] }),
        ),
        (
            "a role by what the token says elsewhere",
            json!({ "roles": ["reader"], "groups": ["a", "staff"] }),
        ),
        (
            "a role by client and scope, which includes others",
            json!({ "client_id": "batch", "scope": "jobs" }),
        ),
        (
            "the same client without the scope",
            json!({ "client_id": "batch", "scope": "read" }),
        ),
        (
            "the one that all must have is missing",
            json!({ "roles": ["admin"] }),
        ),
        (
            "none of those of which one will do",
            json!({ "roles": ["reader"] }),
        ),
        (
            "one text is a list of one",
            json!({ "roles": "reader", "groups": "staff" }),
        ),
        ("texts are not split", json!({ "roles": "reader admin" })),
        (
            "a role in a claim that is not asked",
            json!({ "permissions": ["reader", "admin"] }),
        ),
        ("roles that are no texts", json!({ "roles": ["reader", 7] })),
        ("no roles at all", json!({})),
    ] {
        drive(&mut table, &node, &issuer, case, claims, get()).await;
    }
    table.finish();
}

#[tokio::test]
async fn claims() {
    let issuer = Issuer::new("main", A::Es256);
    let asked = "{ claims: { tenant: [acme, umbrella], level: { at_least: 3, at_most: 5 }, groups: { contains_any: [a, b] }, email: { ends_with: \"@example.com\" }, suspended: { present: false }, address.country: { not: ZZ } } }";
    let node = node(&issuer, asked, &[]).await;
    let mut table = Table::new("authorization", "claims")
        .headers(&["www-authenticate"])
        .masking("www-authenticate", challenge);
    let good = json!({ "tenant": "acme", "level": 3, "groups": ["x", "a"], "email": "a@example.com", "address": { "country": "NL" } });
    for (case, claim, value) in [
        ("everything is as asked for", "tenant", json!("umbrella")),
        ("another value", "tenant", json!("initech")),
        ("a value that is missing", "tenant", Value::Null),
        (
            "a list where one value is asked for",
            "tenant",
            json!(["acme"]),
        ),
        ("a number that is too small", "level", json!(2)),
        ("a number that is too large", "level", json!(6)),
        ("a text where a number is asked for", "level", json!("4")),
        ("a fraction between", "level", json!(4.5)),
        ("one member that is wanted", "groups", json!(["b"])),
        ("no member that is wanted", "groups", json!(["x"])),
        ("another end", "email", json!("a@example.com.evil.example")),
        ("a claim that must not be there", "suspended", json!(true)),
        ("the same as null, which is none", "suspended", Value::Null),
        (
            "a value that must not be, in an object",
            "address",
            json!({ "country": "ZZ" }),
        ),
        ("an object without the member", "address", json!({})),
        (
            "a list where one value must not be",
            "address",
            json!({ "country": ["ZZ"] }),
        ),
        (
            "a number where a text must not be",
            "address",
            json!({ "country": 7 }),
        ),
    ] {
        let mut claims = good.clone();
        claims[claim] = value;
        drive(&mut table, &node, &issuer, case, claims, get()).await;
    }
    table.finish();
}

const POLICIES: &str = r#"- kind: access_policy
  name: orders
  claims: { level: Long, tenant: String }
  cedar: |
    @id("readers") permit (principal in Role::"reader", action in Action::"read", resource);
    @id("editors") permit (principal in Role::"editor", action in [Action::"read", Action::"write"], resource);
    @id("self") permit (principal, action, resource)
    when { principal has subject && context.parameters has user && context.parameters.user == principal.subject };
    @id("alice") permit (principal == Caller::"main/root", action, resource);
    @id("levels") permit (principal, action == Action::"OTHER", resource)
    when { context.method == "REPORT" && principal.claims has level && principal.claims.level + 1 > 5 };
    @id("region") forbid (principal, action in Action::"write", resource)
    unless { context.headers has "x-region" && context.headers["x-region"] == "eu" };
    @id("network") forbid (principal, action, resource)
    when { context.address.isInRange(ip("203.0.113.0/24")) };
    @id("suspended") forbid (principal in Role::"suspended", action, resource);"#;

#[tokio::test]
async fn policies() {
    let issuer = Issuer::new("main", A::Es256);
    let node = node(&issuer, "{ policies: [orders] }", &[POLICIES]).await;
    let mut table = Table::new("authorization", "policies")
        .headers(&["www-authenticate"])
        .masking("www-authenticate", challenge);
    let roles = |roles: &[&str]| json!({ "roles": roles });
    let eu = |call: Call| call.header("x-region", "eu");
    let from = |call: Call, address: &str| call.header("X-Forwarded-For", address);
    for (case, claims, call) in [
        ("a policy permits", roles(&["reader"]), get()),
        (
            "no policy permits the method",
            roles(&["reader"]),
            eu(Call::new("POST", "/a/x")),
        ),
        ("no policy permits the caller", json!({}), get()),
        (
            "another role permits both",
            roles(&["editor"]),
            eu(Call::new("POST", "/a/x")),
        ),
        (
            "a policy forbids what another permits",
            roles(&["editor"]),
            Call::new("POST", "/a/x"),
        ),
        (
            "the header has another value",
            roles(&["editor"]),
            Call::new("POST", "/a/x").header("x-region", "us"),
        ),
        (
            "the header comes twice",
            roles(&["editor"]),
            eu(eu(Call::new("POST", "/a/x"))),
        ),
        (
            "its letter case does not matter",
            roles(&["editor"]),
            Call::new("POST", "/a/x").header("X-REGION", "eu"),
        ),
        (
            "HEAD reads as GET does",
            roles(&["reader"]),
            Call::new("HEAD", "/a/x"),
        ),
        (
            "DELETE writes as POST does",
            roles(&["editor"]),
            eu(Call::new("DELETE", "/a/x")),
        ),
        (
            "by a parameter of the path",
            json!({ "sub": "bob" }),
            Call::get("/a/users/bob"),
        ),
        (
            "the parameter is somebody else",
            json!({ "sub": "bob" }),
            Call::get("/a/users/alice"),
        ),
        (
            "the parameter in another spelling",
            json!({ "sub": "bob" }),
            Call::get("/a/users/b%6fb"),
        ),
        (
            "a parameter that must be decoded",
            json!({ "sub": "b@b" }),
            Call::get("/a/users/b%40b"),
        ),
        (
            "by the caller's name",
            json!({ "sub": "root" }),
            Call::get("/a/x"),
        ),
        (
            "the client's address is forbidden",
            roles(&["reader"]),
            from(get(), "203.0.113.9"),
        ),
        (
            "another address is not",
            roles(&["reader"]),
            from(get(), "198.51.100.9"),
        ),
        ("a role forbids", roles(&["reader", "suspended"]), get()),
        (
            "another method, by its name",
            json!({ "level": 5 }),
            Call::new("REPORT", "/a/x"),
        ),
        (
            "another method that is not named",
            json!({ "level": 5 }),
            Call::new("PROPFIND", "/a/x"),
        ),
        (
            "a policy that can't be evaluated refuses",
            json!({ "level": i64::MAX }),
            Call::new("REPORT", "/a/x"),
        ),
        (
            "a claim of another type than declared refuses",
            json!({ "level": "5", "roles": ["reader"] }),
            get(),
        ),
    ] {
        drive(&mut table, &node, &issuer, case, claims, call).await;
    }
    table.finish();
}

#[tokio::test]
async fn an_api_and_its_routes() {
    let issuer = Issuer::new("main", A::Es256);
    let permit = |role: &str| format!("permit (principal in Role::\"{role}\", action, resource);");
    let node = Plan::default()
        .settings("workers: 1\naccess_log: { destination: off }")
        .resource(issuer.resource("roles_from: roles"))
        .api(
            "a",
            &format!(
                "{}, authorization: {{ policies: [ {{ cedar: '{}' }} ] }}, routes: [ {{ match: {{ prefix: / }} }}, {{ match: {{ path: /admin }}, authorization: {{ scopes: [admin], policies: [ {{ cedar: '{}' }} ] }} }} ]",
                issuer.authentication(""),
                permit("staff"),
                permit("admin"),
            ),
        )
        .api(
            "open",
            "authentication: none, authorization: { policies: [ { cedar: 'permit (principal, action == Action::\"GET\", resource) when { context.address.isLoopback() };' } ] }",
        )
        .start()
        .await;
    let mut table = Table::new("authorization", "levels")
        .headers(&["www-authenticate"])
        .masking("www-authenticate", challenge);
    for (case, claims, target) in [
        (
            "what the API asks for",
            json!({ "roles": ["staff"] }),
            "/a/x",
        ),
        ("it is not there", json!({ "roles": ["admin"] }), "/a/x"),
        (
            "a route asks for more: both",
            json!({ "roles": ["staff", "admin"], "scope": "admin" }),
            "/a/admin",
        ),
        (
            "only what the API asks for",
            json!({ "roles": ["staff"], "scope": "admin" }),
            "/a/admin",
        ),
        (
            "only what the route asks for",
            json!({ "roles": ["admin"], "scope": "admin" }),
            "/a/admin",
        ),
        (
            "the route's scope is missing",
            json!({ "roles": ["staff", "admin"] }),
            "/a/admin",
        ),
    ] {
        drive(&mut table, &node, &issuer, case, claims, Call::get(target)).await;
    }
    table
        .drive(&node, "no token at all", Call::get("/a/x"))
        .await;
    table
        .drive(
            &node,
            "an open API may ask for address and method",
            Call::get("/open/x"),
        )
        .await;
    table
        .drive(&node, "and refuse by them", Call::new("POST", "/open/x"))
        .await;
    table.finish();
}

#[tokio::test]
async fn callers_without_a_name() {
    let issuer = Issuer::new("main", A::Es256);
    let either = |asked: &str| {
        format!(
            "authentication: [ {{ issuers: [main], audience: {AUDIENCE} }}, {{ anonymous: true }} ], authorization: {asked}"
        )
    };
    let plan = Plan::default()
        .settings("workers: 1\naccess_log: { destination: off }")
        .resource(issuer.resource("roles_from: roles"))
        .resource("- { kind: role, name: reader }");
    let cases = [
        (
            "scopes",
            "{ any_scopes: [eu, us] }",
            "one of several scopes",
            json!({ "scope": "eu" }),
        ),
        (
            "roles",
            "{ roles: [reader] }",
            "a role",
            json!({ "roles": ["reader"] }),
        ),
        (
            "claims",
            "{ claims: { tenant: acme } }",
            "a claim",
            json!({ "tenant": "acme" }),
        ),
        (
            "policies",
            "{ policies: [ { cedar: 'permit (principal in Role::\"reader\", action, resource);' } ] }",
            "a policy",
            json!({ "roles": ["reader"] }),
        ),
    ];
    let plan = cases.iter().fold(plan, |plan, (name, asked, ..)| {
        plan.api(name, &either(asked))
    });
    let node = plan.start().await;
    let mut table = Table::new("authorization", "nameless")
        .headers(&["www-authenticate"])
        .naming(&node.process.gateway().to_string(), "NODE");
    for (name, _, case, claims) in cases {
        let call = Call::get(&format!("/{name}/x"));
        table
            .drive(
                &node,
                &format!("{case} is asked for, and no credential sent"),
                call.clone(),
            )
            .await;
        drive(
            &mut table,
            &node,
            &issuer,
            &format!("{case} is asked for, and there"),
            claims,
            call,
        )
        .await;
        let call = Call::get(&format!("/{name}/x"));
        drive(
            &mut table,
            &node,
            &issuer,
            &format!("{case} is asked for, and not there"),
            json!({}),
            call,
        )
        .await;
    }
    table.finish();
}
