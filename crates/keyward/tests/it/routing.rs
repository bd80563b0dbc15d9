//! Which API a call is for, and how it reaches the API's upstream.

use crate::node::{Plan, check_passed, check_problem};
use keyward_testkit::{RawClient, Script, Upstream};
use std::time::Duration;

/// An address at which nobody listens: ports this low are given to nobody.
fn nobody(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

#[tokio::test]
async fn the_longest_base_path_wins_and_the_rest_goes_on() {
    let (long, kept, prefixed) = (
        Upstream::echo().await,
        Upstream::echo().await,
        Upstream::echo().await,
    );
    let node = Plan::default()
        .settings("workers: 1")
        .upstream("long", &[long.url()], "")
        .upstream("kept", &[kept.url()], "")
        .upstream("prefixed", &[format!("{}/api/v2/", prefixed.url())], "")
        .api("a", "authentication: none")
        .api_at("long", "/a/b", "long", "authentication: none")
        .api_at(
            "kept",
            "/kept",
            "kept",
            "authentication: none, keep_base_path: true",
        )
        .api_at("prefixed", "/prefixed", "prefixed", "authentication: none")
        .api_at("dotted", "/v1.0/~user", "echo", "authentication: none")
        .start()
        .await;
    for (path, upstream, target) in [
        ("/a", &node.upstream, "/"),
        ("/a/", &node.upstream, "/"),
        ("/a?b=c", &node.upstream, "/?b=c"),
        ("/a/x/y", &node.upstream, "/x/y"),
        ("/a/bc", &node.upstream, "/bc"),
        ("/a/b", &long, "/"),
        ("/a/b/c", &long, "/c"),
        ("/%61/%62/c", &long, "/c"),
        ("/a/%62/%63%20d?q=%20/..//", &long, "/%63%20d?q=%20/..//"),
        ("/kept/x?y", &kept, "/kept/x?y"),
        ("/prefixed", &prefixed, "/api/v2"),
        ("/prefixed/x?y=z", &prefixed, "/api/v2/x?y=z"),
        ("/v1.0/%7euser/x", &node.upstream, "/x"),
        ("/a/x;v=1", &node.upstream, "/x;v=1"),
        ("/a/%E4%B8%AD", &node.upstream, "/%E4%B8%AD"),
        (
            "/a/x?url=http://h/%2e%2e/%2f&y=%00",
            &node.upstream,
            "/x?url=http://h/%2e%2e/%2f&y=%00",
        ),
    ] {
        check_passed(&node.get(path, &[]).await);
        let received = upstream.received().pop().expect(path);
        assert_eq!(received.target(), target, "{path}");
        assert_eq!(
            received.head.field("host"),
            Some(&*upstream.address().to_string())
        );
    }
    for path in [
        "/",
        "/b",
        "/ab",
        "/A",
        "/a%20",
        "/kep",
        "/prefixed2",
        "/v1.0",
        "/.well-known/other",
    ] {
        check_problem(&node.get(path, &[]).await, 404, "not_found");
    }
    let query = "q".repeat(7_000);
    check_passed(&node.get(&format!("/a/x?{query}"), &[]).await);
    assert_eq!(node.last_received().target(), format!("/x?{query}"));
}

#[tokio::test]
async fn paths_with_two_readings_reach_nobody() {
    let node = Plan::default()
        .settings("workers: 1")
        .api("open", "authentication: none")
        .start()
        .await;
    for path in [
        "/open/../closed",
        "/open/./x",
        "/open/..",
        "/open/%2e%2e/closed",
        "/open/%2E./closed",
        "/open/.%2e",
        "/open/..;/closed",
        "/open/..;a=b/closed",
        "/open/%2e%2e;/closed",
        "/open/..%3b/closed",
        "/open//closed",
        "//open/x",
        "/open/a%2fb",
        "/open/a%2Fb",
        "/open/a%5cb",
        "/open/..%5cclosed",
        "/open/%252e%252e/closed",
        "/open/a%00",
        "/open/a%0d%0ab",
        "/open/a%7f",
        "/open/a%",
        "/open/a%4",
        "/open/a%g1",
        "/open/a\\b",
    ] {
        check_problem(&node.get(path, &[]).await, 400, "ambiguous_path");
    }
    assert_eq!(node.upstream.received(), []);
}

#[tokio::test]
async fn methods_pass_as_they_are() {
    let node = Plan::default()
        .settings("workers: 1")
        .api("open", "authentication: none")
        .start()
        .await;
    for method in [
        "GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH", "PROPFIND",
    ] {
        let body = if matches!(method, "POST" | "PUT" | "PATCH") {
            "body"
        } else {
            ""
        };
        let answer = node.call(method, "/open/x", &[], body).await;
        check_passed(&answer);
        let received = node.last_received();
        assert_eq!(received.method(), method);
        assert_eq!(received.body, body.as_bytes());
        if method == "HEAD" {
            let length: usize = answer
                .head
                .field("content-length")
                .unwrap()
                .parse()
                .unwrap();
            assert!(length > 0);
        }
    }
    for method in ["TRACE", "CONNECT"] {
        let answer = node.call(method, "/open/x", &[], "").await;
        assert!(
            matches!(answer.status, 400 | 501),
            "{method}: {}",
            answer.text()
        );
        check_problem(
            &answer,
            answer.status,
            if answer.status == 501 {
                "not_implemented"
            } else {
                "bad_request"
            },
        );
    }
    for method in ["POST", "PUT", "DELETE"] {
        let answer = node.call(method, "/.well-known/jwks.json", &[], "").await;
        check_problem(&answer, 405, "method_not_allowed");
        assert_eq!(answer.head.field("allow"), Some("GET, HEAD"));
    }
    let answer = node.call("HEAD", "/.well-known/jwks.json", &[], "").await;
    check_passed(&answer);
    assert_eq!(
        answer.head.field("content-type"),
        Some("application/jwk-set+json")
    );
    // A head without a body answers a refused HEAD, too.
    let answer = node.call("HEAD", "/nowhere", &[], "").await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn calls_are_spread_by_weight_and_go_around_a_dead_target() {
    let (one, two, alive) = (
        Upstream::echo().await,
        Upstream::echo().await,
        Upstream::echo().await,
    );
    let node = Plan::default()
        .settings("workers: 1")
        .resource(format!(
            "- {{ kind: upstream, name: weighted, targets: [ {{ url: \"{}\", weight: 3 }}, {{ url: \"{}\", weight: 1 }} ] }}",
            one.url(),
            two.url()
        ))
        .upstream("half-dead", &[nobody(1), alive.url(), nobody(2)], "")
        .upstream("dead", &[nobody(1), nobody(2)], "")
        .api_at("weighted", "/weighted", "weighted", "authentication: none")
        .api_at("half-dead", "/half-dead", "half-dead", "authentication: none")
        .api_at("dead", "/dead", "dead", "authentication: none")
        .start()
        .await;
    for _ in 0..100 {
        check_passed(&node.get("/weighted/x", &[]).await);
        check_passed(&node.call("POST", "/half-dead/x", &[], "abc").await);
    }
    let (first, second) = (one.received().len(), two.received().len());
    assert_eq!(first + second, 100);
    assert!(
        (65..=85).contains(&first),
        "{first} of 100 went to three quarters"
    );
    assert_eq!(alive.received().len(), 100);
    assert!(
        alive
            .received()
            .iter()
            .all(|received| received.body == b"abc")
    );
    let answer = node.get("/dead/x", &[]).await;
    check_problem(&answer, 502, "upstream_unreachable");
    // Where it tried to go is not the caller's business.
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
}

#[tokio::test]
async fn what_upstreams_do_wrong_is_told_apart() {
    let cases = [
        ("resets", Script::new().reset(), 502, "upstream_failed"),
        ("closes", Script::new().close(), 502, "upstream_failed"),
        (
            "garbage",
            Script::new().write("hello\r\n\r\n").close(),
            502,
            "upstream_failed",
        ),
        (
            "cut",
            Script::new().write("HTTP/1.1 200 OK\r\ncontent-le").close(),
            502,
            "upstream_failed",
        ),
        (
            "switch",
            Script::new()
                .write(
                    "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
                )
                .close(),
            502,
            "upstream_failed",
        ),
        (
            "silent",
            Script::new().wait_until_closed(),
            504,
            "upstream_timeout",
        ),
    ];
    let mut plan = Plan::default().settings("workers: 1");
    let mut upstreams = Vec::new();
    for (name, script, _, _) in &cases {
        let upstream = Upstream::scripted(script.clone()).await;
        plan = plan
            .upstream(name, &[upstream.url()], "response_timeout: 300ms")
            .api_at(name, &format!("/{name}"), name, "authentication: none");
        upstreams.push(upstream);
    }
    let node = plan.start().await;
    for (name, _, status, code) in &cases {
        for method in ["GET", "POST"] {
            let answer = node.call(method, &format!("/{name}/x"), &[], "").await;
            println!("{name}: {}", answer.text());
            check_problem(&answer, *status, code);
        }
    }
    // Nothing is sent a second time that may have been done already.
    for (upstream, (name, ..)) in upstreams.iter().zip(&cases) {
        let posts = upstream
            .received()
            .iter()
            .filter(|received| received.method() == "POST")
            .count();
        assert_eq!(posts, 1, "{name}");
    }
}

#[tokio::test]
async fn answers_pass_as_they_are() {
    let upstream = Upstream::scripts(vec![
        Script::answer(
            "201 Created",
            &[
                ("Location", "/x"),
                ("Set-Cookie", "a=1"),
                ("Set-Cookie", "b=2"),
                ("Connection", "X-Hop"),
                ("X-Hop", "1"),
                ("Request-Id", "theirs"),
            ],
            "made",
        ),
        Script::chunked(
            "200 OK",
            &[("Trailer", "x-sum")],
            &["a", "bc"],
            &[("x-sum", "7")],
        ),
        Script::new().write("HTTP/1.1 204 No Content\r\n\r\n"),
        Script::new().write("HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n"),
        Script::answer("503 Service Unavailable", &[("Retry-After", "7")], "later"),
        Script::long(3_000_000),
        Script::new()
            .write("HTTP/1.1 200 OK\r\n\r\nuntil the end")
            .close(),
    ])
    .await;
    let node = Plan::default()
        .settings("workers: 1")
        .upstream("scripted", &[upstream.url()], "")
        .api_at("api", "/api", "scripted", "authentication: none")
        .start()
        .await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..7 {
        client
            .send("GET /api/x HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        answers.push(client.answer().await.unwrap());
    }
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [201, 200, 204, 304, 503, 200, 200]);
    let made = &answers[0];
    assert_eq!(made.text(), "made");
    assert_eq!(
        made.head.values("set-cookie").collect::<Vec<_>>(),
        ["a=1", "b=2"]
    );
    assert_eq!(made.head.field("x-hop"), None);
    assert_ne!(made.head.field("request-id"), Some("theirs"));
    assert_eq!(answers[1].text(), "abc");
    assert_eq!(answers[3].head.field("etag"), Some("\"a\""));
    // An upstream's own refusal is the upstream's to word.
    assert_eq!(
        (answers[4].text(), answers[4].head.field("retry-after")),
        ("later".to_owned(), Some("7"))
    );
    assert_eq!(answers[5].body.len(), 3_000_000);
    assert_eq!(answers[6].text(), "until the end");
    assert!(
        answers
            .iter()
            .all(|answer| answer.head.field("request-id").is_some())
    );
    assert!(client.is_silent_for(Duration::from_millis(50)).await);
}

#[tokio::test]
async fn bodies_over_the_bound_are_refused() {
    let node = Plan::default()
        .settings("workers: 1")
        .api("small", "authentication: none, max_body: 1KiB")
        .start()
        .await;
    check_passed(&node.call("POST", "/small/x", &[], &"a".repeat(1024)).await);
    let before = node.upstream.received().len();
    let answer = node.call("POST", "/small/x", &[], &"a".repeat(1025)).await;
    check_problem(&answer, 413, "body_too_large");
    // Without a length it shows only on the way.
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let chunk = format!("400\r\n{}\r\n", "a".repeat(1024));
    client
        .send(format!("POST /small/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"))
        .await
        .unwrap();
    check_problem(&client.answer().await.unwrap(), 413, "body_too_large");
    assert!(client.is_closed_within(Duration::from_secs(5)).await);
    assert_eq!(node.upstream.received().len(), before);
}
