//! Upstreams that speak HTTP/2 in clear.

mod faults;
mod going_away;
mod sharing;

use super::plan;
use crate::gateway::open_node::{lines, until};
use crate::node::{Node, check_passed, check_problem, request};
use keyward_testkit::{Http2Script, Http2Upstream, KeywardProcess, RawClient};
use std::path::Path;
use std::time::Duration;

/// A node with the API `/many` on this upstream, of which it is said that it speaks HTTP/2.
async fn node_of(url: String, rest: &str) -> Node {
    let comma = if rest.is_empty() { "" } else { ", " };
    plan(&[url], &format!("protocol: http2{comma}{rest}"))
        .settings("access_log: { format: json, destination: { file: access.log } }")
        .start()
        .await
}

/// The line that the access log has, or gets, of a call to this path.
async fn logged(node: &Node, path: &str) -> serde_json::Value {
    let mut found = None;
    until("the call is logged", || {
        found = lines(&node.process.folder())
            .into_iter()
            .find(|line| line["path"] == path);
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test]
async fn a_call_passes_in_the_form_of_http2() {
    let echo = Http2Upstream::echo().await;
    let node = node_of(echo.url(), "").await;
    let headers = [
        ("X-One", "1"),
        ("TE", "trailers, deflate"),
        ("Cookie", "a=b; c=d"),
    ];
    let answer = node
        .call("POST", "/many/orders?page=2", &headers, "body")
        .await;
    check_passed(&answer);
    let told = answer.json().unwrap();
    assert_eq!(told["method"], "POST");
    assert_eq!(told["target"], "/orders?page=2");
    assert_eq!(told["body"]["text"], "body");
    let received = echo.received().pop().unwrap();
    let authority = echo.address().to_string();
    assert_eq!(received.head.field(":authority"), Some(&*authority));
    assert_eq!(received.head.field("host"), None);
    assert_eq!(received.head.field("x-one"), Some("1"));
    assert_eq!(received.head.field("te"), Some("trailers"));
    assert_eq!(received.head.field("cookie"), Some("a=b; c=d"));
    assert_eq!(received.head.field("content-length"), Some("4"));
    assert_eq!(received.head.field("connection"), None);
    check_passed(&node.get("/many/x", &[]).await);
    let received = echo.received().pop().unwrap();
    assert_eq!(received.head.field("content-length"), None);
    assert_eq!(received.head.field("te"), None);
    let head = node.call("HEAD", "/many/x", &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_ne!(head.head.field("content-length"), Some("0"));
}

#[tokio::test]
async fn a_body_in_chunks_and_trailers_pass_both_ways() {
    let script = Http2Script::new()
        .interim(100)
        .interim(103)
        .head(201, &[("x-two", "2")])
        .data("one")
        .pause(Duration::from_millis(50))
        .data("two")
        .trailers(&[("x-sum", "6"), ("set-cookie", "forged=1"), ("via", "x")]);
    let upstream = Http2Upstream::scripted(script).await;
    let node = node_of(upstream.url(), "").await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let request = "POST /many/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nx-sum: 7\r\nx-forwarded-for: 1\r\n\r\n";
    client.send(request).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, &*answer.text()), (201, "onetwo"));
    assert_eq!(answer.head.field("x-two"), Some("2"));
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "6".to_owned())]);
    let received = upstream.received().pop().unwrap();
    assert_eq!(received.body, b"abcdefg");
    assert_eq!(received.head.field("content-length"), None);
    assert_eq!(received.trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

#[tokio::test]
async fn answers_without_a_body_and_of_every_length_follow_each_other() {
    let cases = [
        (
            Http2Script::new().head(204, &[("x-a", "1")]).end(),
            "POST",
            204,
            "",
        ),
        (
            Http2Script::new().head(304, &[("etag", "\"a\"")]).end(),
            "GET",
            304,
            "",
        ),
        (Http2Script::new().head(200, &[]).end(), "GET", 200, ""),
        (Http2Script::answer(200, &[], ""), "GET", 200, ""),
        (
            Http2Script::answer(200, &[("content-length", "5")], "hello"),
            "GET",
            200,
            "hello",
        ),
        (Http2Script::answer(404, &[], "no"), "GET", 404, "no"),
        (
            Http2Script::new()
                .head(200, &[("content-length", "5")])
                .end(),
            "HEAD",
            200,
            "",
        ),
        (
            Http2Script::new()
                .head(200, &[])
                .trailers(&[("x-end", "1")]),
            "GET",
            200,
            "",
        ),
    ];
    let scripts = cases.iter().map(|(script, ..)| script.clone()).collect();
    let upstream = Http2Upstream::scripts(scripts).await;
    let node = node_of(upstream.url(), "").await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    for (script, method, status, body) in cases {
        let text = request(method, "/many/x", &[("Connection", "keep-alive")], "");
        client.send(text).await.unwrap();
        let answer = if method == "HEAD" {
            client.answer_to_head().await
        } else {
            client.answer().await
        };
        let answer = answer.unwrap_or_else(|error| panic!("{script:?}: {error}"));
        assert_eq!(
            (answer.status, &*answer.text()),
            (status, body),
            "{script:?}"
        );
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn large_bodies_pass_whole_both_ways() {
    const PIECES: u64 = 1024;
    let piece = vec![b'x'; 64 * 1024];
    let script = Http2Script::new()
        .head(200, &[])
        .repeat(&piece, PIECES)
        .end();
    let upstream = Http2Upstream::scripted(script).await;
    let node = node_of(upstream.url(), "").await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let length = PIECES * 64 * 1024;
    let head = format!("POST /many/x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    client.send(head).await.unwrap();
    for _ in 0..PIECES {
        client.send(&piece).await.unwrap();
    }
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.body.len() as u64), (200, length));
    assert_eq!(upstream.received()[0].body_length, length);
    // Neither of the two was ever held in memory.
    let peak = node.process.peak_bytes();
    assert!(peak < 200 << 20, "{peak}");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_has_ended_is_passed_on() {
    // NO_ERROR: the rest of the request is not wanted (RFC 9113, section 8.1).
    let script = Http2Script::without_reading_the_body()
        .head(413, &[("content-length", "3")])
        .data("big")
        .end();
    let upstream = Http2Upstream::scripted(script.clone()).await;
    let node = node_of(upstream.url(), "").await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let head = "POST /many/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n";
    client.send(head).await.unwrap();
    let _refused = client.send(vec![b'x'; 1_000_000]).await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, &*answer.text()), (413, "big"));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_call_alone() {
    let waits = Http2Script::new().wait_until_reset();
    let streams = Http2Script::new()
        .head(200, &[])
        .repeat(vec![0; 65536], 10_000);
    let upload = Http2Script::new();
    let upstream = Http2Upstream::scripts(vec![
        waits,
        streams,
        upload,
        Http2Script::answer(200, &[], ""),
    ])
    .await;
    let node = node_of(upstream.url(), "").await;
    for (number, text) in [
        "GET /many/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /many/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /many/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client.send(text).await.unwrap();
        until("the call arrives", || upstream.begun() == number + 1).await;
        if number == 1 {
            let _begun = client.bytes(1000).await.unwrap();
        }
        drop(client);
        let left = number as u64 + 1;
        until("the upstream learns of it", || upstream.left() == left).await;
    }
    check_passed(&node.get("/many/x", &[]).await);
    // Each worker has kept its connection.
    assert!(upstream.connections() <= 2);
    assert_eq!(upstream.open_connections(), upstream.connections());
}

#[tokio::test]
async fn a_connection_that_has_nothing_to_do_is_closed() {
    let echo = Http2Upstream::echo().await;
    let node = node_of(echo.url(), "idle_timeout: 300ms").await;
    check_passed(&node.get("/many/x", &[]).await);
    assert_eq!(echo.open_connections(), 1);
    until("it is closed", || echo.open_connections() == 0).await;
    check_passed(&node.get("/many/x", &[]).await);
}

#[tokio::test]
async fn an_upstream_of_http1_alone_is_found_out_before_a_call_is_sent() {
    let old = keyward_testkit::Upstream::echo().await;
    let node = node_of(old.url(), "").await;
    let answer = node.call("POST", "/many/x", &[], "once").await;
    check_problem(&answer, 502, "upstream_unreachable");
    let because = logged(&node, "/many/x").await["because"].to_string();
    assert!(because.contains("does not speak HTTP/2 here"), "{because}");
    let sent = old.received();
    assert!(sent.iter().all(|call| call.method() != "POST"));
}

#[tokio::test]
async fn the_example_of_http2_upstreams_runs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/http2-upstream.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("# "), "it says first what it shows");
    let echo = Http2Upstream::echo().await;
    let text = text.replace("127.0.0.1:9000", &echo.address().to_string());
    let binary = env!("CARGO_BIN_EXE_keyward");
    let process = KeywardProcess::start_configured(binary, &text, &[], &[]).await;
    let mut client = RawClient::connect(process.gateway()).await.unwrap();
    let text = request("GET", "/orders/7", &[], "");
    client.send(text).await.unwrap();
    let answer = client.answer().await.unwrap();
    check_passed(&answer);
    assert_eq!(answer.json().unwrap()["path"], "/7");
    let asked = || {
        echo.received()
            .iter()
            .any(|call| call.target() == "/healthz")
    };
    until("its health is asked for", asked).await;
}
