//! Reloads and upgrades again and again under load: not one call fails.

use crate::node::{Node, Plan};
use crate::running::load::Load;
use crate::running::{edit, until_metric};
use std::fmt::Write as _;

const RELOADS: u64 = 100;
const UPGRADES: usize = 10;
const CLIENTS: usize = 16;
/// Between two changes, so that each connection has had some calls since the last one.
const CALLS_BETWEEN: u64 = 500;
/// More than one answer's worth of routes, so that a reload takes some time to compile.
const FURTHER_APIS: usize = 500;
/// What may come on top: the allocator's own slack.
const GROWTH_BYTES: u64 = 32 << 20;

async fn node() -> Node {
    let mut plan = Plan::default()
        .settings("workers: 2\naccess_log: { destination: off }")
        .api("open", "authentication: none");
    for number in 0..FURTHER_APIS {
        let mut name = String::new();
        write!(name, "api-{number}").unwrap();
        plan = plan.api(&name, "authentication: none");
    }
    plan.start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_under_load_fail_no_call() {
    let node = node().await;
    let load = Load::on(node.gateway(), CLIENTS);
    let mut after_the_first = 0;
    for reload in 0..RELOADS {
        load.more(CALLS_BETWEEN).await;
        // Another name each time: what is gone must not stay in memory.
        edit(&node.process, |text| {
            text.replace(
                &format!("/api-0-{reload}"),
                &format!("/api-0-{}", reload + 1),
            )
            .replace("base_path: /api-0,", "base_path: /api-0-1,")
        });
        until_metric(&node.process, "keyward_revision", reload + 2).await;
        if reload == RELOADS / 10 {
            after_the_first = node.process.resident_bytes();
        }
    }
    let calls = load.finish().await;
    let after = node.process.resident_bytes();
    assert!(calls >= RELOADS * CALLS_BETWEEN);
    assert!(
        after <= after_the_first + GROWTH_BYTES,
        "{RELOADS} reloads took memory from {after_the_first} to {after} bytes"
    );
    let (status, log) = node.process.stop().await;
    assert!(status.success(), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_upgrades_under_load_fail_no_call() {
    let mut node = node().await;
    let load = Load::on(node.gateway(), CLIENTS);
    for upgrade in 0..UPGRADES {
        load.more(CALLS_BETWEEN).await;
        let workers = |count: usize| format!("workers: {count}");
        edit(&node.process, |text| {
            text.replace(&workers(2 + upgrade % 3), &workers(2 + (upgrade + 1) % 3))
        });
        let status = node.process.take_over().await;
        assert!(status.success(), "{}", node.process.log());
    }
    load.more(CALLS_BETWEEN).await;
    let calls = load.finish().await;
    assert!(calls >= UPGRADES as u64 * CALLS_BETWEEN);
    let (status, log) = node.process.stop().await;
    assert!(status.success(), "{log}");
}
