//! Limits of models, of credentials and of a provider's keys.

use super::*;
use crate::shell::Shell;
use keyward_model::ApiKey;

#[tokio::test]
async fn a_models_limit_counts_over_all_apis_that_serve_it() {
    let back = Upstream::choosing(|_| took(300, 2_000)).await;
    let node = Plan::default()
        .resource(priced("back", &back.url(), "{ key: sk-back }"))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: gpt-5-mini } ], quotas: [ { name: all, tokens: 3000, per: month } ] }")
        .resource("- { kind: model, name: other, targets: [ { provider: back, model: gpt-5-mini } ] }")
        .resource(OPEN)
        .resource("- { kind: api, name: second, version: v1, state: published, base_path: /second, ai: { models: all }, authentication: none }")
        .start()
        .await;
    check_passed(&call(&node, 2_000).await);
    let answer = post(&node, "/second/v1/chat/completions", &[], &asking(2_000)).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(left(&answer, "all"), 700);
    let mut other = asking(2_000);
    other["model"] = json!("other");
    check_passed(&post(&node, CHAT, &[], &other).await);
}

#[tokio::test]
async fn a_credentials_limit_is_its_own() {
    let back = Upstream::choosing(|_| took(300, 2_000)).await;
    let key = |byte| ApiKey::from_random(&[byte; 32]).reveal().to_owned();
    let (small, large) = (key(1), key(2));
    let node = Plan::default()
        .resource(priced("back", &back.url(), "{ key: sk-back }"))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: gpt-5-mini } ] }")
        .resource("- { kind: api, name: ai, version: v1, state: published, ai: { models: all }, authentication: [ { api_key: { sdk: true } } ], quotas: [ { name: team, by: team, tokens: 9000, per: month } ] }")
        .resource(format!(
            "- {{ kind: credential, name: small, api_key: {small}, quotas: [ {{ name: own, tokens: 3000, per: month }} ] }}"
        ))
        .resource(format!("- {{ kind: credential, name: large, api_key: {large} }}"))
        .start()
        .await;
    let call = async |key: &str| post(&node, CHAT, &[("x-api-key", key)], &asking(2_000)).await;
    let first = call(&small).await;
    check_passed(&first);
    let refused = call(&small).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(left(&refused, "own"), 700);
    let other = call(&large).await;
    check_passed(&other);
    // What was refused by the one limit has taken nothing of the other.
    assert_eq!(left(&first, "team") - left(&other, "team"), 2_300);
}

#[tokio::test]
async fn a_providers_key_is_passed_over_while_its_limit_is_used_up() {
    let back = Upstream::choosing(|_| took(300, 2_000)).await;
    let node = Plan::default()
        .settings("workers: 1")
        .resource(priced(
            "back",
            &back.url(),
            "{ key: sk-small, weight: 1000, quotas: [ { tokens: 6000, per: month } ] }, { key: sk-large, rate_limits: [ { requests: 3, per: 1h } ] }",
        ))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: gpt-5-mini } ] }")
        .resource(OPEN)
        .start()
        .await;
    for _ in 0..5 {
        check_passed(&call(&node, 2_000).await);
    }
    let received = back.received();
    let keys: Vec<_> = received
        .iter()
        .map(|received| received.head.field("authorization").unwrap().to_owned())
        .collect();
    let of = |key: &str| keys.iter().filter(|used| used.ends_with(key)).count();
    assert_eq!((of("sk-small"), of("sk-large")), (2, 3), "{keys:?}");
    let refused = call(&node, 2_000).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(
        refused.json().unwrap()["error"]["code"],
        "rate_limit_exceeded"
    );
    assert!(refused.head.field("retry-after").is_some());
    // No word of whose key, or how much of it.
    assert!(!refused.text().contains("sk-") && !refused.text().contains("6000"));
}

