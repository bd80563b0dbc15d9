//! What a provider charges for is written down, and what it answers in a dialect that both ends speak reaches the caller.

use super::{OPEN, address, chat, data_of, fixture, logged, post, provider, recorded};
use crate::node::{Node, Plan, check_passed};
use keyward_testkit::{Script, Upstream};
use serde_json::{Value, json};

/// A node whose model `fast` is served by `first`, which speaks `dialect`, and by `second`, which speaks OpenAI's chat.
async fn chain(dialect: &str, first: &Upstream, second: &Upstream) -> Node {
    Plan::default()
        .settings("access_log: { format: json }")
        .resource(provider("first", dialect, &first.url(), ""))
        .resource(provider("second", "openai-chat", &second.url(), ""))
        .resource("- { kind: model, name: fast, targets: [ { provider: first, model: a } ], fallbacks: [ { provider: second, model: b } ] }")
        .resource(OPEN)
        .start()
        .await
}

fn tokens(line: &Value) -> (u64, u64) {
    let of = |name: &str| line[name].as_u64().unwrap_or_default();
    (of("input_tokens"), of("output_tokens"))
}

#[tokio::test]
async fn an_answer_that_only_its_own_dialect_can_say_passes_untouched_and_is_charged() {
    for (form, body) in [
        (
            "openai-responses",
            json!({ "id": "r", "object": "response", "status": "completed", "error": null, "model": "a",
                "output": [{ "type": "web_search_call", "id": "w", "status": "completed", "action": { "type": "search", "query": "q" } },
                    { "type": "image_generation_call", "id": "i", "result": "AAAA" }],
                "usage": { "input_tokens": 30, "output_tokens": 40, "novelty": { "x": 1 } } }),
        ),
        (
            "openai-chat",
            json!({ "id": "c", "object": "chat.completion", "model": "a",
                "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": null, "audio": { "id": "x", "data": "AAAA", "transcript": "Hi" } } }],
                "usage": { "prompt_tokens": 30, "completion_tokens": 40 } }),
        ),
        (
            "anthropic",
            json!({ "id": "m", "type": "message", "role": "assistant", "model": "a", "stop_reason": "end_turn",
                "content": [{ "type": "server_tool_use", "id": "s", "name": "web_search", "input": {} }, { "type": "web_search_tool_result", "tool_use_id": "s", "content": [] }],
                "usage": { "input_tokens": 30, "output_tokens": 40, "server_tool_use": { "web_search_requests": 1 } } }),
        ),
        (
            "gemini",
            json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "executableCode": { "language": "PYTHON", "code": "1" } }] }, "finishReason": "STOP" }],
                "usageMetadata": { "promptTokenCount": 30, "candidatesTokenCount": 40 } }),
        ),
    ] {
        let first = Upstream::scripted(Script::json("200 OK", &[], &body)).await;
        let second = recorded("openai-chat", "text").await;
        let node = chain(form, &first, &second).await;
        let asked = match form {
            "openai-responses" => {
                json!({ "model": "fast", "input": "q", "tools": [{ "type": "web_search" }] })
            }
            "gemini" => json!({ "contents": [{ "role": "user", "parts": [{ "text": "q" }] }] }),
            _ => {
                json!({ "model": "fast", "max_tokens": 9, "messages": [{ "role": "user", "content": "q" }] })
            }
        };
        let answer = post(&node, &address(form, "fast", false), &[], &asked).await;
        check_passed(&answer);
        assert_eq!(answer.text(), body.to_string(), "{form}: its own bytes");
        assert_eq!(first.received().len(), 1, "{form}");
        assert!(second.received().is_empty(), "{form}");
        assert_eq!(tokens(&logged(&node, "fast").await), (30, 40), "{form}");
    }
}

