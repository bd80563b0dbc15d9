//! Which target of a model a call goes to.

use super::{OPEN, address, answer, chat, data_of, logged, post, provider, recorded};
use crate::management::{Asked, Managed, expect};
use crate::node::{Node, Plan, check_passed};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::{Answer, Script, Upstream, until};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// A node with providers `one` and `two`, and these further resources.
async fn two(one: &Upstream, two: &Upstream, rest: &str, models: &str) -> Node {
    Plan::default()
        .settings("access_log: { format: json }")
        .resource(provider("one", "openai-chat", &one.url(), rest))
        .resource(provider("two", "openai-chat", &two.url(), rest))
        .resource(models)
        .resource(OPEN)
        .start()
        .await
}

async fn ask(node: &Node, model: &str, stream: bool) -> Answer {
    let mut body = chat(model);
    body["stream"] = json!(stream);
    post(node, CHAT, &[], &body).await
}

#[track_caller]
fn served(answer: &Answer) -> &str {
    check_passed(answer);
    answer.head.field("keyward-model").unwrap()
}

async fn metrics(node: &Node) -> String {
    node.process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text()
}

fn failure(status: &str) -> Script {
    Script::json(status, &[], &json!({ "error": { "message": "x" } }))
}

#[tokio::test]
async fn a_model_may_name_another_and_asks_what_that_asks_of_callers() {
    let back = recorded("openai-chat", "text").await;
    let issuer = Issuer::new("main", A::Es256);
    let node = Plan::default()
        .resource(issuer.resource(""))
        .resource(provider("back", "openai-chat", &back.url(), ""))
        .resource("- { kind: model, name: best, targets: [ { provider: back, model: big } ], authorization: { scopes: [ai.best], claims: { plan: gold } } }")
        .resource("- { kind: model, name: cheap, targets: [ { provider: back, model: small } ] }")
        .resource("- { kind: model, name: fast, targets: [ { alias: cheap } ], fallbacks: [ { alias: best } ] }")
        .resource("- { kind: model, name: cheaper, targets: [ { alias: cheap } ] }")
        .resource(format!("- {{ kind: api, name: ai, version: v1, state: published, ai: {{ models: [fast, cheaper] }}, {} }}", issuer.authentication("")))
        .start()
        .await;
    let with = |plan: &str| {
        let token = issuer.token_with("plan", Some(json!(plan)));
        format!("Bearer {token}")
    };
    let (gold, lead) = (with("gold"), with("lead"));
    let asked = async |model: &str, token: &str| {
        post(&node, CHAT, &[("Authorization", token)], &chat(model)).await
    };
    assert_eq!(served(&asked("cheaper", &lead).await), "back/small");
    // What it may come to lead to, its caller must be allowed.
    for token in [&gold, &lead] {
        assert_eq!(
            asked("fast", token).await.status,
            403,
            "no scope, or no claim"
        );
    }
    // What is named and not offered is not there.
    assert_eq!(asked("best", &gold).await.status, 404);
    assert_eq!(back.received().len(), 1);
}

