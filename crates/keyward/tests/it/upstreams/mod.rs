//! Upstreams with targets that fail: which calls pass all the same, and what is never sent twice.

mod balance;
mod bounds;
mod connecting;
mod failures;
mod health;
mod http2;
mod names;
mod reload;
mod replay;

use crate::node::{Node, Plan};
use keyward_testkit::{ChaosProxy, KeywardProcess, Script, Upstream, Weather, free_addresses};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A node with the API `/many` on these targets, and with whatever is said of their upstream.
pub(crate) async fn node(targets: &[String], rest: &str) -> Node {
    plan(targets, rest).start().await
}

pub(crate) fn plan(targets: &[String], rest: &str) -> Plan {
    Plan::default()
        .settings("workers: 2")
        .upstream("many", targets, rest)
        .api_at("many", "/many", "many", "authentication: none")
}

/// An address where nobody listens.
pub(crate) fn dead() -> String {
    let [address] = free_addresses();
    format!("http://{address}")
}

/// An upstream behind a network that takes connections and breaks them off.
pub(crate) async fn breaking(upstream: &Upstream) -> ChaosProxy {
    let proxy = ChaosProxy::before(upstream.address()).await;
    proxy.set(Weather {
        refuse: true,
        ..Weather::default()
    });
    proxy
}

/// An upstream that answers each request with this status.
pub(crate) async fn answering(status: &str) -> Upstream {
    Upstream::scripted(Script::answer(status, &[], "no")).await
}

/// The value of a target's metric, or of the upstream's where no target is named.
pub(crate) async fn metric(process: &KeywardProcess, name: &str, target: Option<&str>) -> u64 {
    let page = process.operations_get("/metrics").await.unwrap().text();
    let target = target.map_or_else(String::new, |url| format!(",target=\"{url}\""));
    let begin = format!("keyward_upstream_{name}{{team=\"default\",upstream=\"many\"{target}}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&begin));
    let value = value.unwrap_or_else(|| panic!("no {begin} in\n{page}"));
    value.parse().unwrap()
}

/// Waits until the metric has the value.
pub(crate) async fn until(process: &KeywardProcess, name: &str, target: &str, value: u64) {
    let waiting = async {
        while metric(process, name, Some(target)).await != value {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{name} of {target} did not become {value}");
}
