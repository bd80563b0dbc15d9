//! Answers that are kept for calls that ask the same, or mean it.

use super::{OPEN, chat, data_of, fixture, logged, post, provider};
use crate::management::{Asked, Managed, expect};
use crate::node::{Node, Plan, check_passed};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_model::ApiKey;
use keyward_testkit::{Answer, Gate, Received, Script, Upstream, until};
use serde_json::{Value, json};

const PATH: &str = "/v1/chat/completions";

/// A provider that repeats what it is asked, streamed or not; its embeddings are of two numbers.
async fn echoing() -> Upstream {
    Upstream::choosing(echo).await
}

fn echo(asked: &Received) -> Script {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    if asked.target().ends_with("/embeddings") {
        // The more often they say `cat`, the more alike two texts are.
        let text = body["input"].as_str().unwrap();
        let cats = text.matches("cat").count();
        let vector = json!([cats, text.split(' ').count() - cats]);
        return Script::json(
            "200 OK",
            &[],
            &json!({ "object": "list", "data": [{ "embedding": vector, "index": 0 }], "usage": { "prompt_tokens": 1, "total_tokens": 1 } }),
        );
    }
    let last = body["messages"]
        .as_array()
        .and_then(|messages| messages.last().cloned());
    let text = last.unwrap_or_default()["content"].clone();
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 });
    if body["stream"] != true {
        let choice = json!({ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" });
        return Script::json(
            "200 OK",
            &[],
            &json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage }),
        );
    }
    let chunk = |choices: Value, usage: Value| {
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, "usage": usage }).to_string()
    };
    let choice =
        |delta: Value, stop: Value| json!([{ "index": 0, "delta": delta, "finish_reason": stop }]);
    Script::events()
        .event(
            "",
            &chunk(
                choice(json!({ "role": "assistant", "content": text }), Value::Null),
                Value::Null,
            ),
        )
        .event("", &chunk(choice(json!({}), json!("stop")), Value::Null))
        .event("", &chunk(json!([]), usage))
        .event("", "[DONE]")
        .end()
}

fn plan(url: &str, cache: &str) -> Plan {
    Plan::default()
        .settings("access_log: { format: json }")
        .resource(provider("back", "openai-chat", url, ""))
        .resource(format!(
            "- {{ kind: model, name: fast, targets: [ {{ provider: back, model: m }} ], cache: {cache} }}"
        ))
}

/// The same for everyone.
fn shared(url: &str, cache: &str) -> Plan {
    plan(url, &format!("{{ shared: api, {cache} }}")).resource(OPEN)
}

