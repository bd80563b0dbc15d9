//! Limits, guardrails and caches around prompts: they see what the prompt is rendered to.

use super::{OPEN, call, logged, plan, said, saying, translate};
use crate::ai::{body_of, data_of};
use crate::limits::member;
use crate::node::{Plan, check_passed, check_problem};
use keyward_testkit::{Received, Script, Upstream};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const EMAIL: &str = "ann.bee@mail.example";

/// An API of prompts with more members.
fn api(ai: &str, more: &str) -> String {
    format!(
        "- {{ kind: api, name: ai, version: v1, state: published, ai: {{ prompts: all{ai} }}, authentication: none{more} }}"
    )
}

fn judge(repairs: u32) -> String {
    format!(
        r#"- kind: prompt
  name: judge
  version: v1
  state: published
  model: fast
  variables: {{ text: {{}} }}
  messages: [ {{ role: user, text: "Judge: {{{{ text }}}}" }} ]
  output: {{ schema: {{ type: object, required: [mood], properties: {{ mood: {{ type: string }} }} }}, repairs: {repairs} }}"#
    )
}

/// A model that says what does not fit when it is asked for the first time, and then what does.
async fn learning() -> (Upstream, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let back = Upstream::choosing(move |asked| match count.fetch_add(1, Ordering::Relaxed) {
        0 => said(asked, "no"),
        _ => said(asked, "{\"mood\": \"good\"}"),
    });
    (back.await, asked)
}

/// Says what it was told last.
fn echo(asked: &Received) -> Script {
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    let messages = body["messages"].as_array().unwrap();
    said(asked, messages.last().unwrap()["content"].as_str().unwrap())
}

fn with_model(url: &str, model: &str) -> Plan {
    Plan::default()
        .settings("access_log: { format: json }")
        .resource(crate::ai::provider("back", "openai-chat", url, ""))
        .resource(format!(
            "- {{ kind: model, name: fast, targets: [ {{ provider: back, model: big-1 }} ], {model} }}"
        ))
}

#[tokio::test]
async fn a_budget_holds_what_a_prompt_is_rendered_to_and_counts_every_round() {
    let (back, asked) = learning().await;
    let limits = ", quotas: [ { name: tokens, by: api, tokens: 1000000, per: month } ]";
    let node = plan(&back.url())
        .resource(judge(1))
        .resource(api("", limits))
        .start()
        .await;
    let text = json!({ "text": "Fine" });
    let answer = call(&node, "/prompts/judge", &[], &text).await;
    check_passed(&answer);
    assert_eq!(answer.json().unwrap()["usage"]["input_tokens"], 22);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let mut left = Vec::new();
    for _ in 0..2 {
        let answer = call(&node, "/prompts/judge", &[], &text).await;
        check_passed(&answer);
        left.push(member(&answer, "tokens", "r").unwrap());
    }
    assert_eq!(left[0] - left[1], 14, "one round: {left:?}");
    let limits = ", quotas: [ { name: tokens, by: api, tokens: 1000000, per: month } ]";
    let back = saying("Bonjour").await;
    let node = plan(&back.url())
        .resource(judge(1))
        .resource(translate("v1", ""))
        .resource(api("", limits))
        .start()
        .await;
    let hello = json!({ "text": "Hello" });
    let mut left = Vec::new();
    for _ in 0..2 {
        let answer = call(&node, "/prompts/translate", &[], &hello).await;
        check_passed(&answer);
        left.push(member(&answer, "tokens", "r").unwrap());
        // Neither round fits: both are charged.
        let answer = call(&node, "/prompts/judge", &[], &text).await;
        check_problem(&answer, 502, "answer_unfit");
    }
    assert_eq!(left[0] - left[1], 14 + 28, "{left:?}");
}

#[tokio::test]
async fn a_prompt_that_may_take_more_than_is_left_is_not_asked() {
    let back = saying("Bonjour").await;
    let limits = ", quotas: [ { name: tokens, by: api, tokens: 100, per: month } ]";
    let node = plan(&back.url())
        .resource(translate("v1", ""))
        .resource(api("", limits))
        .start()
        .await;
    let hello = json!({ "text": "Hello" });
    let answer = call(&node, "/prompts/translate", &[], &hello).await;
    check_problem(&answer, 400, "call_over_limit");
    assert_eq!(back.received().len(), 0);
    // What costs nothing is not held.
    check_passed(&node.get("/prompts", &[]).await);
}

