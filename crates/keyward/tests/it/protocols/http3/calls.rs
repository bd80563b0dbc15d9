//! Calls over HTTP/3: how it is offered, and that a call is one as any other.

use super::peer::{self, GET, POST, data, field, headers, one, status};
use super::{Http3Node, get, request};
use crate::gateway::open_node::until;
use keyward_testkit::{Http3Client, Script, Upstream};
use serde_json::Value;
use std::process::{Command, Stdio};

#[tokio::test]
async fn a_call_over_http3_reaches_an_upstream_as_any_other() {
    let node = Http3Node::before(Upstream::echo().await).await;
    let mut client = node.connect().await;
    let fields = [("x-one", "1"), ("x-one", "2"), ("content-length", "5")];
    for _ in 0..3 {
        let sent = request("POST", "/open/a?b=c", &fields);
        let reply = client.call(sent, b"hello").await;
        assert_eq!(reply.status, 200);
        assert!(reply.field("request-id").is_some());
        assert!(reply.field("date").is_some());
        // Who is here already is not told of it.
        assert!(reply.field("alt-svc").is_none());
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
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "127.0.0.1"),
        ("via", "3.0 keyward"),
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
    assert_eq!(line["protocol"], "HTTP/3");
    assert_eq!(line["method"], "POST");
    assert_eq!(line["path"], "/open/a");
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes_in"], 5);
    assert!(line["bytes_out"].as_u64() > Some(100), "{line}");
    let metrics = node.process.operations_get("/metrics").await.unwrap();
    let metrics = metrics.text();
    let counted = |line: &str| metrics.lines().any(|other| other == line);
    assert!(
        counted("keyward_tls_handshakes_total{outcome=\"full\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_client_of_another_library_is_answered_too() {
    let node = Http3Node::before(Upstream::echo().await).await;
    let cookies = [
        &GET[..],
        &[
            ("cookie", "a=1"),
            ("x-between", "1"),
            ("cookie", "b=2; c=3"),
        ],
    ]
    .concat();
    let cases = [
        one(&[headers(&GET)]),
        one(&[headers(&POST), data("hello "), data(""), data("world")]),
        one(&[headers(&cookies)]),
        one(&[headers(&[&GET[..], &[("te", "trailers")]].concat())]),
    ];
    for outcome in peer::run(&node, &cases).await {
        assert_eq!(status(&outcome), Some(200), "{outcome}");
        assert!(field(&outcome, "request-id").is_some());
        assert_eq!(outcome["closed"], Value::Null);
    }
    let received = node.upstream.received();
    assert_eq!(received[1].body, b"hello world");
    assert_eq!(
        received[2].head.values("cookie").collect::<Vec<_>>(),
        ["a=1; b=2; c=3"]
    );
}

#[tokio::test]
async fn many_calls_share_a_connection_and_do_not_wait_for_each_other() {
    let slow = Script::new().wait_until_closed();
    let quick = Script::answer("200 OK", &[], "quick");
    let node = Http3Node::before(Upstream::scripts(vec![slow, quick]).await).await;
    let mut client = node.connect().await;
    let mut waiting = client.send(get("/open/slow")).await.unwrap();
    waiting.finish().await.unwrap();
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
    let node = Http3Node::with(Upstream::echo().await, "", "max_body: 10B").await;
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
async fn heads_have_the_bounds_that_they_have_in_http1() {
    let node = Http3Node::with(Upstream::echo().await, "limits: { head_bytes: 16KiB }", "").await;
    let long = "x".repeat(9000);
    let path = format!("/open/{long}");
    let fields: Vec<_> = (0..101).map(|_| ("x-many", "1")).collect();
    let huge = "x".repeat(40_000);
    let [method, scheme, authority, _] = GET;
    let cases = [
        (vec![method, scheme, authority, (":path", &path)], 414),
        ([&GET[..], &[("x-long", &long)]].concat(), 200),
        (
            [&GET[..], &[("x-long", &long), ("x-more", &long)]].concat(),
            431,
        ),
        ([&GET[..], &fields].concat(), 431),
        // Over what clients are told that a section may be: not even read.
        ([&GET[..], &[("x-huge", &huge)]].concat(), 431),
    ];
    let sent: Vec<_> = cases
        .iter()
        .map(|(fields, _)| one(&[headers(fields)]))
        .collect();
    for (outcome, (_, expected)) in peer::run(&node, &sent).await.iter().zip(&cases) {
        assert_eq!(status(outcome), Some(*expected), "{outcome}");
        assert_eq!(outcome["closed"], Value::Null);
    }
}

/// What curl says of a call's header `alt-svc`.
async fn alt_svc(node: &Http3Node, arguments: &[&str]) -> String {
    let port = node.process.gateway().port();
    let root = node.process.folder().join("tls.pem");
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--max-time", "20", "--output", "/dev/null"])
        .args(["--write-out", "%{http_version} %header{alt-svc}"])
        .arg("--cacert")
        .arg(root)
        .args(["--resolve", &format!("gateway.test:{port}:127.0.0.1")])
        .args(arguments)
        .arg(format!("https://gateway.test:{port}/open/x"))
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    String::from_utf8(output.await.unwrap().stdout).unwrap()
}

#[tokio::test]
async fn clients_of_other_versions_are_told_where_it_is() {
    let upstream = Upstream::scripted(Script::answer("200 OK", &[("alt-svc", "h3=\":1\"")], "x"));
    let node = Http3Node::before(upstream.await).await;
    let port = node.process.gateway().port();
    let told = format!("h3=\":{port}\"; ma=86400");
    assert_eq!(alt_svc(&node, &["--http1.1"]).await, format!("1.1 {told}"));
    assert_eq!(alt_svc(&node, &["--http2"]).await, format!("2 {told}"));
}

#[tokio::test]
async fn it_is_off_where_nobody_asks_for_it() {
    let node = Http3Node::before(Upstream::echo().await).await;
    let text = std::fs::read_to_string(node.process.folder().join("keyward.yaml")).unwrap();
    assert!(text.contains("http3: true"));
    let text = text.replace("http3: true", "http3: false");
    let files: Vec<_> = ["tls.pem", "tls.key"]
        .map(|name| {
            let contents = std::fs::read_to_string(node.process.folder().join(name)).unwrap();
            (name, contents)
        })
        .into();
    let root = files[0].1.clone();
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let text = text.replace(&node.process.gateway().to_string(), "127.0.0.1:8080");
    let text = text.replace(&node.process.operations().to_string(), "127.0.0.1:9090");
    let binary = env!("CARGO_BIN_EXE_keyward");
    let process =
        keyward_testkit::KeywardProcess::start_configured(binary, &text, &[], &files).await;
    let silent = Http3Node {
        process,
        upstream: Upstream::echo().await,
        root,
    };
    assert_eq!(alt_svc(&silent, &["--http2"]).await, "2 ");
    // Nobody is there: the system says so, or nothing answers.
    let connecting = Http3Client::connect(silent.how());
    assert!(connecting.await.is_err());
}
