//! More calls than may be in flight.

use super::metric;
use crate::node::{Plan, check_passed, check_problem, request};
use keyward_testkit::{RawClient, Script, Upstream};
use std::time::Duration;

#[tokio::test]
async fn calls_beyond_the_bound_are_refused_at_once_and_those_within_it_answered() {
    let slow = Upstream::scripted(
        Script::new()
            .pause(Duration::from_secs(3))
            .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone"),
    )
    .await;
    let node = Plan::default()
        .settings("workers: 1\nlimits: { calls_in_flight: 2 }\naccess_log: { format: json, destination: { file: access.log } }")
        .upstream("slow", &[slow.url()], "")
        .api_at("slow", "/slow", "slow", "authentication: none")
        .api("open", "authentication: none")
        .start()
        .await;
    let mut running = Vec::new();
    for _ in 0..2 {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client
            .send(request("GET", "/slow/x", &[], ""))
            .await
            .unwrap();
        running.push(client);
    }
    while slow.received().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..3 {
        let refused = node.get("/open/x", &[]).await;
        check_problem(&refused, 503, "overloaded");
        assert_eq!(refused.head.field("retry-after"), Some("1"));
    }
    assert_eq!(
        metric(&node.process, "keyward_shed_requests_total").await,
        3
    );
    for client in &mut running {
        assert_eq!(client.answer().await.unwrap().text(), "done");
    }
    check_passed(&node.get("/open/x", &[]).await);
    assert!(
        node.upstream.received().len() == 1,
        "a refused call went on"
    );
}