fn asked(text: &str, more: &Value) -> Value {
    let mut body = chat("fast");
    body["messages"][0]["content"] = json!(text);
    body["temperature"] = json!(0);
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

async fn ask(node: &Node, text: &str, more: &Value) -> Answer {
    let answer = post(node, PATH, &[], &asked(text, more)).await;
    check_passed(&answer);
    answer
}

#[track_caller]
fn told(answer: &Answer) -> &str {
    let told = answer.head.field("keyward-cache").unwrap_or("nothing");
    told.split(';').next().unwrap()
}

fn said(answer: &Answer) -> String {
    if answer.head.field("content-type") != Some("text/event-stream") {
        let body = answer.json().unwrap();
        return body["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .to_owned();
    }
    let data = data_of(answer);
    assert_eq!(data.last(), Some(&json!("[DONE]")));
    data.iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect()
}

#[tokio::test]
async fn an_equal_call_gets_the_same_answer_at_no_cost_and_another_does_not() {
    let back = echoing().await;
    let node = shared(&back.url(), "ttl: 10m").start().await;
    let none = json!({});
    let first = ask(&node, "one", &none).await;
    assert_eq!(told(&first), "miss");
    let again = ask(&node, "one", &json!({ "user": "somebody else" })).await;
    assert_eq!(told(&again), "hit");
    assert!(
        again
            .head
            .field("keyward-cache")
            .unwrap()
            .starts_with("hit; age=")
    );
    assert_eq!(again.text(), first.text());
    assert_eq!(again.head.field("keyward-model"), Some("back/m"));
    assert_eq!(back.received().len(), 1);
    until("the hit stands in the log", async || {
        node.process.log().contains("\"answer_cache\":\"hit\"")
    })
    .await;
    let line = logged(&node, "fast").await;
    assert_eq!(
        (&line["cost_pico_usd"], &line["input_tokens"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(line["provider"], "back");
    for more in [
        json!({ "seed": 7 }),
        json!({ "max_tokens": 5 }),
        json!({ "tools": [] }),
    ] {
        assert_eq!(told(&ask(&node, "one", &more).await), "miss", "{more}");
    }
    assert_eq!(told(&ask(&node, "two", &none).await), "miss");
    // Members in another order say the same.
    let text = r#"{"temperature":0,"messages":[{"role":"user","content":"one"}],"model":"fast"}"#;
    let headers = [("Content-Type", "application/json")];
    let answer = node.call("POST", PATH, &headers, text).await;
    assert_eq!(told(&answer), "hit");
    // What leaves something to chance is not kept.
    for _ in 0..2 {
        assert_eq!(
            told(&ask(&node, "one", &json!({ "temperature": 0.5 })).await),
            "nothing"
        );
    }
}

#[tokio::test]
async fn streams_and_whole_answers_serve_each_other() {
    let back = echoing().await;
    let node = shared(&back.url(), "ttl: 10m").start().await;
    let stream = json!({ "stream": true });
    let with_usage = json!({ "stream": true, "stream_options": { "include_usage": true } });
    assert_eq!(told(&ask(&node, "a whole one", &json!({})).await), "miss");
    let answer = ask(&node, "a whole one", &with_usage).await;
    assert_eq!(
        (told(&answer), said(&answer).as_str()),
        ("hit", "a whole one")
    );
    let usage = data_of(&answer).into_iter().find_map(|event| {
        event
            .get("usage")
            .filter(|usage| usage.is_object())
            .cloned()
    });
    assert_eq!(usage.unwrap()["completion_tokens"], 4);
    let answer = ask(&node, "a whole one", &stream).await;
    assert_eq!(
        (told(&answer), said(&answer).as_str()),
        ("hit", "a whole one")
    );
    assert!(
        !answer.text().contains("completion_tokens"),
        "nobody asked for it"
    );
    assert_eq!(told(&ask(&node, "a stream", &stream).await), "miss");
    until("the stream is kept", async || {
        told(&ask(&node, "a stream", &stream).await) == "hit"
    })
    .await;
    let answer = ask(&node, "a stream", &json!({})).await;
    assert_eq!((told(&answer), said(&answer).as_str()), ("hit", "a stream"));
    let finish = answer.json().unwrap();
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn an_answer_is_its_caller_s_alone_unless_it_is_said_to_be_everyone_s() {
    let back = echoing().await;
    let key = |byte| ApiKey::from_random(&[byte; 32]).reveal().to_owned();
    let (one, two) = (key(1), key(2));
    let api = |authentication: &str| {
        format!(
            "- {{ kind: api, name: ai, version: v1, state: published, ai: {{ models: all }}, authentication: {authentication} }}"
        )
    };
    let node = plan(&back.url(), "{ ttl: 10m }")
        .resource(format!(
            "- {{ kind: credential, name: one, api_key: {one} }}"
        ))
        .resource(format!(
            "- {{ kind: credential, name: two, api_key: {two} }}"
        ))
        .resource(api("[ { api_key: { sdk: true } } ]"))
        .start()
        .await;
    for (key, expected) in [
        (&one, "miss"),
        (&one, "hit"),
        (&two, "miss"),
        (&two, "hit"),
        (&one, "hit"),
    ] {
        let answer = post(&node, PATH, &[("x-api-key", key)], &asked("x", &json!({}))).await;
        check_passed(&answer);
        assert_eq!(told(&answer), expected);
    }
    assert_eq!(back.received().len(), 2);
    // Nobody knows who has no name: nothing is kept.
    let node = plan(&back.url(), "{ ttl: 10m }")
        .resource(OPEN)
        .start()
        .await;
    for _ in 0..2 {
        assert_eq!(told(&ask(&node, "x", &json!({})).await), "nothing");
    }
}

#[tokio::test]
async fn a_caller_says_what_they_want_of_the_cache() {
    let back = echoing().await;
    let node = shared(&back.url(), "ttl: 10m").start().await;
    let with = async |directives: &str, text: &str| {
        let headers = [("Cache-Control", directives)];
        let answer = post(&node, PATH, &headers, &asked(text, &json!({}))).await;
        check_passed(&answer);
        told(&answer).to_owned()
    };
    assert_eq!(with("no-store", "x").await, "miss");
    assert_eq!(with("max-age=60", "x").await, "miss", "it was not kept");
    assert_eq!(with("No-Cache", "x").await, "miss");
    assert_eq!(with("", "x").await, "hit");
    assert_eq!(with("no-store, no-cache", "x").await, "nothing");
    assert_eq!(back.received().len(), 4);
}

#[tokio::test]
async fn equal_calls_at_once_are_one_call_of_the_provider() {
    let gate = Gate::shut();
    let back = {
        let gate = gate.clone();
        let answer = fixture("answers", "openai-chat", "text");
        Upstream::choosing(move |_| {
            let body = answer.to_string();
            Script::new()
                .wait_for(&gate)
                .write(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
        })
        .await
    };
    let node = shared(&back.url(), "ttl: 10m")
        .settings("workers: 2")
        .start()
        .await;
    let body = asked("all at once", &json!({}));
    let call = || post(&node, PATH, &[], &body);
    let opened = async {
        until("the first is there", async || !back.received().is_empty()).await;
        gate.open();
    };
    let (one, two, three, four, ()) = tokio::join!(call(), call(), call(), call(), opened);
    let answers = [one, two, three, four];
    for answer in &answers {
        check_passed(answer);
    }
    assert_eq!(back.received().len(), 1);
    let misses = answers
        .iter()
        .filter(|answer| told(answer) == "miss")
        .count();
    assert_eq!(misses, 1);
}

#[tokio::test]
async fn what_failed_or_was_cut_is_not_kept_and_those_who_waited_ask_themselves() {
    let back = Upstream::choosing(|asked| {
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        if body["stream"] == true {
            let choice = json!([{ "index": 0, "delta": { "content": "half" }, "finish_reason": null }]);
            let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choice });
            return Script::events().event("", &chunk.to_string()).end();
        }
        let filtered = json!([{ "index": 0, "message": { "role": "assistant", "content": "" }, "finish_reason": "content_filter" }]);
        Script::json("200 OK", &[], &json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": filtered }))
    })
    .await;
    let node = shared(&back.url(), "ttl: 10m").start().await;
    for _ in 0..2 {
        let answer = ask(&node, "cut", &json!({ "stream": true })).await;
        assert_eq!(told(&answer), "miss");
        assert_eq!(told(&ask(&node, "filtered", &json!({})).await), "miss");
    }
    assert_eq!(back.received().len(), 4);
}

#[tokio::test]
async fn guardrails_look_at_hits_too_and_marks_become_each_caller_s_own() {
    let back = echoing().await;
    let node = Plan::default()
        .resource(provider("back", "openai-chat", &back.url(), ""))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ], cache: { shared: api }, guardrails: [ { name: pii, action: mask, pii: { kinds: [email], reversible: true } } ] }")
        .resource(OPEN)
        .start()
        .await;
    let one = ask(&node, "to a@b.example", &json!({})).await;
    assert_eq!(
        (told(&one), said(&one).as_str()),
        ("miss", "to a@b.example")
    );
    let two = ask(&node, "to c@d.example", &json!({ "stream": true })).await;
    assert_eq!((told(&two), said(&two).as_str()), ("hit", "to c@d.example"));
    assert_eq!(back.received().len(), 1);
}

#[tokio::test]
async fn a_call_that_means_the_same_gets_the_answer_and_a_failed_embedding_is_no_failure() {
    let back = echoing().await;
    let plan = shared(
        &back.url(),
        "ttl: 10m, semantic: { model: numbers, threshold: 0.95 }",
    )
    .resource("- { kind: model, name: numbers, targets: [ { provider: back, model: e } ] }");
    let node = plan.start().await;
    let none = json!({});
    assert_eq!(
        told(&ask(&node, "cat cat cat cat dog", &none).await),
        "miss"
    );
    let answer = ask(&node, "cat cat cat dog", &none).await;
    assert_eq!(
        (told(&answer), said(&answer).as_str()),
        ("semantic-hit", "cat cat cat cat dog")
    );
    assert_eq!(told(&ask(&node, "cat dog dog dog", &none).await), "miss");
    // All but the last words must be the same.
    let before = json!({ "messages": [{ "role": "system", "content": "be brief" }, { "role": "user", "content": "cat cat cat dog" }] });
    assert_eq!(told(&ask(&node, "", &before).await), "miss");
    let broken = Upstream::choosing(|asked| {
        if asked.target().ends_with("/embeddings") {
            return Script::answer("500 Oops", &[], "");
        }
        echo(asked)
    })
    .await;
    let node = shared(&broken.url(), "ttl: 10m, semantic: { model: numbers }")
        .resource("- { kind: model, name: numbers, targets: [ { provider: back, model: e } ], attempts: 1 }")
        .start()
        .await;
    assert_eq!(told(&ask(&node, "cat", &none).await), "miss");
    assert_eq!(
        told(&ask(&node, "cat", &none).await),
        "hit",
        "equal calls need no numbers"
    );
}

#[tokio::test]
async fn an_api_s_cache_is_each_of_its_models_own_and_a_model_may_go_without() {
    let back = echoing().await;
    let model = |name: &str, rest: &str| {
        format!(
            "- {{ kind: model, name: {name}, targets: [ {{ provider: back, model: m }} ], {rest} }}"
        )
    };
    let node = Plan::default()
        .resource(provider("back", "openai-chat", &back.url(), ""))
        .resource(model("fast", ""))
        .resource(model("other", ""))
        .resource(model("bare", "cache: false"))
        .resource("- { kind: api, name: ai, version: v1, state: published, ai: { models: all, cache: { shared: api } }, authentication: none }")
        .start()
        .await;
    for (model, expected) in [
        ("fast", "miss"),
        ("fast", "hit"),
        ("other", "miss"),
        ("bare", "nothing"),
        ("bare", "nothing"),
    ] {
        let answer = ask(&node, "x", &json!({ "model": model })).await;
        assert_eq!(told(&answer), expected, "{model}");
    }
}

#[tokio::test]
async fn what_is_kept_is_gone_when_the_model_is_configured_anew() {
    let back = echoing().await;
    let managed = Managed::start(Plan::default()).await;
    let declared = json!({ "name": "back", "dialect": "openai-chat", "base_url": back.url() });
    managed.declare("providers", declared).await;
    let model = json!({ "name": "fast", "targets": [{ "provider": "back", "model": "m" }], "cache": { "shared": "api" } });
    managed.declare("models", model).await;
    let api = json!({ "name": "ai", "version": "v1", "state": "published", "ai": { "models": "all" }, "authentication": "none" });
    managed.declare("apis", api).await;
    let node = &managed.node;
    assert_eq!(told(&ask(node, "x", &json!({})).await), "miss");
    assert_eq!(told(&ask(node, "x", &json!({})).await), "hit");
    let change = json!({ "targets": [{ "provider": "back", "model": "newer" }] });
    let patch = Asked::new("PATCH", "/teams/default/models/fast").by(&managed.token);
    expect(
        &managed
            .send(patch.header("if-match", "*").body(change))
            .await,
        200,
    );
    let answer = ask(node, "x", &json!({})).await;
    assert_eq!(told(&answer), "miss");
    assert_eq!(answer.head.field("keyward-model"), Some("back/newer"));
}

#[tokio::test]
async fn callers_whom_nobody_can_tell_apart_share_no_answer() {
    let back = echoing().await;
    let issuer = Issuer::new("main", A::Es256);
    let node = plan(&back.url(), "{ ttl: 10m }")
        .resource(issuer.resource(""))
        .resource(format!(
            "- {{ kind: api, name: ai, version: v1, state: published, ai: {{ models: all }}, {} }}",
            issuer.authentication("")
        ))
        .start()
        .await;
    let nameless = issuer.token_with("sub", None);
    let named = issuer.token();
    for (token, expected) in [
        (&nameless, "nothing"),
        (&nameless, "nothing"),
        (&named, "miss"),
        (&named, "hit"),
    ] {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        let answer = post(&node, PATH, &headers, &asked("x", &json!({}))).await;
        check_passed(&answer);
        assert_eq!(told(&answer), expected);
    }
}

#[tokio::test]
async fn an_answer_of_a_target_that_is_for_some_goes_to_no_others() {
    let back = echoing().await;
    let issuer = Issuer::new("main", A::Es256);
    let node = Plan::default()
        .resource(issuer.resource(""))
        .resource(provider("back", "openai-chat", &back.url(), ""))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: best, when: { claims: { plan: gold } } } ], fallbacks: [ { provider: back, model: plain } ], cache: { shared: api } }")
        .resource(format!(
            "- {{ kind: api, name: ai, version: v1, state: published, ai: {{ models: all }}, {} }}",
            issuer.authentication("")
        ))
        .start()
        .await;
    let gold = issuer.token_with("plan", Some(json!("gold")));
    let plain = issuer.token();
    for (token, expected, model) in [
        (&gold, "miss", "back/best"),
        (&plain, "miss", "back/plain"),
        (&gold, "hit", "back/best"),
        (&plain, "hit", "back/plain"),
    ] {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        let answer = post(&node, PATH, &headers, &asked("x", &json!({}))).await;
        check_passed(&answer);
        assert_eq!(told(&answer), expected);
        assert_eq!(answer.head.field("keyward-model"), Some(model));
    }
}

#[tokio::test]
async fn what_is_answered_to_a_caller_s_own_key_is_not_kept() {
    let back = echoing().await;
    let node = Plan::default()
        .resource(provider("back", "openai-chat", &back.url(), "own_key: allow"))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ], cache: { shared: api } }")
        .resource(OPEN)
        .start()
        .await;
    for (own, expected) in [
        (true, "nothing"),
        (true, "nothing"),
        (false, "miss"),
        (true, "nothing"),
        (false, "hit"),
    ] {
        let headers: &[(&str, &str)] = if own {
            &[("Keyward-Provider-Key", "sk-mine")]
        } else {
            &[]
        };
        let answer = post(&node, PATH, headers, &asked("x", &json!({}))).await;
        check_passed(&answer);
        assert_eq!(told(&answer), expected);
    }
}

#[tokio::test]
async fn equal_words_of_another_speaker_are_another_question() {
    let back = echoing().await;
    let node = shared(&back.url(), "ttl: 10m, semantic: { model: numbers }")
        .resource("- { kind: model, name: numbers, targets: [ { provider: back, model: e } ] }")
        .start()
        .await;
    let by = |name: &str| json!({ "messages": [{ "role": "user", "name": name, "content": "cat cat" }] });
    for (name, expected) in [("alice", "miss"), ("bob", "miss"), ("alice", "hit")] {
        assert_eq!(told(&ask(&node, "", &by(name)).await), expected, "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_is_kept_is_a_call_all_the_same_where_calls_are_limited() {
    let back = echoing().await;
    let limited = "{ shared: api }, quotas: [ { name: calls, requests: 2, per: month } ]";
    let node = plan(&back.url(), limited).resource(OPEN).start().await;
    for expected in [200, 200, 429] {
        let answer = post(&node, PATH, &[], &asked("one", &json!({}))).await;
        assert_eq!(answer.status, expected, "{}", answer.text());
    }
    assert_eq!(back.received().len(), 1);
}
