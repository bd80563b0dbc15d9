//! Targets that go away, refuse and break off: what is sent again, and what never is.

use super::{node_of, until};
use crate::node::{check_passed, check_problem, request};
use crate::upstreams::{metric, node};
use keyward_testkit::{Frame, FrameUpstream, Http2Script, Http2Upstream, RawClient, Told};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

const REFUSED_STREAM: u32 = 7;
const INTERNAL_ERROR: u32 = 2;
const NO_ERROR: u32 = 0;

fn ends(frame: &Frame) -> bool {
    matches!(frame.kind, Frame::HEADERS | Frame::DATA) && frame.flags & 1 == 1
}

fn answer(stream: u32) -> Vec<Frame> {
    vec![
        Frame::headers(stream, &[(":status", "200")], false),
        Frame::data(stream, "done", true),
    ]
}

#[tokio::test]
async fn while_a_target_goes_away_again_and_again_every_call_is_served_once() {
    const CLIENTS: usize = 8;
    const CALLS: usize = 50;
    // Every seventh answer announces that its connection takes no more calls.
    let scripts = (0..CLIENTS * CALLS * 2)
        .map(|number| {
            let script = Http2Script::new();
            let script = if number % 7 == 3 {
                script.go_away()
            } else {
                script
            };
            script.head(200, &[]).data("done").end()
        })
        .collect();
    let upstream = Http2Upstream::scripts(scripts).await;
    let node = node_of(upstream.url(), "").await;
    let gateway = node.gateway();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            tokio::spawn(async move {
                for call in 0..CALLS {
                    let mut connection = RawClient::connect(gateway).await.unwrap();
                    let path = format!("/many/{client}/{call}");
                    let text = request("POST", &path, &[], "once");
                    connection.send(text).await.unwrap();
                    check_passed(&connection.answer().await.unwrap());
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let mut seen = HashMap::new();
    for received in upstream.received() {
        *seen.entry(received.target().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), CLIENTS * CALLS);
    assert!(seen.values().all(|times| *times == 1));
    assert!(upstream.connections() > 10, "{}", upstream.connections());
    let url = upstream.url();
    assert_eq!(
        metric(&node.process, "ejections_total", Some(&url)).await,
        0
    );
}

#[tokio::test]
async fn what_a_target_has_not_looked_at_is_sent_again_whatever_it_asks_for() {
    // The first connection answers its first call, and at the second one says that it has looked at none since.
    let upstream = FrameUpstream::start(vec![Frame::setting(3, 100)], |connection, frame| {
        if !ends(frame) {
            return Told::default();
        }
        if connection == 0 && frame.stream > 1 {
            return vec![Frame::go_away(1, NO_ERROR)].into();
        }
        answer(frame.stream).into()
    })
    .await;
    let node = node_of(upstream.url(), "retries: none").await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    for _ in 0..2 {
        let text = request("POST", "/many/x", &[("Connection", "keep-alive")], "once");
        client.send(text).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, &*answer.text()), (200, "done"));
    }
    let frames = upstream.frames();
    assert_eq!(frames.len(), 2);
    let again: Vec<_> = frames[1]
        .iter()
        .filter(|frame| frame.kind == Frame::DATA)
        .collect();
    assert_eq!(again[0].payload, b"once");
    assert_eq!(
        metric(&node.process, "ejections_total", Some(&upstream.url())).await,
        0
    );
}

#[tokio::test]
async fn what_a_target_has_taken_on_before_it_went_away_is_not_sent_again() {
    // It has looked at the call, and then the connection ends.
    let upstream = FrameUpstream::start(vec![Frame::setting(3, 100)], |_, frame| Told {
        frames: if ends(frame) {
            vec![Frame::go_away(frame.stream, NO_ERROR)]
        } else {
            Vec::new()
        },
        closes: ends(frame),
        mute: false,
    })
    .await;
    let node = node_of(upstream.url(), "").await;
    let answer = node.call("POST", "/many/x", &[], "once").await;
    check_problem(&answer, 502, "upstream_failed");
    assert_eq!(upstream.count(Frame::HEADERS), 1);
}

#[tokio::test]
async fn a_body_beyond_what_is_kept_is_not_sent_again() {
    let greeting = vec![Frame::setting(4, 1 << 20), Frame::window(0, 1 << 20)];
    let upstream = FrameUpstream::start(greeting, |_, frame| {
        if ends(frame) {
            vec![Frame::reset(frame.stream, REFUSED_STREAM)].into()
        } else {
            Told::default()
        }
    })
    .await;
    let node = node_of(upstream.url(), "").await;
    for (length, times) in [(65_536, 2), (65_537, 1)] {
        let before = upstream.count(Frame::HEADERS);
        let body = "x".repeat(length);
        let answer = node.call("POST", "/many/x", &[], &body).await;
        check_problem(&answer, 502, "upstream_failed");
        assert_eq!(upstream.count(Frame::HEADERS), before + times, "{length}");
    }
}

#[tokio::test]
async fn a_refused_call_is_sent_once_more_and_one_that_failed_is_not() {
    for (method, code, times) in [
        ("POST", REFUSED_STREAM, 2),
        ("GET", REFUSED_STREAM, 2),
        ("POST", INTERNAL_ERROR, 1),
        ("GET", INTERNAL_ERROR, 1),
    ] {
        let upstream = FrameUpstream::start(vec![Frame::setting(3, 100)], move |_, frame| {
            if ends(frame) {
                vec![Frame::reset(frame.stream, code)].into()
            } else {
                Told::default()
            }
        })
        .await;
        let node = node_of(upstream.url(), "").await;
        let body = if method == "POST" { "once" } else { "" };
        let answer = node.call(method, "/many/x", &[], body).await;
        check_problem(&answer, 502, "upstream_failed");
        assert_eq!(upstream.count(Frame::HEADERS), times, "{method} {code}");
        // The connection goes on.
        assert_eq!(upstream.frames().len(), 1, "{method} {code}");
    }
}

#[tokio::test]
async fn a_refused_call_goes_to_another_target() {
    let refuses = FrameUpstream::start(vec![Frame::setting(3, 100)], |_, frame| {
        if ends(frame) {
            vec![Frame::reset(frame.stream, REFUSED_STREAM)].into()
        } else {
            Told::default()
        }
    })
    .await;
    let echo = Http2Upstream::echo().await;
    let targets = [refuses.url(), echo.url()];
    let node = node(&targets, "protocol: http2, ejection: none").await;
    for _ in 0..10 {
        check_passed(&node.call("POST", "/many/x", &[], "once").await);
    }
    assert!(refuses.count(Frame::HEADERS) >= 1);
    assert_eq!(echo.received().len(), 10);
}

#[tokio::test]
async fn when_a_connection_breaks_safe_calls_are_sent_again_and_others_are_not() {
    // Each connection answers one call and ends without a word when the next one comes.
    let seen = AtomicUsize::new(0);
    let upstream = FrameUpstream::start(vec![Frame::setting(3, 100)], move |_, frame| {
        if !ends(frame) {
            return Told::default();
        }
        if seen.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
            return Told {
                closes: true,
                ..Told::default()
            };
        }
        answer(frame.stream).into()
    })
    .await;
    let node = node_of(upstream.url(), "ejection: none").await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let mut statuses = Vec::new();
    for method in ["GET", "GET", "GET", "POST"] {
        let body = if method == "POST" { "once" } else { "" };
        let text = request(method, "/many/x", &[("Connection", "keep-alive")], body);
        client.send(text).await.unwrap();
        statuses.push(client.answer().await.unwrap().status);
    }
    assert_eq!(statuses, [200, 200, 200, 502]);
    // The second and the third call were sent twice.
    assert_eq!(upstream.count(Frame::HEADERS), 6);
    until("the broken ones are gone", || upstream.frames().len() == 3).await;
}
