//! Many calls on few connections.

use super::{node_of, until};
use crate::node::{Node, check_passed, check_problem, request};
use crate::upstreams::{metric, plan};
use keyward_testkit::{Answer, Http2Script, Http2Upstream, RawClient};
use std::time::Duration;

/// A script whose answer takes this long.
fn slow(time: Duration) -> Http2Script {
    Http2Script::new()
        .pause(time)
        .head(200, &[])
        .data("done")
        .end()
}

/// So many calls at once, each on a connection of its own.
async fn calls(node: &Node, count: usize) -> Vec<Answer> {
    let gateway = node.gateway();
    let calls: Vec<_> = (0..count)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = RawClient::connect(gateway).await.unwrap();
                let text = request("POST", "/many/x", &[], "once");
                client.send(text).await.unwrap();
                client.answer().await.unwrap()
            })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn calls_at_once_share_the_connection_of_their_worker() {
    let upstream = Http2Upstream::scripted(slow(Duration::from_millis(200))).await;
    let node = node_of(upstream.url(), "").await;
    calls(&node, 60).await.iter().for_each(check_passed);
    assert_eq!(upstream.received().len(), 60);
    // One for each of the two workers, though none was there when the calls came.
    assert!(upstream.connections() <= 2, "{}", upstream.connections());
    assert!(upstream.together() >= 10, "{}", upstream.together());
    let url = upstream.url();
    for (name, value) in [("in_flight", 0), ("connections", upstream.connections())] {
        assert_eq!(
            metric(&node.process, name, Some(&url)).await,
            value,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_target_has_no_more_streams_on_a_connection_than_it_allows() {
    let scripts = vec![slow(Duration::from_millis(100))];
    let upstream = Http2Upstream::start(scripts, Some(3)).await;
    let node = node_of(upstream.url(), "").await;
    calls(&node, 20).await.iter().for_each(check_passed);
    assert_eq!(upstream.received().len(), 20);
    assert!(upstream.together() <= 3, "{}", upstream.together());
    assert!(upstream.connections() >= 3, "{}", upstream.connections());
}

#[tokio::test]
async fn calls_wait_for_a_stream_where_connections_are_bounded() {
    let scripts = vec![slow(Duration::from_millis(20))];
    let upstream = Http2Upstream::start(scripts, Some(2)).await;
    let node = node_of(upstream.url(), "max_connections: 2").await;
    calls(&node, 40).await.iter().for_each(check_passed);
    assert_eq!(upstream.received().len(), 40);
    assert!(upstream.together() <= 2, "{}", upstream.together());
}

#[tokio::test]
async fn one_connection_serves_all_workers_in_turn() {
    let upstream = Http2Upstream::scripted(slow(Duration::from_millis(10))).await;
    let node = node_of(upstream.url(), "max_connections: 1").await;
    for _ in 0..5 {
        calls(&node, 20).await.iter().for_each(check_passed);
        // One that closes may not have been noticed yet.
        assert!(upstream.open_connections() <= 2);
    }
    assert_eq!(upstream.received().len(), 100);
}

#[tokio::test]
async fn calls_beyond_all_bounds_are_refused_at_once() {
    let scripts = vec![slow(Duration::from_secs(1))];
    let upstream = Http2Upstream::start(scripts, Some(1)).await;
    let url = upstream.url();
    let rest = "protocol: http2, max_connections: 1, max_pending: 1";
    let node = plan(&[url], rest).settings("# one worker").start().await;
    let answers = calls(&node, 6).await;
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(passed, 2);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        check_problem(answer, 503, "upstream_busy");
        assert_eq!(answer.head.field("retry-after"), Some("1"));
    }
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn clients_that_read_nothing_hold_up_nobody_else_on_the_connection() {
    const SLOW: usize = 90;
    let long = Http2Script::new()
        .head(200, &[])
        .repeat(vec![0; 65536], 10_000);
    let mut scripts = vec![long; SLOW];
    scripts.push(
        Http2Script::new()
            .head(200, &[])
            .repeat(vec![0; 65536], 20)
            .end(),
    );
    let upstream = Http2Upstream::scripts(scripts).await;
    let node = node_of(upstream.url(), "").await;
    let mut waiting = Vec::new();
    for number in 0..SLOW {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client
            .send(request("GET", "/many/x", &[], ""))
            .await
            .unwrap();
        waiting.push(client);
        until("it arrives", || upstream.begun() == number + 1).await;
    }
    let answer = node.get("/many/x", &[]).await;
    assert_eq!((answer.status, answer.body.len()), (200, 20 * 65536));
    assert!(upstream.connections() <= 2);
    let peak = node.process.peak_bytes();
    assert!(peak < 400 << 20, "{peak}");
}
