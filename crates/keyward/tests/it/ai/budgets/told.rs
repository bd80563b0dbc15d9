//! What callers are told of limits in tokens and money.

use super::*;

#[tokio::test]
async fn a_refusal_names_the_limit_in_each_dialect() {
    let node = plan(
        "http://127.0.0.1:9",
        "quotas: [ { name: gone, by: api, requests: 1000, per: month }, { name: tokens, by: api, tokens: 3000, per: month } ]",
    )
    .start()
    .await;
    // One call is refused for good, since it may take more than there ever is.
    let over = call(&node, 5_000).await;
    assert_eq!(over.status, 400, "{}", over.text());
    assert_eq!(over.json().unwrap()["error"]["code"], "call_over_limit");
    let text = over.text();
    assert!(
        text.contains("`tokens`") && text.contains("3000 tokens"),
        "{text}"
    );

    let back = Upstream::choosing(|_| took(300, 2_000)).await;
    let node = plan(
        &back.url(),
        "quotas: [ { name: tokens, by: api, tokens: 3000, per: month } ]",
    )
    .start()
    .await;
    check_passed(&call(&node, 2_000).await);
    let message = json!([{ "role": "user", "content": "Hi" }]);
    for (form, body) in [
        ("openai-chat", asking(1_000)),
        (
            "openai-responses",
            json!({ "model": "fast", "max_output_tokens": 1_000, "input": "Hi" }),
        ),
        (
            "anthropic",
            json!({ "model": "fast", "max_tokens": 1_000, "messages": message }),
        ),
        (
            "gemini",
            json!({ "generationConfig": { "maxOutputTokens": 1_000 }, "contents": [{ "role": "user", "parts": [{ "text": "Hi" }] }] }),
        ),
    ] {
        let answer = post(&node, &address(form, "fast", false), &[], &body).await;
        let shown = format!("{form}: {:?}\n{}", answer.head, answer.text());
        assert_eq!(answer.status, 429, "{shown}");
        assert_eq!(member(&answer, "tokens", "r"), Some(700), "{shown}");
        let wait: u64 = answer
            .head
            .field("retry-after")
            .expect(&shown)
            .parse()
            .unwrap();
        assert!(wait > 0 && wait <= 31 * 86_400, "{shown}");
        assert_eq!(answer.head.field("keyward-code"), Some("quota_exceeded"));
        let error = &answer.json().expect(&shown)["error"];
        let told = error["message"].as_str().expect(&shown);
        assert!(
            told.contains("`tokens`") && told.contains("700 tokens is left"),
            "{shown}"
        );
        match form {
            "openai-chat" | "openai-responses" => {
                assert_eq!(error["code"], "insufficient_quota", "{shown}");
                assert_eq!(error["type"], "insufficient_quota", "{shown}");
            }
            "anthropic" => assert_eq!(error["type"], "billing_error", "{shown}"),
            _ => assert_eq!(error["status"], "RESOURCE_EXHAUSTED", "{shown}"),
        }
    }
    // A shorter answer fits.
    check_passed(&call(&node, 100).await);
}

#[tokio::test]
async fn answers_say_what_is_left_of_tokens_and_money() {
    let back = Upstream::choosing(|_| took(1, 1)).await;
    let node = plan(
        &back.url(),
        "rate_limits: [ { name: calls, by: api, requests: 10, per: 1h }, { name: pace, by: [api, model], tokens: 60000, per: 1m, burst: 20000 } ], quotas: [ { name: money, by: model, cost: \"2.50\", per: day } ]",
    )
    .start()
    .await;
    let answer = call(&node, 500).await;
    check_passed(&answer);
    assert_eq!(
        answer.head.field("ratelimit-policy"),
        Some(
            "\"calls\";q=10;w=3600, \"pace\";q=20000;w=20;qu=\"tokens\", \"money\";q=2500000;w=86400;qu=\"micro-usd\""
        )
    );
    assert_eq!(left(&answer, "calls"), 9);
    assert!((18_000..19_500).contains(&left(&answer, "pace")));
    assert!((2_498_000..2_499_000).contains(&left(&answer, "money")));
}

#[tokio::test]
async fn a_rate_in_tokens_says_when_to_come_again() {
    let back = Upstream::choosing(|_| took(300, 2_000)).await;
    let node = plan(
        &back.url(),
        "rate_limits: [ { name: pace, by: api, tokens: 3000, per: 1h } ]",
    )
    .start()
    .await;
    check_passed(&call(&node, 2_000).await);
    let refused = call(&node, 2_000).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(
        refused.json().unwrap()["error"]["code"],
        "rate_limit_exceeded"
    );
    assert_eq!(refused.head.field("keyward-code"), Some("rate_limited"));
    let wait: u64 = refused.head.field("retry-after").unwrap().parse().unwrap();
    // 1,700 tokens are missing or so, and 3,000 come back in an hour.
    assert!((1_500..=3_600).contains(&wait), "{wait}");
}

#[tokio::test]
async fn what_has_no_price_is_refused_under_a_limit_in_money_or_free() {
    let back = Upstream::choosing(|_| took(1, 1)).await;
    let node = |unpriced: &str| {
        Plan::default()
            .resource(priced("back", &back.url(), "{ key: sk-back }"))
            .resource(
                "- { kind: model, name: fast, targets: [ { provider: back, model: made-up } ] }",
            )
            .resource(limited(&format!(
                "quotas: [ {{ name: money, by: api, cost: \"1\", per: month{unpriced} }} ]"
            )))
            .start()
    };
    let refusing = node("").await;
    let answer = call(&refusing, 500).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(answer.json().unwrap()["error"]["code"], "model_unpriced");
    assert!(back.received().is_empty());
    let free = node(", unpriced: free").await;
    check_passed(&call(&free, 500).await);

    let node = plan(
        &back.url(),
        "quotas: [ { name: money, by: api, cost: \"1\", per: month } ]",
    )
    .start()
    .await;
    let mut dearer = asking(10);
    dearer["service_tier"] = json!("priority");
    let answer = post(&node, CHAT, &[], &dearer).await;
    assert_eq!(answer.json().unwrap()["error"]["code"], "model_unpriced");
}

#[tokio::test]
async fn a_call_is_asked_to_write_less_where_a_limit_says_so() {
    let back = Upstream::choosing(|_| took(300, 2_000)).await;
    let node = plan(
        &back.url(),
        "quotas: [ { name: tokens, by: api, tokens: 3000, per: month, lower_max_tokens: true } ]",
    )
    .start()
    .await;
    check_passed(&call(&node, 2_000).await);
    // 700 are left, of which the question may take a part.
    let answer = call(&node, 2_000).await;
    check_passed(&answer);
    let asked: Value = serde_json::from_slice(&back.received()[1].body).unwrap();
    let lowered = asked["max_completion_tokens"].as_u64().unwrap();
    assert!((200..600).contains(&lowered), "{asked}");
    assert_eq!(left(&answer, "tokens"), 0);
}
