//! Limits on calls that are under way at one time.

use super::member;
use crate::node::{Node, Plan, check_passed, check_problem, request};
use keyward_testkit::{RawClient, Script, Upstream};

/// Answers with the beginning of a body, and no end.
fn endless() -> Script {
    Script::new()
        .write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n")
        .wait_until_closed()
}

/// A node whose API `/slow` begins answers that don't end, two at one time by address.
async fn node(upstream: &Upstream) -> Node {
    Plan::default()
        .settings("workers: 2")
        .upstream("endless", &[upstream.url()], "")
        .api_at(
            "slow",
            "/slow",
            "endless",
            "authentication: none, concurrency: [ { name: two, by: api, calls: 2 } ]",
        )
        .start()
        .await
}

/// A call whose answer has begun.
async fn begin(node: &Node) -> RawClient {
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client
        .send(request("GET", "/slow/x", &[], ""))
        .await
        .unwrap();
    let head = client.bytes(12).await.unwrap();
    assert_eq!(head, b"HTTP/1.1 200");
    client
}

/// Calls until one begins: what a client that left held is given back a moment after.
async fn begin_soon(node: &Node) -> RawClient {
    loop {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client
            .send(request("GET", "/slow/x", &[], ""))
            .await
            .unwrap();
        match client.bytes(12).await.unwrap().as_slice() {
            b"HTTP/1.1 200" => return client,
            b"HTTP/1.1 429" => {}
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    }
}

#[tokio::test]
async fn a_call_counts_until_its_answer_ends_or_its_client_leaves() {
    let upstream = Upstream::scripted(endless()).await;
    let node = node(&upstream).await;
    let first = begin(&node).await;
    let _second = begin(&node).await;
    for _ in 0..5 {
        let refused = node.get("/slow/x", &[]).await;
        check_problem(&refused, 429, "too_many_calls");
        assert_eq!(refused.head.field("retry-after"), Some("1"));
        assert_eq!(
            refused.head.field("ratelimit-policy"),
            Some("\"two\";q=2;qu=\"concurrent-requests\"")
        );
        assert_eq!(member(&refused, "two", "r"), Some(0));
        assert_eq!(member(&refused, "two", "t"), None);
    }
    assert_eq!(upstream.received().len(), 2);
    drop(first);
    let third = begin_soon(&node).await;
    check_problem(&node.get("/slow/x", &[]).await, 429, "too_many_calls");
    drop(third);
    let _fourth = begin_soon(&node).await;
}

#[tokio::test]
async fn calls_one_after_the_other_are_never_too_many() {
    let node = Plan::default()
        .settings("workers: 2")
        .api(
            "api",
            "authentication: none, concurrency: [ { by: address, calls: 1 } ]",
        )
        .start()
        .await;
    let text = request("GET", "/api/x", &[("Connection", "keep-alive")], "");
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    for _ in 0..50 {
        client.send(&text).await.unwrap();
        check_passed(&client.answer().await.unwrap());
    }
}

#[tokio::test]
async fn a_tunnel_counts_until_it_ends() {
    let upstream = Upstream::scripted(
        Script::without_reading_the_body()
            .write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
            .mirror(),
    )
    .await;
    let node = Plan::default()
        .settings("workers: 1")
        .upstream("tunnels", &[upstream.url()], "")
        .api_at(
            "ws",
            "/ws",
            "tunnels",
            "authentication: none, websocket: {}, concurrency: [ { by: api, calls: 1 } ]",
        )
        .start()
        .await;
    let handshake = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let text = request("GET", "/ws/x", &handshake, "");
    let open = async || {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client.send(&text).await.unwrap();
        let status = client.bytes(12).await.unwrap();
        (client, String::from_utf8(status).unwrap())
    };
    let (first, status) = open().await;
    assert_eq!(status, "HTTP/1.1 101");
    assert_eq!(open().await.1, "HTTP/1.1 429");
    drop(first);
    loop {
        match open().await.1.as_str() {
            "HTTP/1.1 101" => break,
            status => assert_eq!(status, "HTTP/1.1 429"),
        }
    }
}
