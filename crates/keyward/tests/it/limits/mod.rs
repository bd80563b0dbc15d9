//! Limits: what is counted, for whom, and what the caller is told.

mod concurrency;
mod quotas;
mod reload;
mod shared;
mod subjects;

use crate::gateway::node::code;
use crate::node::{Node, Plan, check_passed, check_problem, request};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::{Answer, Gate, RawClient, Script, Upstream, until};
use std::time::Duration;

/// Makes so many calls with these headers over this many connections at once, and counts the answers that
/// passed and those that a limit refused.
pub(crate) async fn flood(
    node: &Node,
    path: &str,
    headers: &[(&str, &str)],
    connections: usize,
    each: usize,
) -> (usize, usize) {
    let mut headers = headers.to_vec();
    headers.push(("Connection", "keep-alive"));
    let text = request("GET", path, &headers, "");
    let mut calling = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (address, text) = (node.gateway(), text.clone());
        calling.spawn(async move {
            let mut client = RawClient::connect(address).await.unwrap();
            let mut statuses = Vec::with_capacity(each);
            for _ in 0..each {
                let answer = loop {
                    client.send(&text).await.unwrap();
                    let answer = client.answer().await.unwrap();
                    // On a busy machine a worker may be behind, and refuse before it counts.
                    if answer.status != 503 || code(&answer) != "overloaded" {
                        break answer;
                    }
                };
                assert!(matches!(answer.status, 200 | 429), "{}", answer.text());
                statuses.push(answer.status);
            }
            statuses
        });
    }
    let statuses: Vec<u16> = calling.join_all().await.into_iter().flatten().collect();
    let count = |status| statuses.iter().filter(|other| **other == status).count();
    (count(200), count(429))
}

/// A limit that gives nothing back while a test runs.
const HUNDRED: &str = "requests: 100, per: 1h";

#[tokio::test]
async fn exactly_a_hundred_of_a_thousand_calls_pass() {
    let issuer = Issuer::new("main", A::Es256);
    let limited = |by: &str| {
        format!(
            "{}, rate_limits: [ {{ by: {by}, {HUNDRED} }} ]",
            issuer.authentication("")
        )
    };
    let node = Plan::default()
        .settings("workers: 4\naccess_log: { destination: off }")
        .resource(issuer.resource(""))
        .api("by-subject", &limited("subject"))
        .api("by-address", &limited("address"))
        .api("by-route", &limited("route"))
        .start()
        .await;
    let bearer = |subject: &str| format!("Bearer {}", issuer.token_of(subject));
    for path in ["/by-subject/x", "/by-address/x", "/by-route/x"] {
        let alice = bearer("alice");
        let counts = flood(&node, path, &[("Authorization", &alice)], 50, 20).await;
        assert_eq!(counts, (100, 900), "{path}");
        // Another subject has a count of its own where subjects are counted, under whichever token.
        let bob = node.get(path, &[("Authorization", &bearer("bob"))]).await;
        let alice = node.get(path, &[("Authorization", &bearer("alice"))]).await;
        if path.contains("subject") {
            check_passed(&bob);
        } else {
            check_problem(&bob, 429, "rate_limited");
        }
        check_problem(&alice, 429, "rate_limited");
    }
    assert_eq!(node.upstream.received().len(), 301);
}

#[tokio::test]
async fn addresses_behind_a_trusted_proxy_are_counted_apart() {
    let node = Plan::default()
        .settings("workers: 2\ntrusted_proxies: [ 127.0.0.1 ]")
        .api(
            "open",
            "authentication: none, rate_limits: [ { by: address, requests: 3, per: 1h } ]",
        )
        .start()
        .await;
    for address in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        let headers = [("X-Forwarded-For", address)];
        for _ in 0..3 {
            check_passed(&node.get("/open/x", &headers).await);
        }
        check_problem(&node.get("/open/x", &headers).await, 429, "rate_limited");
    }
    // What stands left of the last stranger was written by strangers.
    let headers = [("X-Forwarded-For", "198.51.100.7, 192.0.2.1")];
    check_problem(&node.get("/open/x", &headers).await, 429, "rate_limited");
}

/// The number behind `;key=` in a `RateLimit` field's member for this limit.
pub(crate) fn member(answer: &Answer, limit: &str, key: &str) -> Option<u64> {
    let field = answer.head.field("ratelimit")?;
    let named = format!("\"{limit}\"");
    let member = field
        .split(", ")
        .find(|member| member.starts_with(&named))?;
    let value = member
        .split(';')
        .find_map(|part| part.strip_prefix(&format!("{key}=")))?;
    value.parse().ok()
}

