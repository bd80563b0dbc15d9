//! Keys in a PKCS#11 token: SoftHSM's, in a folder of each test's own.

mod master_key;
mod signing_keys;
mod token;
mod twice;

use crate::management::{Managed, back};
use keyward_testkit::{KeywardProcess, RawClient, until};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};
use token::SoftToken;

/// Runs a command in a node's folder, with the token in its environment.
fn run(token: &SoftToken, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(arguments)
        .current_dir(folder)
        .envs(token.environment())
        .output()
        .unwrap()
}

#[track_caller]
fn good(token: &SoftToken, folder: &Path, arguments: &[&str]) -> String {
    let output = run(token, folder, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that is refused says. The PIN is never in it.
#[track_caller]
fn refused(token: &SoftToken, folder: &Path, arguments: &[&str]) -> String {
    let output = run(token, folder, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    for pin in [token::PIN, token::WRONG_PIN] {
        assert!(!error.contains(pin), "{error}");
    }
    error
}

/// An API at `/keyed` that takes an API key, and an issuer with a secret.
async fn keyed(managed: &Managed, key: &str) {
    managed.declare("upstreams", back(managed)).await;
    managed
        .declare("credentials", json!({ "name": "partner", "api_key": key }))
        .await;
    let api = json!({
        "name": "keyed", "version": "v1", "state": "published", "base_path": "/keyed", "upstream": "back",
        "authentication": { "api_key": { "header": "x-api-key" } },
    });
    managed.declare("apis", api).await;
    let secret = "a-secret-that-is-sealed-under-the-master-key";
    let issuer = json!({ "name": "shared", "issuer": "https://shared.example", "secret": secret });
    managed.declare("issuers", issuer).await;
}

/// What is sealed opens: the API key counts, and so does a token that the node has signed.
async fn opens(managed: &Managed, key: &str) {
    let answer = managed.node.get("/keyed/x", &[("x-api-key", key)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(managed.get("/me").await["name"], "root");
}

#[tokio::test]
async fn the_example_has_its_master_key_and_its_signing_keys_in_the_token() {
    let token = SoftToken::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pkcs11.yaml");
    let example = std::fs::read_to_string(example).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pkcs11.yaml"), &example).unwrap();
    let mut environment = token.environment().to_vec();
    environment.push(("TOKEN_PIN", token::PIN.to_owned()));
    for arguments in [
        &["check", "--config", "pkcs11.yaml"][..],
        &["keys", "make-master", "--config", "pkcs11.yaml"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(arguments)
            .current_dir(folder.path())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.is_empty(), "{told}");
    }
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let binary = env!("CARGO_BIN_EXE_keyward");
    let process = KeywardProcess::start_configured(binary, &example, &environment, &[]).await;
    let path = "/.well-known/jwks.json/default/machines";
    until("the set of the example is published", async || {
        let mut client = RawClient::connect(process.gateway()).await.unwrap();
        client
            .send(crate::node::request("GET", path, &[], ""))
            .await
            .unwrap();
        client
            .answer()
            .await
            .is_ok_and(|answer| answer.status == 200)
    })
    .await;
    // Those of `self` and those of the set, each with its successor.
    until("the token has them", async || {
        token.private_keys().len() == 6
    })
    .await;
    assert!(!process.folder().join("keyward-data/master.key").exists());
}
