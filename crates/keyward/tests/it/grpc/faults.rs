//! Calls of gRPC whose upstream does what gRPC's library would not.

use crate::gateway::open_node::until;
use crate::node::{Node, check_problem, request};
use crate::upstreams::{metric, plan};
use keyward_testkit::{Answer, Http2Script, Http2Upstream, RawClient};
use std::time::Duration;

const GRPC: (&str, &str) = ("Content-Type", "application/grpc+proto");
/// An empty message.
const MESSAGE: &str = "\0\0\0\0\0";

async fn node(urls: &[String], rest: &str) -> Node {
    plan(urls, &format!("protocol: http2, {rest}"))
        .start()
        .await
}

/// A call over HTTP/1.1, whose answers a test can read byte by byte.
async fn call(node: &Node, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[GRPC], headers].concat();
    node.call("POST", "/many/s.S/M", &headers, MESSAGE).await
}

#[track_caller]
fn check_told(answer: &Answer, status: &str) {
    let shown = format!("{:?}", answer.head);
    assert_eq!(answer.status, 200, "{shown}");
    assert_eq!(
        answer.head.field("content-type"),
        Some("application/grpc"),
        "{shown}"
    );
    assert_eq!(answer.head.field("grpc-status"), Some(status), "{shown}");
    assert!(answer.head.field("grpc-message").is_some(), "{shown}");
    assert_eq!(answer.body, b"", "{shown}");
}

#[tokio::test]
async fn the_clients_deadline_bounds_the_call() {
    let silent = Http2Upstream::scripted(Http2Script::new().wait_until_reset()).await;
    let node = node(&[silent.url()], "ejection: none").await;
    check_told(&call(&node, &[("grpc-timeout", "300m")]).await, "4");
    until("the server is told", || silent.left() == 1).await;
    let received = silent.received().pop().unwrap();
    assert_eq!(received.head.field("grpc-timeout"), Some("300m"));
    assert_eq!(received.head.field("te"), Some("trailers"));
}

#[tokio::test]
async fn the_upstreams_own_bound_holds_too() {
    let silent = Http2Upstream::scripted(Http2Script::new().wait_until_reset()).await;
    let node = node(&[silent.url()], "total_timeout: 300ms").await;
    check_told(&call(&node, &[("grpc-timeout", "1H")]).await, "4");
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_told_as_unavailable() {
    let broken = Http2Upstream::scripted(Http2Script::new().reset(2)).await;
    let node = node(&[broken.url()], "").await;
    check_told(&call(&node, &[]).await, "14");
}

#[tokio::test]
async fn over_http1_an_answer_that_is_cut_is_not_ended_in_order() {
    let script = Http2Script::new().head(200, &[("content-type", "application/grpc")]);
    let script = script
        .data(MESSAGE)
        .pause(Duration::from_millis(100))
        .reset(2);
    let broken = Http2Upstream::scripted(script).await;
    let node = node(&[broken.url()], "").await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let text = request("POST", "/many/s.S/M", &[GRPC], MESSAGE);
    client.send(text).await.unwrap();
    let rest = client.rest().await.unwrap();
    let rest = String::from_utf8_lossy(&rest);
    assert!(
        rest.starts_with("HTTP/1.1 200 OK") && !rest.ends_with("0\r\n\r\n"),
        "{rest}"
    );
}

#[tokio::test]
async fn a_target_that_says_it_is_unavailable_is_left_out() {
    let head = [("content-type", "application/grpc"), ("grpc-status", "14")];
    let gone = Http2Upstream::scripted(Http2Script::new().head(200, &head).end()).await;
    let refuses = [("content-type", "application/grpc"), ("grpc-status", "7")];
    let well = Http2Upstream::scripted(Http2Script::new().head(200, &refuses).end()).await;
    let rest = "ejection: { failures: 3, time: 1h }";
    let node = node(&[gone.url(), well.url()], rest).await;
    for _ in 0..20 {
        let answer = call(&node, &[]).await;
        assert!(matches!(answer.head.field("grpc-status"), Some("7" | "14")));
    }
    assert_eq!(gone.received().len(), 3);
    for (target, ejected) in [(&gone, 1), (&well, 0)] {
        let url = target.url();
        assert_eq!(metric(&node.process, "ejected", Some(&url)).await, ejected);
    }
}

#[tokio::test]
async fn what_only_looks_like_grpc_is_refused_as_any_other_call() {
    let node = node(&["http://127.0.0.1:1".to_owned()], "").await;
    for media_type in ["application/grpc-web", "application/grpcx", "text/plain"] {
        let headers = [("Content-Type", media_type)];
        let answer = node.call("POST", "/elsewhere", &headers, "x").await;
        check_problem(&answer, 404, "not_found");
    }
    let answer = node.call("GET", "/elsewhere", &[GRPC], "").await;
    check_problem(&answer, 404, "not_found");
    check_told(
        &node.call("POST", "/elsewhere", &[GRPC], MESSAGE).await,
        "12",
    );
}
