//! Bodies over HTTP/2: streamed both ways, with their trailers, held back by whoever is slower.

use super::Http2Node;
use super::client::{Http2Client, PATIENCE, get, read, request};
use super::frames::{
    DATA, END_STREAM, Frames, GET, HEADERS, INTERNAL_ERROR, Outcome, POST, WINDOW_UPDATE,
};
use crate::gateway::open_node::until;
use bytes::Bytes;
use http::HeaderMap;
use keyward_testkit::{Script, Upstream, until_at_rest};
use std::future::poll_fn;
use std::time::Duration;

/// Large enough that a gateway which held a body would show it.
const LARGE: u64 = 256 * 1024 * 1024;
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
            Script::new().write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
            "HEAD",
            200,
            "",
            None,
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
    let node = Http2Node::before(Upstream::scripts(scripts).await).await;
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
    let node = Http2Node::before(Upstream::scripted(script).await).await;
    let mut client = node.connect().await;
    let sent = request("POST", "/open/x", &[("te", "trailers")]);
    let (answer, mut stream) = client.send(sent, false).await;
    stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
    let mut trailers = HeaderMap::new();
    for (name, value) in [
        ("x-sum", "7"),
        ("x-keyward-subject", "root"),
        ("authorization", "Bearer x"),
        ("x-forwarded-for", "10.0.0.1"),
    ] {
        trailers.insert(name, value.parse().unwrap());
    }
    stream.send_trailers(trailers).unwrap();
    let reply = read(answer.await.unwrap()).await.unwrap();
    assert_eq!(reply.body, b"abc");
    let trailers = reply.trailers.unwrap();
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers["x-sum"], "6");
    let received = node.upstream.received().pop().unwrap();
    assert_eq!(received.trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

#[tokio::test]
async fn events_pass_as_they_come() {
    let script = Script::new()
        .write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        .write_chunk("data: 1\n\n")
        .wait_until_closed();
    let node = Http2Node::before(Upstream::scripted(script).await).await;
    let mut client = node.connect().await;
    let (answer, stream) = client.send(get("/open/x"), true).await;
    let mut body = answer.await.unwrap().into_body();
    let event = tokio::time::timeout(PATIENCE, body.data()).await;
    assert_eq!(event.unwrap().unwrap().unwrap(), "data: 1\n\n");
    // And a client that has seen enough ends the call.
    drop((body, stream));
    until("the upstream is left", || node.upstream.left() == 1).await;
    until("the call is logged", || node.logged().len() == 1).await;
    assert_eq!(node.logged()[0]["code"], "client_left");
}

#[tokio::test]
async fn both_directions_move_at_once() {
    let script = Script::without_reading_the_body()
        .write("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        .mirror();
    let node = Http2Node::before(Upstream::scripted(script).await).await;
    let mut client = node.connect().await;
    let (answer, mut stream) = client.send(request("POST", "/open/x", &[]), false).await;
    stream
        .send_data(Bytes::from_static(b"first"), false)
        .unwrap();
    let mut body = answer.await.unwrap().into_body();
    for piece in ["first", "second", "third"] {
        let mut seen = Vec::new();
        while !seen
            .windows(piece.len())
            .any(|part| part == piece.as_bytes())
        {
            let more = tokio::time::timeout(PATIENCE, body.data()).await.unwrap();
            let more = more.unwrap().unwrap();
            body.flow_control().release_capacity(more.len()).unwrap();
            seen.extend_from_slice(&more);
        }
        let next = if piece == "first" { "second" } else { "third" };
        stream
            .send_data(Bytes::from_static(next.as_bytes()), false)
            .unwrap();
    }
}

#[tokio::test]
async fn who_waits_to_be_told_to_go_on_is_told() {
    let node = Http2Node::before(Upstream::echo().await).await;
    let mut frames = node.frames().await;
    let fields = [&POST[..], &[("expect", "100-continue")]].concat();
    frames.head(1, &fields, false).await;
    let go_on = frames.next_of(HEADERS).await.unwrap();
    assert_eq!((go_on.status(), go_on.flags & END_STREAM), (None, 0));
    frames.frame(DATA, END_STREAM, 1, b"abc").await.unwrap();
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    assert_eq!(node.upstream.received()[0].body, b"abc");
    // A refused call's client is not told to.
    let fields = [
        &POST[..3],
        &[(":path", "/nowhere"), ("expect", "100-continue")],
    ]
    .concat();
    frames.head(3, &fields, false).await;
    assert_eq!(frames.outcome(3).await, Outcome::Status(404));
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
        let node = Http2Node::before(Upstream::scripted(script).await).await;
        let mut frames = node.frames().await;
        frames.head(1, &GET, true).await;
        assert_eq!(frames.outcome(1).await, Outcome::Reset(INTERNAL_ERROR));
        // The connection is none the worse for it.
        frames
            .head(3, &[&GET[..3], &[(":path", "/nowhere")]].concat(), true)
            .await;
        assert_eq!(frames.outcome(3).await, Outcome::Status(404));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_download_with_a_slow_reader_is_not_held() {
    let node = Http2Node::before(Upstream::scripted(Script::long(LARGE)).await).await;
    let before = node.process.peak_bytes();
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 20);
    let mut client = Http2Client::with(node.process.gateway(), &builder).await;
    let (answer, _stream) = client.send(get("/open/x"), true).await;
    let mut body = answer.await.unwrap().into_body();
    // The upstream fills whatever there is to fill.
    until_at_rest("the upstream is held back", || node.upstream.written()).await;
    assert!(node.upstream.written() < LARGE);
    let mut count = 0;
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        count += u64::try_from(piece.len()).unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert_eq!(count, LARGE);
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
}

/// Sends so much, as fast as it is taken.
async fn upload(stream: &mut h2::SendStream<Bytes>, bytes: u64) -> Result<(), h2::Error> {
    let piece = Bytes::from(vec![b'x'; 16 * 1024]);
    let mut left = bytes;
    while left > 0 {
        stream.reserve_capacity(piece.len());
        let room = match stream.capacity() {
            0 => match poll_fn(|context| stream.poll_capacity(context)).await {
                Some(room) => room?,
                None => return Ok(()),
            },
            room => room,
        };
        let count = room.min(piece.len()).min(usize::try_from(left).unwrap());
        left -= u64::try_from(count).unwrap();
        stream.send_data(piece.slice(..count), left == 0)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_arrives_whole_and_is_not_held() {
    let node = Http2Node::before(Upstream::echo().await).await;
    let before = node.process.peak_bytes();
    let mut client = node.connect().await;
    let (answer, mut stream) = client.send(request("POST", "/open/x", &[]), false).await;
    upload(&mut stream, LARGE).await.unwrap();
    let reply = read(answer.await.unwrap()).await.unwrap();
    assert_eq!(reply.json()["body"]["length"], LARGE);
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_read_holds_one_call_back_and_no_other() {
    let stuck = Script::without_reading_the_body().pause(Duration::from_secs(60));
    let quick = Script::answer("200 OK", &[], "quick");
    let node = Http2Node::before(Upstream::scripts(vec![stuck, quick]).await).await;
    let before = node.process.peak_bytes();
    let mut client = node.connect().await;
    let (_answer, mut stream) = client.send(request("POST", "/open/x", &[]), false).await;
    let uploading = tokio::time::timeout(Duration::from_secs(2), upload(&mut stream, LARGE));
    assert!(uploading.await.is_err());
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
    // The stream's window is full, the connection's is not.
    let reply = client.call(request("POST", "/open/y", &[]), b"body").await;
    assert_eq!(reply.body, b"quick");
}

#[tokio::test]
async fn a_client_that_gives_no_window_gets_no_more() {
    let node =
        Http2Node::before(Upstream::scripted(Script::answer("200 OK", &[], "0123456789")).await)
            .await;
    let mut frames = Frames::open_with_window(node.process.gateway(), 4).await;
    frames.head(1, &GET, true).await;
    let mut seen = Vec::new();
    for more in [0_u32, 1, 3, 100] {
        if more > 0 {
            frames
                .frame(WINDOW_UPDATE, 0, 1, &more.to_be_bytes())
                .await
                .unwrap();
        }
        let data = frames.next_of(DATA).await.unwrap();
        seen.push(String::from_utf8(data.payload).unwrap());
    }
    assert_eq!(seen, ["0123", "4", "567", "89"]);
}