#[tokio::test]
async fn conditions_on_size_needs_and_claims_choose_the_target() {
    let back = recorded("openai-chat", "text").await;
    let issuer = Issuer::new("main", A::Es256);
    let model = "- kind: model
  name: fast
  targets:
    - { provider: back, model: long, when: { input_tokens: { min: 1000 } } }
    - { provider: back, model: seeing, when: { input_tokens: { max: 999 }, abilities: [vision, pdf] } }
    - { provider: back, model: golden, when: { input_tokens: { max: 999 }, abilities: [tools], claims: { plan: gold } } }
  fallbacks:
    - { provider: back, model: plain, when: { input_tokens: { max: 100 } } }";
    let node = Plan::default()
        .resource(issuer.resource(""))
        .resource(provider("back", "openai-chat", &back.url(), ""))
        .resource(model)
        .resource(format!(
            "- {{ kind: api, name: ai, version: v1, state: published, ai: {{ models: all }}, {} }}",
            issuer.authentication("")
        ))
        .start()
        .await;
    let gold = format!("Bearer {}", issuer.token_with("plan", Some(json!("gold"))));
    let lead = format!("Bearer {}", issuer.token());
    let tools = json!([{ "type": "function", "function": { "name": "f", "parameters": { "type": "object", "properties": {} } } }]);
    let picture = json!([{ "role": "user", "content": [{ "type": "text", "text": "See" }, { "type": "image_url", "image_url": { "url": "https://a.example/x.png" } }] }]);
    let of = |content: Value, tools: Option<&Value>| {
        let mut body = chat("fast");
        body["messages"] = content;
        if let Some(tools) = tools {
            body["tools"] = tools.clone();
        }
        body
    };
    let said = |text: &str| json!([{ "role": "user", "content": text }]);
    for (token, body, expected) in [
        (&gold, of(said("Hi"), None), Some("back/plain")),
        (
            &gold,
            of(said(&"word ".repeat(1_000)), None),
            Some("back/long"),
        ),
        (&gold, of(picture.clone(), None), Some("back/seeing")),
        (&lead, of(said("Hi"), Some(&tools)), Some("back/plain")),
        (&gold, of(said("Hi"), Some(&tools)), Some("back/golden")),
        // To speak of an image is not to show one.
        (
            &gold,
            of(said("an image_url of an image"), None),
            Some("back/plain"),
        ),
        (&gold, of(said(&"word ".repeat(200)), None), None),
    ] {
        let answer = post(&node, CHAT, &[("Authorization", token)], &body).await;
        match expected {
            Some(expected) => assert_eq!(served(&answer), expected, "{body}"),
            None => {
                assert_eq!(answer.status, 400, "{}", answer.text());
                assert_eq!(answer.json().unwrap()["error"]["code"], "no_target_fits");
            }
        }
    }
}

#[tokio::test]
async fn calls_that_are_alike_go_to_the_same_target() {
    let (first, second) = (
        recorded("openai-chat", "text").await,
        recorded("openai-chat", "text").await,
    );
    let models = "- { kind: model, name: by-user, choose: { sticky: user }, targets: [ { provider: one, model: m }, { provider: two, model: m } ] }
- { kind: model, name: by-session, choose: { sticky: { header: X-Session } }, targets: [ { provider: one, model: m }, { provider: two, model: m } ] }";
    let node = two(&first, &second, "", models).await;
    let mut seen = std::collections::BTreeSet::new();
    for at in 0..12 {
        let session = format!("s{at}");
        let mut body = chat("by-user");
        body["user"] = json!(session);
        let by_user = post(&node, CHAT, &[], &body).await;
        let headers = [("x-session", &*session)];
        let by_session = post(&node, CHAT, &headers, &chat("by-session")).await;
        for _ in 0..3 {
            let again = post(&node, CHAT, &[], &body).await;
            assert_eq!(served(&again), served(&by_user));
            let again = post(&node, CHAT, &headers, &chat("by-session")).await;
            assert_eq!(served(&again), served(&by_session));
        }
        seen.insert(served(&by_user).to_owned());
        // The same on every node: what is alike is told by the same hash.
        assert_eq!(served(&by_user), served(&by_session));
    }
    assert_eq!(seen.len(), 2, "both have some");
}

#[tokio::test]
async fn the_cheapest_that_can_is_asked_and_one_that_is_known_to_lack_it_last() {
    let back = recorded("openai-chat", "text").await;
    let at = |name: &str| {
        format!(
            "- {{ kind: provider, name: {name}, base_url: \"{}/base\", credentials: [ {{ key: sk }} ] }}",
            back.url()
        )
    };
    let node = Plan::default()
        .resource(at("openai"))
        .resource(at("deepseek"))
        .resource("- { kind: model, name: cheap, choose: cost, targets: [ { provider: openai, model: gpt-5, weight: 1000 }, { provider: openai, model: gpt-5-nano }, { provider: openai, model: unpriced-one, weight: 1000 } ] }")
        .resource("- { kind: model, name: seeing, choose: cost, targets: [ { provider: deepseek, model: deepseek-chat }, { provider: openai, model: gpt-5 } ] }")
        .resource(OPEN)
        .start()
        .await;
    for _ in 0..5 {
        assert_eq!(
            served(&ask(&node, "cheap", false).await),
            "openai/gpt-5-nano"
        );
        assert_eq!(
            served(&ask(&node, "seeing", false).await),
            "deepseek/deepseek-chat"
        );
    }
    let mut picture = chat("seeing");
    picture["messages"] = json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "https://a.example/x.png" } }] }]);
    let answer = post(&node, CHAT, &[], &picture).await;
    assert_eq!(served(&answer), "openai/gpt-5");
}

