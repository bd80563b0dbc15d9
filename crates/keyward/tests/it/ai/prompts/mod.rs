//! Prompts as APIs, with scripted models behind them.

mod answers;
mod guarded;
mod managed;
mod preview;
mod trials;

use crate::node::{Node, Plan};
use keyward_testkit::{Answer, Received, Script, Upstream};
use serde_json::{Value, json};

/// What nobody may see who only calls.
const SECRET: &str = "hunter2-never-told";

/// A prompt with all that a caller is not to see.
fn translate(version: &str, more: &str) -> String {
    format!(
        r#"- kind: prompt
  name: translate
  version: {version}
  state: published
  description: Translates a text
  model: fast
  variables:
    text: {{ type: string, max_length: 100 }}
    to: {{ enum: [de, fr], default: fr }}
  partials:
    house: "{SECRET} house style"
  messages:
    - {{ role: system, text: "{SECRET} {{{{ partials.house }}}} into {{{{ to }}}}" }}
    - {{ role: user, text: "T: {{{{ text }}}}" }}
  examples:
    - {{ variables: {{ text: "{SECRET}" }}, answer: "example-{SECRET}" }}
  parameters: {{ temperature: 0.2, max_output_tokens: 50 }}
  {more}"#
    )
}

const OPEN: &str = "- { kind: api, name: ai, version: v1, state: published, ai: { prompts: all }, authentication: none }";

/// A model of OpenAI's dialect that says this.
async fn saying(text: &'static str) -> Upstream {
    Upstream::choosing(move |asked| said(asked, text)).await
}

fn said(asked: &Received, text: &str) -> Script {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    if body["stream"] == true {
        let chunk = |delta: Value, stop: Value| {
            let data = json!({
                "id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [{ "index": 0, "delta": delta, "finish_reason": stop }],
            });
            (String::new(), data)
        };
        let usage = json!({
            "id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
            "usage": { "prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14 },
        });
        let (first, rest) = text.split_at(text.len() / 2);
        let mut script = Script::stream("text/event-stream");
        for (_, data) in [
            chunk(
                json!({ "role": "assistant", "content": first }),
                Value::Null,
            ),
            chunk(json!({ "content": rest }), Value::Null),
            chunk(json!({}), json!("stop")),
            (String::new(), usage),
        ] {
            script = script.write_chunk(format!("data: {data}\n\n"));
        }
        return script.write_chunk("data: [DONE]\n\n").end();
    }
    Script::json(
        "200 OK",
        &[],
        &chat_answer(&json!({ "role": "assistant", "content": text }), "stop"),
    )
}

fn chat_answer(message: &Value, stop: &str) -> Value {
    json!({
        "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": message, "finish_reason": stop }],
        "usage": { "prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14 },
    })
}

fn plan(url: &str) -> Plan {
    Plan::default()
        .settings("access_log: { format: json }")
        .resource(super::provider("back", "openai-chat", url, ""))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: big-1 } ] }")
}

async fn call(node: &Node, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    super::post(node, path, headers, body).await
}

/// What the access log has of the last call of a prompt.
async fn logged(node: &Node, prompt: &str) -> Value {
    let find = || {
        let log = node.process.log();
        let lines = log.lines();
        let mut lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.rfind(|line| line["prompt"] == prompt)
    };
    keyward_testkit::until("the call stands in the log", async || find().is_some()).await;
    find().unwrap()
}

async fn metrics(node: &Node) -> String {
    let page = node.process.operations_get("/metrics").await.unwrap();
    page.text().to_string()
}

#[track_caller]
fn untold(answer: &Answer) {
    let head = format!("{:?}", answer.head);
    assert!(!answer.text().contains(SECRET), "{}", answer.text());
    assert!(!head.contains(SECRET), "{head}");
}
