//! Requests that could be read in two ways, and frames that may not be, by a client that sends anything.

use super::Http3Node;
use super::peer::{self, GET, POST, data, headers, one, status};
use keyward_testkit::Upstream;
use serde_json::{Value, json};

const FRAME_UNEXPECTED: u64 = 0x105;
const FRAME_ERROR: u64 = 0x106;
const SETTINGS_ERROR: u64 = 0x109;
const REQUEST_INCOMPLETE: u64 = 0x10d;
const MESSAGE_ERROR: u64 = 0x10e;

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
    let node = Http3Node::before(Upstream::echo().await).await;
    let good = [
        and(&[]),
        and(&[("te", "trailers")]),
        and(&[("host", "gateway.test")]),
        and(&[("host", "GATEWAY.test")]),
        [without(":authority"), vec![("host", "gateway.test")]].concat(),
        with(":scheme", "http"),
        with(":path", "/open/x?a=b&c"),
        and(&[("x-empty", ""), ("x-tab", "a\tb")]),
    ];
    let sent: Vec<_> = good.iter().map(|fields| one(&[headers(fields)])).collect();
    for (outcome, fields) in peer::run(&node, &sent).await.iter().zip(&good) {
        assert_eq!(status(outcome), Some(200), "{outcome} {fields:?}");
    }
    let passed = node.upstream.received().len();
    assert_eq!(passed, good.len());
    let bad = [
        // Whom it is for (RFC 9114, section 4.3.1).
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
        with(":authority", ""),
        and(&[(":authority", "gateway.test")]),
        // Pseudo-header fields (section 4.3).
        without(":method"),
        without(":scheme"),
        without(":path"),
        with(":path", ""),
        with(":method", "G ET"),
        with(":scheme", "ftp"),
        and(&[(":path", "/open/y")]),
        and(&[(":method", "GET")]),
        and(&[(":scheme", "https")]),
        and(&[(":status", "200")]),
        and(&[(":unknown", "x")]),
        and(&[(":protocol", "websocket")]),
        [vec![("x-first", "1")], GET.to_vec()].concat(),
        and(&[("x-first", "1"), (":path", "/open/y")]),
        // Paths.
        with(":path", "open/x"),
        with(":path", "http://gateway.test/open/x"),
        with(":path", "/open/a b"),
        with(":path", "/open/\u{e4}"),
        with(":path", "/open/\"x\""),
        with(":path", "/open/x#/../admin"),
        with(":path", "/open/x\r\nx-evil: 1"),
        with(":path", "/open/../x"),
        // Fields of a connection (section 4.2).
        and(&[("connection", "close")]),
        and(&[("connection", "x-forwarded-for")]),
        and(&[("transfer-encoding", "chunked")]),
        and(&[("upgrade", "websocket")]),
        and(&[("keep-alive", "timeout=5")]),
        and(&[("proxy-connection", "close")]),
        and(&[("te", "gzip")]),
        and(&[("te", "trailers, gzip")]),
        // Names and values (section 10.3).
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
        // Lengths (section 4.1.2).
        and(&[("content-length", "5")]),
        and(&[("content-length", "0"), ("content-length", "0")]),
        and(&[("content-length", "+0")]),
        and(&[("content-length", "0x0")]),
        and(&[("content-length", "")]),
    ];
    let sent: Vec<_> = bad.iter().map(|fields| one(&[headers(fields)])).collect();
    for (outcome, fields) in peer::run(&node, &sent).await.iter().zip(&bad) {
        assert_eq!(status(outcome), Some(400), "{outcome} {fields:?}");
        // The connection is none the worse for it.
        assert_eq!(outcome["closed"], Value::Null, "{fields:?}");
    }
    // A length that is not the body's is found when the body ends: that call may have reached an upstream, which
    // was left before it had all.
    assert_eq!(node.upstream.received().len(), passed);
}

