//! How a node protects itself.

use super::{Example, assert_refused, call};
use crate::gateway::node::get;
use keyward_testkit::{Gate, RawClient, Script, Upstream, until};

#[tokio::test]
async fn overload() {
    let gate = Gate::shut();
    let slow = Upstream::scripted(
        Script::new()
            .wait_for(&gate)
            .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone"),
    )
    .await;
    let address = slow.address().to_string();
    let moved = [
        ("127.0.0.1:9000", address.as_str()),
        // A bound is shared out to the workers, and the system decides which of them gets a connection.
        ("limits:\n", "workers: 1\nlimits:\n"),
        ("calls_in_flight: 1000", "calls_in_flight: 2"),
    ];
    let example = Example::with("overload.yaml", &moved, &[]).await;
    let mut running = Vec::new();
    while running.len() < 2 {
        let mut client = RawClient::connect(example.process.gateway()).await.unwrap();
        client.send(get("/orders/7", None, "")).await.unwrap();
        let wanted = running.len() + 1;
        tokio::select! {
            // On a busy machine the worker may be behind, and refuse for that.
            answer = client.answer() => assert_refused(&answer.unwrap(), 503, "overloaded"),
            () = until("a call is under way", async || slow.received().len() == wanted) => {
                running.push(client);
            }
        }
    }
    let refused = call(example.process.gateway(), get("/orders/7", None, "")).await;
    assert_refused(&refused, 503, "overloaded");
    assert_eq!(refused.head.field("retry-after"), Some("1"));
    gate.open();
    for client in &mut running {
        assert_eq!(client.answer().await.unwrap().text(), "done");
    }
    assert_eq!(slow.received().len(), 2);
}
