//! Copies of calls for a mirror, which never touch the calls.

use crate::node::{Node, Plan, check_passed, request};
use keyward_testkit::{RawClient, Script, Upstream, free_addresses, until};

/// A node with the API `/many`, whose calls are copied to `mirror` as `said` says.
async fn node(mirror: &str, said: &str) -> Node {
    Plan::default()
        .settings("workers: 2")
        .upstream("mirror", &[mirror.to_owned()], "retries: none")
        .resource(format!(
            "- {{ kind: api, name: many, version: v1, state: published, base_path: /many, authentication: none, routes: [ {{ upstream: echo, match: {{ prefix: /a }}, rewrite: {{ prefix: /b }}, request_headers: {{ set: {{ authorization: ours, x-set: here }} }}, mirror: {{ upstream: mirror, {said} }} }} ] }}"
        ))
        .start()
        .await
}

/// How many copies came to this end, by the metrics.
async fn copies(node: &Node, outcome: &str) -> u64 {
    let page = node
        .process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text();
    let value = page.lines().find_map(|line| {
        let line = line.strip_prefix("keyward_mirrored_total{")?;
        let (labels, value) = line.rsplit_once("} ")?;
        labels
            .ends_with(&format!(",outcome=\"{outcome}\""))
            .then_some(value)
    });
    let value = value.unwrap_or_else(|| panic!("no {outcome} in\n{page}"));
    value.parse().unwrap()
}

async fn until_copies(node: &Node, outcome: &str, count: u64) {
    until(format!("{count} {outcome}"), async || {
        copies(node, outcome).await == count
    })
    .await;
}

#[tokio::test]
async fn a_mirror_gets_what_the_upstream_gets_but_for_credentials() {
    let mirror = Upstream::echo().await;
    let node = node(&mirror.url(), "max_body: 1MiB").await;
    let headers = [
        ("Cookie", "session=secret"),
        ("X-Keyward-Mirrored", "forged"),
        ("X-Own", "1"),
        ("Connection", "close"),
    ];
    let answer = node.get("/many/a/7?x=y", &headers).await;
    check_passed(&answer);
    until("the copy", async || mirror.received().len() == 1).await;
    until_copies(&node, "answered", 1).await;
    let (call, copy) = (node.last_received(), mirror.received().remove(0));
    assert_eq!(copy.target(), "/b/7?x=y");
    assert_eq!(copy.target(), call.target());
    for (name, at_upstream, at_mirror) in [
        ("authorization", Some("ours"), None),
        ("cookie", Some("session=secret"), None),
        ("x-own", Some("1"), Some("1")),
        ("x-set", Some("here"), Some("here")),
        ("x-keyward-mirrored", None, Some("true")),
        ("x-forwarded-host", Some("api.example"), Some("api.example")),
        ("x-forwarded-for", Some("127.0.0.1"), Some("127.0.0.1")),
        (
            "request-id",
            answer.head.field("request-id"),
            answer.head.field("request-id"),
        ),
    ] {
        assert_eq!(call.head.field(name), at_upstream, "{name}");
        assert_eq!(copy.head.field(name), at_mirror, "{name}");
    }
    let address = mirror.address().to_string();
    assert_eq!(copy.head.field("host"), Some(address.as_str()));
    // The log and the route's own counts speak of one call.
    let page = node
        .process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text();
    let counted = |line: &&str| {
        line.starts_with("keyward_requests_total") && line.ends_with("status=\"2xx\"} 1")
    };
    assert_eq!(page.lines().filter(counted).count(), 1, "{page}");
}

#[tokio::test]
async fn a_mirrors_fate_is_not_the_calls() {
    let silent = Upstream::scripted(Script::new().wait_until_closed()).await;
    let broken = Upstream::scripted(Script::new().write("nonsense\r\n\r\n").close()).await;
    let failing = Upstream::scripted(Script::answer("500 Broken", &[], "no")).await;
    let [nobody] = free_addresses();
    for (mirror, outcome) in [
        (silent.url(), "failed"),
        (broken.url(), "failed"),
        (failing.url(), "answered"),
        (format!("http://{nobody}"), "failed"),
    ] {
        let node = node(&mirror, "timeout: 500ms, unsafe_methods: true").await;
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        for number in 0..5 {
            let call = request("POST", "/many/a", &[("Connection", "keep-alive")], "body");
            client.send(call).await.unwrap();
            let answer = client.answer().await.unwrap();
            assert_eq!(answer.status, 200, "{mirror} {number}");
        }
        until_copies(&node, outcome, 5).await;
        assert_eq!(node.upstream.received().len(), 5);
    }
    until("what is silent is left", async || silent.left() == 5).await;
}