#[tokio::test]
async fn calls_are_counted_by_model_too() {
    let back = Upstream::choosing(|_| took(1, 1)).await;
    let node = Plan::default()
        .resource(priced("back", &back.url(), "{ key: sk-back }"))
        .resource(
            "- { kind: model, name: fast, targets: [ { provider: back, model: gpt-5-mini } ] }",
        )
        .resource(
            "- { kind: model, name: other, targets: [ { provider: back, model: gpt-5-mini } ] }",
        )
        .resource(limited(
            "rate_limits: [ { name: each, by: model, requests: 1, per: 1h } ]",
        ))
        .start()
        .await;
    check_passed(&call(&node, 10).await);
    let refused = call(&node, 10).await;
    assert_eq!(refused.status, 429);
    let mut other = asking(10);
    other["model"] = json!("other");
    check_passed(&post(&node, CHAT, &[], &other).await);
}

#[tokio::test]
async fn limits_that_refuse_by_calls_give_back_what_was_held() {
    let back = Upstream::choosing(|_| took(1, 1)).await;
    let node = plan(
        &back.url(),
        "rate_limits: [ { name: calls, by: \"header:x-who\", requests: 1, per: 1h } ], quotas: [ { name: tokens, by: api, tokens: 3000, per: month } ]",
    )
    .start()
    .await;
    let call = async |who: &str| post(&node, CHAT, &[("X-Who", who)], &asking(2_000)).await;
    let first = call("a").await;
    check_passed(&first);
    for _ in 0..10 {
        assert_eq!(call("a").await.status, 429);
    }
    let other = call("b").await;
    check_passed(&other);
    assert_eq!(left(&first, "tokens") - left(&other, "tokens"), 2);
}

#[tokio::test]
async fn an_outage_refuses_or_counts_on_each_node() {
    let mut redis = RedisServer::start().await;
    let back = Upstream::choosing(|_| took(300, 2_000)).await;
    let node = |outage: &str| {
        plan(
            &back.url(),
            &format!("quotas: [ {{ name: tokens, by: api, tokens: 6000, per: month{outage} }} ]"),
        )
        .settings(&format!(
            "shared_state: {{ url: \"{}\", timeout: 5s, prefix: p{} }}",
            redis.url(),
            outage.len()
        ))
        .start()
    };
    let (strict, lenient) = tokio::join!(node(", on_outage: refuse"), node(""));
    for node in [&strict, &lenient] {
        check_passed(&call(node, 2_000).await);
    }
    until("the first is settled", async || {
        let tried = call(&lenient, 10).await;
        tried.status == 200 && left(&tried, "tokens") < 6_000 - 2_300
    })
    .await;
    redis.kill();
    until("the outage is known", async || {
        call(&strict, 10).await.status == 503
    })
    .await;
    let refused = call(&strict, 10).await;
    assert_eq!(
        refused.json().unwrap()["error"]["code"],
        "limits_unavailable"
    );
    // It goes on from what was known.
    let answer = call(&lenient, 10).await;
    assert!(
        answer.status == 200 || answer.status == 429,
        "{}",
        answer.text()
    );
    for _ in 0..3 {
        let _until_used_up = call(&lenient, 10).await;
    }
    assert_eq!(call(&lenient, 10).await.status, 429);
}

#[test]
fn bad_limits_are_told_with_what_to_do() {
    let shell = Shell::new();
    let check = |limits: &str, expected: &str| {
        let text = format!(
            "format: 1\nresources:\n  - {{ kind: api, name: ai, version: v1, state: published, ai: {{ models: all }}, authentication: none, {limits} }}\n"
        );
        shell.file("bad.yaml", text.as_bytes());
        let output = shell.run(&["check", "bad.yaml"], b"");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert!(!output.status.success(), "{limits}: {told}");
        assert!(told.contains(expected), "{limits}: {told}");
    };
    check("quotas: [ { by: api, cost: 25, per: month } ]", "in quotes");
    check(
        "quotas: [ { by: api, cost: \"1e3\", per: month } ]",
        "in quotes",
    );
    check(
        "quotas: [ { by: api, cost: \"1\", tokens: 5, per: month } ]",
        "two limits",
    );
    check(
        "quotas: [ { by: api, tokens: 5, per: month, unpriced: free } ]",
        "`cost`",
    );
    check("rate_limits: [ { by: api, tokens: 0, per: 1m } ]", "tokens");
    check(
        "quotas: [ { tokens: 5, per: month } ]",
        "say what is counted",
    );
}
