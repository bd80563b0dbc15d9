//! What a limit counts by.

use super::member;
use crate::node::{Plan, check_passed, check_problem};
use crate::token::{AUDIENCE, Issuer};
use keyward_jose::SignatureAlgorithm as A;

/// So many calls in an hour for each of whatever is counted.
fn limit(by: &str, requests: u32) -> String {
    format!("rate_limits: [ {{ name: two, by: {by}, requests: {requests}, per: 1h }} ]")
}

#[tokio::test]
async fn each_kind_of_subject_has_counts_of_its_own() {
    let main = Issuer::new("main", A::Es256);
    let other = Issuer::new("other", A::Es256);
    let authentication =
        format!("authentication: {{ issuers: [main, other], audience: {AUDIENCE} }}");
    let mut plan = Plan::default()
        .settings("workers: 2")
        .resource(main.resource(""))
        .resource(other.resource(""));
    let kinds = [
        ("subject", "subject"),
        ("client", "client"),
        ("issuer", "issuer"),
        ("team", "team"),
        ("claim", "\"claim:tenant\""),
        ("header", "\"header:X-Tenant\""),
        ("both", "[ subject, \"header:x-tenant\" ]"),
    ];
    for (name, by) in kinds {
        plan = plan.api(name, &format!("{authentication}, {}", limit(by, 1)));
    }
    let node = plan.start().await;
    let token = |issuer: &Issuer, subject: &str, client: &str, tenant: &str| {
        let claims = issuer.claims().with_subject(subject);
        let claims = claims
            .with("client_id", client.into())
            .and_then(|claims| claims.with("tenant", serde_json::json!({ "id": tenant })))
            .unwrap();
        format!("Bearer {}", issuer.sign(&claims))
    };
    // Each differs from the first in one thing, and is counted with it by those kinds that don't see it.
    for (issuer, subject, client, tenant, header, shares) in [
        (&main, "alice", "app", "blue", "x", ""),
        (
            &main,
            "alice",
            "app",
            "blue",
            "x",
            "subject client issuer team claim header both",
        ),
        (
            &main,
            "bob",
            "app",
            "blue",
            "x",
            "client issuer team claim header",
        ),
        (
            &main,
            "alice",
            "web",
            "blue",
            "x",
            "subject issuer team claim header both",
        ),
        (
            &main,
            "alice",
            "app",
            "red",
            "x",
            "subject client issuer team header both",
        ),
        (
            &main,
            "alice",
            "app",
            "blue",
            "y",
            "subject client issuer team claim",
        ),
        (&other, "alice", "app", "blue", "x", "team header"),
    ] {
        let bearer = token(issuer, subject, client, tenant);
        for (kind, _) in kinds {
            let headers = [("Authorization", bearer.as_str()), ("X-Tenant", header)];
            let answer = node.get(&format!("/{kind}/x"), &headers).await;
            if shares.split(' ').any(|shared| shared == kind) {
                check_problem(&answer, 429, "rate_limited");
            } else {
                check_passed(&answer);
            }
        }
    }
}

#[tokio::test]
async fn what_a_caller_lacks_is_counted_by_the_caller() {
    let issuer = Issuer::new("main", A::Es256);
    let node = Plan::default()
        .settings("workers: 2\ntrusted_proxies: [ 127.0.0.1 ]")
        .resource(issuer.resource(""))
        .api(
            "api",
            &format!(
                "{}, {}",
                issuer.authentication(""),
                limit("\"claim:tenant\"", 2)
            ),
        )
        .api(
            "open",
            &format!("authentication: none, {}", limit("\"claim:tenant\"", 2)),
        )
        .start()
        .await;
    // The claim is in nobody's token: each caller has its own two calls, whatever its address.
    for subject in ["alice", "bob"] {
        let bearer = format!("Bearer {}", issuer.token_of(subject));
        for address in ["192.0.2.1", "192.0.2.2"] {
            let headers = [
                ("Authorization", bearer.as_str()),
                ("X-Forwarded-For", address),
            ];
            check_passed(&node.get("/api/x", &headers).await);
        }
        let headers = [
            ("Authorization", bearer.as_str()),
            ("X-Forwarded-For", "192.0.2.3"),
        ];
        check_problem(&node.get("/api/x", &headers).await, 429, "rate_limited");
    }
    // Without a caller the address is what is left.
    for address in ["192.0.2.1", "192.0.2.2"] {
        let headers = [("X-Forwarded-For", address)];
        check_passed(&node.get("/open/x", &headers).await);
        check_passed(&node.get("/open/x", &headers).await);
        check_problem(&node.get("/open/x", &headers).await, 429, "rate_limited");
    }
}

#[tokio::test]
async fn routes_have_limits_of_their_own_after_those_of_the_api() {
    let node = Plan::default()
        .settings("workers: 2")
        .api(
            "api",
            "authentication: none, \
             rate_limits: [ { name: whole, by: api, requests: 5, per: 1h }, { name: each, by: route, requests: 3, per: 1h } ], \
             routes: [ \
               { name: costly, match: { path: /costly }, rate_limits: [ { name: costly, by: route, requests: 1, per: 1h } ] }, \
               { name: one, match: { path: /one } }, \
               { name: other, match: { path: /other } } ]",
        )
        .start()
        .await;
    let costly = node.get("/api/costly", &[]).await;
    check_passed(&costly);
    assert_eq!(
        costly.head.field("ratelimit-policy"),
        Some("\"whole\";q=5;w=3600, \"each\";q=3;w=3600, \"costly\";q=1;w=3600")
    );
    let refused = node.get("/api/costly", &[]).await;
    check_problem(&refused, 429, "rate_limited");
    assert_eq!(member(&refused, "costly", "r"), Some(0));
    // What the route refused was given back to the API's limits.
    for left in [2, 1, 0] {
        let answer = node.get("/api/one", &[]).await;
        check_passed(&answer);
        assert_eq!(member(&answer, "each", "r"), Some(left));
        assert_eq!(member(&answer, "whole", "r"), Some(left + 1));
    }
    let refused = node.get("/api/one", &[]).await;
    assert_eq!(member(&refused, "each", "r"), Some(0));
    check_passed(&node.get("/api/other", &[]).await);
    let refused = node.get("/api/other", &[]).await;
    check_problem(&refused, 429, "rate_limited");
    assert_eq!(member(&refused, "whole", "r"), Some(0));
    let metrics = node
        .process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text();
    for line in [
        "keyward_limit_refusals_total{team=\"default\",api=\"api\",version=\"v1\",route=\"costly\",limit=\"costly\"} 1",
        "keyward_limit_refusals_total{team=\"default\",api=\"api\",version=\"v1\",route=\"\",limit=\"whole\"} 1",
        "keyward_limit_refusals_total{team=\"default\",api=\"api\",version=\"v1\",route=\"\",limit=\"each\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
