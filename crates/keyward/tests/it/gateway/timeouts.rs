//! Nobody may wait for ever: what becomes of those who send or answer too slowly.

use super::node::{code, get};
use super::open_node::{OpenNode, until};
use keyward_testkit::{Script, Upstream};
use std::time::Duration;

/// Room for a machine that does other things, on top of a bound of one second.
const SOON: Duration = Duration::from_secs(4);
const HEAD_TIMEOUT: &str = "limits: { head_timeout: 1s }";
const IDLE_BODY: &str = "idle_body_timeout: 1s";

#[tokio::test]
async fn a_head_that_trickles_in_is_answered_with_408() {
    let node = OpenNode::with(Upstream::echo().await, HEAD_TIMEOUT, "", "").await;
    let mut client = node.connect().await;
    client
        .send("GET /open/slow HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        .await
        .unwrap();
    let trickling = async {
        // Each byte is in time: it is the whole head that has a bound.
        while client.send("x").await.is_ok() {
            if !client.is_silent_for(Duration::from_millis(100)).await {
                return;
            }
        }
    };
    assert!(tokio::time::timeout(SOON, trickling).await.is_ok());
    assert_eq!(node.upstream.received().len(), 0);

    let mut client = node.connect().await;
    client.send("GET /open/slow HTTP/1.1\r\nHos").await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!(
        (answer.status, code(&answer).as_str()),
        (408, "request_timeout")
    );
    assert!(client.is_closed_within(SOON).await);
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let node = OpenNode::with(Upstream::echo().await, HEAD_TIMEOUT, "", "").await;
    let mut silent = node.connect().await;
    let mut used = node.connect().await;
    used.send(get("/open/x", None, "")).await.unwrap();
    assert_eq!(used.answer().await.unwrap().status, 200);
    assert!(used.is_closed_within(SOON).await);
    assert!(silent.is_closed_within(SOON).await);
}

#[tokio::test]
async fn an_upload_that_stops_is_answered_with_408() {
    let node = OpenNode::with(Upstream::echo().await, "", "", IDLE_BODY).await;
    for head in [
        "POST /open/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\npart",
        "POST /open/slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\npart",
    ] {
        let mut client = node.connect().await;
        client.send(head).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (408, "request_timeout")
        );
        assert!(client.is_closed_within(SOON).await);
    }
    until("both calls end at the upstream", || {
        node.upstream.left() == 2
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_moves_may_take_its_time() {
    let upstream = Upstream::echo().await;
    // Longer in all than the bounds on the upstream's answer and on idleness.
    let node = OpenNode::with(upstream, "", "response_timeout: 1s", IDLE_BODY).await;
    let mut client = node.connect().await;
    client
        .send("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n")
        .await
        .unwrap();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.send("x").await.unwrap();
    }
    let echo = client.answer().await.unwrap().json().unwrap();
    assert_eq!(echo["body"]["length"], 8);
}

#[tokio::test]
async fn an_answer_that_stops_is_cut() {
    let script = Script::new()
        .write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart")
        .wait_until_closed();
    let node = OpenNode::with(Upstream::scripted(script).await, "", "", IDLE_BODY).await;
    let mut client = node.connect().await;
    client.send(get("/open/stops", None, "")).await.unwrap();
    let answer = client.answer().await;
    assert!(answer.is_err(), "{answer:?}");
    until("the upstream is left", || node.upstream.left() == 1).await;
    let line = node.logged("/open/stops").await;
    assert_eq!(
        (&line["code"], &line["blame"]),
        (&"upstream_timeout".into(), &"upstream".into()),
        "{line}"
    );
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_a_504() {
    let script = Script::new().wait_until_closed();
    let upstream = Upstream::scripted(script).await;
    let node = OpenNode::with(upstream, "", "response_timeout: 1s", "").await;
    let answer = node.get("/open/mute").await;
    assert_eq!(
        (answer.status, code(&answer).as_str()),
        (504, "upstream_timeout")
    );
    until("the upstream is left", || node.upstream.left() == 1).await;
    assert_eq!(node.logged("/open/mute").await["blame"], "upstream");
}

#[tokio::test]
async fn a_connection_that_nobody_needs_is_closed() {
    let node = OpenNode::with(Upstream::echo().await, "", "idle_timeout: 1s", "").await;
    assert_eq!(node.get("/open/x").await.status, 200);
    assert_eq!(node.upstream.open_connections(), 1);
    until("the idle connection is closed", || {
        node.upstream.open_connections() == 0
    })
    .await;
}
