//! What happens when a provider fails: another key, another target, a wait, or a refusal that says why.

use super::{OPEN, address, answer, body_of, chat, data_of, logged, post, provider, recorded};
use crate::node::{Node, Plan, check_passed};
use keyward_model::{Clock as _, SystemClock};
use keyward_testkit::{Answer, Gate, Script, Upstream};
use serde_json::json;
use std::time::Duration;

/// A node whose model `fast` is served by `first`, and by `second` when that fails. Both speak OpenAI's dialect.
async fn chain(first: &Upstream, second: &Upstream, rest: &str) -> Node {
    Plan::default()
        .settings("access_log: { format: json }")
        .resource(provider("first", "openai-chat", &first.url(), rest))
        .resource(provider("second", "openai-chat", &second.url(), ""))
        .resource("- { kind: model, name: fast, targets: [ { provider: first, model: a } ], fallbacks: [ { provider: second, model: b } ] }")
        .resource(OPEN)
        .start()
        .await
}

fn error(status: &str, headers: &[(&str, &str)]) -> Script {
    let body =
        json!({ "error": { "message": "It is so.", "type": "x", "param": null, "code": "why" } });
    Script::json(status, headers, &body)
}

async fn ask(node: &Node, stream: bool) -> Answer {
    let mut body = chat("fast");
    body["stream"] = json!(stream);
    post(node, &address("openai-chat", "fast", stream), &[], &body).await
}

/// Scripts of providers that fail before the first token.
fn failing(stream: bool) -> Vec<(&'static str, Script)> {
    let mut cases = vec![
        ("408", error("408 Request Timeout", &[])),
        ("409", error("409 Conflict", &[])),
        ("429", error("429 Too Many Requests", &[])),
        ("500", error("500 Internal Server Error", &[])),
        ("503", error("503 Service Unavailable", &[])),
        ("529", error("529 Overloaded", &[])),
        ("a wrong key", error("401 Unauthorized", &[])),
        ("no such model", error("404 Not Found", &[])),
        ("a reset", Script::new().reset()),
        (
            "a page",
            Script::answer("200 OK", &[("content-type", "text/html")], "<p>busy</p>"),
        ),
        (
            "garbage",
            Script::answer(
                "200 OK",
                &[(
                    "content-type",
                    if stream {
                        "text/event-stream"
                    } else {
                        "application/json"
                    },
                )],
                "data: {\"choices\": [oops\n\n",
            ),
        ),
    ];
    if stream {
        cases.push(("an end without an answer", Script::events().end()));
        let told =
            r#"{"error":{"message":"overloaded","type":"server_error","code":"overloaded"}}"#;
        cases.push((
            "an error as the first event",
            Script::events().event("", told).end(),
        ));
        let begun =
            r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}"#;
        cases.push((
            "a cut before the first token",
            Script::events().event("", begun).reset(),
        ));
    }
    cases
}

#[tokio::test]
async fn whatever_fails_before_the_first_token_falls_back_with_the_original_bytes() {
    let second = recorded("openai-chat", "text").await;
    for stream in [false, true] {
        let (names, scripts): (Vec<_>, Vec<_>) = failing(stream).into_iter().unzip();
        let first = Upstream::scripts(scripts).await;
        // One that keeps failing would be asked last.
        let node = chain(&first, &second, "ejection: none").await;
        for what in names {
            let answered = ask(&node, stream).await;
            assert_eq!(answered.status, 200, "{what}: {}", answered.text());
            assert_eq!(
                answered.head.field("keyward-model"),
                Some("second/b"),
                "{what}"
            );
            let attempts = answered.head.field("keyward-attempts").unwrap_or_default();
            assert!(attempts.starts_with("first/a "), "{what}: {attempts}");
            assert!(attempts.ends_with(", second/b 200"), "{what}: {attempts}");
            let (asked, again) = (first.received(), second.received());
            let (asked, again) = (asked.last().unwrap(), again.last().unwrap());
            let (mut one, mut two) = (body_of(asked), body_of(again));
            let models = (one["model"].take(), two["model"].take());
            assert_eq!(models, (json!("a"), json!("b")));
            assert_eq!(one, two, "{what}");
        }
        assert_eq!(logged(&node, "fast").await["provider"], "second");
    }
}

#[tokio::test]
async fn a_request_that_is_at_fault_itself_is_sent_once() {
    let first = Upstream::scripted(error("400 Bad Request", &[])).await;
    let second = recorded("openai-chat", "text").await;
    let node = chain(&first, &second, "").await;
    let answer = ask(&node, false).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(answer.json().unwrap()["error"]["message"], "It is so.");
    assert_eq!((first.received().len(), second.received().len()), (1, 0));
    assert_eq!(logged(&node, "fast").await["code"], "provider_refused");
}

