//! Two gigabytes each way, with a slow reader and with a slow writer: nothing is held.

use crate::gateway::node::get;
use crate::gateway::open_node::{OpenNode, holds_within};
use keyward_testkit::{Script, Upstream};
use std::time::Duration;

const LARGE: u64 = 2 << 30;
/// What the process may grow by meanwhile.
const GROWTH_MAX: u64 = 16 << 20;
const PIECE: u64 = 256 << 10;
/// The slow side rests after so much, long enough for the other to fill whatever there is to fill.
const STRETCH: u64 = 64 << 20;
const REST: Duration = Duration::from_millis(200);

fn piece() -> Vec<u8> {
    vec![b'x'; usize::try_from(PIECE).unwrap()]
}

/// Downloads from an upstream that follows this script, at once or with rests.
async fn download(script: Script, rests: bool) {
    let warm = Script::answer("200 OK", &[], "");
    let node = OpenNode::before(Upstream::scripts(vec![warm, script]).await).await;
    assert_eq!(node.get("/open/warm").await.status, 200);
    let before = node.process.peak_bytes();
    let mut client = node.connect().await;
    client.send(get("/open/large", None, "")).await.unwrap();
    assert_eq!(client.answer_to_head().await.unwrap().status, 200);
    for _ in 0..LARGE / STRETCH {
        client.skip(STRETCH).await.unwrap();
        if rests {
            tokio::time::sleep(REST).await;
        }
    }
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
    assert_eq!(node.logged("/open/large").await["bytes_out"], LARGE);
}

/// Uploads to an upstream that follows this script, at once or with rests.
async fn upload(script: Script, rests: bool) {
    let warm = Script::answer("200 OK", &[], "");
    let node = OpenNode::before(Upstream::scripts(vec![warm, script]).await).await;
    assert_eq!(node.get("/open/warm").await.status, 200);
    let before = node.process.peak_bytes();
    let mut client = node.connect().await;
    let head = format!("POST /open/large HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
    client.send(head).await.unwrap();
    let piece = piece();
    for _ in 0..LARGE / STRETCH {
        for _ in 0..STRETCH / PIECE {
            client.send(&piece).await.unwrap();
        }
        if rests {
            tokio::time::sleep(REST).await;
        }
    }
    assert_eq!(client.answer().await.unwrap().status, 200);
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
    let line = node.logged("/open/large").await;
    assert_eq!(line["bytes_in"], LARGE, "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_with_a_slow_reader_is_not_held() {
    download(Script::long(LARGE), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_from_a_slow_writer_is_not_held() {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
    let script = (0..LARGE / STRETCH).fold(Script::new().write(head), |script, _| {
        script.repeat(piece(), STRETCH / PIECE).pause(REST)
    });
    download(script, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_from_a_slow_writer_is_not_held() {
    upload(Script::answer("200 OK", &[], ""), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_to_a_slow_reader_is_not_held() {
    let slow = (0..LARGE / STRETCH).fold(Script::without_reading_the_body(), |script, _| {
        script.read(STRETCH).pause(REST)
    });
    let script = slow
        .write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .close();
    upload(script, false).await;
}

#[tokio::test]
async fn a_reader_that_stops_is_given_up() {
    let node = OpenNode::before(Upstream::scripted(Script::long(LARGE)).await).await;
    let mut client = node.connect().await;
    client.send(get("/open/reader", None, "")).await.unwrap();
    assert_eq!(client.answer_to_head().await.unwrap().status, 200);
    // It reads nothing more, and stays: one to two minutes.
    assert!(holds_within(Duration::from_secs(150), || node.upstream.left() == 1).await);
    assert_eq!(node.logged("/open/reader").await["blame"], "caller");
}
