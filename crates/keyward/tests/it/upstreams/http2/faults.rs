//! Answers that break the rules, and targets that say nothing.

use super::{logged, node_of, until};
use crate::gateway::open_node::holds_within;
use crate::node::{Plan, check_passed, check_problem, request};
use crate::upstreams::metric;
use keyward_testkit::{Frame, FrameUpstream, Http2Script, Http2Upstream, RawClient, Told};
use std::time::Duration;

/// A server that says this to each request, whose stream is 1, 3, ….
async fn saying(frames: impl Fn(u32) -> Vec<Frame> + Send + Sync + 'static) -> FrameUpstream {
    FrameUpstream::start(vec![Frame::setting(3, 100)], move |_, frame| {
        if frame.kind == Frame::HEADERS {
            frames(frame.stream).into()
        } else {
            Told::default()
        }
    })
    .await
}

type Fields = &'static [(&'static str, &'static str)];

#[tokio::test]
async fn an_answer_that_breaks_the_rules_is_none() {
    let heads: [Fields; 12] = [
        &[("x-a", "1")],
        &[(":status", "200"), ("connection", "close")],
        &[(":status", "200"), ("transfer-encoding", "chunked")],
        &[(":status", "200"), ("upgrade", "h2c")],
        &[(":status", "200"), ("keep-alive", "1")],
        &[(":status", "200"), ("te", "gzip")],
        &[(":status", "200"), ("X-Upper", "1")],
        &[("x-a", "1"), (":status", "200")],
        &[(":status", "200"), (":status", "200")],
        &[(":status", "20")],
        &[(":status", "101")],
        &[
            (":status", "200"),
            ("content-length", "1"),
            ("content-length", "2"),
        ],
    ];
    for head in heads {
        let upstream = saying(move |stream| {
            vec![
                Frame::headers(stream, head, false),
                Frame::data(stream, "a", true),
            ]
        })
        .await;
        let node = node_of(upstream.url(), "").await;
        let answer = node.call("POST", "/many/x", &[], "").await;
        assert_eq!(answer.status, 502, "{head:?}");
        check_problem(&answer, 502, "upstream_failed");
        assert_eq!(upstream.count(Frame::HEADERS), 1, "{head:?}");
        let logged = logged(&node, "/many/x").await;
        let because = logged["because"].as_str().unwrap();
        assert!(
            because.contains("breaks the rules of HTTP/2"),
            "{head:?}: {logged}"
        );
    }
}

