//! Limits in tokens and money: what calls hold while they are made, and what counts when they have ended.

mod hedged;
mod several;
mod told;

use super::{OPEN, address, post};
use crate::limits::member;
use crate::node::{Node, Plan, check_passed, request};
use keyward_testkit::{Answer, Gate, RawClient, RedisServer, Script, Upstream, until};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const CHAT: &str = "/v1/chat/completions";

/// A provider whose prices the catalogue knows: 0.25 dollars for a million tokens that are read, 2 for a million that are
/// written.
fn priced(name: &str, url: &str, credentials: &str) -> String {
    format!(
        "- {{ kind: provider, name: {name}, catalogue: openai, base_url: \"{url}/v1\", credentials: [ {credentials} ] }}"
    )
}

/// An API with these limits, for everyone.
fn limited(limits: &str) -> String {
    format!(
        "- {{ kind: api, name: ai, version: v1, state: published, ai: {{ models: all }}, authentication: none, {limits} }}"
    )
}

/// The model `fast` on one such provider.
fn plan(url: &str, limits: &str) -> Plan {
    Plan::default()
        .settings("workers: 2\naccess_log: { format: json }")
        .resource(priced("back", url, "{ key: sk-back }"))
        .resource(
            "- { kind: model, name: fast, targets: [ { provider: back, model: gpt-5-mini } ] }",
        )
        .resource(limited(limits))
}

/// A call that may write so many tokens.
fn asking(output: u64) -> Value {
    json!({ "model": "fast", "max_completion_tokens": output, "messages": [{ "role": "user", "content": "Say hello." }] })
}

/// An answer of a provider that took so many.
fn took(input: u64, output: u64) -> Script {
    Script::json("200 OK", &[], &answer(Some((input, output))))
}

fn answer(usage: Option<(u64, u64)>) -> Value {
    let mut answer = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5-mini",
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "Hello, world!" } }],
    });
    if let Some((input, output)) = usage {
        answer["usage"] = json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output });
    }
    answer
}

async fn call(node: &Node, output: u64) -> Answer {
    post(node, CHAT, &[], &asking(output)).await
}

/// What is left of a limit, as an answer tells it.
#[track_caller]
fn left(answer: &Answer, limit: &str) -> u64 {
    let shown = format!("{:?}\n{}", answer.head, answer.text());
    member(answer, limit, "r").expect(&shown)
}

/// How many of so many calls passed that were all under way at once, those of them spread over the nodes: each waits at the
/// provider until all others wait there too, or were refused.
async fn at_once(nodes: &[&Node], back: &Upstream, gate: &Gate, calls: usize) -> usize {
    let refused = Arc::new(AtomicUsize::new(0));
    let before = back.received().len();
    let body = asking(500).to_string();
    let text = request("POST", CHAT, &[("Content-Type", "application/json")], &body);
    let mut calling = tokio::task::JoinSet::new();
    for call in 0..calls {
        let address = nodes[call % nodes.len()].gateway();
        let (text, refused) = (text.clone(), Arc::clone(&refused));
        calling.spawn(async move {
            let mut client = RawClient::connect(address).await.unwrap();
            client.send(text).await.unwrap();
            let answer = client.answer().await.unwrap();
            if answer.status == 200 {
                return true;
            }
            assert_eq!(answer.status, 429, "{}", answer.text());
            refused.fetch_add(1, Ordering::Relaxed);
            false
        });
    }
    until("all calls wait or were refused", async || {
        back.received().len() - before + refused.load(Ordering::Relaxed) == calls
    })
    .await;
    gate.open();
    let passed = calling.join_all().await;
    passed.into_iter().filter(|passed| *passed).count()
}

