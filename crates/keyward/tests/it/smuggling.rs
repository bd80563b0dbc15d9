//! Requests that two readers would read differently: refused, and the connection closed.

use crate::node::{Plan, check_passed, check_problem, request};
use keyward_testkit::{RawClient, raw_exchange};
use std::time::Duration;

/// A whole request, as it should be.
fn good(path: &str) -> String {
    request("GET", path, &[("Connection", "keep-alive")], "")
}

/// What is refused, its status and its code.
fn malformed() -> Vec<(&'static str, String, u16, &'static str)> {
    let bad = |what, text: &str| (what, text.to_owned(), 400, "bad_request");
    let body = "0\r\n\r\nGET /open/evil HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /open/bad HTTP/1.1\r\nHost: x\r\n";
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    let mut cases = vec![
        bad(
            "length, then chunked",
            &format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
        ),
        bad(
            "chunked, then length",
            &format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{body}"),
        ),
        bad(
            "two lengths",
            &format!("{post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
        ),
        bad(
            "the same length twice",
            &format!("{post}Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"),
        ),
        bad(
            "a list of lengths",
            &format!("{post}Content-Length: 5, 5\r\n\r\nabcde"),
        ),
        bad(
            "a signed length",
            &format!("{post}Content-Length: +5\r\n\r\nabcde"),
        ),
        bad(
            "a negative length",
            &format!("{post}Content-Length: -1\r\n\r\n"),
        ),
        bad(
            "a hexadecimal length",
            &format!("{post}Content-Length: 0x5\r\n\r\nabcde"),
        ),
        bad(
            "a length over 64 bits",
            &format!("{post}Content-Length: 18446744073709551621\r\n\r\nabcde"),
        ),
        bad(
            "a coding that hides",
            &format!("{post}Transfer-Encoding: xchunked\r\n\r\n{body}"),
        ),
        bad(
            "two codings",
            &format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n{body}"),
        ),
        bad(
            "chunked twice",
            &format!(
                "{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
            ),
        ),
        bad(
            "a coding behind a vertical tab",
            &format!("{post}Transfer-Encoding: \x0bchunked\r\n\r\n{body}"),
        ),
        bad(
            "HTTP/1.0 in chunks",
            &format!(
                "POST /open/bad HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
            ),
        ),
        bad("bare line feeds", "GET /open/bad HTTP/1.1\nHost: x\n\n"),
        bad(
            "one bare line feed",
            "GET /open/bad HTTP/1.1\r\nHost: x\nX-Y: z\r\n\r\n",
        ),
        bad(
            "a folded header",
            "GET /open/bad HTTP/1.1\r\nHost: x\r\nX-Y: a\r\n b\r\n\r\n",
        ),
        bad(
            "a folded coding",
            &format!("{post}Transfer-Encoding:\r\n chunked\r\n\r\n{body}"),
        ),
        bad(
            "a space before the colon",
            &format!("{post}Transfer-Encoding : chunked\r\n\r\n{body}"),
        ),
        bad(
            "a space before the first header",
            "GET /open/bad HTTP/1.1\r\n Host: x\r\n\r\n",
        ),
        bad(
            "no colon",
            "GET /open/bad HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
        ),
        bad(
            "an empty name",
            "GET /open/bad HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
        ),
        bad(
            "NUL in a value",
            "GET /open/bad HTTP/1.1\r\nHost: x\r\nX-Y: a\0b\r\n\r\n",
        ),
        bad(
            "NUL in a name",
            "GET /open/bad HTTP/1.1\r\nHost: x\r\nX\0Y: a\r\n\r\n",
        ),
        bad(
            "NUL in the target",
            "GET /open/b\0d HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        bad(
            "a bare CR",
            "GET /open/bad HTTP/1.1\r\nHost: x\r\nX-Y: a\rb: c\r\n\r\n",
        ),
        bad(
            "a control character",
            "GET /open/bad HTTP/1.1\r\nHost: x\r\nX-Y: a\x01b\r\n\r\n",
        ),
        bad(
            "DEL in a value",
            "GET /open/bad HTTP/1.1\r\nHost: x\r\nX-Y: a\x7fb\r\n\r\n",
        ),
        bad(
            "two hosts",
            "GET /open/bad HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        ),
        bad(
            "the same host twice",
            "GET /open/bad HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        ),
        bad(
            "two hosts where nothing is published",
            "GET /nowhere HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        ),
        bad("no host", "GET /open/bad HTTP/1.1\r\nX-Y: z\r\n\r\n"),
        bad(
            "authority-form",
            "GET example.com:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        bad(
            "asterisk-form",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        ),
        bad(
            "a relative target",
            "GET open/bad HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        bad(
            "absolute-form without a host",
            "GET http:///open/bad HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        bad(
            "a target with a quote",
            "GET /open/\"bad HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        bad(
            "a target with a bracket",
            "GET /open/<bad> HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        bad("a fragment", "GET /open/bad#x HTTP/1.1\r\nHost: x\r\n\r\n"),
        bad("two spaces", "GET  /open/bad HTTP/1.1\r\nHost: x\r\n\r\n"),
        bad(
            "a tab for a space",
            "GET\t/open/bad HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        bad(
            "a space at the end",
            "GET /open/bad HTTP/1.1 \r\nHost: x\r\n\r\n",
        ),
        bad(
            "a method that is none",
            "G@T /open/bad HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        bad("HTTP/0.9", "GET /open/bad\r\n\r\n"),
        bad(
            "HTTP/2 by word",
            "GET /open/bad HTTP/2.0\r\nHost: x\r\n\r\n",
        ),
        bad("HTTP/2 by preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        bad(
            "an unknown version",
            "GET /open/bad HTTP/1.10\r\nHost: x\r\n\r\n",
        ),
        bad("junk", "\0\u{1}\u{2}\u{3}junk\r\n\r\n"),
        bad(
            "junk before a request",
            " GET /open/bad HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        bad(
            "TLS",
            "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}",
        ),
        bad(
            "a chunk size that is none",
            &format!("{chunked}xyz\r\nabc\r\n0\r\n\r\n"),
        ),
        bad(
            "a negative chunk size",
            &format!("{chunked}-1\r\nabc\r\n0\r\n\r\n"),
        ),
        bad(
            "a chunk size with 0x",
            &format!("{chunked}0x3\r\nabc\r\n0\r\n\r\n"),
        ),
        bad(
            "a chunk size with a space",
            &format!("{chunked}3 \r\nabc\r\n0\r\n\r\n"),
        ),
        bad(
            "an empty chunk size",
            &format!("{chunked}\r\nabc\r\n0\r\n\r\n"),
        ),
        bad(
            "a chunk size over 64 bits",
            &format!("{chunked}10000000000000003\r\nabc\r\n0\r\n\r\n"),
        ),
        bad(
            "a chunk size that ends bare",
            &format!("{chunked}3\nabc\r\n0\r\n\r\n"),
        ),
        bad(
            "data over the chunk's size",
            &format!("{chunked}3\r\nabcdef\r\n0\r\n\r\n"),
        ),
        bad(
            "data without its end",
            &format!("{chunked}3\r\nabc0\r\n\r\n"),
        ),
        bad(
            "a bare end of data",
            &format!("{chunked}3\r\nabc\n0\r\n\r\n"),
        ),
        bad(
            "a trailer without a colon",
            &format!("{chunked}0\r\nnonsense\r\n\r\n"),
        ),
        (
            "an expectation",
            "GET /open/bad HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\nConnection: close\r\n\r\n"
                .to_owned(),
            417,
            "expectation_failed",
        ),
    ];
    cases.push((
        "a request line over its bound",
        format!(
            "GET /open/{} HTTP/1.1\r\nHost: x\r\n\r\n",
            "a".repeat(9_000)
        ),
        414,
        "uri_too_long",
    ));
    cases.push((
        "a header over its bound",
        format!(
            "GET /open/bad HTTP/1.1\r\nHost: x\r\nX-Y: {}\r\n\r\n",
            "a".repeat(70_000)
        ),
        431,
        "headers_too_large",
    ));
    cases.push((
        "headers over their number",
        format!(
            "GET /open/bad HTTP/1.1\r\nHost: x\r\n{}\r\n",
            "X-Y: z\r\n".repeat(200)
        ),
        431,
        "headers_too_large",
    ));
    cases
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_ends_the_connection() {
    let node = Plan::default()
        .settings("workers: 2")
        .api("open", "authentication: none")
        .start()
        .await;
    for (what, bytes, status, code) in malformed() {
        // Characters above 0x7f stand for bytes.
        let bytes: Vec<u8> = bytes
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect();
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        let _refused = client.send(&bytes).await;
        let answer = client.answer().await;
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        println!("{what}: {}", answer.text());
        check_problem(&answer, status, code);
        assert!(
            client.is_closed_within(Duration::from_secs(5)).await,
            "{what}: the connection goes on"
        );
        assert_eq!(
            node.upstream.received(),
            [],
            "{what}: the upstream was asked"
        );
    }
    check_passed(&node.get("/open/x", &[]).await);
}

#[tokio::test]
async fn a_body_that_goes_wrong_later_is_refused_too() {
    let node = Plan::default()
        .settings("workers: 1")
        .api("open", "authentication: none")
        .start()
        .await;
    for rest in ["xyz\r\n", "3\r\nabcd\r\n0\r\n\r\n", "0\r\nno colon\r\n\r\n"] {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        let before = node.upstream.connections();
        client
            .send("POST /open/bad HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            .await
            .unwrap();
        // The upstream has the head by then, and never a whole request.
        while node.upstream.connections() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        client.send(rest).await.unwrap();
        check_problem(&client.answer().await.unwrap(), 400, "bad_request");
        assert!(
            client.is_closed_within(Duration::from_secs(5)).await,
            "{rest:?}"
        );
        assert_eq!(node.upstream.received(), [], "{rest:?}");
    }
}

#[tokio::test]
async fn a_good_request_before_a_bad_one_is_answered() {
    let node = Plan::default()
        .settings("workers: 1")
        .api("open", "authentication: none")
        .start()
        .await;
    for bad in [
        "GET /open/bad HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
        "POST /open/bad HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /open/bad HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "junk\r\n\r\n",
    ] {
        let before = node.upstream.received().len();
        let bytes = format!("{}{}{bad}", good("/open/1"), good("/open/2"));
        let answers = raw_exchange(node.gateway(), bytes).await.unwrap();
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 200, 400], "{bad}");
        check_problem(&answers[2], 400, "bad_request");
        let received = node.upstream.received();
        let targets: Vec<&str> = received[before..]
            .iter()
            .map(|received| received.target())
            .collect();
        assert_eq!(targets, ["/1", "/2"]);
    }
    // Many good ones on one connection, in one piece, are answered in order.
    let bytes: String = (0..50).map(|at| good(&format!("/open/{at}"))).collect();
    let answers = raw_exchange(node.gateway(), bytes).await.unwrap();
    let targets: Vec<String> = answers
        .iter()
        .map(|answer| {
            answer.json().unwrap()["target"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let expected: Vec<String> = (0..50).map(|at| format!("/{at}")).collect();
    assert_eq!(targets, expected);
}

#[tokio::test]
async fn what_is_only_unusual_passes() {
    let node = Plan::default()
        .settings("workers: 1")
        .api("open", "authentication: none")
        .start()
        .await;
    for (what, bytes, target) in [
        (
            "empty lines before",
            "\r\n\r\nGET /open/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "/a",
        ),
        (
            "HTTP/1.0 without a host",
            "GET /open/b HTTP/1.0\r\n\r\n",
            "/b",
        ),
        (
            "absolute-form",
            "GET http://other.example/open/c?d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "/c?d",
        ),
        (
            "no space after the colon",
            "GET /open/d HTTP/1.1\r\nHost:x\r\nConnection:close\r\n\r\n",
            "/d",
        ),
        (
            "an extension of a chunk",
            "POST /open/e HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
            "/e",
        ),
        (
            "a method of its own",
            "PURGE /open/f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "/f",
        ),
        (
            "Latin-1 in a value",
            "GET /open/g HTTP/1.1\r\nHost: x\r\nX-Y: \u{e4}\r\nConnection: close\r\n\r\n",
            "/g",
        ),
        (
            "an empty value",
            "GET /open/h HTTP/1.1\r\nHost: x\r\nX-Y:\r\nConnection: close\r\n\r\n",
            "/h",
        ),
    ] {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        client.send(bytes).await.unwrap();
        let answer = client.answer().await;
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        check_passed(&answer);
        assert_eq!(node.last_received().target(), target, "{what}");
        assert!(
            client.is_closed_within(Duration::from_secs(5)).await,
            "{what}"
        );
    }
    // RFC 9112, section 3.2.2: the target's host counts, not the field's.
    let received = node.upstream.received();
    let absolute = received
        .iter()
        .find(|received| received.target() == "/c?d")
        .unwrap();
    assert_eq!(
        absolute.head.field("x-forwarded-host"),
        Some("other.example")
    );
}