#[tokio::test]
async fn a_stream_that_only_its_own_dialect_can_say_passes_untouched_and_is_charged() {
    let events = [
        json!({ "type": "response.created", "sequence_number": 0, "response": { "id": "r" } }),
        json!({ "type": "response.output_item.added", "sequence_number": 1, "item": { "type": "web_search_call", "id": "w" } }),
        json!({ "type": "response.web_search_call.searching", "sequence_number": 2, "item_id": "w" }),
        json!({ "type": "response.completed", "sequence_number": 3, "response": { "id": "r", "usage": { "input_tokens": 30, "output_tokens": 40 } } }),
    ];
    let script = events.iter().fold(Script::events(), |script, event| {
        script.event(event["type"].as_str().unwrap(), &event.to_string())
    });
    let first = Upstream::scripted(script.end()).await;
    let second = recorded("openai-chat", "text").await;
    let node = chain("openai-responses", &first, &second).await;
    let asked = json!({ "model": "fast", "input": "q", "stream": true });
    let answer = post(&node, "/v1/responses", &[], &asked).await;
    check_passed(&answer);
    assert_eq!(data_of(&answer), events);
    assert!(second.received().is_empty());
    assert_eq!(tokens(&logged(&node, "fast").await), (30, 40));
}

#[tokio::test]
async fn what_attempts_took_that_came_to_nothing_is_added_to_what_the_call_took() {
    let usage = json!({ "input_tokens": 7, "output_tokens": 5 });
    // Nobody can say this to callers of OpenAI's chat.
    let unusable = json!({ "id": "r", "object": "response", "status": "completed", "error": null, "model": "a", "created_at": 1,
        "output": [{ "type": "web_search_call", "id": "w", "status": "completed" }], "usage": usage });
    let failed = json!({ "id": "r", "object": "response", "status": "failed", "error": { "code": "server_error", "message": "x" }, "output": [], "usage": usage });
    let told = fixture("answers", "openai-chat", "text")["usage"].clone();
    let of = |name: &str| told[name].as_u64().unwrap();
    for body in [unusable, failed] {
        let first = Upstream::scripted(Script::json("200 OK", &[], &body)).await;
        let second = recorded("openai-chat", "text").await;
        let node = chain("openai-responses", &first, &second).await;
        let answer = post(&node, "/v1/chat/completions", &[], &chat("fast")).await;
        check_passed(&answer);
        assert_eq!(answer.head.field("keyward-model"), Some("second/b"));
        assert_eq!(first.received().len(), 1);
        let line = logged(&node, "fast").await;
        let sum = (of("prompt_tokens") + 7, of("completion_tokens") + 5);
        assert_eq!(tokens(&line), sum, "{line}");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_off_before_its_first_token_costs_what_it_told() {
    let begun = json!({ "type": "message_start", "message": { "id": "m", "type": "message", "role": "assistant", "model": "a", "content": [], "usage": { "input_tokens": 11, "output_tokens": 1 } } });
    let ping = Script::events().event("message_start", &begun.to_string());
    for script in [ping.clone().reset(), ping.wait_until_closed()] {
        let first = Upstream::scripted(script).await;
        let second = Upstream::scripted(Script::json(
            "500 Internal Server Error",
            &[],
            &json!({ "error": { "message": "x" } }),
        ))
        .await;
        let node = Plan::default()
            .settings("access_log: { format: json }")
            .resource(provider("first", "anthropic", &first.url(), "first_token_timeout: 300ms"))
            .resource(provider("second", "openai-chat", &second.url(), ""))
            .resource("- { kind: model, name: fast, attempts: 2, targets: [ { provider: first, model: a } ], fallbacks: [ { provider: second, model: b } ] }")
            .resource(OPEN)
            .start()
            .await;
        let mut asked = chat("fast");
        asked["stream"] = json!(true);
        let answer = post(&node, "/v1/chat/completions", &[], &asked).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert_eq!(tokens(&logged(&node, "fast").await), (11, 1));
    }
}

#[tokio::test]
async fn answers_that_nobody_would_account_for_are_refused_in_the_caller_s_dialect() {
    let first = recorded("openai-responses", "text").await;
    let second = recorded("openai-chat", "text").await;
    let node = chain("openai-responses", &first, &second).await;
    let asked = json!({ "model": "fast", "input": "q", "background": true });
    let answer = post(&node, "/v1/responses", &[], &asked).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let error = answer.json().unwrap()["error"].clone();
    assert_eq!(error["code"], "unsupported_background", "{error}");
    assert!(first.received().is_empty() && second.received().is_empty());
}
