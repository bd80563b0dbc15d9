//! Upstreams that speak HTTP/2 in clear.

use super::node;
use crate::node::{Node, check_passed};
use keyward_testkit::Http2Upstream;

async fn node_of(upstream: &Http2Upstream, rest: &str) -> Node {
    node(
        &[upstream.url()],
        &format!(
            "protocol: http2{}{rest}",
            if rest.is_empty() { "" } else { ", " }
        ),
    )
    .await
}

#[tokio::test]
async fn a_call_passes_in_the_form_of_http2() {
    let echo = Http2Upstream::echo().await;
    let node = node_of(&echo, "").await;
    let answer = node
        .call("POST", "/many/orders?page=2", &[("X-One", "1")], "body")
        .await;
    check_passed(&answer);
    let told = answer.json().unwrap();
    assert_eq!(told["method"], "POST");
    assert_eq!(told["target"], "/orders?page=2");
    assert_eq!(told["body"]["text"], "body");
    let received = echo.received().pop().unwrap();
    let authority = echo.address().to_string();
    assert_eq!(received.head.field(":authority"), Some(&*authority));
    assert_eq!(received.head.field("host"), None);
    assert_eq!(received.head.field("x-one"), Some("1"));
    assert_eq!(received.head.field("content-length"), Some("4"));
    assert_eq!(received.head.field("connection"), None);
    check_passed(&node.get("/many/x", &[]).await);
    let received = echo.received().pop().unwrap();
    assert_eq!(received.head.field("content-length"), None);
}
