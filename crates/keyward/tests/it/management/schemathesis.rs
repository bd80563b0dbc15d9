//! The OpenAPI document held against the node, by a tool that others wrote: it calls every endpoint as the document
//! says, and as it doesn't.

use super::{Managed, back, open_api};
use crate::node::Plan;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// How many calls each endpoint gets of each kind; more find more and take longer.
const EXAMPLES: &str = "3";

/// The tags of each test but the last, which takes all others that the document has: so none is forgotten.
const APIS: &[&str] = &["apis"];
const ISSUERS_AND_UPSTREAMS: &[&str] = &["issuers", "upstreams"];
const CREDENTIALS_ROLES_AND_POLICIES: &[&str] = &[
    "credentials",
    "roles",
    "access-policies",
    "management-roles",
];
const KEYS_AND_WEBHOOKS: &[&str] = &["key-sets", "keys", "webhooks"];
const MODELS_AND_PROMPTS: &[&str] = &["providers", "models", "prompts"];

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_violation_of_apis() {
    check(&start().await, APIS);
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_violation_of_issuers_and_upstreams() {
    check(&start().await, ISSUERS_AND_UPSTREAMS);
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_violation_of_credentials_roles_and_policies() {
    check(&start().await, CREDENTIALS_ROLES_AND_POLICIES);
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_violation_of_keys_and_webhooks() {
    check(&start().await, KEYS_AND_WEBHOOKS);
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_violation_of_models_and_prompts() {
    check(&start().await, MODELS_AND_PROMPTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_violation_of_all_else() {
    let managed = start().await;
    let document = managed.get("/openapi.json").await;
    let methods = document["paths"].as_object().unwrap().values();
    let operations = methods.flat_map(|methods| methods.as_object().unwrap().values());
    let tags = operations.flat_map(|operation| operation["tags"].as_array().unwrap());
    let mut tags: BTreeSet<&str> = tags.map(|tag| tag.as_str().unwrap()).collect();
    for tag in [
        APIS,
        ISSUERS_AND_UPSTREAMS,
        CREDENTIALS_ROLES_AND_POLICIES,
        KEYS_AND_WEBHOOKS,
        MODELS_AND_PROMPTS,
    ]
    .concat()
    {
        assert!(
            tags.remove(tag),
            "no endpoint has the tag {tag}, or two tests take it"
        );
    }
    check(&managed, &Vec::from_iter(tags));
}

/// A node that limits nothing of what a tool asks.
async fn start() -> Managed {
    // It calls more often than people do, and most of it is meant to be refused.
    let limits = "site: { failed_attempts: { attempts: 1000000 }, calls: { requests: 1000000 } }";
    let managed = Managed::start(Plan::default().settings(limits)).await;
    managed.declare("upstreams", back(&managed)).await;
    managed.declare("apis", open_api("there")).await;
    managed
}

/// Of the endpoints with one of these tags.
fn check(managed: &Managed, tags: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("../../.venv/bin/schemathesis");
    assert!(
        program.is_file(),
        "schemathesis is needed: `cargo xtask test` installs it into .venv"
    );
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
