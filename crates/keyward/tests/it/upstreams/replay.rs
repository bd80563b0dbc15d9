//! Bodies that are sent again: from their first byte, or not at all.

use super::{answering, node};
use crate::node::{Node, check_passed};
use keyward_testkit::{RawClient, Upstream};

const REST: &str = "ejection: none, retries: { on: [503], replay_bytes: 1KiB, backoff: 1ms }";

async fn two() -> (Node, Upstream, Upstream) {
    let (busy, echo) = (
        answering("503 Service Unavailable").await,
        Upstream::echo().await,
    );
    let node = node(&[busy.url(), echo.url()], REST).await;
    (node, busy, echo)
}

#[tokio::test]
async fn a_kept_body_arrives_whole_at_the_second_target() {
    let (node, busy, echo) = two().await;
    let body = "0123456789".repeat(100);
    for _ in 0..6 {
        check_passed(&node.call("OPTIONS", "/many/x", &[], &body).await);
    }
    assert!(!busy.received().is_empty());
    for received in echo.received().iter().chain(&busy.received()) {
        assert_eq!(received.body, body.as_bytes());
        assert_eq!(received.head.field("content-length"), Some("1000"));
    }
    assert_eq!(echo.received().len(), 6);
}

#[tokio::test]
async fn a_kept_body_in_chunks_arrives_with_its_trailers() {
    let (node, busy, echo) = two().await;
    for _ in 0..6 {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        let head = "OPTIONS /many/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client
            .send(format!(
                "{head}3\r\nabc\r\n4\r\ndefg\r\n0\r\nx-sum: 7\r\n\r\n"
            ))
            .await
            .unwrap();
        check_passed(&client.answer().await.unwrap());
    }
    assert!(!busy.received().is_empty());
    for received in echo.received() {
        assert_eq!(received.body, b"abcdefg");
        assert_eq!(received.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    }
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_sent_once() {
    let (node, busy, echo) = two().await;
    let body = "x".repeat(1025);
    let mut told = 0;
    for _ in 0..6 {
        let answer = node.call("OPTIONS", "/many/x", &[], &body).await;
        told += usize::from(answer.status == 503);
    }
    assert!(told > 0);
    assert_eq!(busy.received().len(), told);
    assert_eq!(echo.received().len(), 6 - told);
}
