//! The example of a key set.

use super::{Example, assert_refused};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test]
async fn key_sets() {
    let example = Example::run("key-sets.yaml").await;
    let site = example.process.site();
    let secret = example.process.folder().join("keyward-data/setup-secret");
    let secret = std::fs::read_to_string(secret).unwrap();
    let post = async |path: &str, token: Option<&str>, body: Value| {
        let body = body.to_string();
        let bearer = token.map_or_else(String::new, |token| {
            format!("authorization: Bearer {token}\r\n")
        });
        let text = format!(
            "POST /api/v1{path} HTTP/1.1\r\nhost: {site}\r\ncontent-type: application/json\r\n{bearer}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let answer = super::call(site, text).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
        answer.json().unwrap()
    };
    let claim = json!({ "name": "alice", "secret": secret.trim() });
    let admin = post("/setup", None, claim).await;
    let admin = admin["token"].as_str().unwrap();
    let path = "/teams/default/key-sets/machines/tokens";
    let mut signers = BTreeSet::new();
    let asked = |audience: &str| json!({ "claims": { "sub": "pump-7", "aud": audience }, "expires_in": "5m" });
    let made = post(path, Some(admin), asked("readings-api")).await;
    signers.insert(made["kid"].as_str().unwrap().to_owned());
    let token = made["token"].as_str().unwrap();
    assert_eq!(example.get("/readings", Some(token), "").await.status, 200);
    let made = post(path, Some(admin), asked("another-api")).await;
    let token = made["token"].as_str().unwrap();
    let refused = example.get("/readings", Some(token), "").await;
    assert_refused(&refused, 401, "token_invalid");
    let set = example
        .get("/.well-known/jwks.json/default/machines", None, "")
        .await;
    assert_eq!(set.head.field("cache-control"), Some("public, max-age=900"));
    let set = set.json().unwrap();
    let keys = set["keys"].as_array().unwrap();
    // The one that signs, and the one that will.
    assert_eq!(keys.len(), 2);
    assert!(
        keys.iter()
            .any(|key| signers.contains(key["kid"].as_str().unwrap()))
    );
}
