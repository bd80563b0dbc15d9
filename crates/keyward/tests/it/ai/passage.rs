//! Between callers and providers of one dialect.

use super::{OPEN, body_of, chat, data_of, fixture, logged, plan, post, provider, recorded};
use crate::node::{Plan, check_passed};
use keyward_testkit::until;
use serde_json::{Value, json};

#[tokio::test]
async fn a_request_passes_as_it_came_but_for_the_model_and_tells_nothing_of_the_caller() {
    let back = recorded("openai-chat", "text").await;
    let node = plan("openai-chat", &back.url()).start().await;
    let text = r#"{ "messages":[{"role":"user","content":"Hi \u00e9"}],  "new_field": {"a": 0.70}, "model":"fast" , "temperature":1e0}"#;
    let headers = [
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer somebody's"),
        ("X-Forwarded-For", "192.0.2.7"),
        ("Cookie", "session=1"),
        ("OpenAI-Beta", "assistants=v2"),
    ];
    let answer = node
        .call("POST", "/v1/chat/completions", &headers, text)
        .await;
    check_passed(&answer);
    assert_eq!(
        answer.json().unwrap(),
        fixture("answers", "openai-chat", "text"),
        "an answer is not edited"
    );
    assert_eq!(answer.head.field("keyward-model"), Some("back/big-1"));
    let [received] = &back.received()[..] else {
        panic!("one request came");
    };
    assert_eq!(received.target(), "/base/chat/completions");
    assert_eq!(
        String::from_utf8_lossy(&received.body),
        text.replace("\"fast\"", "\"big-1\""),
        "every other byte is the caller's"
    );
    let names: Vec<&str> = received
        .head
        .fields
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let mut sorted: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "accept",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "openai-beta",
            "user-agent"
        ]
    );
    assert_eq!(received.head.field("authorization"), Some("Bearer sk-back"));
}

#[tokio::test]
async fn a_stream_passes_event_by_event_without_the_usage_that_only_we_asked_for() {
    let back = recorded("openai-chat", "usage").await;
    let node = plan("openai-chat", &back.url())
        .settings("access_log: { format: json }")
        .start()
        .await;
    let mut body = chat("fast");
    body["stream"] = json!(true);
    let answer = post(&node, "/v1/chat/completions", &[], &body).await;
    check_passed(&answer);
    assert_eq!(answer.head.field("content-type"), Some("text/event-stream"));
    let data = data_of(&answer);
    assert_eq!(data.last(), Some(&json!("[DONE]")));
    assert!(
        data.iter()
            .all(|data| data.get("usage").is_none_or(Value::is_null))
    );
    let asked = body_of(&back.received()[0]);
    assert_eq!(asked["stream_options"]["include_usage"], true);
    // Who asks for it gets it.
    body["stream_options"] = json!({ "include_usage": true });
    let answer = post(&node, "/v1/chat/completions", &[], &body).await;
    let told = data_of(&answer)
        .into_iter()
        .find_map(|data| data.get("usage").filter(|usage| usage.is_object()).cloned());
    let told = told.expect("the usage comes at the end");
    until("both calls stand in the log", async || {
        node.process.log().matches("\"model\":\"fast\"").count() == 2
    })
    .await;
    let logged = logged(&node, "fast").await;
    assert_eq!(logged["input_tokens"], told["prompt_tokens"]);
    assert_eq!(logged["output_tokens"], told["completion_tokens"]);
    assert_eq!(logged["provider"], "back");
    assert_eq!(logged["model_served"], "big-1");
}

#[tokio::test]
async fn what_a_call_costs_comes_from_the_catalogue() {
    let back = recorded("anthropic", "text").await;
    let node = Plan::default()
        .settings("access_log: { format: json }")
        .resource(format!(
            "- {{ kind: provider, name: anthropic, base_url: \"{}/v1\", credentials: [ {{ key: sk-ant }} ] }}",
            back.url()
        ))
        .resource("- { kind: model, name: best, targets: [ { provider: anthropic, model: claude-sonnet-4-5 } ] }")
        .resource(OPEN)
        .start()
        .await;
    let asked = json!({ "model": "best", "max_tokens": 50, "messages": [{ "role": "user", "content": "Hi" }] });
    let answer = post(
        &node,
        "/v1/messages",
        &[
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "x-1"),
        ],
        &asked,
    )
    .await;
    check_passed(&answer);
    let received = &back.received()[0];
    assert_eq!(received.head.field("x-api-key"), Some("sk-ant"));
    assert_eq!(received.head.field("anthropic-version"), Some("2023-06-01"));
    assert_eq!(received.head.field("anthropic-beta"), Some("x-1"));
    let logged = logged(&node, "best").await;
    // 10 tokens in at 3 dollars a million, 5 out at 15.
    assert_eq!(logged["cost_pico_usd"], 10 * 3_000_000 + 5 * 15_000_000);
    assert_ne!(logged["price_revision"], 0);
}

#[tokio::test]
async fn what_a_model_of_one_s_own_costs_is_told_with_its_target() {
    let back = recorded("openai-chat", "text").await;
    let node = Plan::default()
        .settings("access_log: { format: json }")
        .resource(provider("back", "openai-chat", &back.url(), ""))
        .resource(
            "- { kind: model, name: fast, targets: [ { provider: back, model: own-7b, price: { input: \"0.25\", output: \"1\" }, context: 8192, max_output: 1024, abilities: [] } ], quotas: [ { cost: \"1.00\", per: day } ] }",
        )
        .resource(OPEN)
        .start()
        .await;
    // Under a limit in money a model without a price is refused.
    check_passed(&post(&node, "/v1/chat/completions", &[], &chat("fast")).await);
    let logged = logged(&node, "fast").await;
    let tokens = |name: &str| logged[name].as_u64().unwrap();
    let expected = tokens("input_tokens") * 250_000 + tokens("output_tokens") * 1_000_000;
    assert!(expected > 0);
    assert_eq!(logged["cost_pico_usd"], expected);
    assert_ne!(logged["price_revision"], 0);
}

#[tokio::test]
async fn a_provider_that_has_no_keys_is_sent_none() {
    let back = recorded("openai-chat", "text").await;
    let node = Plan::default()
        .resource(provider("back", "openai-chat", &back.url(), ""))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ] }")
        .resource(OPEN)
        .start()
        .await;
    let headers = [("Authorization", "Bearer caller"), ("x-api-key", "caller")];
    check_passed(&post(&node, "/v1/chat/completions", &headers, &chat("fast")).await);
    let received = &back.received()[0];
    assert_eq!(received.head.field("authorization"), None);
    assert_eq!(received.head.field("x-api-key"), None);
}
