//! Bounds on what a target gets: connections, waiting calls, calls at all.

use super::{answering, metric, node, plan, until};
use crate::node::{check_passed, check_problem, request};
use keyward_testkit::{RawClient, Script, Upstream};
use std::time::Duration;

fn slow(time: Duration) -> Script {
    Script::new()
        .pause(time)
        .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
}

async fn begin(gateway: std::net::SocketAddr) -> RawClient {
    let mut client = RawClient::connect(gateway).await.unwrap();
    let bytes = request("GET", "/many/x", &[], "");
    client.send(bytes).await.unwrap();
    client
}

#[tokio::test]
async fn calls_wait_for_a_connection_and_those_too_many_are_refused_at_once() {
    let upstream = Upstream::scripted(slow(Duration::from_secs(1))).await;
    let node = node(&[upstream.url()], "max_connections: 1, max_pending: 1").await;
    let mut first = begin(node.gateway()).await;
    until(&node.process, "in_flight", &upstream.url(), 1).await;
    let mut second = begin(node.gateway()).await;
    until(&node.process, "pending", &upstream.url(), 1).await;
    let refused = tokio::time::timeout(Duration::from_millis(500), node.get("/many/x", &[]));
    let refused = refused.await.unwrap();
    check_problem(&refused, 503, "upstream_busy");
    assert_eq!(refused.head.field("retry-after"), Some("1"));
    for client in [&mut first, &mut second] {
        check_passed(&client.answer().await.unwrap());
    }
    assert_eq!(upstream.received().len(), 2);
    let url = upstream.url();
    for name in ["in_flight", "pending"] {
        assert_eq!(metric(&node.process, name, Some(&url)).await, 0, "{name}");
    }
}

#[tokio::test]
async fn there_are_never_more_connections_than_may_be_and_everyone_is_served() {
    let upstream = Upstream::scripted(slow(Duration::from_millis(5))).await;
    let node = node(&[upstream.url()], "max_connections: 3").await;
    let gateway = node.gateway();
    let clients: Vec<_> = (0..12)
        .map(|_| {
            tokio::spawn(async move {
                for _ in 0..10 {
                    check_passed(&begin(gateway).await.answer().await.unwrap());
                }
            })
        })
        .collect();
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        let open = upstream.open_connections();
        // One that closes may not have been noticed yet.
        assert!(open <= 4, "{open}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(upstream.received().len(), 120);
}

#[tokio::test]
async fn a_call_that_waited_in_vain_is_refused() {
    let upstream = Upstream::scripted(Script::new().wait_until_closed()).await;
    let rest = "max_connections: 1, connect_timeout: 300ms";
    let node = node(&[upstream.url()], rest).await;
    let _first = begin(node.gateway()).await;
    until(&node.process, "in_flight", &upstream.url(), 1).await;
    check_problem(&node.get("/many/x", &[]).await, 503, "upstream_busy");
    let url = upstream.url();
    assert_eq!(metric(&node.process, "pending", Some(&url)).await, 0);
}

#[tokio::test]
async fn a_full_target_leaves_calls_to_another() {
    let full = Upstream::scripted(Script::new().wait_until_closed()).await;
    let echo = Upstream::echo().await;
    let rest = "max_connections: 1, balance: { consistent_hash: address }";
    let targets = [full.url(), echo.url()];
    let node = plan(&targets, rest).start().await;
    // Whichever it is that all calls of this client go to.
    let mut waiting = Vec::new();
    for _ in 0..2 {
        waiting.push(begin(node.gateway()).await);
    }
    let answered = Duration::from_secs(5);
    let (one, two) = waiting.split_at_mut(1);
    tokio::select! {
        answer = one[0].answer() => check_passed(&answer.unwrap()),
        answer = two[0].answer() => check_passed(&answer.unwrap()),
        () = tokio::time::sleep(answered) => panic!("both wait"),
    }
}

#[tokio::test]
async fn an_open_breaker_refuses_at_once_until_one_call_has_passed() {
    let upstream = Upstream::scripts(vec![
        Script::answer("503 Service Unavailable", &[], "no"),
        Script::answer("503 Service Unavailable", &[], "no"),
        Script::answer("200 OK", &[], "well"),
    ])
    .await;
    let rest = "breaker: { calls: 2, percent: 100, open: 1s }";
    let node = node(&[upstream.url()], rest).await;
    for _ in 0..2 {
        assert_eq!(node.get("/many/x", &[]).await.text(), "no");
    }
    let url = upstream.url();
    assert_eq!(metric(&node.process, "breaker_open", Some(&url)).await, 1);
    assert_eq!(metric(&node.process, "healthy", Some(&url)).await, 0);
    let refused = node.get("/many/x", &[]).await;
    check_problem(&refused, 503, "upstream_spared");
    assert_eq!(refused.head.field("retry-after"), Some("1"));
    assert_eq!(upstream.received().len(), 2);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    check_passed(&node.get("/many/x", &[]).await);
    assert_eq!(metric(&node.process, "breaker_open", Some(&url)).await, 0);
    check_passed(&node.get("/many/x", &[]).await);
}

#[tokio::test]
async fn a_breaker_of_one_target_leaves_the_other() {
    let (busy, echo) = (
        answering("503 Service Unavailable").await,
        Upstream::echo().await,
    );
    let rest = "ejection: none, breaker: { calls: 3, percent: 50, open: 1h }";
    let node = node(&[busy.url(), echo.url()], rest).await;
    let mut refused = 0;
    for _ in 0..30 {
        refused += usize::from(node.get("/many/x", &[]).await.status != 200);
    }
    assert_eq!((refused, busy.received().len()), (3, 3));
}