#[tokio::test]
async fn guardrails_see_what_a_prompt_is_rendered_to_and_what_is_answered() {
    let back = Upstream::choosing(echo).await;
    let guards =
        ", guardrails: [ { name: words, on: both, action: block, keywords: { words: [Heron] } } ]";
    let personal = "guardrails: [ { name: personal, on: both, action: mask, pii: { kinds: [email], reversible: true } } ]";
    let node = with_model(&back.url(), personal)
        .resource(translate("v1", ""))
        .resource(api(guards, ""))
        .start()
        .await;
    let text = json!({ "text": EMAIL });
    let answer = call(&node, "/prompts/translate", &[], &text).await;
    check_passed(&answer);
    assert_eq!(answer.json().unwrap()["output"], format!("T: {EMAIL}"));
    let received = body_of(&back.received()[0]).to_string();
    assert!(
        !received.contains(EMAIL) && received.contains("[EMAIL_1]"),
        "{received}"
    );
    let log = logged(&node, "translate").await;
    assert_eq!(log["guardrails"], "personal=mask");
    let answer = call(&node, "/prompts/translate?stream=true", &[], &text).await;
    check_passed(&answer);
    let told = data_of(&answer);
    let said: String = told
        .iter()
        .filter_map(|data| data["text"].as_str())
        .collect();
    assert_eq!(said, format!("T: {EMAIL}"));
    assert_eq!(told.last().unwrap()["usage"]["output_tokens"], 3);
    let text = json!({ "text": "Project Heron" });
    let answer = call(&node, "/prompts/translate", &[], &text).await;
    check_problem(&answer, 400, "guardrail_blocked");
    assert!(answer.text().contains("`words`"), "{}", answer.text());
    assert_eq!(back.received().len(), 2);
}

#[tokio::test]
async fn an_answer_that_a_guardrail_stops_is_told_as_such_streamed_and_not() {
    let back = saying("It is called Heron by all").await;
    let guards = ", guardrails: [ { name: words, on: answer, action: block, keywords: { words: [Heron] } } ]";
    let node = plan(&back.url())
        .resource(translate("v1", ""))
        .resource(api(guards, ""))
        .start()
        .await;
    let text = json!({ "text": "What is it?" });
    let answer = call(&node, "/prompts/translate", &[], &text).await;
    check_problem(&answer, 400, "guardrail_blocked");
    let answer = call(&node, "/prompts/translate?stream=true", &[], &text).await;
    assert_eq!(answer.status, 200);
    let told = answer.text();
    assert!(
        told.contains("event: error") && !told.contains("Heron"),
        "{told}"
    );
    let problem = data_of(&answer).pop().unwrap();
    assert_eq!(problem["code"], "guardrail_blocked", "{told}");
}

#[tokio::test]
async fn an_answer_that_is_kept_serves_equal_calls_and_one_that_does_not_fit_nobody() {
    let back = saying("Bonjour").await;
    let node = with_model(
        &back.url(),
        "cache: { ttl: 10m, shared: api, only_deterministic: false }",
    )
    .resource(translate("v1", ""))
    .resource(OPEN)
    .start()
    .await;
    let hello = json!({ "text": "Hello" });
    let first = call(&node, "/prompts/translate", &[], &hello).await;
    assert_eq!(first.head.field("keyward-cache"), Some("miss"));
    for path in ["/prompts/translate", "/prompts/translate?stream=true"] {
        let answer = call(&node, path, &[], &hello).await;
        check_passed(&answer);
        let cache = answer.head.field("keyward-cache").unwrap_or_default();
        assert!(cache.starts_with("hit"), "{cache}");
        assert!(answer.text().contains("Bonjour"), "{}", answer.text());
    }
    let other = json!({ "text": "Hello", "to": "de" });
    let answer = call(&node, "/prompts/translate", &[], &other).await;
    assert_eq!(answer.head.field("keyward-cache"), Some("miss"));
    assert_eq!(back.received().len(), 2);
    let (back, asked) = learning().await;
    let node = with_model(
        &back.url(),
        "cache: { ttl: 10m, shared: api, only_deterministic: false }",
    )
    .resource(judge(0))
    .resource(OPEN)
    .start()
    .await;
    let text = json!({ "text": "Fine" });
    let answer = call(&node, "/prompts/judge", &[], &text).await;
    check_problem(&answer, 502, "answer_unfit");
    for _ in 0..2 {
        let answer = call(&node, "/prompts/judge", &[], &text).await;
        check_passed(&answer);
        assert_eq!(answer.json().unwrap()["output"]["mood"], "good");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}
