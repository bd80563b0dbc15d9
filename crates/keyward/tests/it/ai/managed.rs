//! Providers and models that are declared through the management API.

use super::{chat, post, recorded};
use crate::management::{Asked, Managed, expect, until_logged};
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

#[tokio::test]
async fn limits_in_tokens_and_money_are_kept_as_they_were_given() {
    let back = recorded("openai-chat", "text").await;
    let managed = Managed::start(Plan::default()).await;
    let limits = json!([
        { "name": "tokens", "tokens": 1_000_000, "per": "month", "on_outage": "refuse" },
        { "cost": "25.50", "per": "day", "unpriced": "free", "lower_max_tokens": true },
    ]);
    let provider = json!({
        "name": "back", "catalogue": "openai", "base_url": back.url(),
        "credentials": [{ "key": "sk-1", "quotas": limits }],
    });
    let made = managed.declare("providers", provider).await;
    assert_eq!(made["credentials"][0]["quotas"], limits);
    let model = json!({
        "name": "fast", "targets": [{ "provider": "back", "model": "gpt-5-mini" }],
        "quotas": limits, "rate_limits": [{ "by": ["subject", "model"], "tokens": 900_000, "per": "1m", "burst": 800_000 }],
    });
    let made = managed.declare("models", model).await;
    assert_eq!(made["quotas"], limits);
    let api = json!({
        "name": "ai", "version": "v1", "state": "published", "ai": { "models": "all" }, "authentication": "none",
        "quotas": [{ "name": "money", "by": "api", "cost": "0.25", "per": "month" }],
    });
    managed.declare("apis", api).await;
    let path = "/v1/chat/completions";
    let asked = json!({ "model": "fast", "max_tokens": 100, "messages": [{ "role": "user", "content": "Hi" }] });
    let answer = post(&managed.node, path, &[], &asked).await;
    check_passed(&answer);
    let policy = answer.head.field("ratelimit-policy").unwrap().to_owned();
    assert!(
        policy.contains("\"money\";q=250000;qu=\"micro-usd\""),
        "{policy}"
    );
    assert!(
        policy.contains("\"tokens\";q=1000000;qu=\"tokens\""),
        "{policy}"
    );
    // Another amount counts at once, and forgives nothing.
    let smaller =
        json!({ "quotas": [{ "name": "money", "by": "api", "cost": "0.00001", "per": "month" }] });
    let asked_for = Asked::new("PATCH", "/teams/default/apis/ai:v1").by(&managed.token);
    let patched = managed
        .send(asked_for.header("if-match", "*").body(smaller))
        .await;
    expect(&patched, 200);
    let refused = post(&managed.node, path, &[], &asked).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    // What is told is what is taken: it applies to nothing new.
    let told = managed.get("/teams/default/models/fast").await;
    assert_eq!(told["quotas"], limits);
    let exported = managed.get("/export").await;
    let again = json!({ "resources": exported["resources"] });
    let again = managed
        .call("POST", "/apply?dry_run=true", Some(again))
        .await;
    let again = expect(&again, 200);
    assert_eq!(again["changes"], json!([]), "{again}");
    assert_eq!(again["unchanged"], 3, "{again}");
    for (plural, wrong) in [
        (
            "apis",
            json!({ "name": "b", "version": "v1", "state": "published", "base_path": "/b", "authentication": "none", "upstream": "back", "quotas": [{ "by": "api", "tokens": 5, "per": "month" }] }),
        ),
        (
            "models",
            json!({ "name": "m", "targets": [{ "provider": "back", "model": "gpt-5-mini" }], "quotas": [{ "cost": 25, "per": "month" }] }),
        ),
        (
            "models",
            json!({ "name": "m", "targets": [{ "provider": "back", "model": "gpt-5-mini" }], "quotas": [{ "per": "month" }] }),
        ),
    ] {
        let path = format!("/teams/default/{plural}");
        expect(&managed.call("POST", &path, Some(wrong)).await, 422);
    }
}

#[tokio::test]
async fn a_catalogue_that_lacks_a_provider_of_the_database_is_not_taken_up_and_stops_no_change() {
    let managed = Managed::start(Plan::default()).await;
    let provider = json!({ "name": "openai", "credentials": [{ "key": "k" }] });
    managed.declare("providers", provider).await;
    let built_in = include_str!("../../../../keyward-llm/src/catalogue/catalogue.tsv");
    let lines = built_in.lines();
    // In the form of the built-in, without what is about this provider.
    let text: String = lines
        .filter(|line| line.split('\t').nth(1) != Some("openai"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(text.len() < built_in.len());
    let file = managed.node.process.folder().join("data/catalogue.tsv");
    std::fs::write(&file, text).unwrap();
    until_logged(&managed, "configuration: not reloaded").await;
    let model = json!({ "name": "fast", "targets": [{ "provider": "openai", "model": "m" }] });
    managed.declare("models", model).await;
}