#[tokio::test]
async fn a_body_of_another_length_than_was_told_is_cut() {
    for (told, body) in [("5", "four"), ("3", "four")] {
        let upstream = saying(move |stream| {
            let fields = [(":status", "200"), ("content-length", told)];
            vec![
                Frame::headers(stream, &fields, false),
                Frame::data(stream, body, true),
            ]
        })
        .await;
        let node = node_of(upstream.url(), "").await;
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client
            .send(request("GET", "/many/x", &[], ""))
            .await
            .unwrap();
        // Either it is refused, or what the client gets is not whole.
        match client.answer().await {
            Ok(answer) => check_problem(&answer, 502, "upstream_failed"),
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::TimedOut),
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_reset_in_the_midst_is_not_taken_for_whole() {
    for code in [0, 2, 8] {
        let upstream = saying(move |stream| {
            vec![
                Frame::headers(stream, &[(":status", "200")], false),
                Frame::data(stream, "half", false),
                Frame::reset(stream, code),
            ]
        })
        .await;
        let node = node_of(upstream.url(), "").await;
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client
            .send(request("GET", "/many/x", &[], ""))
            .await
            .unwrap();
        match client.answer().await {
            Ok(answer) => check_problem(&answer, 502, "upstream_failed"),
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::TimedOut),
        }
    }
}

#[tokio::test]
async fn heads_and_interim_answers_without_end_are_refused() {
    let many = saying(|stream| {
        let mut fields = vec![(":status", "200")];
        fields.resize(130, ("x-a", "1"));
        vec![Frame::headers(stream, &fields, true)]
    });
    let large = saying(|stream| {
        let value: &'static str = "v".repeat(126).leak();
        let mut fields = vec![(":status", "200")];
        fields.resize(100, ("x-a", value));
        // More than one frame may have, in frames of which each has less.
        let mut head = Frame::headers(stream, &fields, true);
        let block = head.payload.clone();
        head.flags = 1;
        let mut frames = vec![head];
        for number in 0..6 {
            frames.push(Frame::new(
                9,
                if number == 5 { 4 } else { 0 },
                stream,
                &block,
            ));
        }
        frames
    });
    let interim = saying(|stream| {
        let mut frames = vec![Frame::headers(stream, &[(":status", "103")], false); 20];
        frames.push(Frame::headers(stream, &[(":status", "200")], true));
        frames
    });
    for upstream in [many.await, large.await, interim.await] {
        let node = node_of(upstream.url(), "").await;
        let answer = node.call("POST", "/many/x", &[], "").await;
        check_problem(&answer, 502, "upstream_failed");
    }
}

#[tokio::test]
async fn what_one_stream_does_wrong_leaves_the_others() {
    let upstream = saying(|stream| {
        if stream == 3 {
            return vec![Frame::headers(
                stream,
                &[(":status", "200"), ("connection", "x")],
                true,
            )];
        }
        vec![Frame::headers(stream, &[(":status", "200")], true)]
    })
    .await;
    let node = node_of(upstream.url(), "").await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    for status in [200, 502, 200] {
        let text = request("POST", "/many/x", &[("Connection", "keep-alive")], "");
        client.send(text).await.unwrap();
        assert_eq!(client.answer().await.unwrap().status, status);
    }
    assert_eq!(upstream.frames().len(), 1);
}

#[tokio::test]
async fn a_connection_bears_any_number_of_answers_that_break_the_rules() {
    const BAD: u32 = 1100;
    let upstream = saying(|stream| {
        let bad = stream < 2 * BAD;
        let more = if bad { "connection" } else { "x-good" };
        let fields = [(":status", "200"), (more, "x")];
        vec![Frame::headers(stream, &fields, true)]
    })
    .await;
    let node = node_of(upstream.url(), "ejection: none").await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let text = request("POST", "/many/x", &[("Connection", "keep-alive")], "");
    for call in 0..=BAD {
        client.send(&text).await.unwrap();
        let status = client.answer().await.unwrap().status;
        assert_eq!(status, if call < BAD { 502 } else { 200 }, "{call}");
    }
    assert_eq!(upstream.frames().len(), 1);
}

#[tokio::test]
async fn clients_that_leave_all_at_once_leave_the_connection_to_others() {
    let long = Http2Script::new()
        .head(200, &[])
        .repeat(vec![0; 65536], 10_000);
    let mut scripts = vec![long; 90];
    scripts.push(Http2Script::answer(200, &[], "well"));
    let upstream = Http2Upstream::scripts(scripts).await;
    let node = node_of(upstream.url(), "").await;
    let mut clients = Vec::new();
    for number in 0..90 {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client
            .send(request("GET", "/many/x", &[], ""))
            .await
            .unwrap();
        let _begun = client.bytes(100).await.unwrap();
        clients.push(client);
        assert_eq!(upstream.begun(), number + 1);
    }
    let connections = upstream.connections();
    drop(clients);
    until("all have left", || upstream.left() == 90).await;
    check_passed(&node.get("/many/x", &[]).await);
    assert_eq!(upstream.connections(), connections);
    assert_eq!(upstream.open_connections(), connections);
}

#[tokio::test]
async fn a_target_that_does_not_greet_counts_as_unreachable() {
    let silent = FrameUpstream::start(Vec::new(), |_, _| Told::default()).await;
    let node = node_of(silent.url(), "connect_timeout: 300ms").await;
    let answer = node.call("POST", "/many/x", &[], "once").await;
    check_problem(&answer, 502, "upstream_unreachable");
    assert_eq!(silent.count(Frame::HEADERS), 0);
}

#[tokio::test]
async fn a_target_that_allows_no_calls_counts_as_unreachable() {
    let closed = FrameUpstream::start(vec![Frame::setting(3, 0)], |_, _| Told::default()).await;
    let node = node_of(closed.url(), "").await;
    for _ in 0..3 {
        let answer = node.call("POST", "/many/x", &[], "once").await;
        check_problem(&answer, 502, "upstream_unreachable");
    }
    let because = logged(&node, "/many/x").await["because"].to_string();
    assert!(because.contains("it takes no calls"), "{because}");
    // One for each call, and none is left.
    assert_eq!(closed.frames().len(), 3);
    let url = closed.url();
    assert_eq!(metric(&node.process, "connections", Some(&url)).await, 0);
}

#[tokio::test]
async fn a_connection_that_has_fallen_silent_gets_no_more_calls() {
    let upstream = FrameUpstream::start(vec![Frame::setting(3, 100)], |connection, frame| {
        if connection == 0 {
            return Told {
                mute: true,
                ..Told::default()
            };
        }
        if frame.kind != Frame::HEADERS {
            return Told::default();
        }
        vec![Frame::headers(frame.stream, &[(":status", "200")], true)].into()
    })
    .await;
    let node = node_of(upstream.url(), "response_timeout: 300ms, ejection: none").await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let text = request("POST", "/many/x", &[("Connection", "keep-alive")], "");
    client.send(&text).await.unwrap();
    check_problem(&client.answer().await.unwrap(), 504, "upstream_timeout");
    client.send(&text).await.unwrap();
    check_passed(&client.answer().await.unwrap());
    assert_eq!(upstream.frames().len(), 2);
    assert_eq!(upstream.count(Frame::PING), 1);
    // The call that was given up is not left to run.
    until("it is cancelled", || upstream.count(Frame::RESET) == 1).await;
}

#[tokio::test]
async fn a_silent_target_is_asked_whether_it_is_there_while_a_call_waits() {
    let upstream = FrameUpstream::start(vec![Frame::setting(3, 100)], |_, _| Told::default()).await;
    let node = node_of(upstream.url(), "ping_interval: 1s").await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client
        .send(request("GET", "/many/x", &[], ""))
        .await
        .unwrap();
    until("it is asked again", || upstream.count(Frame::PING) >= 2).await;
    drop(client);
    let url = upstream.url();
    let process = &node.process;
    crate::upstreams::until(process, "in_flight", &url, 0).await;
    let asked = upstream.count(Frame::PING);
    let again = || upstream.count(Frame::PING) > asked + 1;
    assert!(!holds_within(Duration::from_secs(3), again).await);
    assert_eq!(metric(process, "connections", Some(&url)).await, 1);
}

#[tokio::test]
async fn a_target_that_takes_no_more_of_a_body_is_given_up() {
    // No window at all for bodies.
    let upstream = FrameUpstream::start(vec![Frame::setting(4, 0)], |_, _| Told::default()).await;
    let url = upstream.url();
    let node = Plan::default()
        .upstream("slow", &[url], "protocol: http2")
        .api_at(
            "slow",
            "/slow",
            "slow",
            "authentication: none, idle_body_timeout: 500ms",
        )
        .start()
        .await;
    let answer = node.call("POST", "/slow/x", &[], "once").await;
    check_problem(&answer, 504, "upstream_timeout");
}

#[tokio::test]
async fn a_health_check_asks_in_http2() {
    let upstream = Http2Upstream::echo().await;
    let rest = "health_check: { http: { path: /up?x, host: well.test }, interval: 300ms }";
    let node = node_of(upstream.url(), rest).await;
    until("it is asked", || upstream.received().len() >= 2).await;
    let question = upstream.received().pop().unwrap();
    assert_eq!(question.target(), "/up?x");
    assert_eq!(question.head.field(":authority"), Some("well.test"));
    assert_eq!(
        question.head.field("user-agent"),
        Some("keyward-health-check")
    );
    assert_eq!(
        metric(&node.process, "healthy", Some(&upstream.url())).await,
        1
    );
}
