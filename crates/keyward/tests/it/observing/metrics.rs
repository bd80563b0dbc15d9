//! The page of metrics, read by Prometheus' own client library.

use super::read;
use crate::node::{Plan, check_passed};
use std::path::Path;

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

/// Names of families in a text, each with whether it is the beginning of several.
fn named(text: &str) -> Vec<(&str, bool)> {
    let part = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut names = Vec::new();
    for prefix in ["keyward_", "process_"] {
        for (at, _) in text.match_indices(prefix) {
            if text[..at].ends_with(part) {
                continue;
            }
            let rest = &text[at..];
            let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
            let name = rest[..end].trim_end_matches("_bucket");
            names.push((name, rest[end..].starts_with('*')));
        }
    }
    names
}

#[tokio::test]
async fn the_guides_speak_of_metrics_that_are_there() {
    let node = Plan::default()
        .settings("tracing: { endpoint: \"https://collector.invalid\" }\nshared_state: redis://127.0.0.1:1")
        .api("open", "authentication: none")
        .start()
        .await;
    let page = node
        .process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text();
    let families: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let guides = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides");
    let mut seen = 0;
    for guide in ["observing.md", "running.md", "upstreams.md", "routing.md"] {
        let text = std::fs::read_to_string(guides.join(guide)).unwrap();
        for (name, several) in named(&text) {
            seen += 1;
            let there = families.iter().any(|family| match several {
                true => family.starts_with(name),
                false => *family == name,
            });
            assert!(there, "{guide}: there is no {name}");
        }
    }
    assert!(seen > 30);
}
