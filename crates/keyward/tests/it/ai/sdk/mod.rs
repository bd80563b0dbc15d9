//! The vendors' own libraries run unmodified against a node, whatever stands behind it: for each, a program that does what
//! its users do and ends where anything is not as it must be.

use super::judges::providers::{DIALECTS, asked_model, model, recorded};
use crate::node::{Node, Plan};
use base64::Engine as _;
use keyward_model::ApiKey;
use keyward_testkit::{Received, Script, Upstream};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How a program of the test's runs.
#[derive(Clone, Copy)]
enum Language {
    Python,
    JavaScript,
}

/// Models that each dialect has, besides those of [`models`].
const RECORDINGS: &[&str] = &["text", "schema", "tool loop"];

/// What the models do that are served by one provider alone, of OpenAI's dialect unless said otherwise: the name, and what
/// else is said of it.
const MODELS: &[(&str, &str)] = &[
    ("embedding", ""),
    ("counting", ""),
    ("forbidden", "authorization: { scopes: [never] }"),
    ("invalid", ""),
    ("failing", ""),
    ("always-busy", ""),
    ("busy-once", ""),
    ("silent", ""),
    ("cut", ""),
];

/// Every other call of `busy-once` is refused.
#[derive(Default)]
struct Busy(AtomicUsize);

impl Busy {
    fn answer(&self, asked: &Received) -> Script {
        if self.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            busy()
        } else {
            recorded("openai-chat", "text", asked)
        }
    }
}

fn busy() -> Script {
    let body = json!({ "error": { "message": "Rate limit reached", "type": "requests", "param": null, "code": "rate_limit_exceeded" } });
    Script::json("429 Too Many Requests", &[("retry-after", "1")], &body)
}

fn refused(status: &str, message: &str) -> Script {
    let body = json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": null } });
    Script::json(status, &[], &body)
}

/// What the provider at the path of this model answers.
fn answer(asked: &Received, once: &Busy) -> Script {
    let mut path = asked.target().split('/').skip(1);
    let (first, second) = (path.next().unwrap(), path.next().unwrap());
    match first {
        "embedding" => embeddings(asked),
        "counting" => Script::json("200 OK", &[], &json!({ "input_tokens": 14 })),
        "invalid" => refused("400 Bad Request", "temperature is too high"),
        "failing" => refused("500 Internal Server Error", "The server had an error"),
        "always-busy" => busy(),
        "busy-once" => once.answer(asked),
        "silent" => Script::new().wait_until_closed(),
        "cut" => {
            let piece = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}"#;
            Script::events().event("", piece).reset()
        }
        dialect => {
            let recording = RECORDINGS
                .iter()
                .find(|recording| recording.replace(' ', "-") == second);
            match *recording.unwrap() {
                "tool loop" if !has_result(asked) => recorded(dialect, "one tool", asked),
                "tool loop" => recorded(dialect, "text", asked),
                recording => recorded(dialect, recording, asked),
            }
        }
    }
}