#[tokio::test]
async fn copies_under_way_are_few_and_calls_pass_without_them() {
    let silent = Upstream::scripted(Script::new().wait_until_closed()).await;
    let node = node(&silent.url(), "max_in_flight: 3, timeout: 60s").await;
    for _ in 0..10 {
        check_passed(&node.get("/many/a", &[]).await);
    }
    until_copies(&node, "dropped", 7).await;
    until("three copies", async || silent.received().len() == 3).await;
    assert_eq!(silent.connections(), 3);
}

#[tokio::test]
async fn only_methods_that_change_nothing_are_copied_unless_said_otherwise() {
    let mirror = Upstream::echo().await;
    let node = node(&mirror.url(), "percent: 100").await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS"] {
        let answer = node.call(method, "/many/a", &[], "").await;
        assert_eq!(answer.status, 200, "{method}");
    }
    until_copies(&node, "answered", 3).await;
    let copied: Vec<String> = mirror
        .received()
        .iter()
        .map(|copy| copy.method().to_owned())
        .collect();
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert!(copied.iter().any(|copied| copied == method), "{copied:?}");
    }
}

#[tokio::test]
async fn a_body_is_copied_whole_or_not_at_all() {
    let mirror = Upstream::echo().await;
    let node = node(&mirror.url(), "unsafe_methods: true, max_body: 100000").await;
    let body = "0123456789".repeat(10_000);
    check_passed(&node.call("POST", "/many/a", &[], &body).await);
    until_copies(&node, "answered", 1).await;
    // In chunks, so that its length is seen at its end alone.
    let chunked = |body: &str| {
        let chunks: String = body
            .as_bytes()
            .chunks(7_000)
            .map(|piece| {
                format!(
                    "{:x}\r\n{}\r\n",
                    piece.len(),
                    String::from_utf8_lossy(piece)
                )
            })
            .collect();
        format!(
            "POST /many/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n{chunks}0\r\nx-sum: 7\r\n\r\n"
        )
    };
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client.send(chunked(&body)).await.unwrap();
    check_passed(&client.answer().await.unwrap());
    until_copies(&node, "answered", 2).await;
    let copies = mirror.received();
    assert_eq!(copies[0].body_length, 100_000);
    assert_eq!(copies[1].body_sha256, copies[0].body_sha256);
    assert_eq!(copies[0].body_sha256, node.last_received().body_sha256);
    // One byte more.
    client.send(chunked(&format!("{body}x"))).await.unwrap();
    check_passed(&client.answer().await.unwrap());
    check_passed(&node.call("POST", "/many/a", &[], &format!("{body}x")).await);
    until_copies(&node, "too_large", 2).await;
    // A client that leaves in the middle.
    let head = "POST /many/a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n";
    client.send(format!("{head}half")).await.unwrap();
    drop(client);
    until_copies(&node, "unfinished", 1).await;
    assert_eq!(mirror.received().len(), 2);
}

#[tokio::test]
async fn a_callers_token_goes_to_the_mirror_only_where_that_is_said() {
    let mirror = Upstream::echo().await;
    for (said, copied) in [
        ("percent: 100", None),
        ("forward_credentials: true", Some("Basic YTpi")),
    ] {
        let node = Plan::default()
            .upstream("mirror", &[mirror.url()], "")
            .resource(format!(
                "- {{ kind: api, name: many, version: v1, state: published, base_path: /many, authentication: none, routes: [ {{ upstream: echo, mirror: {{ upstream: mirror, {said} }} }} ] }}"
            ))
            .start()
            .await;
        let headers = [("Authorization", "Basic YTpi")];
        check_passed(&node.get("/many", &headers).await);
        until_copies(&node, "answered", 1).await;
        let copy = mirror.received().pop().unwrap();
        assert_eq!(copy.head.field("authorization"), copied);
        let call = node.last_received();
        assert_eq!(call.head.field("authorization"), Some("Basic YTpi"));
    }
}