#[tokio::test]
async fn a_target_that_keeps_failing_is_asked_last_until_one_call_finds_it_well() {
    let gate = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let well = std::sync::Arc::clone(&gate);
    let first = Upstream::choosing(move |asked| {
        if well.load(std::sync::atomic::Ordering::Relaxed) {
            answer("openai-chat", "text", asked)
        } else {
            failure("500 Internal Server Error")
        }
    })
    .await;
    let second = recorded("openai-chat", "text").await;
    let node = two(
        &first,
        &second,
        "ejection: { failures: 3, time: 1s }",
        "- { kind: model, name: fast, targets: [ { provider: one, model: a } ], fallbacks: [ { provider: two, model: b } ] }",
    )
    .await;
    for _ in 0..10 {
        assert_eq!(served(&ask(&node, "fast", false).await), "two/b");
    }
    let asked = first.received().len();
    assert!((3..10).contains(&asked), "{asked} of 10 calls went there");
    let page = metrics(&node).await;
    let ejections =
        "keyward_model_target_ejections_total{team=\"default\",provider=\"one\",served=\"a\"} ";
    let total = page.lines().find_map(|line| line.strip_prefix(ejections));
    assert_ne!(total, Some("0"), "{page}");
    assert!(total.is_some(), "{page}");
    // It is well again, and some call finds out.
    gate.store(true, std::sync::atomic::Ordering::Relaxed);
    until("the first serves again", async || {
        served(&ask(&node, "fast", false).await) == "one/a"
    })
    .await;
    let ejected = "keyward_model_target_ejected{team=\"default\",provider=\"one\",served=\"a\"} 0";
    assert!(metrics(&node).await.contains(ejected));
}

#[tokio::test]
async fn a_target_whose_answers_begin_sooner_is_asked() {
    let slow = Upstream::choosing(|_| {
        Script::events()
            .pause(std::time::Duration::from_millis(200))
            .event(
                "",
                r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
            )
            .event("", "[DONE]")
            .end()
    })
    .await;
    let quick = recorded("openai-chat", "text").await;
    let node = two(
        &slow,
        &quick,
        "",
        "- { kind: model, name: fast, choose: latency, targets: [ { provider: one, model: m, weight: 3 }, { provider: two, model: m } ] }",
    )
    .await;
    for _ in 0..12 {
        check_passed(&ask(&node, "fast", true).await);
    }
    let (slow, quick) = (slow.received().len(), quick.received().len());
    assert!(
        slow <= 2 && quick >= 10,
        "{slow} to the slow one, {quick} to the other"
    );
}

