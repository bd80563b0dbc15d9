//! Bodies over HTTP/3: streamed both ways, with their trailers, held back by whoever is slower.

use super::peer::{self, GET, POST, headers, one};
use super::{Http3Node, get, request};
use crate::gateway::open_node::until;
use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use keyward_testkit::{
    Http3Client, Http3Connect, Http3Stream, Script, Upstream, read_http3, until_at_rest,
};
use serde_json::json;
use std::time::Duration;

/// Large enough that a gateway which held a body would show it.
const LARGE: u64 = 128 * 1024 * 1024;
/// What the process may grow by meanwhile.
const GROWTH_MAX: u64 = 16 * 1024 * 1024;

#[tokio::test]
async fn answers_of_every_framing_end_where_they_end() {
    let cases = [
        (
            Script::answer("200 OK", &[], "length"),
            "GET",
            200,
            "length",
            Some("6"),
        ),
        (
            Script::chunked("200 OK", &[], &["chu", "nked"], &[]),
            "GET",
            200,
            "chunked",
            None,
        ),
        (Script::answer("200 OK", &[], ""), "GET", 200, "", Some("0")),
        (
            Script::chunked("200 OK", &[], &[], &[]),
            "GET",
            200,
            "",
            None,
        ),
        (
            Script::new().write("HTTP/1.1 204 No Content\r\n\r\n"),
            "DELETE",
            204,
            "",
            None,
        ),
        (
            Script::new().write("HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n"),
            "GET",
            304,
            "",
            Some("7"),
        ),
        (
            Script::new().write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
            "HEAD",
            200,
            "",
            Some("5"),
        ),
        (
            Script::new()
                .write("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil closed")
                .close(),
            "GET",
            200,
            "until closed",
            None,
        ),
    ];
    let scripts = cases.iter().map(|(script, ..)| script.clone()).collect();
    let node = Http3Node::before(Upstream::scripts(scripts).await).await;
    let mut client = node.connect().await;
    for (script, method, status, body, length) in cases {
        let reply = client.call(request(method, "/open/x", &[]), b"").await;
        assert_eq!(reply.status, status, "{script:?}");
        assert_eq!(reply.body, body.as_bytes(), "{script:?}");
        assert_eq!(reply.field("content-length"), length, "{script:?}");
        for name in ["connection", "transfer-encoding", "keep-alive"] {
            assert_eq!(reply.field(name), None, "{script:?}");
        }
    }
}

