//! Bodies of every framing, and what becomes of a call when one side stops in its midst.

use super::node::{Node, code, get};
use super::open_node::{OpenNode, holds_within, until};
use keyward_testkit::{RawClient, Script, Upstream};
use std::time::Duration;

/// How soon an upstream learns that its client has left.
const CANCELLED_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test]
async fn answers_of_every_framing_pass_on_one_connection() {
    // Where the end of one were misread, the next would be garbled.
    let cases = [
        (
            Script::answer("200 OK", &[], "length"),
            "GET",
            200,
            "length",
        ),
        (
            Script::chunked("200 OK", &[], &["chu", "nked"], &[]),
            "GET",
            200,
            "chunked",
        ),
        (Script::answer("200 OK", &[], ""), "GET", 200, ""),
        (Script::chunked("200 OK", &[], &[], &[]), "GET", 200, ""),
        (
            Script::new().write("HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n"),
            "POST",
            204,
            "",
        ),
        (
            Script::new().write("HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n"),
            "GET",
            304,
            "",
        ),
        (
            Script::new().write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
            "HEAD",
            200,
            "",
        ),
        (
            Script::new().write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
            "HEAD",
            200,
            "",
        ),
        (
            Script::new()
                .write("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil closed")
                .close(),
            "GET",
            200,
            "until closed",
        ),
        (
            Script::new()
                .write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nafter"),
            "GET",
            200,
            "after",
        ),
        (Script::answer("404 Not Found", &[], "no"), "GET", 404, "no"),
    ];
    let scripts = cases.iter().map(|(script, ..)| script.clone()).collect();
    let node = OpenNode::before(Upstream::scripts(scripts).await).await;
    let mut client = node.connect().await;
    for (script, method, status, body) in cases {
        let request = get("/open/x", None, "").replacen("GET", method, 1);
        client.send(request).await.unwrap();
        let answer = if method == "HEAD" {
            client.answer_to_head().await
        } else {
            client.answer().await
        };
        let answer = answer.unwrap_or_else(|error| panic!("{script:?}: {error}"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (status, body),
            "{script:?}"
        );
        let length = answer.head.field("content-length");
        match (method, status) {
            ("HEAD", _) => assert_ne!(length, Some("0"), "{script:?}"),
            (_, 204 | 304) => assert_eq!(length, None, "{script:?}"),
            (_, _) => {}
        }
    }
}

#[tokio::test]
async fn requests_of_every_framing_arrive_on_one_connection() {
    let node = OpenNode::before(Upstream::echo().await).await;
    let mut client = node.connect().await;
    for (method, rest, body) in [
        ("POST", "Content-Length: 3\r\n\r\nabc", "abc"),
        (
            "PUT",
            "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n",
            "abc",
        ),
        ("POST", "Content-Length: 0\r\n\r\n", ""),
        ("PATCH", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
        ("GET", "Content-Length: 3\r\n\r\nabc", "abc"),
        ("DELETE", "\r\n", ""),
        ("POST", "\r\n", ""),
        ("PURGE", "\r\n", ""),
    ] {
        let request = format!("{method} /open/x HTTP/1.1\r\nHost: a\r\n{rest}");
        client.send(&request).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, 200, "{request:?}");
        let echo = answer.json().unwrap();
        assert_eq!(echo["method"], method, "{request:?}");
        assert_eq!(echo["body"]["text"], body, "{request:?}");
        assert_eq!(echo["body"]["length"], body.len(), "{request:?}");
    }
    assert_eq!(node.upstream.connections(), 1);
}

#[tokio::test]
async fn a_body_is_called_for_only_once_the_call_may_pass() {
    let node = Node::with(Upstream::echo().await, "workers: 1", "max_body: 10B").await;
    let token = node.issuer.token(|claims| claims);
    let head = |length: u32, token: &str| {
        let token = format!("Authorization: Bearer {token}\r\n");
        format!(
            "POST /guarded/x HTTP/1.1\r\nHost: a\r\n{token}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut client = node.connect().await;
    client.send(head(3, &token)).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 100);
    client.send("abc").await.unwrap();
    let echo = client.answer().await.unwrap().json().unwrap();
    assert_eq!(echo["body"]["text"], "abc");
    for (length, token, status) in [(3, "x.y.z", 401), (11, token.as_str(), 413)] {
        let answer = node.call(head(length, token)).await;
        assert_eq!(answer.status, status);
    }
    let received = node.upstream.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].head.field("expect"), None);
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let script = Script::without_reading_the_body()
        .write("HTTP/1.1 413 Content Too Large\r\ncontent-length: 8\r\n\r\ntoo much")
        .close();
    let node = OpenNode::before(Upstream::scripted(script).await).await;
    let mut client = node.connect().await;
    client
        .send("POST /open/early HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        .await
        .unwrap();
    client.send(vec![b'x'; 64 * 1024]).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (413, "too much"));
    // Nobody reads the rest: the connection ends rather than holding the client for ever.
    assert!(client.is_closed_within(Duration::from_secs(5)).await);
    assert_eq!(node.logged("/open/early").await["status"], 413);
    until("the upstream's connection ends", || {
        node.upstream.open_connections() == 0
    })
    .await;
}