#[tokio::test]
async fn another_target_is_asked_beside_one_that_sends_no_first_token_and_both_are_paid() {
    let begun = json!({ "type": "message_start", "message": { "id": "m", "type": "message", "role": "assistant", "model": "a", "content": [], "usage": { "input_tokens": 11, "output_tokens": 1 } } });
    let silent = Script::events()
        .event("message_start", &begun.to_string())
        .wait_until_closed();
    let first = Upstream::scripted(silent).await;
    let second = recorded("openai-chat", "usage").await;
    let node = Plan::default()
        .settings("access_log: { format: json }")
        .resource(provider("one", "anthropic", &first.url(), ""))
        .resource(provider("two", "openai-chat", &second.url(), ""))
        .resource("- { kind: model, name: fast, hedge: { after: 100ms }, targets: [ { provider: one, model: a } ], fallbacks: [ { provider: two, model: b } ] }")
        .resource(OPEN)
        .start()
        .await;
    let answer = ask(&node, "fast", true).await;
    assert_eq!(served(&answer), "two/b");
    assert_eq!(
        answer.head.field("keyward-attempts"),
        Some("one/a cancelled, two/b 200")
    );
    assert_eq!(data_of(&answer).last(), Some(&json!("[DONE]")));
    until("the slower one is left", async || {
        first.open_connections() == 0
    })
    .await;
    let usage = super::fixture("answers", "openai-chat", "usage")["usage"].clone();
    let line = logged(&node, "fast").await;
    assert_eq!(line["provider"], "two");
    assert_eq!(
        line["input_tokens"],
        usage["prompt_tokens"].as_u64().unwrap() + 11
    );
    let page = metrics(&node).await;
    let of = |name: &str, labels: &str| {
        let series = format!("{name}{{team=\"default\",model=\"fast\",{labels}}} ");
        let value = page.lines().find_map(|line| line.strip_prefix(&series));
        value
            .unwrap_or_else(|| panic!("{series} in {page}"))
            .to_owned()
    };
    let (one, two) = (
        "provider=\"one\",served=\"a\"",
        "provider=\"two\",served=\"b\"",
    );
    let outcome = |of: &str, outcome: &str| format!("{of},outcome=\"{outcome}\"");
    assert_eq!(of("keyward_model_hedges_total", two), "1");
    assert_eq!(
        of("keyward_model_attempts_total", &outcome(one, "cancelled")),
        "1"
    );
    assert_eq!(
        of("keyward_model_attempts_total", &outcome(two, "answered")),
        "1"
    );
    assert_eq!(
        of("keyward_model_requests_total", &outcome(two, "answered")),
        "1"
    );
    assert_eq!(of("keyward_model_first_token_seconds_count", two), "1");
    let input = format!("{two},kind=\"input\"");
    assert_eq!(
        of("keyward_model_tokens_total", &input),
        line["input_tokens"].to_string()
    );
}

#[tokio::test]
async fn a_hedge_ends_with_the_first_answer_or_with_a_request_that_is_at_fault() {
    let wrong = Upstream::choosing(|_| {
        Script::new()
            .pause(std::time::Duration::from_millis(200))
            .write("HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
    })
    .await;
    let slow = Upstream::choosing(|_| {
        let body = super::fixture("answers", "openai-chat", "text").to_string();
        Script::new()
            .pause(std::time::Duration::from_millis(500))
            .write(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    })
    .await;
    let silent = || Upstream::choosing(|_| Script::new().wait_until_closed());
    let (one, quick) = (silent().await, recorded("openai-chat", "text").await);
    for (first, second, status) in [
        (&wrong, &one, 400),
        // The second's word does not count as long as the first may answer.
        (&slow, &wrong, 200),
        (&quick, &one, 200),
        (&one, &quick, 200),
    ] {
        let node = two(
            first,
            second,
            "total_timeout: 60s",
            "- { kind: model, name: fast, hedge: { after: 50ms }, targets: [ { provider: one, model: a } ], fallbacks: [ { provider: two, model: b } ] }",
        )
        .await;
        for _ in 0..3 {
            let answer = ask(&node, "fast", false).await;
            assert_eq!(answer.status, status, "{}", answer.text());
        }
    }
    // Both fail: what the last one said is told, and nobody is asked twice.
    let (one, other) = (
        Upstream::choosing(|_| {
            Script::new()
                .pause(std::time::Duration::from_millis(300))
                .reset()
        })
        .await,
        Upstream::scripted(failure("404 Not Found")).await,
    );
    let node = two(
        &one,
        &other,
        "",
        "- { kind: model, name: fast, attempts: 2, hedge: { after: 50ms }, targets: [ { provider: one, model: a } ], fallbacks: [ { provider: two, model: b } ] }",
    )
    .await;
    let answer = ask(&node, "fast", false).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!((one.received().len(), other.received().len()), (1, 1));
    let line = logged(&node, "fast").await;
    assert_eq!(line["code"], "provider_failed");
}

#[tokio::test]
async fn keys_that_cool_and_what_calls_took_stand_in_the_metrics() {
    let back = Upstream::scripted(Script::json(
        "429 Too Many Requests",
        &[("retry-after", "60")],
        &json!({ "error": { "message": "x", "code": "rate_limit_exceeded" } }),
    ))
    .await;
    let node = Plan::default()
        .resource(provider(
            "back",
            "openai-chat",
            &back.url(),
            "credentials: [ { key: a }, { key: b } ]",
        ))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ] }")
        .resource(OPEN)
        .start()
        .await;
    assert_eq!(ask(&node, "fast", false).await.status, 429);
    let page = metrics(&node).await;
    for series in [
        "keyward_provider_keys{team=\"default\",provider=\"back\"} 2",
        "keyward_provider_keys_cooling{team=\"default\",provider=\"back\"} 2",
        "keyward_model_attempts_total{team=\"default\",model=\"fast\",provider=\"back\",served=\"m\",outcome=\"limited\"} 2",
        "keyward_model_requests_total{team=\"default\",model=\"fast\",provider=\"back\",served=\"m\",outcome=\"limited\"} 1",
        "keyward_model_target_in_flight{team=\"default\",provider=\"back\",served=\"m\"} 0",
    ] {
        assert!(page.contains(series), "{series}: {page}");
    }
    // What callers make up makes no series.
    assert_eq!(ask(&node, "made-up", false).await.status, 404);
    assert!(!metrics(&node).await.contains("made-up"));
}

