//! Providers and models that are declared through the management API.

use super::{chat, post, recorded};
use crate::management::{Asked, Managed, expect};
use crate::node::{Plan, check_passed};
use serde_json::json;

#[tokio::test]
async fn a_provider_s_key_serves_calls_and_is_told_as_a_reference_that_counts_nowhere_else() {
    let back = recorded("openai-chat", "text").await;
    let managed = Managed::start(Plan::default()).await;
    let provider = json!({
        "name": "back", "dialect": "openai-chat", "base_url": back.url(),
        "credentials": [{ "key": "sk-that-nobody-sees-again" }],
    });
    let made = managed.declare("providers", provider).await;
    let reference = made["credentials"][0]["key"].as_str().unwrap().to_owned();
    assert!(reference.starts_with("${SECRET:provider."), "{reference}");
    let model = json!({ "name": "fast", "targets": [{ "provider": "back", "model": "m" }] });
    managed.declare("models", model).await;
    let api = json!({
        "name": "ai", "version": "v1", "state": "published", "ai": { "models": "all" },
        "authentication": "none",
    });
    managed.declare("apis", api).await;
    let path = "/v1/chat/completions";
    check_passed(&post(&managed.node, path, &[], &chat("fast")).await);
    let key = back.received()[0]
        .head
        .field("authorization")
        .map(str::to_owned);
    assert_eq!(key.as_deref(), Some("Bearer sk-that-nobody-sees-again"));
    // Nobody has it sent elsewhere in a header of their own.
    let thief = json!({
        "name": "thief", "version": "v1", "state": "published", "base_path": "/thief",
        "authentication": "none", "upstream": "back",
        "routes": [{ "match": { "prefix": "/" }, "request_headers": { "set": { "x-key": reference } } }],
    });
    let refused = managed
        .call("POST", "/teams/default/apis", Some(thief))
        .await;
    expect(&refused, 422);
    assert!(
        refused.text().contains("substitution"),
        "{}",
        refused.text()
    );
    // Nor by a provider of another address: the key that is kept goes where it went.
    let evil = json!({ "base_url": "https://evil.example/v1" });
    let address = "/teams/default/providers/back";
    let patch = |body: serde_json::Value| {
        let asked = Asked::new("PATCH", address).by(&managed.token);
        managed.send(asked.header("if-match", "*").body(body))
    };
    let refused = patch(evil).await;
    expect(&refused, 422);
    let problem = refused.json().unwrap();
    assert_eq!(problem["errors"][0]["member"], "/credentials/0/key");
    let mut copied = made.clone();
    copied["name"] = json!("copied");
    let refused = managed
        .call("POST", "/teams/default/providers", Some(copied))
        .await;
    expect(&refused, 422);
    expect(&patch(json!({ "total_timeout": "5m" })).await, 200);
    let written_anew = json!({
        "base_url": format!("{}/v2", back.url()), "credentials": [{ "key": "sk-another-of-them" }],
    });
    expect(&patch(written_anew).await, 200);
    // What was before is put back with its key, which went there.
    let done = managed.call("POST", "/revisions/1/rollback", None).await;
    assert_eq!(expect(&done, 200)["put_back"][0], "ai:v1");
    let told = managed.get("/export").await.to_string();
    assert!(!told.contains("sk-that-nobody"), "{told}");
    assert!(!managed.node.process.log().contains("sk-that-nobody"));
}

#[tokio::test]
async fn a_provider_that_nobody_knows_and_a_model_that_leads_nowhere_are_refused() {
    let managed = Managed::start(Plan::default()).await;
    for (plural, body, expected) in [
        (
            "providers",
            json!({ "name": "nobody", "credentials": [{ "key": "k" }] }),
            "the catalogue has no provider",
        ),
        (
            "providers",
            json!({ "name": "p", "dialect": "klingon", "base_url": "http://a.example" }),
            "none of",
        ),
        (
            "models",
            json!({ "name": "m", "targets": [{ "provider": "none", "model": "m" }] }),
            "there is no provider",
        ),
    ] {
        let path = format!("/teams/default/{plural}");
        let refused = managed.call("POST", &path, Some(body.clone())).await;
        assert!(
            [409, 422].contains(&refused.status),
            "{body}: {} {}",
            refused.status,
            refused.text()
        );
        assert!(
            refused.text().contains(expected),
            "{body}: {}",
            refused.text()
        );
    }
}
