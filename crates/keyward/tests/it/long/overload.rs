//! Twice as many calls as a node lets in.

use super::paced::Pace;
use crate::node::Plan;
use crate::running::metric;
use keyward_testkit::{Script, Upstream};
use std::time::Duration;

/// How long the upstream takes for each call.
const SLOW: Duration = Duration::from_millis(100);
/// How many calls the node lets be under way.
const IN_FLIGHT: u64 = 64;
/// How many times as long as at half the capacity what is let in may take, of a hundred calls all but one.
const SLOWER_AT_MOST: u32 = 5;
const TIME: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_twice_the_capacity_what_was_let_in_is_answered_and_the_rest_refused_at_once() {
    let slow = Upstream::scripted(
        Script::new()
            .pause(SLOW)
            .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone"),
    )
    .await;
    let node = Plan::default()
        .settings(&format!(
            "workers: 1\nlimits: {{ calls_in_flight: {IN_FLIGHT} }}\naccess_log: {{ destination: off }}"
        ))
        .upstream("slow", &[slow.url()], "")
        .api_at("slow", "/slow", "slow", "authentication: none")
        .start()
        .await;
    node.process.pin(0);
    let capacity = IN_FLIGHT * 1_000 / u64::try_from(SLOW.as_millis()).unwrap();
    let pace = |rate| Pace {
        gateway: node.gateway(),
        path: "/slow/x",
        rate,
        some_leave: false,
    };
    let half = pace(capacity / 2).go_on(TIME / 4).await;
    let twice = pace(capacity * 2).go_on(TIME).await;
    for (load, outcomes) in [("half", &half), ("twice", &twice)] {
        println!(
            "{load} the capacity of {capacity}/s: {} answered (p50 {:?}, p99 {:?}), {} refused (p50 {:?}, p99 {:?})",
            outcomes.count(200),
            outcomes.percentile(200, 50),
            outcomes.percentile(200, 99),
            outcomes.count(503),
            outcomes.percentile(503, 50),
            outcomes.percentile(503, 99),
        );
        assert!(outcomes.failed.is_empty(), "{:?}", outcomes.failed.first());
    }
    assert_eq!(half.count(503), 0);
    let statuses: Vec<u16> = twice.took.keys().copied().collect();
    assert_eq!(statuses, [200, 503]);
    // Within one run, whatever the machine does beside: what was let in does not wait for what was not.
    let (calm, crowded) = (half.percentile(200, 99), twice.percentile(200, 99));
    assert!(
        crowded <= calm * SLOWER_AT_MOST,
        "{calm:?}, then {crowded:?}"
    );
    let (shed, admitted) = (twice.percentile(503, 99), twice.percentile(200, 50));
    assert!(
        shed < admitted,
        "refused after {shed:?}, answered after {admitted:?}"
    );
    // Each that was let in reached the upstream, and no other did.
    assert_eq!(slow.received().len(), half.count(200) + twice.count(200));
    let shed = metric(&node.process, "keyward_shed_requests_total").await;
    assert_eq!(shed, u64::try_from(twice.count(503)).unwrap());
    // What it can do it does: half of all calls but for what the machine does beside.
    let all = twice.count(200) + twice.count(503);
    let share = twice.count(200) * 100 / all;
    assert!((30..=70).contains(&share), "{share} % were answered");
}