#[tokio::test]
async fn a_stream_that_falls_silent_tells_so_and_one_that_never_begins_goes_elsewhere() {
    let piece = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}"#;
    let silent = Script::events().event("", piece).wait_until_closed();
    let first = Upstream::scripted(silent).await;
    let second = recorded("openai-chat", "text").await;
    let node = chain(&first, &second, "first_token_timeout: 300ms").await;
    let answer = ask(&node, true).await;
    check_passed(&answer);
    let data = data_of(&answer);
    assert_eq!(data[0]["choices"][0]["delta"]["content"], "Hel");
    assert!(
        data.last().unwrap()["error"]["message"].is_string(),
        "{data:?}"
    );
    // What keeps a connection alive is no token, however much of it comes.
    let comment = format!(": {}\n\n", "x".repeat(1_000));
    let talks = (0..1_200).fold(Script::events(), |script, _| script.write_chunk(&comment));
    let first = Upstream::scripted(talks.wait_until_closed()).await;
    let node = chain(&first, &second, "").await;
    let answer = ask(&node, true).await;
    check_passed(&answer);
    assert_eq!(second.received().len(), 1);
}

#[tokio::test]
async fn a_stream_that_breaks_after_its_first_token_tells_so_and_ends() {
    let piece = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}"#;
    let first = Upstream::scripted(Script::events().event("", piece).reset()).await;
    let second = recorded("openai-chat", "text").await;
    let node = chain(&first, &second, "").await;
    let answer = ask(&node, true).await;
    check_passed(&answer);
    let data = data_of(&answer);
    assert_eq!(data[0]["choices"][0]["delta"]["content"], "Hel");
    assert!(
        data.last().unwrap()["error"]["message"].is_string(),
        "{data:?}"
    );
    assert!(second.received().is_empty(), "there is no way back");
    assert_eq!(logged(&node, "fast").await["code"], "provider_failed");
    // The same towards callers of another dialect.
    let asked = json!({ "model": "fast", "max_tokens": 5, "stream": true, "messages": [{ "role": "user", "content": "Hi" }] });
    let answer = post(&node, "/v1/messages", &[], &asked).await;
    check_passed(&answer);
    let last = data_of(&answer).pop().unwrap();
    assert_eq!(last["type"], "error", "{}", answer.text());
}

#[tokio::test]
async fn a_provider_that_does_not_begin_in_time_is_left_for_another() {
    let gate = Gate::shut();
    let first = Upstream::scripted(Script::events().wait_for(&gate).end()).await;
    let second = recorded("openai-chat", "text").await;
    let node = chain(&first, &second, "first_token_timeout: 300ms").await;
    let answer = ask(&node, true).await;
    check_passed(&answer);
    assert_eq!(
        answer.head.field("keyward-attempts"),
        Some("first/a 504, second/b 200")
    );
    let silent = Upstream::scripted(Script::new().wait_for(&gate)).await;
    let node = chain(&silent, &second, "total_timeout: 300ms").await;
    check_passed(&ask(&node, false).await);
    gate.open();
}

#[tokio::test]
async fn a_key_that_is_refused_is_left_alone_and_another_one_serves() {
    let back = Upstream::choosing(|asked| match asked.head.field("authorization") {
        Some("Bearer sk-good") => answer("openai-chat", "text", asked),
        Some("Bearer sk-busy") => error("429 Too Many Requests", &[("retry-after", "30")]),
        _ => error("401 Unauthorized", &[]),
    })
    .await;
    let node = Plan::default()
        .resource(provider(
            "back",
            "openai-chat",
            &back.url(),
            "credentials: [ { key: sk-busy, weight: 1000 }, { key: sk-wrong, weight: 100 }, { key: sk-good } ]",
        ))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ] }")
        .resource(OPEN)
        .start()
        .await;
    for _ in 0..20 {
        check_passed(&ask(&node, false).await);
    }
    let received = back.received();
    let with = |key: &str| {
        let key = format!("Bearer {key}");
        let of = |received: &&keyward_testkit::Received| {
            received.head.field("authorization") == Some(&key)
        };
        received.iter().filter(of).count()
    };
    assert_eq!(with("sk-good"), 20);
    assert!(
        with("sk-busy") <= 2 && with("sk-wrong") <= 2,
        "each worker may have tried at once"
    );
}

#[tokio::test]
async fn where_nobody_can_serve_the_caller_is_told_when_to_come_again() {
    let back = Upstream::scripted(error("429 Too Many Requests", &[("retry-after", "30")])).await;
    let node = Plan::default()
        .settings("access_log: { format: json }")
        .resource(provider(
            "back",
            "openai-chat",
            &back.url(),
            "credentials: [ { key: sk-busy } ]",
        ))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ] }")
        .resource(OPEN)
        .start()
        .await;
    for _ in 0..3 {
        let answer = ask(&node, false).await;
        assert_eq!(answer.status, 429, "{}", answer.text());
        let after: u64 = answer.head.field("retry-after").unwrap().parse().unwrap();
        assert!((28..=30).contains(&after), "{after}");
        assert!(answer.json().unwrap()["error"]["message"].is_string());
    }
    assert_eq!(
        back.received().len(),
        1,
        "a key that is to wait is not tried"
    );
    assert_eq!(logged(&node, "fast").await["code"], "provider_busy");
}

