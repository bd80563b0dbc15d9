//! Every form that callers speak, with every dialect behind it, over sockets.

use super::{address, body_of, data_of, fixture, plan, post, recorded};
use crate::node::check_passed;
use keyward_testkit::{Script, Upstream};
use serde_json::{Value, json};

const FORMS: [&str; 4] = ["openai-chat", "openai-responses", "anthropic", "gemini"];
/// The dialects whose streams are text. Bedrock's binary one is held against its recordings in `keyward-llm`.
const DIALECTS: [&str; 6] = [
    "openai-chat",
    "openai-responses",
    "anthropic",
    "gemini",
    "ollama",
    "cohere",
];

/// The text of a whole answer.
fn text_of(form: &str, answer: &Value) -> String {
    let text = match form {
        "openai-chat" => &answer["choices"][0]["message"]["content"],
        "openai-responses" => {
            let items = answer["output"].as_array().unwrap();
            let message = items.iter().find(|item| item["type"] == "message");
            &message.unwrap()["content"][0]["text"]
        }
        "anthropic" => &answer["content"][0]["text"],
        _ => &answer["candidates"][0]["content"]["parts"][0]["text"],
    };
    text.as_str()
        .unwrap_or_else(|| panic!("{form}: {answer}"))
        .to_owned()
}

/// What of one event belongs to the text.
fn piece_of(form: &str, event: &Value) -> String {
    let text = match form {
        "openai-chat" => &event["choices"][0]["delta"]["content"],
        "openai-responses" if event["type"] == "response.output_text.delta" => &event["delta"],
        "anthropic" => &event["delta"]["text"],
        "gemini" => &event["candidates"][0]["content"]["parts"][0]["text"],
        _ => &Value::Null,
    };
    text.as_str().unwrap_or_default().to_owned()
}

fn asked(form: &str, name: &str) -> Value {
    let mut body = fixture("requests", form, name);
    if form != "gemini" {
        body["model"] = json!("fast");
    }
    body
}

#[tokio::test]
async fn whole_answers_and_streams_reach_every_form_from_every_dialect() {
    for dialect in DIALECTS {
        let back = recorded(dialect, "text").await;
        let node = plan(dialect, &back.url()).start().await;
        for form in FORMS {
            let answer = post(
                &node,
                &address(form, "fast", false),
                &[],
                &asked(form, "text"),
            )
            .await;
            assert_eq!(answer.status, 200, "{form} {dialect}: {}", answer.text());
            assert_eq!(
                text_of(form, &answer.json().unwrap()),
                text_of_fixture(dialect),
                "{form} from {dialect}"
            );
            let body = asked(form, "stream");
            let answer = post(&node, &address(form, "fast", true), &[], &body).await;
            check_passed(&answer);
            assert_eq!(answer.head.field("content-type"), Some("text/event-stream"));
            let pieces = data_of(&answer);
            let text: String = pieces.iter().map(|event| piece_of(form, event)).collect();
            assert_eq!(text, "Hello thére 😀!", "{form} from {dialect}");
        }
        for received in back.received() {
            let body = body_of(&received);
            let in_address = received.target().contains("big-1");
            assert!(body["model"] == "big-1" || in_address, "{dialect}: {body}");
        }
    }
}

fn text_of_fixture(dialect: &str) -> String {
    let answer = fixture("answers", dialect, "text");
    match dialect {
        "ollama" | "cohere" => {
            let content = &answer["message"]["content"];
            let text = content.as_str().or_else(|| content[0]["text"].as_str());
            text.unwrap().to_owned()
        }
        dialect => text_of(dialect, &answer),
    }
}

#[tokio::test]
async fn embeddings_and_counts_of_tokens_pass_to_providers_of_the_vendor_s_dialect_alone() {
    let told = json!({ "object": "list", "model": "big-1", "new": 1.0, "data": [{ "object": "embedding", "index": 0, "embedding": [0.5] }], "usage": { "prompt_tokens": 3, "total_tokens": 3 } });
    let counted = json!({ "input_tokens": 14 });
    for (dialect, path, at, told) in [
        ("openai-chat", "/v1/embeddings", "/base/embeddings", told),
        (
            "anthropic",
            "/v1/messages/count_tokens",
            "/base/messages/count_tokens",
            counted,
        ),
    ] {
        let back = Upstream::scripted(Script::json("200 OK", &[], &told)).await;
        let node = plan(dialect, &back.url()).start().await;
        let body = json!({ "model": "fast", "input": "Hi", "messages": [{ "role": "user", "content": "Hi" }] });
        let answer = post(&node, path, &[], &body).await;
        check_passed(&answer);
        assert_eq!(answer.json().unwrap(), told);
        let received = &back.received()[0];
        assert_eq!(received.target(), at);
        assert_eq!(body_of(received)["model"], "big-1");
        let other = recorded("gemini", "text").await;
        let node = plan("gemini", &other.url()).start().await;
        let answer = post(&node, path, &[], &body).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(other.received().is_empty());
    }
}

#[tokio::test]
async fn a_tool_call_comes_whole_in_every_form() {
    let back = recorded("anthropic", "one tool").await;
    let node = plan("anthropic", &back.url()).start().await;
    for stream in [false, true] {
        let mut body = asked("openai-chat", "one tool");
        body["stream"] = json!(stream);
        let answer = post(&node, "/v1/chat/completions", &[], &body).await;
        check_passed(&answer);
        let arguments: String = if stream {
            let events = data_of(&answer);
            let pieces = events.iter().filter_map(|event| {
                let call = &event["choices"][0]["delta"]["tool_calls"][0];
                call["function"]["arguments"].as_str()
            });
            pieces.collect()
        } else {
            let answer = answer.json().unwrap();
            let call = &answer["choices"][0]["message"]["tool_calls"][0];
            assert_eq!(call["function"]["name"], "get_weather");
            call["function"]["arguments"].as_str().unwrap().to_owned()
        };
        let arguments: Value = serde_json::from_str(&arguments).unwrap();
        assert!(arguments["city"].is_string(), "{arguments}");
    }
    let tools = body_of(&back.received()[0])["tools"].clone();
    assert_eq!(tools[0]["input_schema"]["required"], json!(["city"]));
}

#[tokio::test]
async fn what_the_target_can_not_do_is_refused_in_the_caller_s_dialect_and_never_sent() {
    let back = recorded("anthropic", "text").await;
    let node = plan("anthropic", &back.url()).start().await;
    let mut body = asked("openai-chat", "text");
    body["seed"] = json!(7);
    let answer = post(&node, "/v1/chat/completions", &[], &body).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let error = answer.json().unwrap();
    assert_eq!(error["error"]["code"], "unsupported_seed");
    assert_eq!(error["error"]["type"], "invalid_request_error");
    body.as_object_mut().unwrap().remove("seed");
    body["surprise"] = json!(1);
    let answer = post(&node, "/v1/chat/completions", &[], &body).await;
    assert_eq!(answer.json().unwrap()["error"]["code"], "unknown_field");
    assert_eq!(answer.json().unwrap()["error"]["param"], "surprise");
    assert!(back.received().is_empty());
    // What has no bearing on the answer is left out, and told.
    body.as_object_mut().unwrap().remove("surprise");
    body["metadata"] = json!({ "ticket": "7" });
    let answer = post(&node, "/v1/chat/completions", &[], &body).await;
    check_passed(&answer);
    let left_out = answer.head.field("keyward-left-out").unwrap();
    assert!(left_out.contains("metadata"), "{left_out}");
}