#[tokio::test]
async fn a_body_is_as_long_as_its_length_says() {
    let node = Http3Node::before(Upstream::echo().await).await;
    let head = headers(&[&POST[..], &[("content-length", "5")]].concat());
    let cases = [
        (&["abcde"][..], false),
        (&["ab", "", "cde"], false),
        (&["abcd"], true),
        (&["abcdef"], true),
        (&["abc", "def"], true),
        (&["abcde", "f"], false),
    ];
    let sent: Vec<_> = cases
        .iter()
        .map(|(pieces, _)| {
            let parts: Vec<_> = std::iter::once(head.clone())
                .chain(pieces.iter().map(|piece| data(piece)))
                .collect();
            one(&parts)
        })
        .collect();
    let outcomes = peer::run(&node, &sent).await;
    for (outcome, (pieces, is_malformed)) in outcomes.iter().zip(&cases) {
        let expected = if *is_malformed { 400 } else { 200 };
        assert_eq!(status(outcome), Some(expected), "{outcome} {pieces:?}");
    }
    // What comes behind the end is nobody's, and the client is told.
    assert_eq!(outcomes[5]["requests"][0]["stopped"], MESSAGE_ERROR);
    for received in node.upstream.received() {
        assert_eq!(received.body, b"abcde");
    }
}

#[tokio::test]
async fn trailers_have_no_pseudo_header_fields_and_nothing_follows_them() {
    let node = Http3Node::before(Upstream::echo().await).await;
    let post = headers(&POST);
    let cases = [
        one(&[post.clone(), data("abc"), headers(&[("x-sum", "6")])]),
        one(&[post.clone(), data("abc"), headers(&[(":path", "/y")])]),
        one(&[post.clone(), data("abc"), headers(&[("X-Sum", "6")])]),
        one(&[
            post.clone(),
            data("abc"),
            headers(&[("x-sum", "6\r\nx: y")]),
        ]),
    ];
    let outcomes = peer::run(&node, &cases).await;
    let statuses: Vec<_> = outcomes.iter().map(status).collect();
    assert_eq!(
        statuses,
        [Some(200), Some(400), Some(400), Some(400)],
        "{outcomes:?}"
    );
    let received = node.upstream.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].trailers, [("x-sum".to_owned(), "6".to_owned())]);
}

/// A connection on which one stream is opened, which goes one way and is of these bytes.
fn silent(stream: &str) -> Value {
    json!({ "silent": true, "one_way": [stream], "until_closed": true })
}

