//! How connections of HTTP/2 end, and calls on them.

use super::Http2Node;
use super::client::{get, read};
use super::frames::{ACK, GET, GOAWAY, NO_ERROR, Outcome, PING, REFUSED_STREAM, RST_STREAM};
use crate::gateway::open_node::until;
use keyward_testkit::{Script, Upstream};
use std::time::Duration;

#[tokio::test]
async fn a_call_that_is_broken_off_is_broken_off_at_the_upstream() {
    let node = Http2Node::before(Upstream::scripted(Script::new().wait_until_closed()).await).await;
    let mut frames = node.frames().await;
    frames.head(1, &GET, true).await;
    until("the call arrives", || node.upstream.received().len() == 1).await;
    frames
        .frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())
        .await
        .unwrap();
    until("the upstream is left", || node.upstream.left() == 1).await;
    until("the call is logged", || node.logged().len() == 1).await;
    let line = node.logged().remove(0);
    assert_eq!(line["code"], "client_left");
    assert_eq!(line["blame"], "caller");
    // Its connection goes on.
    frames
        .head(3, &[&GET[..3], &[(":path", "/nowhere")]].concat(), true)
        .await;
    assert_eq!(frames.outcome(3).await, Outcome::Status(404));
}

#[tokio::test]
async fn a_connection_that_breaks_ends_all_its_calls() {
    let node = Http2Node::before(Upstream::scripted(Script::new().wait_until_closed()).await).await;
    let mut frames = node.frames().await;
    for stream in [1, 3, 5] {
        frames.head(stream, &GET, true).await;
    }
    until("the calls arrive", || node.upstream.received().len() == 3).await;
    drop(frames);
    until("the upstream is left", || node.upstream.left() == 3).await;
    until("the calls are logged", || node.logged().len() == 3).await;
    assert!(
        node.logged()
            .iter()
            .all(|line| line["code"] == "client_left")
    );
}

#[tokio::test]
async fn a_node_that_goes_down_finishes_what_was_begun_and_says_goodbye() {
    let script = Script::new()
        .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
        .pause(Duration::from_secs(1))
        .write("done");
    let node = Http2Node::before(Upstream::scripted(script).await).await;
    let mut frames = node.frames().await;
    let mut client = node.connect().await;
    let (answer, _stream) = client.send(get("/open/x"), true).await;
    until("the call arrives", || node.upstream.received().len() == 1).await;
    node.process.signal("TERM");
    // First that no more should be begun, and a question whose answer shows that this was read.
    let announced = frames.next_of(GOAWAY).await.unwrap();
    assert_eq!(announced.error(), Some(NO_ERROR));
    assert_eq!(announced.payload[..4], [0x7f, 0xff, 0xff, 0xff]);
    let ping = frames.next_of(PING).await.unwrap();
    // A call that was on its way meanwhile is served.
    frames
        .head(1, &[&GET[..3], &[(":path", "/nowhere")]].concat(), true)
        .await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(404));
    frames.frame(PING, ACK, 0, &ping.payload).await.unwrap();
    // Then what was taken last.
    let last = frames.next_of(GOAWAY).await.unwrap();
    assert_eq!(last.error(), Some(NO_ERROR));
    assert_eq!(last.payload[..4], [0, 0, 0, 1]);
    assert!(frames.is_closed().await);
    let reply = read(answer.await.unwrap()).await.unwrap();
    assert_eq!(reply.body, b"done");
    assert!(client.ended().await.is_ok());
    let (status, log) = node.process.stop().await;
    assert!(status.success(), "{log}");
}

#[tokio::test]
async fn calls_that_outlast_the_shutdown_are_cut() {
    let script = Script::new()
        .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nd")
        .wait_until_closed();
    let node = Http2Node::with(
        Upstream::scripted(script).await,
        "limits: { shutdown_timeout: 1s }",
        "",
    )
    .await;
    let mut client = node.connect().await;
    let (answer, _stream) = client.send(get("/open/x"), true).await;
    let answer = answer.await.unwrap();
    let folder = node.process.folder();
    let log = std::fs::File::open(folder.join("access.log")).unwrap();
    let (status, _) = node.process.stop().await;
    assert!(status.success());
    assert!(read(answer).await.is_err());
    let text = std::io::read_to_string(log).unwrap();
    assert!(text.contains("\"code\":\"shutting_down\""), "{text}");
}

#[tokio::test]
async fn a_connection_without_a_call_is_closed_in_time_and_pings_do_not_keep_it() {
    let node = Http2Node::with(Upstream::echo().await, "limits: { head_timeout: 1s }", "").await;
    let mut frames = node.frames().await;
    frames.head(1, &GET, true).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    frames.frame(PING, 0, 0, b"keepopen").await.unwrap();
    let announced = frames.next_of(GOAWAY).await.unwrap();
    assert_eq!(announced.error(), Some(NO_ERROR));
    // Whoever does not answer is closed all the same.
    assert!(frames.is_closed().await);
}

#[tokio::test]
async fn a_connection_that_does_not_begin_is_closed_in_time() {
    let node = Http2Node::with(Upstream::echo().await, "limits: { head_timeout: 1s }", "").await;
    for begun in [
        &b"PRI * HTTP/2.0\r\n"[..],
        b"PRI * HT",
        super::frames::PREFACE,
    ] {
        let mut frames = super::frames::Frames::connect(node.process.gateway()).await;
        frames.write(begun).await.unwrap();
        assert!(frames.is_closed().await);
    }
}

#[tokio::test]
async fn calls_over_the_bound_are_refused_so_that_they_can_be_sent_again() {
    let node = Http2Node::with(
        Upstream::scripted(Script::new().wait_until_closed()).await,
        "limits: { http2: { streams: 3 } }",
        "",
    )
    .await;
    let mut frames = node.frames().await;
    for stream in [1, 3, 5, 7] {
        frames.head(stream, &GET, true).await;
    }
    assert_eq!(frames.outcome(7).await, Outcome::Reset(REFUSED_STREAM));
    frames
        .frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())
        .await
        .unwrap();
    until("the upstream is left", || node.upstream.left() == 1).await;
    frames
        .head(9, &[&GET[..3], &[(":path", "/nowhere")]].concat(), true)
        .await;
    assert_eq!(frames.outcome(9).await, Outcome::Status(404));
}
