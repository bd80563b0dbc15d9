//! Calls over HTTP/2: how it is agreed upon, and that a call is one as any other.

use super::client::{get, request};
use super::frames::{Frames, GOAWAY, PREFACE};
use super::{Http2Node, configuration};
use crate::gateway::open_node::until;
use keyward_testkit::{KeywardProcess, RawClient, Script, Upstream};
use std::process::{Command, Stdio};

#[tokio::test]
async fn a_call_over_http2_reaches_an_upstream_as_any_other() {
    let node = Http2Node::before(Upstream::echo().await).await;
    let mut client = node.connect().await;
    let fields = [("x-one", "1"), ("x-one", "2"), ("content-length", "5")];
    for _ in 0..3 {
        let sent = request("POST", "/open/a?b=c", &fields);
        let reply = client.call(sent, b"hello").await;
        assert_eq!(reply.status, 200);
        assert!(reply.field("request-id").is_some());
        assert!(reply.field("date").is_some());
        assert_eq!(
            reply.field("content-length"),
            Some(reply.body.len().to_string().as_str())
        );
        let echo = reply.json();
        assert_eq!(echo["target"], "/a?b=c");
        assert_eq!(echo["body"]["text"], "hello");
    }
    let received = node.upstream.received().pop().unwrap();
    let upstream = node.upstream.address().to_string();
    for (name, value) in [
        ("host", upstream.as_str()),
        ("x-forwarded-host", "gateway.test"),
        ("x-forwarded-proto", "http"),
        ("via", "2.0 keyward"),
        ("content-length", "5"),
    ] {
        assert_eq!(received.head.field(name), Some(value), "{name}");
    }
    assert_eq!(
        received.head.values("x-one").collect::<Vec<_>>(),
        ["1", "2"]
    );
    // All of them over one connection from the client, and one to the upstream.
    assert_eq!(node.upstream.connections(), 1);
    until("the calls are logged", || node.logged().len() == 3).await;
    let line = node.logged().remove(0);
    assert_eq!(line["protocol"], "HTTP/2");
    assert_eq!(line["method"], "POST");
    assert_eq!(line["path"], "/open/a");
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes_in"], 5);
    assert!(line["bytes_out"].as_u64() > Some(100), "{line}");
}

#[tokio::test]
async fn many_calls_share_a_connection_and_do_not_wait_for_each_other() {
    let slow = Script::new().wait_until_closed();
    let quick = Script::answer("200 OK", &[], "quick");
    let node = Http2Node::before(Upstream::scripts(vec![slow, quick]).await).await;
    let mut client = node.connect().await;
    let (waiting, _stream) = client.send(get("/open/slow"), true).await;
    until("the slow call arrives", || {
        node.upstream.received().len() == 1
    })
    .await;
    for _ in 0..200 {
        let reply = client.call(get("/open/quick"), b"").await;
        assert_eq!((reply.status, reply.body), (200, b"quick".to_vec()));
    }
    drop(waiting);
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_hurts_no_other_call() {
    let node = Http2Node::with(Upstream::echo().await, "", "max_body: 10B").await;
    let mut client = node.connect().await;
    for (path, body, status, code) in [
        ("/nowhere", &b""[..], 404, "not_found"),
        ("/open/x", b"eleven bytes", 413, "body_too_large"),
        ("/open/%2e%2e/x", b"", 400, "ambiguous_path"),
    ] {
        let reply = client.call(request("POST", path, &[]), body).await;
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.json()["code"], code);
        assert_eq!(
            reply.field("content-type"),
            Some("application/problem+json")
        );
    }
    assert_eq!(client.call(get("/open/x"), b"").await.status, 200);
}

#[tokio::test]
async fn in_clear_http2_is_spoken_only_where_a_listener_says_so() {
    let upstream = Upstream::echo().await;
    for (protocols, first, second) in [
        ("[http1]", true, false),
        ("[http1, http2]", true, true),
        ("[http2]", false, true),
    ] {
        let configuration = configuration(&upstream.url(), protocols, "", "");
        let binary = env!("CARGO_BIN_EXE_keyward");
        let process = KeywardProcess::start_configured(binary, &configuration, &[], &[]).await;
        let mut old = RawClient::connect(process.gateway()).await.unwrap();
        old.send("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let answer = old.answer().await;
        assert_eq!(
            answer.is_ok_and(|answer| answer.status == 200),
            first,
            "{protocols}"
        );
        let mut new = Frames::connect(process.gateway()).await;
        new.write(PREFACE).await.unwrap();
        let spoken = new.next().await.is_ok_and(|frame| frame.kind == 4);
        assert_eq!(spoken, second, "{protocols}");
    }
}

#[tokio::test]
async fn the_preface_may_come_in_pieces_and_nothing_else_passes_for_it() {
    let node = Http2Node::before(Upstream::echo().await).await;
    let mut frames = Frames::connect(node.process.gateway()).await;
    for piece in PREFACE.chunks(5) {
        frames.write(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(frames.next().await.unwrap().kind, 4);
    for wrong in [
        &b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..],
        b"PRI * HTTP/2.0\r\nHost: a\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ] {
        let mut frames = Frames::connect(node.process.gateway()).await;
        frames.write(wrong).await.unwrap();
        assert!(frames.next_of(GOAWAY).await.is_err() || frames.is_closed().await);
    }
    for wrong in ["PRI /x HTTP/2.0\r\n\r\n", "GET / HTTP/2.0\r\n\r\n"] {
        let mut client = RawClient::connect(node.process.gateway()).await.unwrap();
        client.send(wrong).await.unwrap();
        assert_eq!(client.answer().await.unwrap().status, 400, "{wrong}");
    }
    // Once HTTP/1.1 is spoken it stays so.
    let mut client = RawClient::connect(node.process.gateway()).await.unwrap();
    client
        .send("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
    client.send(PREFACE).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 400);
}

/// What curl says of a call: the version of HTTP, and the status.
async fn curl(arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--output",
            "/dev/null",
        ])
        .args(["--write-out", "%{http_version} %{http_code}"])
        .args(arguments)
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    String::from_utf8(output.await.unwrap().stdout).unwrap()
}

#[tokio::test]
async fn curl_speaks_http2_with_prior_knowledge() {
    let node = Http2Node::before(Upstream::echo().await).await;
    let url = format!("http://{}/open/x", node.process.gateway());
    for (arguments, said) in [
        (&["--http2-prior-knowledge"][..], "2 200"),
        (&["--http2-prior-knowledge", "--data", "x=y"], "2 200"),
        (&["--http2-prior-knowledge", "--head"], "2 200"),
        // Asked for by `Upgrade: h2c`, which RFC 9113 has given up: it stays HTTP/1.1.
        (&["--http2"], "1.1 200"),
        (&["--http1.1"], "1.1 200"),
    ] {
        assert_eq!(
            curl(&[arguments, &[&url]].concat()).await,
            said,
            "{arguments:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_calls_over_a_few_connections_all_pass() {
    let node =
        Http2Node::before(Upstream::scripted(Script::answer("200 OK", &[], "hello")).await).await;
    let url = format!("http://{}/open/x", node.process.gateway());
    let mut command = Command::new("h2load");
    command
        .args([
            "--requests=5000",
            "--clients=4",
            "--max-concurrent-streams=100",
            &url,
        ])
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{said}"
    );
    assert!(said.contains("status codes: 5000 2xx"), "{said}");
    until("all calls are logged", || node.logged().len() == 5000).await;
    assert!(node.logged().iter().all(|line| line.get("code").is_none()));
}
