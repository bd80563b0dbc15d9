//! Limits that hold over all workers together.

use super::node::{Node, code, get};
use keyward_testkit::{Answer, RawClient, Upstream};

const CALLS: usize = 1000;
const CONNECTIONS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_calls_over_four_workers_exactly_a_hundred_pass() {
    let limit = "rate_limits: [ { by: subject, requests: 100, per: 1h } ]";
    let settings = "workers: 4";
    let node = Node::with(Upstream::echo().await, settings, limit).await;
    let request = get("/guarded/x", Some(&node.issuer.token(|claims| claims)), "");
    let gateway = node.process.gateway();
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let request = request.clone();
            tokio::spawn(async move {
                let mut client = RawClient::connect(gateway).await.unwrap();
                let mut answers: Vec<Answer> = Vec::new();
                for _ in 0..CALLS / CONNECTIONS {
                    client.send(&request).await.unwrap();
                    answers.push(client.answer().await.unwrap());
                }
                answers
            })
        })
        .collect();
    let mut answers = Vec::new();
    for connection in connections {
        answers.extend(connection.await.unwrap());
    }
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((passed, node.upstream.received().len()), (100, 100));
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(
            (refused.status, code(refused).as_str()),
            (429, "rate_limited")
        );
        let retry_after = refused.head.field("retry-after").unwrap();
        assert!(retry_after.parse::<u64>().unwrap() > 0, "{retry_after}");
        assert!(refused.head.field("ratelimit").is_some());
        assert!(refused.head.field("ratelimit-policy").is_some());
    }
    // Somebody else has a limit of their own.
    let other = node.issuer.token(|claims| claims.with_subject("bob"));
    assert_eq!(
        node.call(get("/guarded/x", Some(&other), "")).await.status,
        200
    );
}

#[tokio::test]
async fn a_call_that_is_refused_uses_nothing_up() {
    let limit = "rate_limits: [ { by: route, requests: 2, per: 1h } ]";
    let node = Node::with(Upstream::echo().await, "workers: 1", limit).await;
    let without_scope = node.issuer.token(|claims| claims.with_scopes(["write"]));
    for _ in 0..5 {
        assert_eq!(node.call(get("/guarded/x", None, "")).await.status, 401);
        assert_eq!(
            node.call(get("/guarded/x", Some(&without_scope), ""))
                .await
                .status,
            403
        );
    }
    for expected in [200, 200, 429] {
        assert_eq!(node.get_guarded("").await.status, expected);
    }
}
