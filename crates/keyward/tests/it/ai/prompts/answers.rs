//! Calls and what they are answered.

use super::{
    OPEN, SECRET, call, chat_answer, logged, metrics, plan, said, saying, translate, untold,
};
use crate::ai::{body_of, data_of};
use crate::node::{Plan, check_passed, check_problem};
use keyward_model::ApiKey;
use keyward_testkit::{Script, Upstream};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test]
async fn a_prompt_is_called_with_its_variables_and_answers_with_what_it_took() {
    let back = saying("Bonjour").await;
    let node = plan(&back.url())
        .resource(translate("v1", ""))
        .resource(OPEN)
        .start()
        .await;
    let answer = call(
        &node,
        "/prompts/translate",
        &[],
        &json!({ "text": "Hello" }),
    )
    .await;
    check_passed(&answer);
    let told = answer.json().unwrap();
    assert_eq!(told["output"], "Bonjour");
    assert_eq!(
        (&told["prompt"], &told["version"]),
        (&json!("translate"), &json!("v1"))
    );
    assert_eq!(told["model"], "back/big-1");
    assert_eq!(told["stop"], "end");
    assert_eq!(told["usage"]["input_tokens"], 11);
    assert_eq!(told["usage"]["output_tokens"], 3);
    assert_eq!(told["cost"], Value::Null, "no price is known of `big-1`");
    assert_eq!(answer.head.field("keyward-answer"), told["id"].as_str());
    untold(&answer);
    // What the model was asked: the instructions, the example, the question.
    let asked = body_of(&back.received()[0]);
    let texts: Vec<&str> = asked["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["content"].as_str().unwrap())
        .collect();
    assert_eq!(
        texts,
        [
            format!("{SECRET} {SECRET} house style into fr"),
            format!("T: {SECRET}"),
            format!("example-{SECRET}"),
            "T: Hello".to_owned(),
        ]
    );
    assert_eq!(
        (&asked["model"], &asked["temperature"]),
        (&json!("big-1"), &json!(0.2))
    );
    // By its version, as plain text.
    let plain = [("Accept", "text/plain")];
    let path = "/prompts/translate/versions/v1";
    let answer = call(&node, path, &plain, &json!({ "text": "Hi", "to": "de" })).await;
    check_passed(&answer);
    assert_eq!(answer.text(), "Bonjour");
    let log = logged(&node, "translate").await;
    assert_eq!(log["prompt_version"], "v1");
    assert_eq!(
        (&log["model"], &log["input_tokens"]),
        (&json!("fast"), &json!(11))
    );
    // There are no addresses of models.
    let chat = json!({ "model": "fast", "messages": [] });
    let answer = call(&node, "/v1/chat/completions", &[], &chat).await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    let metrics = metrics(&node).await;
    assert!(
        metrics.contains("keyward_prompt_calls_total{team=\"default\",prompt=\"translate\",version=\"v1\",outcome=\"answered\"} 2"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_stream_has_the_text_in_pieces_and_the_sums_at_the_end() {
    let back = saying("Bonjour tout le monde").await;
    let node = plan(&back.url())
        .resource(translate("v1", ""))
        .resource(OPEN)
        .start()
        .await;
    for (path, headers) in [
        ("/prompts/translate?stream=true", &[][..]),
        ("/prompts/translate", &[("Accept", "text/event-stream")][..]),
    ] {
        let answer = call(&node, path, headers, &json!({ "text": "Hello" })).await;
        check_passed(&answer);
        assert_eq!(answer.head.field("content-type"), Some("text/event-stream"));
        let text = answer.text();
        let kinds: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("event: "))
            .collect();
        assert_eq!(kinds, ["delta", "delta", "done"], "{text}");
        let data = data_of(&answer);
        let said: String = data
            .iter()
            .filter_map(|data| data["text"].as_str())
            .collect();
        assert_eq!(said, "Bonjour tout le monde");
        let end = &data[2];
        assert_eq!(
            (&end["stop"], &end["usage"]["output_tokens"]),
            (&json!("end"), &json!(3))
        );
        assert_eq!(end["version"], "v1");
        untold(&answer);
    }
    assert_eq!(logged(&node, "translate").await["output_tokens"], 3);
}

#[tokio::test]
async fn nothing_of_the_template_is_told_whatever_goes_wrong() {
    // A provider that repeats all it was asked, in whatever it says.
    let back = Upstream::choosing(|asked| {
        let repeated = String::from_utf8_lossy(&asked.body).into_owned();
        let error = json!({ "error": { "message": repeated, "type": "invalid_request_error", "code": repeated } });
        let status = match asked.target() {
            target if target.contains("bad") => "400 Bad Request",
            target if target.contains("gone") => "404 Not Found",
            _ => "500 Internal Server Error",
        };
        Script::json(status, &[("x-repeated", &SECRET.repeat(2))], &error)
    })
    .await;
    let mut told = plan(&back.url()).resource(OPEN);
    for (name, path) in [("bad", "bad"), ("gone", "gone"), ("broken", "broken")] {
        told = told
            .resource(crate::ai::provider(
                name,
                "openai-chat",
                &format!("{}/{path}", back.url()),
                "",
            ))
            .resource(format!(
                "- {{ kind: model, name: {name}, targets: [ {{ provider: {name}, model: m }} ] }}"
            ))
            .resource(
                translate("v1", "")
                    .replace("name: translate", &format!("name: ask-{name}"))
                    .replace("model: fast", &format!("model: {name}")),
            );
    }
    let node = told.resource(translate("v1", "")).start().await;
    for (path, body, status, code) in [
        (
            "/prompts/ask-bad",
            json!({ "text": "a" }),
            500,
            "prompt_failed",
        ),
        (
            "/prompts/ask-gone",
            json!({ "text": "a" }),
            502,
            "provider_failed",
        ),
        (
            "/prompts/ask-broken",
            json!({ "text": "a" }),
            502,
            "provider_failed",
        ),
        (
            "/prompts/ask-broken?stream=true",
            json!({ "text": "a" }),
            502,
            "provider_failed",
        ),
        (
            "/prompts/translate",
            json!({ "text": 7 }),
            400,
            "validation_failed",
        ),
        ("/prompts/translate", json!({}), 400, "validation_failed"),
        (
            "/prompts/translate",
            json!({ "text": "a".repeat(101) }),
            400,
            "validation_failed",
        ),
        (
            "/prompts/translate",
            json!({ "text": "a", "house": 1 }),
            400,
            "validation_failed",
        ),
        (
            "/prompts/nobody",
            json!({ "text": "a" }),
            404,
            "prompt_not_found",
        ),
        (
            "/prompts/translate/versions/v9",
            json!({ "text": "a" }),
            404,
            "prompt_not_found",
        ),
    ] {
        let answer = call(&node, path, &[], &body).await;
        check_problem(&answer, status, code);
        untold(&answer);
    }
    let refused = call(&node, "/prompts/translate", &[], &json!({ "text": 7 })).await;
    assert_eq!(refused.json().unwrap()["errors"][0]["pointer"], "/text");
    for path in [
        "/prompts",
        "/prompts/translate/openapi.json",
        "/prompts/translate/versions/v1/openapi.json",
    ] {
        let answer = node.get(path, &[]).await;
        check_passed(&answer);
        untold(&answer);
    }
    assert!(!node.process.log().contains(SECRET));
    assert!(!metrics(&node).await.contains(SECRET));
}

#[tokio::test]
async fn the_open_api_document_describes_what_is_sent_and_answered() {
    let back = saying("Bonjour").await;
    let node = plan(&back.url())
        .resource(translate("v1", ""))
        .resource(OPEN.replace("ai: {", "base_path: /smart, ai: {"))
        .start()
        .await;
    let list = node.get("/smart/prompts", &[]).await.json().unwrap();
    assert_eq!(list["prompts"][0]["name"], "translate");
    assert_eq!(list["prompts"][0]["description"], "Translates a text");
    assert_eq!(
        list["prompts"][0]["versions"][0],
        json!({ "version": "v1", "state": "published" })
    );
    let document = node.get("/smart/prompts/translate/openapi.json", &[]).await;
    let document = document.json().unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["security"], json!([]));
    let post = &document["paths"]["/smart/prompts/translate"]["post"];
    let body = &post["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(
        body["properties"]["text"],
        json!({ "type": "string", "maxLength": 100 })
    );
    assert_eq!(body["required"], json!(["text"]));
    assert_eq!(body["properties"]["to"]["default"], "fr");
    let answer = &post["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(answer["properties"]["output"], json!({ "type": "string" }));
    assert!(document["paths"]["/smart/prompts/translate/versions/v1"]["post"].is_object());
    check_passed(
        &call(
            &node,
            "/smart/prompts/translate",
            &[],
            &json!({ "text": "Hi" }),
        )
        .await,
    );
}

#[tokio::test]
async fn an_answer_in_json_fits_its_schema_or_is_asked_for_again() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let back = Upstream::choosing(|asked| {
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        let question = body["messages"].as_array().unwrap().len();
        ASKED.fetch_add(1, Ordering::Relaxed);
        let wrong = body["messages"].to_string().contains("stubborn");
        match question {
            1 => said(asked, "```json\n{\"mood\": 7}\n```"),
            _ if wrong => said(asked, "I'd rather not"),
            _ => said(asked, "{\"mood\": \"good\"}"),
        }
    })
    .await;
    let judge = r#"- kind: prompt
  name: judge
  version: v1
  state: published
  model: fast
  variables: { text: {} }
  messages: [ { role: user, text: "Judge: {{ text }}" } ]
  output: { schema: { type: object, required: [mood], properties: { mood: { type: string } }, additionalProperties: false }, repairs: 1 }"#;
    let node = plan(&back.url())
        .resource(judge)
        .resource(OPEN)
        .start()
        .await;
    let answer = call(&node, "/prompts/judge", &[], &json!({ "text": "Fine" })).await;
    check_passed(&answer);
    let told = answer.json().unwrap();
    assert_eq!(told["output"], json!({ "mood": "good" }));
    assert_eq!(told["usage"]["input_tokens"], 22, "both rounds are told");
    assert_eq!(ASKED.load(Ordering::Relaxed), 2);
    let second = body_of(&back.received()[1]);
    assert_eq!(second["response_format"]["type"], "json_schema");
    let messages = second["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3);
    assert!(messages[2]["content"].as_str().unwrap().contains("/mood"));
    assert_eq!(logged(&node, "judge").await["input_tokens"], 22);
    let answer = call(&node, "/prompts/judge", &[], &json!({ "text": "stubborn" })).await;
    check_problem(&answer, 502, "answer_unfit");
    assert!(!answer.text().contains("rather"), "{}", answer.text());
    let answer = call(
        &node,
        "/prompts/judge?stream=true",
        &[],
        &json!({ "text": "a" }),
    )
    .await;
    check_problem(&answer, 400, "bad_request");
    let document = node
        .get("/prompts/judge/openapi.json", &[])
        .await
        .json()
        .unwrap();
    let post = &document["paths"]["/prompts/judge"]["post"];
    let answer = &post["responses"]["200"]["content"]["application/json"]["schema"];
    let output = answer["properties"]["output"]["$ref"].as_str().unwrap();
    let output = document.pointer(output.strip_prefix('#').unwrap()).unwrap();
    assert_eq!(output["properties"]["mood"]["type"], "string");
}

#[tokio::test]
async fn a_tool_call_is_an_answer_and_what_came_of_it_goes_back() {
    let back = Upstream::choosing(|asked| {
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        let last = body["messages"].as_array().unwrap().last().unwrap().clone();
        if last["role"] == "tool" {
            let text = format!("It is {}", last["content"].as_str().unwrap());
            return said(asked, &text);
        }
        let message = json!({ "role": "assistant", "content": null, "tool_calls": [
            { "id": "call_1", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Paris\"}" } },
        ] });
        Script::json("200 OK", &[], &chat_answer(&message, "tool_calls"))
    })
    .await;
    let weather = r#"- kind: prompt
  name: weather
  version: v1
  state: published
  model: fast
  variables: { city: {} }
  messages: [ { role: user, text: "How is {{ city }}?" } ]
  tools: [ { name: weather, description: The weather, parameters: { type: object, properties: { city: { type: string } } } } ]
  tool_choice: required"#;
    let node = plan(&back.url())
        .resource(weather)
        .resource(OPEN)
        .start()
        .await;
    let answer = call(&node, "/prompts/weather", &[], &json!({ "city": "Paris" })).await;
    check_passed(&answer);
    let told = answer.json().unwrap();
    assert_eq!(
        (&told["output"], &told["stop"]),
        (&Value::Null, &json!("tool_calls"))
    );
    let mut done = told["tool_calls"][0].clone();
    assert_eq!(
        done,
        json!({ "id": "call_1", "name": "weather", "arguments": { "city": "Paris" } })
    );
    done["result"] = json!("sunny");
    let answer = call(
        &node,
        "/prompts/weather",
        &[],
        &json!({ "city": "Paris", "$tool_results": [done] }),
    )
    .await;
    check_passed(&answer);
    assert_eq!(answer.json().unwrap()["output"], "It is sunny");
}

#[tokio::test]
async fn who_may_call_a_prompt_need_not_be_one_who_may_ask_its_model() {
    let back = saying("Bonjour").await;
    let key = |byte| ApiKey::from_random(&[byte; 32]).reveal().to_owned();
    let (plain, scoped) = (key(1), key(2));
    let node = Plan::default()
        .resource(crate::ai::provider("back", "openai-chat", &back.url(), ""))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ], authorization: { scopes: [models] } }")
        .resource(translate("v1", ""))
        .resource(translate("v1", "authorization: { scopes: [inner] }").replace("name: translate", "name: inner"))
        .resource(translate("v1", "authorization: { policies: [by-day] }").replace("name: translate", "name: daily"))
        .resource(r#"- { kind: access_policy, name: by-day, cedar: 'permit(principal, action, resource == Route::"ai/v1 prompt daily") when { context.headers has "x-day" };' }"#)
        .resource(format!("- {{ kind: credential, name: plain, api_key: {plain} }}"))
        .resource(format!("- {{ kind: credential, name: scoped, api_key: {scoped}, scopes: [inner] }}"))
        .resource("- { kind: api, name: ai, version: v1, state: published, ai: { models: all, prompts: all }, authentication: [ { api_key: { sdk: true } } ] }")
        .start()
        .await;
    let body = json!({ "text": "Hi" });
    let of = |key: &str| format!("Bearer {key}");
    let (plain, scoped) = (of(&plain), of(&scoped));
    let (plain, scoped) = ([("Authorization", &*plain)], [("Authorization", &*scoped)]);
    check_problem(
        &call(&node, "/prompts/translate", &[], &body).await,
        401,
        "credential_missing",
    );
    check_passed(&call(&node, "/prompts/translate", &plain, &body).await);
    let chat = json!({ "model": "fast", "messages": [{ "role": "user", "content": "Hi" }] });
    let asked = call(&node, "/v1/chat/completions", &plain, &chat).await;
    assert_eq!(asked.status, 403, "{}", asked.text());
    check_problem(
        &call(&node, "/prompts/inner", &plain, &body).await,
        403,
        "insufficient_scope",
    );
    check_passed(&call(&node, "/prompts/inner", &scoped, &body).await);
    check_problem(
        &call(&node, "/prompts/daily", &plain, &body).await,
        403,
        "policy_refused",
    );
    let by_day = [plain[0], ("X-Day", "1")];
    check_passed(&call(&node, "/prompts/daily", &by_day, &body).await);
    let names = async |headers: &[(&str, &str)]| -> Vec<String> {
        let list = node.get("/prompts", headers).await.json().unwrap();
        let prompts = list["prompts"].as_array().unwrap().iter();
        prompts
            .map(|prompt| prompt["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&plain).await, ["translate"]);
    assert_eq!(names(&scoped).await, ["inner", "translate"]);
    assert_eq!(names(&by_day).await, ["daily", "translate"]);
    let document = node.get("/prompts/inner/openapi.json", &plain).await;
    check_problem(&document, 403, "insufficient_scope");
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_in_our_words() {
    let back = Upstream::choosing(|_| {
        let chunk = json!({
            "id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{ "index": 0, "delta": { "content": "Bon" }, "finish_reason": null }],
        });
        let error = json!({ "error": { "message": SECRET, "type": "server_error" } });
        Script::stream("text/event-stream")
            .write_chunk(format!("data: {chunk}\n\n"))
            .write_chunk(format!("data: {error}\n\n"))
            .end()
    })
    .await;
    let node = plan(&back.url())
        .resource(translate("v1", ""))
        .resource(OPEN)
        .start()
        .await;
    let answer = call(
        &node,
        "/prompts/translate?stream=true",
        &[],
        &json!({ "text": "Hi" }),
    )
    .await;
    assert_eq!(answer.status, 200);
    let data = data_of(&answer);
    assert_eq!(data[0]["text"], "Bon");
    assert_eq!(data[1]["code"], "provider_failed", "{}", answer.text());
    assert_eq!(data.len(), 2);
    untold(&answer);
}
