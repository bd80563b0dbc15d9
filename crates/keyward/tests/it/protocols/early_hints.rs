//! Interim answers of an upstream: who gets them, and when.

use super::configuration;
use keyward_testkit::{KeywardProcess, RawClient, Script, Upstream};
use std::process::Command;

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nconnection: x-hop\r\nx-hop: 1\r\nx-internal: 1\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nafter";

async fn node(script: Script) -> (KeywardProcess, Upstream) {
    let upstream = Upstream::scripted(script).await;
    let configuration = configuration(
        &upstream.url(),
        "[http1, http2]",
        "",
        "routes: [ { response_headers: { remove: [x-internal] } } ]",
    );
    let binary = env!("CARGO_BIN_EXE_keyward");
    let process = KeywardProcess::start_configured(binary, &configuration, &[], &[]).await;
    (process, upstream)
}

/// What curl gets, heads included.
async fn curl(node: &KeywardProcess, arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--include", "--max-time", "20"])
        .args(arguments)
        .arg(format!("http://{}/open/x", node.gateway()));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().to_lowercase()
}

#[tokio::test]
async fn clients_that_take_hints_for_what_they_are_get_them_before_the_answer() {
    let (node, _upstream) = node(Script::new().write(HINT).write(HINT).write(ANSWER)).await;
    for (arguments, status) in [
        (&["--http2-prior-knowledge"][..], "http/2 103"),
        // A browser.
        (
            &["--http1.1", "--header", "Sec-Fetch-Mode: navigate"],
            "http/1.1 103 early hints",
        ),
    ] {
        let told = curl(&node, arguments).await;
        let parts: Vec<&str> = told.split("\r\n\r\n").collect();
        let [one, other, head, body] = parts.as_slice() else {
            panic!("{told}");
        };
        for hint in [one, other] {
            assert!(hint.starts_with(status), "{told}");
            assert!(
                hint.contains("\r\nlink: </style.css>; rel=preload"),
                "{told}"
            );
            // What is between two of a connection stays there, and edits hold for hints too.
            for gone in ["x-hop", "connection", "x-internal"] {
                assert!(!hint.contains(gone), "{told}");
            }
        }
        assert!(head.contains(" 200") && !head.contains("link"), "{told}");
        assert_eq!(*body, "after");
    }
}

#[tokio::test]
async fn clients_that_could_take_a_hint_for_the_answer_get_none() {
    let hints = Script::new()
        .write("HTTP/1.1 100 Continue\r\n\r\n")
        .write(HINT)
        .write(ANSWER);
    let (node, _upstream) = node(hints).await;
    for arguments in [
        &["--http1.1"][..],
        &["--http1.0", "--header", "Sec-Fetch-Mode: navigate"],
    ] {
        let told = curl(&node, arguments).await;
        assert_eq!(told.matches("http/1").count(), 1, "{told}");
        assert!(told.contains(" 200") && told.ends_with("after"), "{told}");
    }
    // That a body may come is the gateway's to say: to no one does the upstream's 100 get.
    let told = curl(&node, &["--http2-prior-knowledge"]).await;
    assert!(!told.contains("http/2 100"), "{told}");
}

#[tokio::test]
async fn a_call_with_an_idempotency_key_gets_its_answer_alone() {
    let upstream = Upstream::scripted(Script::new().write(HINT).write(ANSWER)).await;
    let configuration = configuration(
        &upstream.url(),
        "[http1, http2]",
        "",
        "idempotency: { anonymous: share }",
    );
    let binary = env!("CARGO_BIN_EXE_keyward");
    let node = KeywardProcess::start_configured(binary, &configuration, &[], &[]).await;
    let post = ["--http2-prior-knowledge", "--data", "body"];
    // Without a key the hint comes; with one, the first answer is like those that are given again.
    assert!(curl(&node, &post).await.contains("http/2 103"));
    for replayed in [false, true] {
        let with_key = [&post[..], &["--header", "Idempotency-Key: one"]].concat();
        let told = curl(&node, &with_key).await;
        assert_eq!(told.matches("http/2 ").count(), 1, "{told}");
        assert!(
            told.contains("http/2 200") && told.ends_with("after"),
            "{told}"
        );
        assert_eq!(told.contains("idempotent-replayed"), replayed, "{told}");
    }
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn a_hint_does_not_wait_for_the_answer() {
    let (node, _upstream) = node(Script::new().write(HINT).wait_until_closed()).await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client
        .send("GET /open/x HTTP/1.1\r\nHost: a\r\nSec-Fetch-Mode: navigate\r\n\r\n")
        .await
        .unwrap();
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";
    let got = client.bytes(hint.len()).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&got), hint);
}

#[tokio::test]
async fn hints_without_end_are_none() {
    let mut script = Script::new();
    for _ in 0..20 {
        script = script.write(HINT);
    }
    let (node, _upstream) = node(script.write(ANSWER)).await;
    let told = curl(&node, &["--http2-prior-knowledge"]).await;
    assert!(told.contains("http/2 502"), "{told}");
}
