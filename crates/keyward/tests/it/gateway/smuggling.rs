//! Requests that hide in others: over raw sockets, since no library would send them.

use super::node::{Node, code, get};
use keyward_testkit::{Script, Upstream, raw_exchange};
use std::time::Duration;

/// What must never arrive as a request of its own.
const HIDDEN: &str = "GET /open/hidden HTTP/1.1\r\nHost: gateway.test\r\n\r\n";

#[tokio::test]
async fn messages_that_can_be_read_in_two_ways_are_refused() {
    let node = Node::start().await;
    let head = "POST /open/x HTTP/1.1\r\nHost: gateway.test\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    for message in [
        // Content length against transfer encoding, in both orders and spellings.
        format!("{head}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{head}Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{head}Content-Length: 5\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!(
            "{head}Content-Length: 5\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n{HIDDEN}"
        ),
        format!(
            "{head}Content-Length: 5\r\nTransfer_Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
        ),
        format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!(
            "{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{HIDDEN}"
        ),
        // Lengths that disagree or are none.
        format!("{head}Content-Length: 0\r\nContent-Length: 44\r\n\r\n{HIDDEN}"),
        format!("{head}Content-Length: 0, 44\r\n\r\n{HIDDEN}"),
        format!("{head}Content-Length: +5\r\n\r\n12345{HIDDEN}"),
        format!("{head}Content-Length: 0x5\r\n\r\n12345{HIDDEN}"),
        format!("{head}Content-Length: -1\r\n\r\n{HIDDEN}"),
        format!("{head}Content-Length: 5 5\r\n\r\n12345{HIDDEN}"),
        // Bare line feeds and carriage returns, folded headers, a space before the colon.
        format!("{head}X: y\n\r\n{HIDDEN}"),
        format!("POST /open/x HTTP/1.1\nHost: gateway.test\n\n{HIDDEN}"),
        format!("{head}X: y\rContent-Length: 44\r\n\r\n{HIDDEN}"),
        format!("{head}X: y\r\n Content-Length: 44\r\n\r\n{HIDDEN}"),
        format!("{head}X: y\r\n\tfolded\r\n\r\n{HIDDEN}"),
        format!("{head}Content-Length : 44\r\n\r\n{HIDDEN}"),
        format!("{head}X: y\0\r\n\r\n{HIDDEN}"),
        // Chunks that end elsewhere.
        format!("{chunked}5\r\n12345678\r\n0\r\n\r\n{HIDDEN}"),
        format!("{chunked}1\n1\r\n0\r\n\r\n{HIDDEN}"),
        format!("{chunked}1\r\n1\n0\r\n\r\n{HIDDEN}"),
        format!("{chunked}0x1\r\n1\r\n0\r\n\r\n{HIDDEN}"),
        format!("{chunked}-1\r\n1\r\n0\r\n\r\n{HIDDEN}"),
        format!("{chunked}ffffffffffffffff1\r\n1\r\n0\r\n\r\n{HIDDEN}"),
        format!("{chunked}1;\n\r\n1\r\n0\r\n\r\n{HIDDEN}"),
        // Request lines that servers read differently.
        format!("GET /open/x HTTP/1.1 \r\nHost: gateway.test\r\n\r\n{HIDDEN}"),
        format!("GET /open/x  HTTP/1.1\r\nHost: gateway.test\r\n\r\n{HIDDEN}"),
        format!("GET /open/x HTTP/1.2\r\nHost: gateway.test\r\n\r\n{HIDDEN}"),
        format!("GET /open/x\r\nHost: gateway.test\r\n\r\n{HIDDEN}"),
        format!("GET /open/x HTTP/1.1 GET /open/y HTTP/1.1\r\nHost: gateway.test\r\n\r\n{HIDDEN}"),
    ] {
        let answers = raw_exchange(node.process.gateway(), &message)
            .await
            .unwrap();
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [400], "{message:?}");
        assert_eq!(code(&answers[0]), "bad_request", "{message:?}");
    }
    let received = node.upstream.received();
    assert!(received.is_empty(), "{received:?}");
}

