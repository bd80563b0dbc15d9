//! What one caller's request is at fault for costs no other caller anything, and tells nobody who the operator is.

use super::{OPEN, answer, chat, data_of, fixture, logged, post, provider, recorded};
use crate::node::{Node, Plan, check_passed};
use keyward_testkit::{Answer, Gate, Script, Upstream};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::task::JoinSet;

const CHAT: &str = "/v1/chat/completions";

async fn one(back: &Upstream, rest: &str) -> Node {
    Plan::default()
        .settings("access_log: { format: json }")
        .resource(provider("back", "openai-chat", &back.url(), rest))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ] }")
        .resource(OPEN)
        .start()
        .await
}

fn said(text: &str) -> Value {
    let mut body = chat("fast");
    body["messages"][0]["content"] = json!(text);
    body
}

async fn ask(node: &Node, text: &str) -> Answer {
    post(node, CHAT, &[], &said(text)).await
}

#[tokio::test]
async fn a_request_that_is_too_much_for_the_account_keeps_the_key_from_nobody_else() {
    let back = Upstream::choosing(|asked| {
        let text = String::from_utf8_lossy(&asked.body).into_owned();
        let error = |status, message: &str, code: &str| {
            let body = json!({ "error": { "message": message, "type": "tokens", "param": null, "code": code } });
            Script::json(status, &[("retry-after", "60")], &body)
        };
        if text.contains("a long one") {
            return error(
                "429 Too Many Requests",
                "Request too large for m in organization org-acme1234 on tokens per min (TPM): Limit 30000, Requested 47000.",
                "rate_limit_exceeded",
            );
        }
        if text.contains("a dear one") {
            return error(
                "402 Payment Required",
                "This request requires more credits, or fewer max_tokens.",
                "402",
            );
        }
        if text.contains("an unpaid one") {
            return error("402 Payment Required", "Pay.", "payment_required");
        }
        answer("openai-chat", "text", asked)
    })
    .await;
    let node = one(&back, "credentials: [ { key: sk-the-only-one } ]").await;
    for (text, status, code) in [
        ("a long one", 413, "request_too_large"),
        ("a dear one", 413, "request_too_large"),
        ("an unpaid one", 429, "insufficient_quota"),
    ] {
        let refused = ask(&node, text).await;
        assert_eq!(refused.status, status, "{text}: {}", refused.text());
        assert_eq!(refused.json().unwrap()["error"]["code"], code, "{text}");
        assert!(!refused.text().contains("acme"), "{}", refused.text());
        check_passed(&ask(&node, "hello").await);
    }
}

#[tokio::test]
async fn a_key_that_is_free_again_soon_is_waited_for() {
    let ok = Script::json("200 OK", &[], &fixture("answers", "openai-chat", "text"));
    let busy = |after| {
        let body = json!({ "error": { "message": "Slow down", "code": "rate_limit_exceeded" } });
        Script::json("429 Too Many Requests", &[("retry-after-ms", after)], &body)
    };
    let back = Upstream::scripts(vec![busy("200"), ok.clone()]).await;
    let node = one(&back, "credentials: [ { key: sk-the-only-one } ]").await;
    let answer = ask(&node, "hello").await;
    check_passed(&answer);
    assert_eq!(
        answer.head.field("keyward-attempts"),
        Some("back/m 429, back/m 200")
    );
    // Nobody waits for one that is not free soon.
    let back = Upstream::scripts(vec![busy("6000"), ok]).await;
    let node = one(&back, "credentials: [ { key: sk-the-only-one } ]").await;
    let answer = ask(&node, "hello").await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(back.received().len(), 1);
}

#[tokio::test]
async fn a_provider_s_words_about_its_account_are_for_the_log_alone() {
    let names = "org-acme12345 with key sk-proj-123456 at https://acme.example/billing";
    for status in [
        "402 Payment Required",
        "404 Not Found",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "503 Service Unavailable",
    ] {
        let body = json!({ "error": { "message": format!("It is so for {names}"), "type": "x", "param": names, "code": "a_code" } });
        let back = Upstream::scripted(Script::json(status, &[], &body)).await;
        let node = Plan::default()
            .settings("access_log: { format: json }")
            .resource(provider("back", "openai-chat", &back.url(), ""))
            .resource("- { kind: model, name: fast, attempts: 1, targets: [ { provider: back, model: m } ] }")
            .resource(OPEN)
            .start()
            .await;
        for (address, asked) in [
            (CHAT, said("hello")),
            (
                "/v1/messages",
                json!({ "model": "fast", "max_tokens": 5, "messages": [{ "role": "user", "content": "Hi" }] }),
            ),
        ] {
            let answer = post(&node, address, &[], &asked).await;
            assert!(answer.status >= 400, "{status}");
            for word in ["acme", "sk-proj", "https://"] {
                assert!(!answer.text().contains(word), "{status}: {}", answer.text());
            }
            let line = logged(&node, "fast").await;
            assert!(
                line["because"].as_str().unwrap().contains("org-acme12345"),
                "{line}"
            );
        }
    }
    // What the caller has to put right is told, without the names.
    let body = json!({ "error": { "message": format!("`temperature` is over 2 for {names}."), "type": "invalid_request_error", "param": "temperature", "code": "bad_temperature" } });
    let back = Upstream::scripted(Script::json("400 Bad Request", &[], &body)).await;
    let node = one(&back, "").await;
    let error = ask(&node, "hello").await.json().unwrap()["error"].clone();
    assert_eq!(error["code"], "bad_temperature");
    assert_eq!(error["param"], "temperature");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with("`temperature` is over 2 for"),
        "{message}"
    );
    assert!(!message.contains("acme"), "{message}");
}