#[tokio::test]
async fn what_is_said_of_routing_comes_back_from_the_management_api_as_it_was() {
    let back = recorded("openai-chat", "text").await;
    let managed = Managed::start(Plan::default()).await;
    managed
        .declare(
            "providers",
            json!({ "name": "back", "dialect": "openai-chat", "base_url": back.url(), "ejection": { "failures": 2, "time": "5s", "max_time": "1m" } }),
        )
        .await;
    managed
        .declare(
            "models",
            json!({ "name": "cheap", "targets": [{ "provider": "back", "model": "small" }] }),
        )
        .await;
    let model = json!({
        "name": "fast",
        "targets": [
            { "alias": "cheap", "weight": 3 },
            { "provider": "back", "model": "big", "when": { "input_tokens": { "min": 10, "max": 5000 }, "abilities": ["vision"], "claims": { "plan": "gold" } } },
        ],
        "fallbacks": [{ "provider": "back", "model": "last" }],
        "choose": { "sticky": { "header": "x-session" } },
        "hedge": { "after": "2s" },
        "allow_model_members": true,
    });
    let made = managed.declare("models", model.clone()).await;
    for (name, value) in model.as_object().unwrap() {
        assert_eq!(&made[name], value, "{name}");
    }
    let api = json!({ "name": "ai", "version": "v1", "state": "published", "ai": { "models": ["fast"] }, "authentication": "none" });
    managed.declare("apis", api).await;
    let path = address("openai-chat", "fast", false);
    assert_eq!(
        served(&post(&managed.node, &path, &[], &chat("fast")).await),
        "back/small"
    );
    let patch = Asked::new("PATCH", "/teams/default/models/fast").by(&managed.token);
    let patch = patch
        .header("if-match", "*")
        .body(json!({ "choose": "cost" }));
    let patched = expect(&managed.send(patch).await, 200);
    assert_eq!(patched["choose"], "cost");
    assert_eq!(patched["hedge"], model["hedge"]);
    // One that others name can't go, and no circle can be made.
    let circle = Asked::new("PATCH", "/teams/default/models/cheap").by(&managed.token);
    let circle = circle
        .header("if-match", "*")
        .body(json!({ "targets": [{ "alias": "fast" }] }));
    let refused = managed.send(circle).await;
    assert!([409, 422].contains(&refused.status), "{}", refused.text());
    assert!(refused.text().contains("leads back"), "{}", refused.text());
    let delete = Asked::new("DELETE", "/teams/default/models/cheap").by(&managed.token);
    let refused = managed.send(delete.header("if-match", "*")).await;
    assert!(
        [409, 422].contains(&refused.status),
        "{} {}",
        refused.status,
        refused.text()
    );
    // What is exported, applied again, changes nothing.
    let exported = managed.get("/export").await;
    let again = json!({ "resources": exported["resources"] });
    let again = managed
        .call("POST", "/apply?dry_run=true", Some(again))
        .await;
    let again = expect(&again, 200);
    assert_eq!(again["changes"], json!([]), "{again}");
    assert_eq!(again["unchanged"], 4, "{again}");
}
