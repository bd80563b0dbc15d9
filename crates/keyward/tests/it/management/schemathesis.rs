//! The OpenAPI document held against the node, by a tool that others wrote: it calls every endpoint as the document
//! says, and as it doesn't.

use super::{Managed, back, open_api};
use crate::node::Plan;
use std::path::Path;
use std::process::Command;

/// How many calls each endpoint gets of each kind; more find more and take longer.
const EXAMPLES: &str = "3";

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_violation_of_apis() {
    check(&["apis"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_violation_of_issuers_and_upstreams() {
    check(&["issuers", "upstreams"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_violation_of_credentials_roles_and_policies() {
    check(&[
        "credentials",
        "roles",
        "access-policies",
        "management-roles",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_violation_of_all_else() {
    let tags = [
        "about",
        "teams",
        "members",
        "tokens",
        "declarative",
        "audit",
        "revisions",
        "revocations",
    ];
    check(&tags).await;
}

/// Of the endpoints with one of these tags.
async fn check(tags: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("../../.venv/bin/schemathesis");
    assert!(
        program.is_file(),
        "schemathesis is needed: `cargo xtask test` installs it into .venv"
    );
    // It calls more often than people do, and most of it is meant to be refused.
    let limits = "site: { failed_attempts: { attempts: 1000000 }, calls: { requests: 1000000 } }";
    let managed = Managed::start(Plan::default().settings(limits)).await;
    managed.declare("upstreams", back(&managed)).await;
    managed.declare("apis", open_api("there")).await;
    let site = managed.node.process.site();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .arg("--config-file")
        .arg(root.join("tests/it/management/schemathesis.toml"))
        .args(["run", &format!("http://{site}/api/v1/openapi.json")])
        .args([
            "--header",
            &format!("Authorization: Bearer {}", managed.token),
        ])
        .args(tags.iter().flat_map(|tag| ["--include-tag", tag]))
        // Streams last for a minute each, and have a test of their own.
        .args(["--exclude-path-regex", "/events$"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", EXAMPLES, "--seed", "7", "--no-color"])
        .args([
            "--suppress-health-check",
            "all",
            "--generation-database",
            "none",
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (told, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{told}\n{error}\n{}",
        managed.node.process.log()
    );
}
