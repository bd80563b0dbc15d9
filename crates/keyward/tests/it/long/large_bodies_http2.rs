//! Two gigabytes each way over HTTP/2 behind us, with a slow side: nothing is held.

use crate::gateway::open_node::holds_within;
use crate::node::{Node, request};
use crate::upstreams::plan;
use keyward_testkit::{Http2Script, Http2Upstream, RawClient};
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

/// A node that is warm, before an upstream that follows this script at the next call.
async fn node(script: Http2Script) -> (Node, Http2Upstream, u64) {
    let warm = Http2Script::answer(200, &[], "");
    let upstream = Http2Upstream::scripts(vec![warm, script]).await;
    let node = plan(&[upstream.url()], "protocol: http2").start().await;
    assert_eq!(node.get("/many/warm", &[]).await.status, 200);
    let before = node.process.peak_bytes();
    (node, upstream, before)
}

fn check_growth(node: &Node, before: u64) {
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
}

async fn download(script: Http2Script, rests: bool) {
    let (node, _upstream, before) = node(script).await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client
        .send(request("GET", "/many/large", &[], ""))
        .await
        .unwrap();
    assert_eq!(client.answer_to_head().await.unwrap().status, 200);
    for _ in 0..LARGE / STRETCH {
        client.skip(STRETCH).await.unwrap();
        if rests {
            tokio::time::sleep(REST).await;
        }
    }
    check_growth(&node, before);
}

async fn upload(script: Http2Script, rests: bool) {
    let (node, _upstream, before) = node(script).await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let head = format!("POST /many/large HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
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
    check_growth(&node, before);
}

fn long() -> Http2Script {
    let length = LARGE.to_string();
    Http2Script::new().head(200, &[("content-length", &length)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_with_a_slow_reader_is_not_held() {
    download(long().repeat(piece(), LARGE / PIECE).end(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_from_a_slow_writer_is_not_held() {
    let script = (0..LARGE / STRETCH).fold(long(), |script, _| {
        script.repeat(piece(), STRETCH / PIECE).pause(REST)
    });
    download(script.end(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_from_a_slow_writer_is_not_held() {
    upload(Http2Script::answer(200, &[], ""), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_to_a_slow_reader_is_not_held() {
    let script = (0..LARGE / STRETCH).fold(Http2Script::without_reading_the_body(), |script, _| {
        script.read(STRETCH).pause(REST)
    });
    upload(script.head(200, &[]).end(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_the_midst_ends_the_call_and_keeps_the_connection() {
    let (node, upstream, before) = node(long().repeat(piece(), LARGE / PIECE).end()).await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client
        .send(request("GET", "/many/large", &[], ""))
        .await
        .unwrap();
    client.skip(STRETCH).await.unwrap();
    drop(client);
    assert!(holds_within(Duration::from_secs(5), || upstream.left() == 1).await);
    assert!(upstream.open_connections() >= 1);
    check_growth(&node, before);
}
