//! The example of several nodes on one PostgreSQL.

use super::Example;
use keyward_testkit::{PostgresServer, until};
use serde_json::json;
use std::process::Command;

const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

#[tokio::test]
async fn postgres() {
    let server = PostgresServer::start().await;
    server.sql("postgres", "CREATE DATABASE keyward");
    let address = server.address().to_string();
    let moved = [("127.0.0.1:5432", address.as_str())];
    let environment = [("KEYWARD_MASTER_KEY", MASTER_KEY)];
    let one = Example::with("postgres.yaml", &moved, &environment).await;
    let other = Example::with("postgres.yaml", &moved, &environment).await;
    let mut sets = Vec::new();
    for node in [&one, &other] {
        let set = node.get("/.well-known/jwks.json", None, "").await;
        sets.push(set.json().unwrap());
    }
    assert_eq!(sets[0], sets[1]);
    // Each has an issuer's key of its own here, so that its own token passes.
    let claims = json!({ "iss": "https://issuer.bench", "sub": "alice", "aud": "orders-api" });
    let token = other.token(&claims);
    assert_eq!(other.get("/orders", Some(&token), "").await.status, 200);
    let revoked = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args([
            "revoke",
            "subject",
            "alice",
            "--issuer",
            "bench",
            "--config",
            "keyward.yaml",
        ])
        .env("KEYWARD_MASTER_KEY", MASTER_KEY)
        .current_dir(one.process.folder())
        .output()
        .unwrap();
    assert!(revoked.status.success(), "{revoked:?}");
    until("the other refuses", async || {
        other.get("/orders", Some(&token), "").await.status == 401
    })
    .await;
}
