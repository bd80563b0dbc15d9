//! Heads of requests that could be read in two ways, or that ask for too much.

use super::Http2Node;
use super::client::{get, request};
use super::frames::{DATA, END_STREAM, GET, Outcome, POST};
use http::Request;
use keyward_testkit::Upstream;

/// GET's pseudo-header fields with one left out.
fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    GET.into_iter()
        .filter(|(field, _)| *field != name)
        .collect()
}

/// GET's pseudo-header fields with another value for one.
fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    [without(name), vec![(name, value)]].concat()
}

/// GET's pseudo-header fields, and these.
fn and(fields: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&GET, fields].concat()
}

#[tokio::test]
async fn malformed_heads_are_refused_and_well_formed_ones_are_not() {
    let node = Http2Node::before(Upstream::echo().await).await;
    let good = [
        and(&[]),
        and(&[("te", "trailers")]),
        and(&[("host", "gateway.test")]),
        and(&[("host", "GATEWAY.test")]),
        [without(":authority"), vec![("host", "gateway.test")]].concat(),
        with(":scheme", "https"),
        with(":path", "/open/x?a=b&c"),
        and(&[("x-empty", ""), ("x-tab", "a\tb")]),
    ];
    for fields in good {
        let mut frames = node.frames().await;
        frames.head(1, &fields, true).await;
        assert_eq!(frames.outcome(1).await, Outcome::Status(200), "{fields:?}");
    }
    let passed = node.upstream.received().len();
    let bad = [
        // Whom it is for (RFC 9113, section 8.3.1).
        without(":authority"),
        and(&[("host", "other.test")]),
        and(&[("host", "gateway.test:80")]),
        and(&[("host", "gateway.test"), ("host", "gateway.test")]),
        [
            without(":authority"),
            vec![("host", "a.test"), ("host", "b.test")],
        ]
        .concat(),
        with(":authority", "user@gateway.test"),
        with(":authority", "gateway.test/x"),
        // Pseudo-header fields (section 8.3).
        without(":method"),
        without(":scheme"),
        without(":path"),
        with(":path", ""),
        and(&[(":path", "/open/y")]),
        and(&[(":status", "200")]),
        and(&[(":unknown", "x")]),
        [vec![("x-first", "1")], GET.to_vec()].concat(),
        // Paths.
        with(":path", "open/x"),
        with(":path", "http://gateway.test/open/x"),
        with(":path", "/open/a b"),
        with(":path", "/open/\u{e4}"),
        with(":path", "/open/\"x\""),
        with(":path", "/open/x\r\nx-evil: 1"),
        with(":path", "/open/../x"),
        // Fields of a connection (section 8.2.2).
        and(&[("connection", "close")]),
        and(&[("connection", "x-forwarded-for")]),
        and(&[("transfer-encoding", "chunked")]),
        and(&[("upgrade", "websocket")]),
        and(&[("keep-alive", "timeout=5")]),
        and(&[("proxy-connection", "close")]),
        and(&[("te", "gzip")]),
        and(&[("te", "trailers, gzip")]),
        // Names and values (section 8.2.1).
        and(&[("X-Upper", "1")]),
        and(&[("x space", "1")]),
        and(&[("", "1")]),
        and(&[("x-forged: 1\r\nx-evil", "1")]),
        and(&[("x-value", "a\r\nx-evil: 1")]),
        and(&[("x-value", "a\nb")]),
        and(&[("x-value", "a\0b")]),
        and(&[("x-value", " a")]),
        and(&[("x-value", "a ")]),
        and(&[("x-value", "\ta")]),
        // Lengths (section 8.1.1).
        and(&[("content-length", "5")]),
        and(&[("content-length", "0"), ("content-length", "0")]),
        and(&[("content-length", "+0")]),
        and(&[("content-length", "0x0")]),
        and(&[("content-length", "")]),
    ];
    for fields in bad {
        let mut frames = node.frames().await;
        frames.head(1, &fields, true).await;
        let outcome = frames.outcome(1).await;
        assert!(outcome.is_malformed(), "{outcome:?}: {fields:?}");
    }
    assert_eq!(node.upstream.received().len(), passed);
}

