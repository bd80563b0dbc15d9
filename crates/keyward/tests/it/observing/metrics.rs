//! The page of metrics, read by Prometheus' own client library.

use super::read;
use crate::node::{Plan, check_passed};

#[tokio::test]
async fn the_client_library_of_prometheus_reads_the_whole_page() {
    let node = Plan::default()
        .settings("workers: 2\naccess_log: { destination: off }")
        .api(
            "open",
            "authentication: none, rate_limits: [ { by: route, requests: 10, per: 1h } ]",
        )
        .start()
        .await;
    check_passed(&node.get("/open/x", &[]).await);
    let page = node
        .process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text();
    let families = read("metrics", &page);
    let families = families.as_object().unwrap();
    let types = page.lines().filter(|line| line.starts_with("# TYPE "));
    assert_eq!(families.len(), types.count(), "{families:#?}\n{page}");
    for (family, kind) in [
        ("keyward_requests", "counter"),
        ("keyward_worker_delay_seconds", "gauge"),
        ("keyward_limit_refusals", "counter"),
        ("keyward_request_duration_seconds", "histogram"),
        ("process_cpu_seconds", "counter"),
    ] {
        assert_eq!(families[family][0], kind, "{family}");
    }
    let of_page = page.lines().filter(|line| !line.starts_with('#')).count() as u64;
    let read: u64 = families
        .values()
        .map(|family| family[1].as_u64().unwrap())
        .sum();
    assert_eq!(read, of_page);
}