#[tokio::test]
async fn exactly_one_host_is_needed() {
    let node = Node::start().await;
    for hosts in [
        "",
        "Host: a.test\r\nHost: b.test\r\n",
        "Host: a.test\r\nhost: a.test\r\n",
    ] {
        let answer = node
            .call(format!("GET /open/x HTTP/1.1\r\n{hosts}\r\n"))
            .await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (400, "bad_request"),
            "{hosts:?}"
        );
    }
    assert!(node.upstream.received().is_empty());
}

#[tokio::test]
async fn a_request_in_a_body_stays_a_body() {
    let node = Node::start().await;
    let length = HIDDEN.len();
    for message in [
        format!("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"),
        format!(
            "POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n"
        ),
        // What `Connection` names is taken out, but not what says where the body ends.
        format!(
            "POST /open/x HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"
        ),
        format!("GET /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"),
    ] {
        let answers = raw_exchange(node.process.gateway(), &message)
            .await
            .unwrap();
        assert_eq!(answers.len(), 1, "{message:?}");
        let echo = answers[0].json().unwrap();
        assert_eq!(echo["path"], "/x", "{message:?}");
        assert_eq!(echo["body"]["text"], HIDDEN, "{message:?}");
    }
    assert!(
        node.upstream
            .received()
            .iter()
            .all(|request| request.target() == "/x")
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_up_to_the_first_bad_one() {
    let node = Node::start().await;
    let good = |name: &str| get(&format!("/open/{name}"), None, "");
    let bad = "GET /open/bad HTTP/1.1\r\nHost: a\r\nX: y\n\r\n";
    let message = format!("{}{}{bad}{}", good("one"), good("two"), good("three"));
    let answers = raw_exchange(node.process.gateway(), message).await.unwrap();
    let paths: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .map(|answer| answer.json().unwrap()["path"].clone())
        .collect();
    assert_eq!(paths, ["/one", "/two"]);
    // The third may be told so or just see the end; what comes after it is never read.
    assert!(
        answers[2..].iter().all(|answer| answer.status == 400),
        "{answers:?}"
    );
    assert_eq!(node.upstream.received().len(), 2);
}

#[tokio::test]
async fn paths_that_servers_read_differently_lead_nowhere() {
    let node = Node::start().await;
    for path in [
        "/open/../guarded/x",
        "/open/%2e%2e/guarded/x",
        "/open/..%2fguarded/x",
        "/open/..;/guarded/x",
        "/open/.%2E/guarded/x",
        "/open//guarded",
        "/open/%00",
        "/open\\..\\guarded",
        "/open/%252e%252e/guarded/x",
    ] {
        let answer = node.call(get(path, None, "")).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(code(&answer), "ambiguous_path", "{path}");
    }
    // Another spelling of the guarded path is guarded as well.
    let answer = node.call(get("/%67uarded/x", None, "")).await;
    assert_eq!(answer.status, 401);
    assert!(node.upstream.received().is_empty());
}

#[tokio::test]
async fn heads_are_bounded() {
    let node = Node::start().await;
    for (message, status) in [
        (
            get(&format!("/open/{}", "x".repeat(64 * 1024)), None, ""),
            414,
        ),
        (
            get(
                "/open/x",
                None,
                &format!("X: {}\r\n", "y".repeat(256 * 1024)),
            ),
            431,
        ),
        (get("/open/x", None, &"X: y\r\n".repeat(1000)), 431),
    ] {
        let answers = raw_exchange(node.process.gateway(), &message)
            .await
            .unwrap();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].status, status);
    }
    assert!(node.upstream.received().is_empty());
}

#[tokio::test]
async fn an_upstream_that_answers_too_much_poisons_no_other_call() {
    let two = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let node = Node::before(
        Upstream::scripts(vec![
            Script::new().write(two),
            Script::answer("200 OK", &[], "next"),
        ])
        .await,
    )
    .await;
    for (at, expected) in ["good", "next", "next"].into_iter().enumerate() {
        let answer = node.call(get("/open/x", None, "")).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, expected),
            "call {at}"
        );
        // So that the second answer has arrived on the connection that may be used again.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_is_no_answer_is_a_bad_gateway() {
    for garbage in [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nx y\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        "",
    ] {
        let upstream = Upstream::scripted(Script::new().write(garbage).close()).await;
        let node = Node::before(upstream).await;
        let answer = node.call(get("/open/x", None, "")).await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (502, "upstream_failed"),
            "{garbage:?}"
        );
    }
}