#[tokio::test]
async fn frames_that_may_not_be_end_the_connection() {
    let node = Http3Node::before(Upstream::echo().await).await;
    let (get, post) = (headers(&GET), headers(&POST));
    let trailers = headers(&[("x-sum", "6")]);
    let frame = |kind: u64, payload: &str| json!(["frame", [kind, payload]]);
    let closed = [
        // A body before its head.
        (one(&[data("abc")]), FRAME_UNEXPECTED),
        // Frames of the control stream, of HTTP/2, and of a server.
        (one(&[post.clone(), frame(0x4, "")]), FRAME_UNEXPECTED),
        (one(&[post.clone(), frame(0x7, "00")]), FRAME_UNEXPECTED),
        (one(&[post.clone(), frame(0xd, "00")]), FRAME_UNEXPECTED),
        (one(&[post.clone(), frame(0x2, "")]), FRAME_UNEXPECTED),
        (one(&[post.clone(), frame(0x6, "")]), FRAME_UNEXPECTED),
        (one(&[post.clone(), frame(0x5, "00")]), FRAME_UNEXPECTED),
        // What follows trailers.
        (
            one(&[post.clone(), data("a"), trailers.clone(), data("b")]),
            FRAME_UNEXPECTED,
        ),
        (
            one(&[post.clone(), data("a"), trailers.clone(), trailers]),
            FRAME_UNEXPECTED,
        ),
        // Frames that break off.
        (
            one(&[post.clone(), json!(["bytes", "0005616263"])]),
            FRAME_ERROR,
        ),
        (one(&[post.clone(), json!(["bytes", "00"])]), FRAME_ERROR),
        (one(&[json!(["bytes", "0140"])]), FRAME_ERROR),
        // Sections that need a table, or break off.
        (one(&[frame(0x1, "010080")]), 0x200),
        (one(&[frame(0x1, "000080")]), 0x200),
        (one(&[frame(0x1, "0000510b2f")]), 0x200),
        (one(&[frame(0x1, "")]), 0x200),
        // Streams that go one way.
        (
            json!({ "one_way": ["00040000"], "until_closed": true }),
            0x103,
        ),
        (json!({ "one_way": ["0100"], "until_closed": true }), 0x103),
        (json!({ "one_way": ["02"], "until_closed": true }), 0x103),
        // The control stream: settings once more, a body, one that goes up, and one that is no number.
        (
            json!({ "control": "0400", "until_closed": true }),
            FRAME_UNEXPECTED,
        ),
        (
            json!({ "control": "000161", "until_closed": true }),
            FRAME_UNEXPECTED,
        ),
        (
            json!({ "control": "0206", "until_closed": true }),
            FRAME_UNEXPECTED,
        ),
        (
            json!({ "control": "070104070108", "until_closed": true }),
            0x108,
        ),
        (
            json!({ "control": "0d01040d0100", "until_closed": true }),
            0x108,
        ),
        (json!({ "control": "030100", "until_closed": true }), 0x108),
        (
            json!({ "control": "07020101", "until_closed": true }),
            FRAME_ERROR,
        ),
        (
            json!({ "control": "0700", "until_closed": true }),
            FRAME_ERROR,
        ),
        (
            json!({ "control": "", "ends": true, "until_closed": true }),
            0x104,
        ),
        // Settings that are missing, of HTTP/2, there twice, or neither of two.
        (silent("00070100"), 0x10a),
        (silent("0004020000"), SETTINGS_ERROR),
        (silent("0004020201"), SETTINGS_ERROR),
        (silent("0004020501"), SETTINGS_ERROR),
        (silent("00040406010601"), SETTINGS_ERROR),
        (silent("0004020802"), SETTINGS_ERROR),
        (silent("0004023302"), SETTINGS_ERROR),
        (silent("00040106"), FRAME_ERROR),
        // A table that has no room is given some, and filled; what was never sent is acknowledged.
        (silent("023f01"), 0x201),
        (silent("02c00161"), 0x201),
        (silent("0380"), 0x202),
        (silent("0301"), 0x202),
    ];
    let sent: Vec<_> = closed.iter().map(|(case, _)| case.clone()).collect();
    for (outcome, (case, code)) in peer::run(&node, &sent).await.iter().zip(&closed) {
        assert_eq!(outcome["closed"], *code, "{outcome} {case}");
    }
    // A request that ends before its head is that call's fault alone.
    let outcome = peer::run(&node, &[one(&[json!(["bytes", ""])])])
        .await
        .remove(0);
    assert_eq!(
        outcome["requests"][0]["reset"], REQUEST_INCOMPLETE,
        "{outcome}"
    );
    assert_eq!(outcome["closed"], Value::Null, "{outcome}");
    // What nobody knows is passed over, wherever it stands.
    let unknown = frame(0x21, "aabbcc");
    let passed = [
        one(&[unknown.clone(), get.clone(), unknown.clone()]),
        one(&[post, unknown.clone(), data("abc"), unknown]),
        json!({ "one_way": ["21aabbcc"], "control": "2103aabbcc", "requests": [ { "parts": [get] } ] }),
    ];
    for outcome in peer::run(&node, &passed).await {
        assert_eq!(status(&outcome), Some(200), "{outcome}");
        assert_eq!(outcome["closed"], Value::Null);
    }
}

#[tokio::test]
async fn tunnels_are_not_made_for_anyone_who_asks() {
    let node = Http3Node::before(Upstream::echo().await).await;
    let connect = [(":method", "CONNECT"), (":authority", "gateway.test:443")];
    let with_path = [&connect[..], &[(":path", "/open/x")]].concat();
    let [_, scheme, authority, path] = GET;
    let trace = [(":method", "TRACE"), scheme, authority, path];
    let cases = [
        one(&[headers(&connect)]),
        one(&[headers(&with_path)]),
        one(&[headers(&trace)]),
    ];
    let outcomes = peer::run(&node, &cases).await;
    let statuses: Vec<_> = outcomes.iter().map(status).collect();
    assert_eq!(statuses, [Some(501), Some(400), Some(501)]);
    assert!(node.upstream.received().is_empty());
}
