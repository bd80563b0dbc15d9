//! The examples of key sets, and of roles for whoever manages.

use super::{Example, assert_refused};
use keyward_model::{Clock as _, SystemClock};
use keyward_testkit::Answer;
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn send(
    example: &Example,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Value,
) -> Answer {
    let (site, body) = (example.process.site(), body.to_string());
    let bearer = token.map_or_else(String::new, |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    let text = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nhost: {site}\r\ncontent-type: application/json\r\n{bearer}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    super::call(site, text).await
}

/// The token of the first administrator.
async fn claim(example: &Example) -> String {
    let secret = example.process.folder().join("keyward-data/setup-secret");
    let secret = std::fs::read_to_string(secret).unwrap();
    let claim = json!({ "name": "alice", "secret": secret.trim() });
    let admin = send(example, "POST", "/setup", None, claim).await;
    let admin: Value = admin.json().unwrap();
    admin["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn management_roles() {
    let example = Example::run("management-roles.yaml").await;
    let admin = claim(&example).await;
    let roles = json!({ "roles": ["shop-deployer"] });
    let member = "/teams/default/members/dora";
    let given = send(&example, "PUT", member, Some(&admin), roles).await;
    assert_eq!(given.status, 200, "{}", given.text());
    let asked = json!({ "member": "dora", "scopes": ["read", "write"] });
    let made = send(
        &example,
        "POST",
        "/teams/default/tokens",
        Some(&admin),
        asked,
    )
    .await;
    let made: Value = made.json().unwrap();
    let dora = made["token"].as_str().unwrap();
    // The weekend's policy is of those who change something; checks change nothing, and say as much.
    let weekend = SystemClock::new().now().as_seconds().div_euclid(86_400) + 3;
    let weekend = weekend.rem_euclid(7) >= 5;
    for (name, may) in [("shop-a", true), ("pay", false)] {
        let upstream = json!({ "name": name, "targets": [{ "url": "https://shop.example" }] });
        let path = "/teams/default/upstreams?dry_run=true";
        let checked = send(&example, "POST", path, Some(dora), upstream).await;
        let expected = if may && !weekend { 200 } else { 403 };
        assert_eq!(checked.status, expected, "{name} {}", checked.text());
    }
}

#[tokio::test]
async fn key_sets() {
    let example = Example::run("key-sets.yaml").await;
    let post = async |path: &str, token: Option<&str>, body: Value| {
        let answer = send(&example, "POST", path, token, body).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
        answer.json().unwrap()
    };
    let admin = claim(&example).await;
    let admin = admin.as_str();
    let path = "/teams/default/key-sets/machines/tokens";
    let mut signers = BTreeSet::new();
    let asked = |audience: &str| json!({ "claims": { "sub": "pump-7", "aud": audience }, "expires_in": "5m" });
    let made: Value = post(path, Some(admin), asked("readings-api")).await;
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