#[tokio::test]
async fn both_sides_speak_at_once() {
    const PIECE: &[u8] = b"5\r\nhello\r\n";
    const END: &[u8] = b"0\r\n\r\n";
    let script = Script::without_reading_the_body()
        .write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        .mirror();
    let node = OpenNode::before(Upstream::scripted(script).await).await;
    let mut client = node.connect().await;
    client
        .send("POST /open/duplex HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(client.answer_to_head().await.unwrap().status, 200);
    for _ in 0..200 {
        client.send(PIECE).await.unwrap();
        assert_eq!(client.bytes(PIECE.len()).await.unwrap(), PIECE);
    }
    client.send(END).await.unwrap();
    assert_eq!(client.bytes(END.len()).await.unwrap(), END);
    let line = node.logged("/open/duplex").await;
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&1000.into(), &1000.into())
    );
    assert_eq!(line.get("code"), None, "{line}");
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_call_at_the_upstream_within_a_second() {
    const UPLOAD: &str =
        "POST /open/left HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n0123456789";
    const CHUNKED: &str = "POST /open/left HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n";
    let whole = get("/open/left", None, "");
    let answering = || {
        Script::without_reading_the_body()
            .write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart")
            .wait_until_closed()
    };
    for (when, script, request, read) in [
        (
            "before the answer",
            Script::new().wait_until_closed(),
            whole.as_str(),
            0,
        ),
        ("in the upload", Script::new(), UPLOAD, 0),
        ("in the chunked upload", Script::new(), CHUNKED, 0),
        (
            "in the download",
            Script::long(1 << 30),
            whole.as_str(),
            1_000_000,
        ),
        ("while the upstream pauses", answering(), whole.as_str(), 4),
        ("with both under way", answering(), UPLOAD, 4),
    ] {
        let node = OpenNode::before(Upstream::scripted(script).await).await;
        let mut client = node.connect().await;
        client.send(request).await.unwrap();
        if read > 0 {
            assert_eq!(client.answer_to_head().await.unwrap().status, 200, "{when}");
            client.skip(read).await.unwrap();
        }
        until("the call arrives", || node.upstream.open_connections() == 1).await;
        // So that it is the middle of the call, and not its beginning.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(node.upstream.left(), 0, "{when}");
        drop(client);
        let cancelled = holds_within(CANCELLED_WITHIN, || node.upstream.left() == 1).await;
        assert!(cancelled, "{when}: the upstream goes on");
        let line = node.logged("/open/left").await;
        assert_eq!(line["code"], "client_left", "{when}: {line}");
        assert_eq!(line["blame"], "caller", "{when}: {line}");
        let status = if read > 0 { 200 } else { 499 };
        assert_eq!(line["status"], status, "{when}: {line}");
    }
}

#[tokio::test]
async fn an_upstream_that_dies_in_its_answer_is_blamed() {
    let script = Script::new()
        .write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort")
        .close();
    let node = OpenNode::before(Upstream::scripted(script).await).await;
    let mut client = node.connect().await;
    client.send(get("/open/dies", None, "")).await.unwrap();
    let answer = client.answer().await;
    assert!(answer.is_err(), "{answer:?}");
    let line = node.logged("/open/dies").await;
    assert_eq!(
        (&line["code"], &line["blame"], &line["bytes_out"]),
        (&"upstream_failed".into(), &"upstream".into(), &5.into()),
        "{line}"
    );
}

#[tokio::test]
async fn a_thousand_calls_share_a_connection() {
    let node = OpenNode::before(Upstream::echo().await).await;
    let mut client = node.connect().await;
    for call in 0..1000 {
        let request = if call % 2 == 0 {
            get("/open/x", None, "")
        } else {
            "POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_owned()
        };
        client.send(request).await.unwrap();
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
    assert_eq!(node.upstream.received().len(), 1000);
    assert_eq!(node.upstream.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_meanwhile_costs_no_call() {
    let closing = Script::answer("200 OK", &[], "good").close();
    let node = OpenNode::before(Upstream::scripted(closing).await).await;
    for request in [
        get("/open/x", None, ""),
        "POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        "POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            .to_owned(),
    ] {
        let mut client = RawClient::connect(node.process.gateway()).await.unwrap();
        client.send(&request).await.unwrap();
        assert_eq!(client.answer().await.unwrap().text(), "good", "{request:?}");
        until("the upstream closes", || {
            node.upstream.open_connections() == 0
        })
        .await;
    }
    assert_eq!(node.upstream.connections(), 3);
}

#[tokio::test]
async fn a_connection_that_closes_as_it_is_used_again_costs_no_call_that_may_be_repeated() {
    let scripts = vec![
        Script::answer("200 OK", &[], "first"),
        // Closes when the second call arrives, without a word.
        Script::new().close(),
        Script::answer("200 OK", &[], "second"),
        Script::new().close(),
    ];
    let node = OpenNode::before(Upstream::scripts(scripts).await).await;
    // Longer than a connection counts as just used.
    const IDLE: Duration = Duration::from_millis(700);
    assert_eq!(node.get("/open/x").await.text(), "first");
    tokio::time::sleep(IDLE).await;
    assert_eq!(node.get("/open/x").await.text(), "second");
    tokio::time::sleep(IDLE).await;
    // What may have had an effect is not sent twice.
    let mut client = node.connect().await;
    client
        .send("POST /open/post HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        .await
        .unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!(
        (answer.status, code(&answer).as_str()),
        (502, "upstream_failed")
    );
    assert_eq!(node.upstream.received().len(), 4);
}