#[tokio::test]
async fn trailers_pass_both_ways_and_forged_names_do_not() {
    let script = Script::chunked(
        "200 OK",
        &[("trailer", "x-sum")],
        &["ab", "c"],
        &[("x-sum", "6"), ("content-length", "1")],
    );
    let node = Http3Node::before(Upstream::scripted(script).await).await;
    let mut client = node.connect().await;
    let sent = request("POST", "/open/x", &[("te", "trailers")]);
    let mut stream = client.send(sent).await.unwrap();
    stream.send_data(Bytes::from_static(b"abc")).await.unwrap();
    let mut trailers = HeaderMap::new();
    for (name, value) in [
        ("x-sum", "7"),
        ("x-keyward-subject", "root"),
        ("authorization", "Bearer x"),
        ("x-forwarded-for", "10.0.0.1"),
    ] {
        trailers.insert(name, value.parse().unwrap());
    }
    stream.send_trailers(trailers).await.unwrap();
    stream.finish().await.unwrap();
    let reply = read_http3(&mut stream).await.unwrap();
    assert_eq!(reply.body, b"abc");
    let trailers = reply.trailers.unwrap();
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers["x-sum"], "6");
    let received = node.upstream.received().pop().unwrap();
    assert_eq!(received.trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

#[tokio::test]
async fn grpc_is_refused_and_broken_off_in_its_own_way() {
    let script = Script::new()
        .write("HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n")
        .write_chunk("half")
        .close();
    let node = Http3Node::before(Upstream::scripted(script).await).await;
    let mut client = node.connect().await;
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let refused = client.call(request("POST", "/nowhere", &grpc), b"").await;
    assert_eq!(refused.status, 200);
    assert_eq!(refused.field("grpc-status"), Some("12"));
    let cut = client.call(request("POST", "/open/x", &grpc), b"abc").await;
    assert_eq!(cut.body, b"half");
    assert_eq!(cut.trailers.unwrap()["grpc-status"], "14");
}

#[tokio::test]
async fn events_pass_as_they_come_and_a_client_that_has_seen_enough_ends_the_call() {
    let script = Script::new()
        .write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        .write_chunk("data: 1\n\n")
        .wait_until_closed();
    let node = Http3Node::before(Upstream::scripted(script).await).await;
    let mut client = node.connect().await;
    let mut stream = client.send(get("/open/x")).await.unwrap();
    stream.finish().await.unwrap();
    stream.recv_response().await.unwrap();
    let mut event = stream.recv_data().await.unwrap().unwrap();
    assert_eq!(event.copy_to_bytes(event.remaining()), "data: 1\n\n");
    drop(event);
    drop(stream);
    until("the upstream is left", || node.upstream.left() == 1).await;
    until("the call is logged", || node.logged().len() == 1).await;
    assert_eq!(node.logged()[0]["code"], "client_left");
}

#[tokio::test]
async fn both_directions_move_at_once() {
    let script = Script::without_reading_the_body()
        .write("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        .mirror();
    let node = Http3Node::before(Upstream::scripted(script).await).await;
    let mut client = node.connect().await;
    let mut stream = client.send(request("POST", "/open/x", &[])).await.unwrap();
    stream
        .send_data(Bytes::from_static(b"first"))
        .await
        .unwrap();
    stream.recv_response().await.unwrap();
    for (piece, next) in [("first", "second"), ("second", "third"), ("third", "end")] {
        let mut seen = Vec::new();
        while !seen
            .windows(piece.len())
            .any(|part| part == piece.as_bytes())
        {
            let mut more = stream.recv_data().await.unwrap().unwrap();
            seen.extend_from_slice(&more.copy_to_bytes(more.remaining()));
        }
        let next = Bytes::from_static(next.as_bytes());
        stream.send_data(next).await.unwrap();
    }
}

#[tokio::test]
async fn who_waits_to_be_told_to_go_on_is_told() {
    let node = Http3Node::before(Upstream::echo().await).await;
    let expecting = [&POST[..], &[("expect", "100-continue")]].concat();
    let [method, scheme, authority, _] = POST;
    let nowhere = [
        method,
        scheme,
        authority,
        (":path", "/nowhere"),
        ("expect", "100-continue"),
    ];
    // The body follows when it was asked for.
    let request = |fields: &[(&str, &str)]| json!({ "requests": [ { "parts": [headers(fields), ["data", "abc"]], "asks": true } ] });
    let outcomes = peer::run(&node, &[request(&expecting), request(&nowhere)]).await;
    assert_eq!(peer::status(&outcomes[0]), Some(200));
    assert_eq!(outcomes[0]["requests"][0]["interim"], json!([100]));
    assert_eq!(node.upstream.received()[0].body, b"abc");
    // A refused call's client is not told to.
    assert_eq!(peer::status(&outcomes[1]), Some(404));
    assert_eq!(outcomes[1]["requests"][0]["interim"], json!([]));
}

#[tokio::test]
async fn hints_come_before_the_answer() {
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n";
    let script = Script::new()
        .write(hint)
        .write(hint)
        .write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nafter");
    let node = Http3Node::before(Upstream::scripted(script).await).await;
    let outcome = peer::run(&node, &[one(&[headers(&GET)])]).await.remove(0);
    assert_eq!(peer::status(&outcome), Some(200), "{outcome}");
    assert_eq!(outcome["requests"][0]["interim"], json!([103, 103]));
    assert_eq!(outcome["requests"][0]["body"], "after");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_reset() {
    for script in [
        Script::new()
            .write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort")
            .close(),
        Script::new()
            .write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .write_chunk("short")
            .close(),
    ] {
        let node = Http3Node::before(Upstream::scripted(script).await).await;
        let mut client = node.connect().await;
        assert!(client.try_call(get("/open/x"), b"").await.is_err());
        // The connection is none the worse for it.
        assert_eq!(client.call(get("/nowhere"), b"").await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_download_with_a_slow_reader_is_not_held() {
    let node = Http3Node::before(Upstream::scripted(Script::long(LARGE)).await).await;
    let before = node.process.peak_bytes();
    let how = Http3Connect {
        window: Some(1 << 20),
        ..node.how()
    };
    let mut client = Http3Client::connect(how).await.unwrap();
    let mut stream = client.send(get("/open/x")).await.unwrap();
    stream.finish().await.unwrap();
    stream.recv_response().await.unwrap();
    until_at_rest("the upstream is held back", || node.upstream.written()).await;
    let mut count = 0;
    while let Some(piece) = stream.recv_data().await.unwrap() {
        count += u64::try_from(piece.remaining()).unwrap();
    }
    assert_eq!(count, LARGE);
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
}

/// Sends so much, as fast as it is taken.
async fn upload(stream: &mut Http3Stream, bytes: u64) {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let pieces = bytes / u64::try_from(piece.len()).unwrap();
    for _ in 0..pieces {
        stream.send_data(piece.clone()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_arrives_whole_and_is_not_held() {
    let node = Http3Node::before(Upstream::echo().await).await;
    let before = node.process.peak_bytes();
    let mut client = node.connect().await;
    let mut stream = client.send(request("POST", "/open/x", &[])).await.unwrap();
    upload(&mut stream, LARGE).await;
    stream.finish().await.unwrap();
    let reply = read_http3(&mut stream).await.unwrap();
    assert_eq!(reply.json()["body"]["length"], LARGE);
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_read_holds_one_call_back_and_no_other() {
    let stuck = Script::without_reading_the_body().pause(Duration::from_secs(60));
    let quick = Script::answer("200 OK", &[], "quick");
    let node = Http3Node::before(Upstream::scripts(vec![stuck, quick]).await).await;
    let before = node.process.peak_bytes();
    let mut client = node.connect().await;
    let mut stream = client.send(request("POST", "/open/x", &[])).await.unwrap();
    let uploading = tokio::time::timeout(Duration::from_secs(2), upload(&mut stream, LARGE));
    assert!(uploading.await.is_err());
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
    // The stream's window is full, the connection's is not.
    let reply = client.call(request("POST", "/open/y", &[]), b"body").await;
    assert_eq!(reply.body, b"quick");
}
