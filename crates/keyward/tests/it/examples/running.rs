//! How a node protects itself.

use super::{Example, assert_refused, call};
use crate::gateway::node::get;
use keyward_testkit::{RawClient, Script, Upstream, until};
use std::time::Duration;

#[tokio::test]
async fn overload() {
    let slow = Upstream::scripted(
        Script::new()
            .pause(Duration::from_secs(2))
            .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone"),
    )
    .await;
    let address = slow.address().to_string();
    let moved = [
        ("127.0.0.1:9000", address.as_str()),
        ("calls_in_flight: 1000", "calls_in_flight: 2"),
    ];
    let example = Example::with("overload.yaml", &moved, &[]).await;
    let mut running = Vec::new();
    for _ in 0..2 {
        let mut client = RawClient::connect(example.process.gateway()).await.unwrap();
        client.send(get("/orders/7", None, "")).await.unwrap();
        running.push(client);
    }
    until("two calls are under way", async || {
        slow.received().len() == 2
    })
    .await;
    let refused = call(example.process.gateway(), get("/orders/7", None, "")).await;
    assert_refused(&refused, 503, "overloaded");
    assert_eq!(refused.head.field("retry-after"), Some("1"));
    for client in &mut running {
        assert_eq!(client.answer().await.unwrap().text(), "done");
    }
    assert_eq!(slow.received().len(), 2);
}