/// A provider that answers when the gate is open, and has taken much more than a guess at a short question would say.
async fn gated(gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::choosing(move |_| {
        let body = answer(Some((300, 500))).to_string();
        Script::new().wait_for(&gate).write(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    })
    .await
}

#[tokio::test]
async fn a_hundred_calls_at_once_never_take_more_tokens_than_a_quota_has() {
    let gate = Gate::shut();
    let back = gated(&gate).await;
    let node = plan(
        &back.url(),
        "quotas: [ { name: tokens, by: api, tokens: 10000, per: month } ]",
    )
    .start()
    .await;
    let passed = at_once(&[&node], &back, &gate, 100).await;
    // Each may write 500, and is read as no more than its bytes.
    assert!((9..=12).contains(&passed), "{passed}");
    assert_eq!(back.received().len(), passed);
    // What they did not take is there again: 800 each is what counts.
    let spent = 800 * u64::try_from(passed).unwrap();
    let more = call(&node, 1).await;
    check_passed(&more);
    let held = left(&more, "tokens");
    assert!(
        held < 10_000 - spent && held > 10_000 - spent - 1_000,
        "{held}"
    );
}

#[tokio::test]
async fn a_hundred_calls_at_once_never_cost_more_than_a_quota_has() {
    let gate = Gate::shut();
    let back = gated(&gate).await;
    // 500 tokens that are written are 0.001 dollars.
    let node = plan(
        &back.url(),
        "quotas: [ { name: money, by: api, cost: \"0.01\", per: month } ]",
    )
    .start()
    .await;
    let passed = at_once(&[&node], &back, &gate, 100).await;
    assert!((8..=9).contains(&passed), "{passed}");
    assert_eq!(back.received().len(), passed);
}

#[tokio::test]
async fn two_nodes_never_take_more_together_than_a_quota_has() {
    let redis = RedisServer::start().await;
    let gate = Gate::shut();
    let back = gated(&gate).await;
    let start = || {
        plan(
            &back.url(),
            "quotas: [ { name: tokens, by: api, tokens: 10000, per: month, on_outage: refuse }, { name: money, by: api, cost: \"1\", per: day } ]",
        )
        .settings(&format!(
            "shared_state: {{ url: \"{}\", timeout: 5s }}",
            redis.url()
        ))
        .start()
    };
    let (one, other) = tokio::join!(start(), start());
    let passed = at_once(&[&one, &other], &back, &gate, 100).await;
    assert!((9..=12).contains(&passed), "{passed}");
    // What was settled at one node is known at the other. Whoever asks takes something too: there may be room for one.
    until("all have ended", async || {
        let ended = |node: &Node| node.process.log().matches("\"status\":200").count();
        ended(&one) + ended(&other) >= passed
    })
    .await;
    let spent = 800 * u64::try_from(passed).unwrap();
    let mut money = 0;
    until("all are settled", async || {
        let more = call(&other, 1).await;
        if more.status != 200 {
            return false;
        }
        money = left(&more, "money");
        let held = left(&more, "tokens");
        held < 10_000 - spent && held + 4_000 > 10_000 - spent
    })
    .await;
    // In millionths: 8 to 12 calls of 0.001075 dollars.
    assert!(
        (1_000_000 - 30_000..1_000_000 - 8_000).contains(&money),
        "{money}"
    );
}

#[tokio::test]
async fn calls_that_fail_take_nothing() {
    let failing = [
        (
            "500 Internal Server Error",
            json!({ "error": { "message": "no" } }),
        ),
        (
            "400 Bad Request",
            json!({ "error": { "message": "no", "type": "invalid_request_error" } }),
        ),
        ("200 OK", json!({ "error": { "message": "no" } })),
    ];
    let mut scripts: Vec<Script> = Vec::new();
    for (status, body) in &failing {
        scripts.push(Script::json(status, &[], body));
    }
    scripts.push(took(10, 20));
    scripts.push(took(1, 1));
    let back = Upstream::scripts(scripts).await;
    let node = Plan::default()
        .resource(priced("back", &back.url(), "{ key: sk-back }"))
        .resource("- { kind: model, name: fast, attempts: 1, targets: [ { provider: back, model: gpt-5-mini } ] }")
        .resource(limited("quotas: [ { name: tokens, by: api, tokens: 100000, per: month } ]"))
        .start()
        .await;
    for _ in &failing {
        let answer = call(&node, 500).await;
        assert!(answer.status >= 400, "{}", answer.text());
    }
    let first = call(&node, 500).await;
    check_passed(&first);
    let second = call(&node, 500).await;
    check_passed(&second);
    // Both held the same, and only the first has taken something meanwhile.
    assert_eq!(left(&first, "tokens") - left(&second, "tokens"), 30);
}

#[tokio::test]
async fn a_restart_forgives_nothing() {
    let back = Upstream::choosing(|_| took(300, 500)).await;
    let mut node = plan(&back.url(), "quotas: [ { name: tokens, by: api, tokens: 10000, per: month }, { name: money, by: api, cost: \"1.00\", per: month } ]")
        .start()
        .await;
    let first = call(&node, 500).await;
    check_passed(&first);
    node.process.restart().await;
    let second = call(&node, 500).await;
    check_passed(&second);
    assert_eq!(left(&first, "tokens") - left(&second, "tokens"), 800);
    // 300 at 0.25 and 500 at 2 dollars a million are 0.001075.
    assert_eq!(left(&first, "money") - left(&second, "money"), 1_075);
}

/// What the access log has of the one call whose caller left.
async fn logged(node: &Node) -> Value {
    super::logged(node, "fast").await
}

/// What the log says of the call whose tokens were counted here: the calls of two workers stand in any order.
async fn estimated(node: &Node) -> Value {
    let find = || {
        let log = node.process.log();
        let lines = log.lines().map(serde_json::from_str::<Value>);
        let mut calls = lines.filter_map(Result::ok);
        calls.find(|call| call["tokens_estimated"] == true)
    };
    until("the call is written down", async || find().is_some()).await;
    find().unwrap()
}

#[tokio::test]
async fn a_stream_whose_caller_leaves_counts_as_what_was_asked_and_may_have_been_written() {
    let back = Upstream::choosing(|asked| {
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        if body["stream"] != true {
            return took(1, 1);
        }
        let mut script = Script::events();
        for _ in 0..50 {
            let chunk = json!({ "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{ "index": 0, "delta": { "content": " hello" } }] });
            script = script.event("", &chunk.to_string());
        }
        script.wait_until_closed()
    })
    .await;
    let node = plan(
        &back.url(),
        "quotas: [ { name: tokens, by: api, tokens: 100000, per: month } ]",
    )
    .start()
    .await;
    let first = call(&node, 500).await;
    check_passed(&first);
    let mut body = asking(500);
    body["stream"] = json!(true);
    let text = request(
        "POST",
        CHAT,
        &[("Content-Type", "application/json")],
        &body.to_string(),
    );
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client.send(text).await.unwrap();
    // The head and more than the first event.
    client.bytes(2_000).await.unwrap();
    drop(client);
    let logged = estimated(&node).await;
    let output = logged["output_tokens"].as_u64().unwrap();
    // What a model reasons that nobody saw is the most that it may have written.
    assert_eq!(output, 500, "{logged}");
    let input = logged["input_tokens"].as_u64().unwrap();
    assert!((3..40).contains(&input), "{logged}");
    let next = call(&node, 500).await;
    assert_eq!(
        left(&first, "tokens") - left(&next, "tokens"),
        2 + input + output
    );
}

#[tokio::test]
async fn a_call_whose_caller_leaves_before_the_answer_counts_as_all_it_may_have_taken() {
    let back = Upstream::choosing(|asked| {
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        if body["max_completion_tokens"] == 7_000 {
            return Script::new().wait_until_closed();
        }
        took(1, 1)
    })
    .await;
    let node = plan(
        &back.url(),
        "quotas: [ { name: tokens, by: api, tokens: 100000, per: month } ]",
    )
    .start()
    .await;
    let first = call(&node, 500).await;
    let body = asking(7_000).to_string();
    let text = request("POST", CHAT, &[("Content-Type", "application/json")], &body);
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client.send(text).await.unwrap();
    until("the provider is asked", async || back.received().len() == 2).await;
    drop(client);
    let logged = estimated(&node).await;
    assert_eq!(logged["output_tokens"], 7_000);
    assert_eq!(logged["code"], "client_left");
    let next = call(&node, 500).await;
    let input = logged["input_tokens"].as_u64().unwrap();
    assert_eq!(
        left(&first, "tokens") - left(&next, "tokens"),
        2 + 7_000 + input
    );
}

#[tokio::test]
async fn what_a_provider_does_not_say_is_counted_and_marked() {
    let back = Upstream::choosing(|_| Script::json("200 OK", &[], &answer(None))).await;
    let node = plan(
        &back.url(),
        "quotas: [ { name: tokens, by: api, tokens: 100000, per: month } ]",
    )
    .start()
    .await;
    let first = call(&node, 500).await;
    check_passed(&first);
    let logged = logged(&node).await;
    assert_eq!(logged["tokens_estimated"], true);
    // "Hello, world!"
    assert_eq!(logged["output_tokens"], 4);
    let input = logged["input_tokens"].as_u64().unwrap();
    let next = call(&node, 500).await;
    assert_eq!(left(&first, "tokens") - left(&next, "tokens"), input + 4);
}

#[tokio::test]
async fn a_stream_that_breaks_off_counts_as_what_was_asked_and_may_have_been_written() {
    let chunk = json!({ "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{ "index": 0, "delta": { "content": " hello" } }] });
    let script = Script::events().event("", &chunk.to_string()).reset();
    let back = Upstream::scripts(vec![script, took(1, 1), took(1, 1)]).await;
    let limits = "quotas: [ { name: tokens, by: api, tokens: 100000, per: month } ]";
    let node = plan(&back.url(), limits).start().await;
    let mut body = asking(500);
    body["stream"] = json!(true);
    check_passed(&post(&node, CHAT, &[], &body).await);
    let logged = estimated(&node).await;
    assert_eq!(logged["output_tokens"], 500, "{logged}");
}

#[tokio::test]
async fn an_answer_that_is_dropped_here_counts_as_what_was_asked() {
    let back = Upstream::choosing(|_| {
        Script::answer("200 OK", &[("content-type", "text/html")], "<p>Hello</p>")
    })
    .await;
    let limits = "quotas: [ { name: tokens, by: api, tokens: 100000, per: month } ]";
    let node = plan(&back.url(), limits).start().await;
    let answer = call(&node, 500).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    let logged = logged(&node).await;
    assert_eq!(logged["tokens_estimated"], true, "{logged}");
    assert!(logged["input_tokens"].as_u64().unwrap() >= 3, "{logged}");
}

#[tokio::test]
async fn a_charged_attempt_leaves_no_room_for_another_that_does_not_fit_beside_it() {
    let failed = json!({ "error": { "message": "no" }, "usage": { "prompt_tokens": 700, "completion_tokens": 0, "total_tokens": 700 } });
    let back = Upstream::choosing(move |_| Script::json("200 OK", &[], &failed)).await;
    for (tokens, asked) in [(1_500, 2), (100_000, 4)] {
        let limits =
            format!("quotas: [ {{ name: tokens, by: api, tokens: {tokens}, per: month }} ]");
        let node = plan(&back.url(), &limits).start().await;
        let before = back.received().len();
        let answer = call(&node, 500).await;
        assert!(answer.status >= 500, "{}", answer.text());
        let made = back.received().len() - before;
        assert!(
            made <= asked && (asked == 2 || made > 2),
            "{made} of {tokens}"
        );
    }
}

#[tokio::test]
async fn a_stream_that_is_said_in_other_words_is_refused() {
    let back = Upstream::choosing(|_| took(1, 1)).await;
    let node = plan(&back.url(), "").start().await;
    for word in [json!(1), json!("true")] {
        let mut body = asking(500);
        body["stream"] = word;
        let answer = post(&node, CHAT, &[], &body).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    assert!(back.received().is_empty());
}