/// Two vectors, as numbers or in base64, as they are asked for.
fn embeddings(asked: &Received) -> Script {
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    let vectors: [[f32; 2]; 2] = [[0.5, -0.25], [1.0, 0.0]];
    let data = vectors.iter().enumerate().map(|(index, vector)| {
        let embedding = if body["encoding_format"] == "base64" {
            let bytes: Vec<u8> = vector.iter().flat_map(|one| one.to_le_bytes()).collect();
            json!(base64::engine::general_purpose::STANDARD.encode(bytes))
        } else {
            json!(vector)
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    });
    let usage = json!({ "prompt_tokens": 3, "total_tokens": 3 });
    let body =
        json!({ "object": "list", "model": "m", "data": data.collect::<Vec<_>>(), "usage": usage });
    Script::json("200 OK", &[], &body)
}

/// Whether the conversation has come back with what the tool said.
fn has_result(asked: &Received) -> bool {
    String::from_utf8_lossy(&asked.body).contains("18 degrees")
}

async fn node(key: &str) -> (Node, Upstream) {
    let once = Busy::default();
    let back = Upstream::choosing(move |asked| answer(asked, &once)).await;
    let url = back.url();
    let guarded = "authentication: [ { api_key: { sdk: true } } ]";
    let mut plan = Plan::default()
        .resource(format!("- {{ kind: credential, name: app, api_key: {key} }}"))
        .resource(format!(
            "- {{ kind: api, name: ai, version: v1, state: published, ai: {{ models: all }}, {guarded} }}"
        ))
        .resource(format!(
            "- {{ kind: api, name: limited, version: v1, state: published, base_path: /limited, ai: {{ models: all }}, {guarded}, rate_limits: [ {{ by: key, requests: 1, per: 1h }} ] }}"
        ));
    let provided = |name: &str, dialect: &str, path: &str, rest: &str| {
        let asked = asked_model(dialect);
        [
            format!(
                "- {{ kind: provider, name: {name}, dialect: {dialect}, base_url: \"{url}/{path}\" }}"
            ),
            format!(
                "- {{ kind: model, name: {name}, targets: [ {{ provider: {name}, model: \"{asked}\" }} ], attempts: 1, {rest} }}"
            ),
        ]
    };
    for dialect in DIALECTS {
        for recording in RECORDINGS {
            let path = format!("{dialect}/{}", recording.replace(' ', "-"));
            for resource in provided(&model(dialect, recording), dialect, &path, "") {
                plan = plan.resource(resource);
            }
        }
    }
    for (name, rest) in MODELS {
        let dialect = match *name {
            "counting" => "anthropic",
            _ => "openai-chat",
        };
        for resource in provided(name, dialect, &format!("{name}/v1"), rest) {
            plan = plan.resource(resource);
        }
    }
    (plan.start().await, back)
}

/// Runs a program with a node's address, a key and the dialects, and tells what it did.
async fn run(language: Language, program: &'static str) -> Vec<String> {
    let key = ApiKey::from_random(&[7; 32]).reveal().to_owned();
    let (node, _back) = node(&key).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../..");
    let python = folder.join(".venv/bin/python");
    let node_modules = folder.join("node_modules/@anthropic-ai/sdk");
    assert!(
        python.is_file() && node_modules.is_dir(),
        "the vendors' libraries are needed: `cargo xtask test` installs them into .venv and node_modules"
    );
    let interpreter = match language {
        Language::Python => python,
        Language::JavaScript => "node".into(),
    };
    let gateway = format!("http://{}", node.gateway());
    let output = tokio::task::spawn_blocking(move || {
        Command::new(interpreter)
            .arg(root.join("tests/it/ai/sdk").join(program))
            .args([gateway, key])
            .args(DIALECTS)
            .env("NO_PROXY", "*")
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program}: {told}\n{}",
        node.process.log()
    );
    let did: Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_value(did).unwrap()
}

/// That a program did all of this: `each` with every dialect, `once` in the end.
#[track_caller]
fn check(did: &[String], each: &[&str], once: &[&str]) {
    let mut expected: Vec<String> = Vec::new();
    for dialect in DIALECTS {
        expected.extend(each.iter().map(|feature| format!("{feature} {dialect}")));
    }
    expected.extend(once.iter().map(|feature| (*feature).to_owned()));
    assert_eq!(did, expected);
}

#[tokio::test]
async fn openai_s_library_in_python_does_all_that_its_users_do() {
    check(
        &run(Language::Python, "openai_python.py").await,
        &[
            "chat",
            "chat_tools",
            "parsed",
            "responses",
            "responses_tools",
            "asynchronously",
        ],
        &["embeddings", "models", "errors", "retries", "timeouts"],
    );
}

#[tokio::test]
async fn anthropic_s_library_in_python_does_all_that_its_users_do() {
    check(
        &run(Language::Python, "anthropic_python.py").await,
        &[
            "messages",
            "tools",
            "tool_runner",
            "parsed",
            "asynchronously",
        ],
        &["counting", "models", "errors", "retries", "timeouts"],
    );
}

#[tokio::test]
async fn google_s_library_in_python_does_all_that_its_users_do() {
    check(
        &run(Language::Python, "google_python.py").await,
        &[
            "content",
            "conversation",
            "called_functions",
            "parsed",
            "asynchronously",
        ],
        &["models", "errors", "retries", "timeouts"],
    );
}

#[tokio::test]
async fn openai_s_library_in_javascript_does_all_that_its_users_do() {
    check(
        &run(Language::JavaScript, "openai_node.mjs").await,
        &["chat", "runTools", "parsed", "responses"],
        &["embeddings", "models", "errors", "retries", "timeouts"],
    );
}

#[tokio::test]
async fn anthropic_s_library_in_javascript_does_all_that_its_users_do() {
    check(
        &run(Language::JavaScript, "anthropic_node.mjs").await,
        &["messages", "toolRunner", "parsed"],
        &["counting", "models", "errors", "retries", "timeouts"],
    );
}
