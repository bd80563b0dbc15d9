//! AI models, with scripted providers behind a node.

mod budgets;
mod caches;
mod catalogue;
mod charged;
mod clouds;
mod control;
mod dialects;
mod fallback;
mod faults;
mod guardrails;
pub(crate) mod judges;
mod managed;
mod passage;
mod prompts;
mod routing;
mod sdk;
mod sharing;
mod sparing;
mod tasks;

use crate::node::{Node, Plan};
use keyward_testkit::{Answer, Received, Script, Upstream, until};
use serde_json::Value;
use std::path::Path;

/// An API that serves all models to everyone.
const OPEN: &str = "- { kind: api, name: ai, version: v1, state: published, ai: { models: all }, authentication: none }";

/// What the fixtures of `keyward-llm` have: they are written by hand after the public documents that each names.
fn fixture(kind: &str, dialect: &str, name: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../keyward-llm/src/tests/fixtures");
    let path = root.join(kind).join(format!("{dialect}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: Value = serde_json::from_slice(&text).unwrap();
    assert!(!file[name].is_null(), "{kind} {dialect} {name}");
    file[name].clone()
}

/// The events of a recorded stream.
fn events(dialect: &str, name: &str) -> Vec<(String, Value)> {
    let stream = fixture("streams", dialect, name);
    let events = stream["events"].as_array().unwrap().iter();
    events
        .map(|event| (event[0].as_str().unwrap().to_owned(), event[1].clone()))
        .collect()
}

/// A provider that answers as the recording of this name does, whole or streamed, as it is asked.
async fn recorded(dialect: &'static str, name: &'static str) -> Upstream {
    Upstream::choosing(move |asked| answer(dialect, name, asked)).await
}

fn answer(dialect: &str, name: &str, asked: &Received) -> Script {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let streamed = body["stream"] == true || asked.target().contains("streamGenerateContent");
    if !streamed {
        return Script::json("200 OK", &[], &fixture("answers", dialect, name));
    }
    let events = events(dialect, name);
    if dialect != "ollama" {
        return Script::recorded(&events);
    }
    let mut script = Script::stream("application/x-ndjson");
    for (_, line) in events {
        script = script.write_chunk(format!("{line}\n"));
    }
    script.end()
}

/// A provider `back` of this dialect, and the model `fast` on it.
fn plan(dialect: &str, url: &str) -> Plan {
    Plan::default()
        .resource(provider(
            "back",
            dialect,
            url,
            "credentials: [ { key: sk-back } ]",
        ))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: big-1 } ] }")
        .resource(OPEN)
}

fn provider(name: &str, dialect: &str, url: &str, rest: &str) -> String {
    format!(
        "- {{ kind: provider, name: {name}, dialect: {dialect}, base_url: \"{url}/base\", {rest} }}"
    )
}

/// Where callers of a form call `model`.
fn address(form: &str, model: &str, stream: bool) -> String {
    match (form, stream) {
        ("openai-chat", _) => "/v1/chat/completions".to_owned(),
        ("openai-responses", _) => "/v1/responses".to_owned(),
        ("anthropic", _) => "/v1/messages".to_owned(),
        (_, false) => format!("/v1beta/models/{model}:generateContent"),
        (_, true) => format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
    }
}

/// Posts JSON.
async fn post(node: &Node, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut all = vec![("Content-Type", "application/json")];
    all.extend_from_slice(headers);
    node.call("POST", path, &all, &body.to_string()).await
}

/// A chat of one line in OpenAI's form.
fn chat(model: &str) -> Value {
    serde_json::json!({ "model": model, "messages": [{ "role": "user", "content": "Say hello." }] })
}

/// The data of the events of a stream, as JSON where it is.
fn data_of(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines
        .map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into()))
        .collect()
}

/// What the access log has of the last call of a model: it is written a moment after the answer.
async fn logged(node: &Node, model: &str) -> Value {
    let find = || {
        let log = node.process.log();
        let mut lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.rfind(|line| line["model"] == model)
    };
    until("the call stands in the log", async || find().is_some()).await;
    find().unwrap()
}

#[track_caller]
fn body_of(received: &Received) -> Value {
    serde_json::from_slice(&received.body).expect("a provider is asked in JSON")
}