#[tokio::test]
async fn a_provider_s_words_amid_a_stream_are_for_the_log_alone() {
    let piece = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}"#;
    let told = r#"{"error":{"message":"org-acme12345 is over","type":"server_error","param":null,"code":"server_error","metadata":{"raw":"acme"}}}"#;
    let script = Script::events().event("", piece).event("", told).end();
    let back = Upstream::scripted(script).await;
    let node = one(&back, "").await;
    let mut asked = said("hello");
    asked["stream"] = json!(true);
    let answer = post(&node, CHAT, &[], &asked).await;
    check_passed(&answer);
    let data = data_of(&answer);
    let error = &data.last().unwrap()["error"];
    assert_eq!(data[0]["choices"][0]["delta"]["content"], "Hel");
    assert_eq!(
        (&error["code"], &error["type"]),
        (&json!("server_error"), &json!("server_error"))
    );
    assert!(error["message"].is_string());
    assert!(!answer.text().contains("acme"), "{}", answer.text());
    let line = logged(&node, "fast").await;
    assert!(
        line["because"].as_str().unwrap().contains("org-acme12345"),
        "{line}"
    );
}

#[tokio::test]
async fn members_that_choose_other_models_are_refused_unless_the_model_allows_them() {
    let back = recorded("openai-chat", "text").await;
    let open = |name: &str| {
        format!(
            "- {{ kind: provider, name: {name}, base_url: \"{}/base\", credentials: [ {{ key: sk-or }} ] }}",
            back.url()
        )
    };
    let node = Plan::default()
        .settings("access_log: { format: json }")
        .resource(open("openrouter"))
        .resource(provider("plain", "openai-chat", &back.url(), ""))
        .resource("- { kind: model, name: fast, targets: [ { provider: openrouter, model: a/b } ] }")
        .resource("- { kind: model, name: unknown, targets: [ { provider: plain, model: m } ] }")
        .resource("- { kind: model, name: any, targets: [ { provider: openrouter, model: a/b } ], allow_model_members: true }")
        .resource(OPEN)
        .start()
        .await;
    for model in ["fast", "unknown"] {
        for (member, value) in [
            ("models", json!(["dear/one"])),
            ("route", json!("fallback")),
            ("preset", json!("p")),
            ("fallbacks", json!(["dear/one"])),
            ("Models", json!(["dear/one"])),
        ] {
            let mut asked = chat(model);
            asked[member] = value;
            for address in [CHAT, "/v1/embeddings"] {
                let refused = post(&node, address, &[], &asked).await;
                assert_eq!(refused.status, 400, "{}", refused.text());
                let error = refused.json().unwrap()["error"].clone();
                assert_eq!(error["param"], member, "{error}");
                assert_eq!(error["code"], "other_model_refused", "{error}");
            }
        }
    }
    assert!(back.received().is_empty());
    let mut asked = chat("any");
    asked["models"] = json!(["dear/one"]);
    check_passed(&post(&node, CHAT, &[], &asked).await);
    asked["Model"] = json!("dear/one");
    let refused = post(&node, CHAT, &[], &asked).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
}

#[tokio::test]
async fn an_answer_that_does_not_end_in_time_is_late_and_one_that_breaks_off_is_asked_for_elsewhere()
 {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    for (script, told) in [
        (Script::new().write(head).wait_until_closed(), "back/m 504"),
        (Script::new().write(head).reset(), "back/m 502"),
    ] {
        let back = Upstream::scripted(script).await;
        let other = recorded("openai-chat", "text").await;
        let node = Plan::default()
            .resource(provider("back", "openai-chat", &back.url(), "total_timeout: 400ms"))
            .resource(provider("other", "openai-chat", &other.url(), ""))
            .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ], fallbacks: [ { provider: other, model: o } ] }")
            .resource("- { kind: model, name: alone, attempts: 1, targets: [ { provider: back, model: m } ] }")
            .resource(OPEN)
            .start()
            .await;
        let answer = ask(&node, "hello").await;
        check_passed(&answer);
        let attempts = answer.head.field("keyward-attempts").unwrap();
        assert_eq!(attempts, format!("{told}, other/o 200"));
        let answer = post(&node, CHAT, &[], &chat("alone")).await;
        let status = told.rsplit(' ').next().unwrap();
        assert_eq!(answer.status.to_string(), status, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_for_which_there_is_no_memory_here_is_this_node_s_own_refusal() {
    // Two of them fit into what an API's answers may take together, and three do not.
    const BLOCKS: u64 = 480;
    let gate = Gate::shut();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        (BLOCKS << 16) + 2
    );
    let large = Script::new()
        .write(head)
        .repeat([b' '; 1 << 16], BLOCKS)
        .wait_for(&gate)
        .write("{}");
    let back = Upstream::scripted(large).await;
    let node = Arc::new(one(&back, "").await);
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        let node = Arc::clone(&node);
        calls.spawn(async move { ask(&node, "hello").await });
    }
    let refused = calls.join_next().await.unwrap().unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.json().unwrap()["error"]["code"], "overloaded");
    gate.open();
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap().status, 200);
    }
    assert_eq!(back.received().len(), 3, "nobody was asked again");
}
