//! Clients of HTTP/3 that ask for much work with few bytes.

use super::Http3Node;
use super::peer::{self, GET, POST, headers, one};
use crate::gateway::open_node::until;
use keyward_testkit::{Script, Upstream};
use serde_json::json;

/// What the process may grow by under any of these.
const GROWTH_MAX: u64 = 32 * 1024 * 1024;
const EXCESSIVE_LOAD: u64 = 0x107;

#[tokio::test(flavor = "multi_thread")]
async fn who_floods_a_connection_has_to_go_and_the_node_serves_on() {
    let node =
        Http3Node::before(Upstream::scripted(Script::answer("200 OK", &[], "x")).await).await;
    let before = node.process.peak_bytes();
    let unknown = json!(["frames", [0x21, "", 400_000]]);
    let empty = json!(["frames", [0x0, "", 2_000_000]]);
    // Frames of the control stream that nobody knows: each has a head of two bytes.
    let control = "2100".repeat(2_000_000);
    let floods = [
        (
            "unknown frames",
            one(&[
                headers(&POST),
                unknown,
                json!(["frames", [0x21, "", 1_000_000]]),
            ]),
        ),
        ("empty pieces of a body", one(&[headers(&POST), empty])),
        (
            "frames of the control stream",
            json!({ "control": control, "until_closed": true }),
        ),
    ];
    for (what, case) in floods {
        let outcome = peer::run(&node, &[case]).await.remove(0);
        assert_eq!(outcome["closed"], EXCESSIVE_LOAD, "{what}: {outcome}");
    }
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
    let outcome = peer::run(&node, &[one(&[headers(&GET)])]).await.remove(0);
    assert_eq!(peer::status(&outcome), Some(200));
    let log = node.process.log();
    assert_eq!(log.matches("a client was told to go").count(), 3, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sections_that_are_announced_without_end_are_not_waited_for() {
    let node = Http3Node::before(Upstream::echo().await).await;
    let before = node.process.peak_bytes();
    // A header section of a gigabyte, of which much comes.
    let huge = format!("01c000000040000000{}", "00".repeat(4 * 1024 * 1024));
    // The same as settings.
    let settings = format!("0004c000000040000000{}", "00".repeat(1024 * 1024));
    let cases = [
        json!({ "requests": [ { "parts": [["bytes", huge]], "ends": false } ] }),
        json!({ "silent": true, "one_way": [settings], "until_closed": true }),
    ];
    let outcomes = peer::run(&node, &cases).await;
    assert_eq!(peer::status(&outcomes[0]), Some(431), "{}", outcomes[0]);
    assert_eq!(outcomes[1]["closed"], EXCESSIVE_LOAD, "{}", outcomes[1]);
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_off_more_calls_than_are_answered_has_to_go() {
    let node = Http3Node::before(Upstream::scripted(Script::new().wait_until_closed()).await).await;
    let reset = json!({ "parts": [headers(&GET)], "apart": 0.005, "resets": 0x10c });
    let many =
        |count: usize| json!({ "requests": vec![reset.clone(); count], "until_closed": true });
    let outcome = peer::run(&node, &[many(400)]).await.remove(0);
    assert_eq!(outcome["closed"], EXCESSIVE_LOAD, "{outcome}");
    // Each that was begun was broken off behind it too.
    until("the upstream is left", || {
        node.upstream.left() == node.upstream.connections()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_streams_only_to_reset_them_has_to_go() {
    let node = Http3Node::before(Upstream::echo().await).await;
    // None of them has a byte, and nothing else is sent.
    let case = json!({ "silent": true, "only_resets": 1000, "until_closed": true });
    let outcome = peer::run(&node, &[case]).await.remove(0);
    assert_eq!(outcome["closed"], EXCESSIVE_LOAD, "{outcome}");
    assert!(node.upstream.received().is_empty());
}