#[tokio::test]
async fn a_body_is_as_long_as_its_length_says() {
    let node = Http2Node::before(Upstream::echo().await).await;
    for (pieces, is_malformed) in [
        (&["abcde"][..], false),
        (&["ab", "", "cde"], false),
        (&["abcd"], true),
        (&["abcdef"], true),
        (&["abc", "def"], true),
    ] {
        let mut frames = node.frames().await;
        let fields = [&POST[..], &[("content-length", "5")]].concat();
        frames.head(1, &fields, false).await;
        let last = pieces.len() - 1;
        for (at, piece) in pieces.iter().enumerate() {
            let flags = if at == last { END_STREAM } else { 0 };
            frames
                .frame(DATA, flags, 1, piece.as_bytes())
                .await
                .unwrap();
        }
        let outcome = frames.outcome(1).await;
        assert_eq!(
            outcome.is_malformed(),
            is_malformed,
            "{outcome:?}: {pieces:?}"
        );
    }
    // What was longer was cut where its length says, or did not arrive.
    for received in node.upstream.received() {
        assert_eq!(received.body_length, 5);
    }
}

#[tokio::test]
async fn cookies_that_came_in_crumbs_go_on_as_one() {
    let node = Http2Node::before(Upstream::echo().await).await;
    let mut client = node.connect().await;
    let crumbs = [
        ("cookie", "a=1"),
        ("x-between", "1"),
        ("cookie", "b=2; c=3"),
    ];
    let reply = client.call(request("GET", "/open/x", &crumbs), b"").await;
    assert_eq!(reply.status, 200);
    let head = node.upstream.received().pop().unwrap().head;
    assert_eq!(head.values("cookie").collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
}

#[tokio::test]
async fn what_follows_a_hash_is_part_of_no_path() {
    let node = Http2Node::before(Upstream::echo().await).await;
    let mut frames = node.frames().await;
    frames
        .head(1, &with(":path", "/open/x#/../admin"), true)
        .await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    assert_eq!(node.upstream.received()[0].target(), "/x");
}

#[tokio::test]
async fn heads_have_the_bounds_that_they_have_in_http1() {
    let node = Http2Node::with(Upstream::echo().await, "limits: { head_bytes: 16KiB }", "").await;
    let mut client = node.connect().await;
    let long = "x".repeat(9000);
    let path = format!("/open/{long}");
    let fields: Vec<_> = (0..101).map(|_| ("x-many", "1")).collect();
    for (request, status) in [
        (request("GET", &path, &[]), 414),
        (request("GET", "/open/x", &[("x-long", &long)]), 200),
        (
            request("GET", "/open/x", &[("x-long", &long), ("x-more", &long)]),
            431,
        ),
        (request("GET", "/open/x", &fields), 431),
        (get("/open/x"), 200),
    ] {
        let reply = client.call(request, b"").await;
        assert_eq!(reply.status, status);
        if status != 200 {
            let code = reply.json()["code"].clone();
            assert!(
                code == "uri_too_long" || code == "headers_too_large",
                "{code}"
            );
        }
    }
}

#[tokio::test]
async fn tunnels_are_not_made_for_anyone_who_asks() {
    let node = Http2Node::before(Upstream::echo().await).await;
    let mut client = node.connect().await;
    let connect = Request::builder()
        .method("CONNECT")
        .uri("gateway.test:443")
        .body(())
        .unwrap();
    assert_eq!(client.call(connect, b"").await.status, 501);
    let trace = client.call(request("TRACE", "/open/x", &[]), b"").await;
    assert_eq!(trace.status, 501);
    assert!(node.upstream.received().is_empty());
}
