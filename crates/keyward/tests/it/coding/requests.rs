//! Requests that come compressed to routes that take the work off their upstreams.

use super::{packed, text, until};
use crate::node::{Node, Plan, check_passed, check_problem};
use crate::upstreams::answering;
use keyward_testkit::{Answer, RawClient, Upstream};

const CODINGS: [&str; 4] = ["gzip", "br", "zstd", "deflate"];
const MIB: usize = 1024 * 1024;

/// A node whose API `/many` decompresses as `said`, and whose API `/plain` does not.
async fn node(said: &str) -> Node {
    Plan::default()
        .settings("workers: 1")
        .api_at(
            "many",
            "/many",
            "echo",
            &format!("authentication: none, decompression: {said}"),
        )
        .api_at("plain", "/plain", "echo", "authentication: none")
        .start()
        .await
}

/// Sends a body, in one piece or in chunks.
async fn post(node: &Node, path: &str, coding: &str, body: &[u8], chunked: bool) -> Answer {
    let framing = if chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {}", body.len())
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Encoding: {coding}\r\nContent-MD5: old\r\n{framing}\r\nConnection: close\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    if chunked {
        for piece in body.chunks(7) {
            bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
            bytes.extend(piece);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\nx-sum: 7\r\n\r\n");
    } else {
        bytes.extend(body);
    }
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    // What is refused early is not read to its end.
    let _refused = client.send(bytes).await;
    client.answer().await.unwrap()
}

#[tokio::test]
async fn an_upstream_gets_what_was_meant() {
    let node = node("true").await;
    let text = text();
    check_passed(&post(&node, "/plain", "identity", text.as_bytes(), false).await);
    let expected = node.last_received().body_sha256;
    for coding in CODINGS {
        let body = packed(coding, text.as_bytes());
        for (spelling, chunked) in [
            (coding.to_owned(), false),
            (coding.to_uppercase(), true),
            (format!("identity, {coding}"), false),
        ] {
            let answer = post(&node, "/many", &spelling, &body, chunked).await;
            check_passed(&answer);
            let received = node.last_received();
            assert_eq!(received.body_sha256, expected, "{spelling}");
            for (name, told) in [
                ("content-encoding", None),
                ("content-md5", None),
                ("content-length", None),
                ("transfer-encoding", Some("chunked")),
            ] {
                assert_eq!(received.head.field(name), told, "{spelling} {name}");
            }
            assert_eq!(received.trailers.len(), usize::from(chunked));
        }
        // Elsewhere it goes on as it is.
        check_passed(&post(&node, "/plain", coding, &body, false).await);
        let received = node.last_received();
        assert_eq!(received.head.field("content-encoding"), Some(coding));
        assert_eq!(received.body_length, body.len() as u64);
    }
    // A body that is not compressed passes, and so does none.
    check_passed(&node.call("POST", "/many", &[], "plain").await);
    assert_eq!(node.last_received().head.field("content-length"), Some("5"));
    let headers = [("Content-Encoding", "gzip")];
    check_passed(&node.call("GET", "/many", &headers, "").await);
}

#[tokio::test]
async fn codings_that_are_not_taken_are_told_with_those_that_are() {
    let node = node("{ codings: [gzip, zstd] }").await;
    let body = packed("gzip", b"text");
    for coding in ["compress", "br", "gzip, gzip", "zstd, gzip", "gzip;q=1"] {
        let answer = post(&node, "/many", coding, &body, false).await;
        check_problem(&answer, 415, "unsupported_coding");
        assert_eq!(answer.head.field("accept-encoding"), Some("gzip, zstd"));
    }
    assert!(node.upstream.received().is_empty());
    check_passed(&post(&node, "/many", "x-gzip", &body, false).await);
}

#[tokio::test]
async fn what_is_no_stream_is_refused_and_never_looks_whole() {
    let node = node("true").await;
    let text = text();
    for coding in CODINGS {
        let whole = packed(coding, text.as_bytes());
        let half = whole.get(..whole.len() - 1).unwrap();
        let more = [whole.as_slice(), b"more"].concat();
        let twice = [whole.clone(), whole.clone()].concat();
        for (body, why) in [
            (half, "ends in the middle of its coding"),
            (&more, "goes on behind the end of its coding"),
            (&twice, "goes on behind the end of its coding"),
            (
                text.as_bytes(),
                "not in the coding that `Content-Encoding` says",
            ),
        ] {
            for chunked in [false, true] {
                let answer = post(&node, "/many", coding, body, chunked).await;
                if coding == "br" && body == text.as_bytes() {
                    // It begins like a stream with a window that is too large.
                    assert_eq!(answer.status, 400, "{}", answer.text());
                    continue;
                }
                check_problem(&answer, 400, "bad_request");
                assert!(answer.text().contains(why), "{coding} {}", answer.text());
            }
        }
    }
    assert!(node.upstream.received().is_empty());
}

#[tokio::test]
async fn a_bomb_does_no_harm() {
    let node = node("true").await;
    let small = Plan::default()
        .api_at(
            "many",
            "/many",
            "echo",
            "authentication: none, max_body: 100KB, decompression: { max_ratio: 1000 }",
        )
        .start()
        .await;
    let zeros = vec![0; 64 * MIB];
    let before = node.process.peak_bytes();
    for coding in CODINGS {
        let body = packed(coding, &zeros);
        let answer = post(&node, "/many", coding, &body, false).await;
        check_problem(&answer, 413, "body_too_large");
        let bounded = packed(coding, &zeros[..200_000]);
        let answer = post(&small, "/many", coding, &bounded, false).await;
        check_problem(&answer, 413, "body_too_large");
    }
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < 32 * MIB as u64, "{growth}");
    assert!(node.upstream.received().is_empty());
    // A window that no decoder should have to keep: 2 GiB, and 16 MiB.
    for (coding, body) in [
        ("zstd", &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0, 0, 0][..]),
        ("br", &[0x0f, 0, 0][..]),
        ("br", &[0x11, 0x3e, 0, 0][..]),
    ] {
        let answer = post(&node, "/many", coding, body, false).await;
        check_problem(&answer, 400, "bad_request");
        assert!(
            answer.text().contains("a larger window"),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    let node = node("true").await;
    let body = packed("gzip", text().as_bytes());
    let head = format!(
        "POST /many HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    for _ in 0..5 {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client.send(&head).await.unwrap();
        client
            .send(body.get(..body.len() / 2).unwrap())
            .await
            .unwrap();
        until("the call", || node.upstream.open_connections() == 1).await;
        drop(client);
        until("its end", || node.upstream.open_connections() == 0).await;
    }
    assert!(node.upstream.received().is_empty());
    check_passed(&post(&node, "/many", "gzip", &body, false).await);
}

#[tokio::test]
async fn what_is_sent_again_or_copied_is_the_same_as_what_was_sent_first() {
    let (busy, mirror) = (
        answering("503 Service Unavailable").await,
        Upstream::echo().await,
    );
    let echo = Upstream::echo().await;
    let node = Plan::default()
        .upstream(
            "two",
            &[busy.url(), echo.url()],
            "ejection: none, retries: { on: [503], replay_bytes: 64KiB, backoff: 1ms }",
        )
        .upstream("mirror", &[mirror.url()], "")
        .resource("- { kind: api, name: many, version: v1, state: published, base_path: /many, authentication: none, decompression: true, routes: [ { upstream: two, mirror: { upstream: mirror } } ] }")
        .start()
        .await;
    let text = text();
    let body = packed("zstd", text.as_bytes());
    for _ in 0..6 {
        let head = format!(
            "OPTIONS /many HTTP/1.1\r\nHost: a\r\nContent-Encoding: zstd\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client
            .send([head.as_bytes(), &body].concat())
            .await
            .unwrap();
        check_passed(&client.answer().await.unwrap());
    }
    until("the copies", || mirror.received().len() == 6).await;
    assert!(!busy.received().is_empty());
    assert_eq!(echo.received().len(), 6);
    let all = [busy.received(), echo.received(), mirror.received()].concat();
    for received in all {
        assert_eq!(received.body_length, text.len() as u64);
        assert_eq!(received.head.field("content-encoding"), None);
    }
}