#[tokio::test]
async fn a_short_wait_that_the_provider_asks_for_is_waited() {
    let busy = error("503 Service Unavailable", &[("retry-after-ms", "200")]);
    let ok = Script::json(
        "200 OK",
        &[],
        &super::fixture("answers", "openai-chat", "text"),
    );
    let back = Upstream::scripts(vec![busy, ok]).await;
    let node = Plan::default()
        .resource(provider("back", "openai-chat", &back.url(), ""))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ] }")
        .resource(OPEN)
        .start()
        .await;
    let clock = SystemClock::new();
    let begun = clock.moment();
    let answer = ask(&node, false).await;
    check_passed(&answer);
    assert!(clock.moment().since(begun) >= Duration::from_millis(200));
    assert_eq!(
        answer.head.field("keyward-attempts"),
        Some("back/m 503, back/m 200")
    );
}

#[tokio::test]
async fn a_call_that_is_forbidden_keeps_the_key_from_nobody_else() {
    let back = Upstream::choosing(|asked| {
        if String::from_utf8_lossy(&asked.body).contains("somebody else's file") {
            return error("403 Forbidden", &[]);
        }
        answer("openai-chat", "text", asked)
    })
    .await;
    let node = Plan::default()
        .resource(provider(
            "back",
            "openai-chat",
            &back.url(),
            "credentials: [ { key: sk-the-only-one } ]",
        ))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ] }")
        .resource(OPEN)
        .start()
        .await;
    let mut forbidden = chat("fast");
    forbidden["messages"][0]["content"] = json!("somebody else's file");
    let address = address("openai-chat", "fast", false);
    let refused = post(&node, &address, &[], &forbidden).await;
    assert_eq!(refused.status, 502, "{}", refused.text());
    check_passed(&ask(&node, false).await);
}

#[tokio::test]
async fn what_a_provider_says_of_the_operator_s_key_reaches_no_caller() {
    let told = json!({ "error": { "message": "Incorrect API key provided: sk-secret", "type": "invalid_request_error", "code": "invalid_api_key" } });
    let back = Upstream::scripted(Script::json("401 Unauthorized", &[], &told)).await;
    let node = Plan::default()
        .settings("access_log: { format: json }")
        .resource(provider(
            "back",
            "openai-chat",
            &back.url(),
            "credentials: [ { key: sk-secret } ]",
        ))
        .resource(
            "- { kind: model, name: fast, targets: [ { provider: back, model: m } ], attempts: 1 }",
        )
        .resource(OPEN)
        .start()
        .await;
    let answer = ask(&node, false).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(!answer.text().contains("sk-secret"), "{}", answer.text());
    let line = logged(&node, "fast").await;
    assert_eq!(line["code"], "provider_failed");
    assert!(
        line["because"].as_str().unwrap().contains("Incorrect"),
        "{line}"
    );
}

#[tokio::test]
async fn targets_share_calls_by_weight() {
    let (one, two) = (
        recorded("openai-chat", "text").await,
        recorded("openai-chat", "text").await,
    );
    let node = Plan::default()
        .resource(provider("one", "openai-chat", &one.url(), ""))
        .resource(provider("two", "openai-chat", &two.url(), ""))
        .resource("- { kind: model, name: fast, targets: [ { provider: one, model: m, weight: 3 }, { provider: two, model: m } ] }")
        .resource(OPEN)
        .start()
        .await;
    for _ in 0..60 {
        check_passed(&ask(&node, false).await);
    }
    let (one, two) = (one.received().len(), two.received().len());
    assert_eq!(one + two, 60);
    assert!((38..=52).contains(&one), "{one} of 60");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read_to_its_end_nor_asked_for_again() {
    const SIZE: u64 = 100 << 20;
    let json = "content-type: application/json\r\n";
    let told = Script::new()
        .write(format!(
            "HTTP/1.1 200 OK\r\n{json}content-length: {SIZE}\r\n\r\n"
        ))
        .repeat([b' '; 1 << 16], SIZE >> 16);
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(1 << 16));
    let untold = Script::new()
        .write(format!(
            "HTTP/1.1 200 OK\r\n{json}transfer-encoding: chunked\r\n\r\n"
        ))
        .repeat(chunk, SIZE >> 16)
        .end();
    for script in [told, untold] {
        let first = Upstream::scripted(script).await;
        let second = recorded("openai-chat", "text").await;
        let node = chain(&first, &second, "").await;
        let answer = ask(&node, false).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(answer.text().contains("larger than"), "{}", answer.text());
        assert!(second.received().is_empty(), "it would be as large again");
        assert!(first.written() < SIZE, "{}", first.written());
        assert_eq!(logged(&node, "fast").await["code"], "provider_failed");
    }
}
