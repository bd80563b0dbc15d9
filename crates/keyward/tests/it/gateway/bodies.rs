//! Bodies on their way: streamed, bounded, cancelled, finished.

use super::node::{Node, code, get};
use keyward_testkit::{RawClient, Script, Upstream, until, until_at_rest};
use std::time::Duration;

/// Large enough that a gateway which held a body would show it.
const LARGE: u64 = 256 * 1024 * 1024;
/// What the process may grow by meanwhile.
const GROWTH_MAX: u64 = 16 * 1024 * 1024;
const PIECE: usize = 256 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_download_with_a_slow_reader_is_not_held() {
    let node = Node::before(Upstream::scripted(Script::long(LARGE)).await).await;
    let before = node.process.peak_bytes();
    let mut client = node.connect().await;
    client.send(get("/open/x", None, "")).await.unwrap();
    let head = client.answer_to_head().await.unwrap();
    assert_eq!(
        head.head.field("content-length"),
        Some(LARGE.to_string().as_str())
    );
    // The upstream fills whatever there is to fill.
    until_at_rest("the upstream is held back", || node.upstream.written()).await;
    assert!(node.upstream.written() < LARGE);
    client.skip(LARGE).await.unwrap();
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_arrives_whole_and_is_not_held() {
    let node = Node::start().await;
    let before = node.process.peak_bytes();
    let mut client = node.connect().await;
    let head = format!("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
    client.send(head).await.unwrap();
    let piece = vec![b'x'; PIECE];
    let pieces = LARGE / u64::try_from(PIECE).unwrap();
    for _ in 0..pieces {
        client.send(&piece).await.unwrap();
    }
    let echo = client.answer().await.unwrap().json().unwrap();
    assert_eq!(echo["body"]["length"], LARGE);
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_read_holds_the_client_back() {
    let script = Script::without_reading_the_body()
        .pause(Duration::from_secs(3))
        .write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .reset();
    let node = Node::before(Upstream::scripted(script).await).await;
    let before = node.process.peak_bytes();
    let mut client = node.connect().await;
    let head = format!("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
    client.send(head).await.unwrap();
    let piece = vec![b'x'; PIECE];
    let sending = async {
        for _ in 0..LARGE / u64::try_from(PIECE).unwrap() {
            client.send(&piece).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    // The sockets between take some megabytes, and then nothing more.
    assert!(
        tokio::time::timeout(Duration::from_secs(2), sending)
            .await
            .is_err()
    );
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let script = Script::chunked(
        "200 OK",
        &[("trailer", "x-sum")],
        &["ab", "c"],
        &[("x-sum", "6")],
    );
    let node = Node::before(Upstream::scripted(script).await).await;
    let answer = node
        .call("POST /open/x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n")
        .await;
    assert_eq!(answer.text(), "abc");
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "6".to_owned())]);
    let received = node.upstream.received();
    assert_eq!(received[0].trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_made_to_look_whole() {
    for script in [
        Script::new()
            .write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort")
            .close(),
        Script::new()
            .write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .write_chunk("short")
            .close(),
        Script::new()
            .write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .write_chunk("short")
            .pause(Duration::from_millis(50))
            .reset(),
    ] {
        let node = Node::before(Upstream::scripted(script).await).await;
        let mut client = node.connect().await;
        client.send(get("/open/x", None, "")).await.unwrap();
        let answer = client.answer().await;
        assert!(answer.is_err(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_call() {
    let node = Node::before(Upstream::scripted(Script::new().wait_until_closed()).await).await;
    let mut client = node.connect().await;
    client.send(get("/open/x", None, "")).await.unwrap();
    until("the call arrives", async || {
        node.upstream.received().len() == 1
    })
    .await;
    drop(client);
    until("the upstream is left", async || node.upstream.left() == 1).await;
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused() {
    let bound = "max_body: 10";
    let node = Node::with(Upstream::echo().await, "workers: 1", bound).await;
    let token = node.issuer.token(|claims| claims);
    let head = format!("POST /guarded/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n");
    for (rest, status) in [
        ("Content-Length: 10\r\n\r\n0123456789", 200),
        ("Content-Length: 11\r\n\r\n0123456789a", 413),
        (
            "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
            200,
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n1\r\na\r\n0\r\n\r\n",
            413,
        ),
    ] {
        let answer = node.call(format!("{head}{rest}")).await;
        assert_eq!(answer.status, status, "{rest:?}");
        if status == 413 {
            assert_eq!(code(&answer), "body_too_large", "{rest:?}");
        }
    }
    assert_eq!(node.upstream.received().len(), 2);
}

#[tokio::test]
async fn connections_to_the_upstream_are_used_again() {
    let node = Node::with(Upstream::echo().await, "workers: 1", "").await;
    for _ in 0..20 {
        assert_eq!(node.call(get("/open/x", None, "")).await.status, 200);
    }
    assert_eq!(node.upstream.connections(), 1);
}

#[tokio::test]
async fn an_upstream_that_is_away_is_told_as_such() {
    let gone = Upstream::echo().await;
    let address = gone.address();
    let node = Node::before(gone).await;
    let Node {
        process, upstream, ..
    } = node;
    drop(upstream);
    let answer = super::node::call(process.gateway(), get("/open/x", None, "")).await;
    assert_eq!(
        (answer.status, code(&answer).as_str()),
        (502, "upstream_unreachable")
    );
    assert!(
        !answer.text().contains(&address.to_string()),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn shutdown_finishes_what_runs() {
    let slow = Script::new()
        .pause(Duration::from_secs(1))
        .write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")
        .pause(Duration::from_secs(1))
        .write("done");
    let node = Node::before(Upstream::scripted(slow).await).await;
    let Node {
        process, upstream, ..
    } = node;
    let gateway = process.gateway();
    let mut client = RawClient::connect(gateway).await.unwrap();
    client.send(get("/open/x", None, "")).await.unwrap();
    until("the call arrives", async || upstream.received().len() == 1).await;
    let stopping = tokio::spawn(process.stop());
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "halfdone"));
    let (status, log) = stopping.await.unwrap();
    assert!(status.success(), "{log}");
    assert!(RawClient::connect(gateway).await.is_err());
}