#[tokio::test]
async fn callers_are_told_which_limit_and_how_much_is_left() {
    let issuer = Issuer::new("main", A::Es256);
    let limits = "rate_limits: [ { name: fair, by: subject, requests: 5, per: 1h }, { name: whole, by: route, requests: 8, per: 1h } ]";
    let node = Plan::default()
        .settings("workers: 1")
        .resource(issuer.resource(""))
        .api(
            "api",
            &format!(
                "{}, authorization: {{ scopes: [read] }}, {limits}",
                issuer.authentication("")
            ),
        )
        .start()
        .await;
    let policy = Some("\"fair\";q=5;w=3600, \"whole\";q=8;w=3600");
    for used in 1..=5 {
        let answer = node.get_with("/api/x", &issuer.token()).await;
        check_passed(&answer);
        assert_eq!(answer.head.field("ratelimit-policy"), policy);
        assert_eq!(member(&answer, "fair", "r"), Some(5 - used));
        assert_eq!(member(&answer, "whole", "r"), Some(8 - used));
        assert_eq!(answer.head.field("retry-after"), None);
    }
    let refused = node.get_with("/api/x", &issuer.token()).await;
    check_problem(&refused, 429, "rate_limited");
    assert_eq!(refused.head.field("ratelimit-policy"), policy);
    assert_eq!(member(&refused, "fair", "r"), Some(0));
    let after: u64 = refused.head.field("retry-after").unwrap().parse().unwrap();
    // One of five in an hour comes back within 720 s.
    assert!((1..=720).contains(&after), "{after}");
    assert!(
        refused.json().unwrap()["detail"]
            .as_str()
            .unwrap()
            .contains("`fair`")
    );

    // What is refused for another reason uses nothing up: not for want of a token, nor of a scope.
    for _ in 0..10 {
        check_problem(&node.get("/api/x", &[]).await, 401, "token_missing");
        check_problem(
            &node.get_with("/api/x", "x.y.z").await,
            401,
            "token_invalid",
        );
        let token = issuer.sign(&issuer.claims().with_subject("bob").with_scopes(["other"]));
        check_problem(
            &node.get_with("/api/x", &token).await,
            403,
            "insufficient_scope",
        );
    }
    // Nor does a refusal by the first limit use up the second, or the other way round.
    for left in [2, 1, 0] {
        let answer = node.get_with("/api/x", &issuer.token_of("bob")).await;
        check_passed(&answer);
        assert_eq!(member(&answer, "whole", "r"), Some(left));
    }
    for _ in 0..5 {
        let refused = node.get_with("/api/x", &issuer.token_of("bob")).await;
        check_problem(&refused, 429, "rate_limited");
        assert_eq!(member(&refused, "whole", "r"), Some(0));
        assert!(
            refused.json().unwrap()["detail"]
                .as_str()
                .unwrap()
                .contains("`whole`")
        );
    }
    assert_eq!(node.upstream.received().len(), 8);
}

#[tokio::test]
async fn a_call_that_the_second_limit_refuses_is_given_back_to_the_first() {
    let issuer = Issuer::new("main", A::Es256);
    // The second gives one back each second, the first none while the test runs.
    let limits = "rate_limits: [ { name: long, by: subject, requests: 4, per: 1h }, { name: short, by: subject, requests: 1, per: 1s, burst: 1 } ]";
    let node = Plan::default()
        .settings("workers: 1")
        .resource(issuer.resource(""))
        .api("api", &format!("{}, {limits}", issuer.authentication("")))
        .start()
        .await;
    let (mut passed, mut refused) = (0, 0);
    let token = issuer.token();
    while passed < 4 {
        let answer = node.get_with("/api/x", &token).await;
        match answer.status {
            200 => {
                passed += 1;
                assert_eq!(
                    member(&answer, "long", "r"),
                    Some(4 - passed),
                    "{refused} were refused"
                );
            }
            429 => {
                refused += 1;
                assert_eq!(member(&answer, "short", "r"), Some(0));
                assert_eq!(answer.head.field("retry-after"), Some("1"));
            }
            other => panic!("{other}: {}", answer.text()),
        }
        assert!(refused < 100_000);
    }
    assert!(refused > 3, "the second limit never refused");
}

#[tokio::test]
async fn a_burst_is_told_as_the_quota_that_comes_back_in_its_window() {
    let limits = "rate_limits: [ { name: even, by: api, requests: 100, per: 1m, burst: 20 }, { name: odd, by: api, requests: 7, per: 1m }, { name: fast, by: api, requests: 1000, per: 1s, burst: 100 } ]";
    let node = Plan::default()
        .settings("workers: 1")
        .api("api", &format!("authentication: none, {limits}"))
        .start()
        .await;
    let answer = node.get("/api/x", &[]).await;
    check_passed(&answer);
    assert_eq!(
        answer.head.field("ratelimit-policy"),
        Some("\"even\";q=20;w=12, \"odd\";q=7;w=60, \"fast\";q=100;w=1")
    );
    assert_eq!(member(&answer, "even", "r"), Some(19));
}

#[tokio::test]
async fn a_call_is_counted_when_it_asks_and_not_when_it_began() {
    let gate = Gate::shut();
    let decision = Upstream::scripted(
        Script::new()
            .wait_for(&gate)
            .write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    )
    .await;
    let node = Plan::default()
        .settings("workers: 1")
        .upstream("decision", &[decision.url()], "retries: none")
        .api(
            "api",
            "authentication: none, \
             rate_limits: [ { name: whole, by: api, requests: 1, per: 1s, burst: 1 } ], \
             routes: [ \
               { name: asked, match: { path: /asked }, external_decision: { upstream: decision, timeout: 30s } }, \
               { name: open, match: { path: /open } } ]",
        )
        .start()
        .await;
    let (waited, ()) = tokio::join!(node.get("/api/asked", &[]), async {
        until("the service is asked", async || {
            !decision.received().is_empty()
        })
        .await;
        // Two calls later and their second, the first may pass as well.
        for _ in 0..2 {
            until("one passes", async || {
                node.get("/api/open", &[]).await.status == 200
            })
            .await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        gate.open();
    });
    check_passed(&waited);
}
