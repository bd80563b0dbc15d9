//! What the access log tells, and what it keeps to itself.

use super::{edit, until_metric};
use crate::node::Plan;
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// The lines, as soon as there are so many.
async fn lines(path: &Path, count: usize) -> Vec<Value> {
    for _ in 0..500 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count {
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
            return lines.collect();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("fewer than {count} lines in {}", path.display());
}

#[tokio::test]
async fn fields_are_chosen_and_masked_and_a_reload_changes_both() {
    let issuer = Issuer::new("main", A::Es256);
    let node = Plan::default()
        .settings("workers: 1\naccess_log: { format: json, destination: { file: access.log }, omit: [request_id, path], mask: [subject, address] }")
        .resource(issuer.resource(""))
        .api("guarded", &issuer.authentication(""))
        .start()
        .await;
    let log = node.process.folder().join("access.log");
    for subject in ["alice", "alice", "bob"] {
        let token = issuer.token_of(subject);
        assert_eq!(node.get_with("/guarded/secret", &token).await.status, 200);
    }
    let before = lines(&log, 3).await;
    for line in &before {
        assert!(line.get("path").is_none() && line.get("request_id").is_none());
        assert_eq!(line["status"], 200);
        assert_eq!(line["address"], "127.0.0.0");
    }
    let subjects: Vec<&str> = before
        .iter()
        .map(|line| line["subject"].as_str().unwrap())
        .collect();
    assert!(subjects[0].starts_with("hash:"), "{subjects:?}");
    assert_eq!(subjects[0], subjects[1]);
    assert_ne!(subjects[0], subjects[2]);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("alice") && !text.contains("/guarded/secret"));

    edit(&node.process, |text| {
        text.replace(
            "omit: [request_id, path], mask: [subject, address]",
            "fields: [subject, status]",
        )
    });
    until_metric(&node.process, "keyward_revision", 2).await;
    let token = issuer.token_of("carol");
    node.get_with("/guarded/x", &token).await;
    let after = lines(&log, 4).await;
    assert_eq!(after[3].to_string(), r#"{"status":200,"subject":"carol"}"#);
}

#[tokio::test]
async fn of_calls_that_pass_a_sample_is_logged_and_of_failures_each() {
    let node = Plan::default()
        .settings("workers: 1\naccess_log: { format: json, destination: { file: access.log }, sample: 0 }")
        .api("open", "authentication: none")
        .start()
        .await;
    for _ in 0..5 {
        assert_eq!(node.get("/open/x", &[]).await.status, 200);
    }
    assert_eq!(node.get("/nowhere", &[]).await.status, 404);
    let lines = lines(&node.process.folder().join("access.log"), 1).await;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["code"], "not_found");
}
