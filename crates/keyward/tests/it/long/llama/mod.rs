//! A server that nobody here wrote, behind a node: llama.cpp as Python's `llama-cpp-python` serves it, with a tiny model
//! made on the spot from random weights. What it says is noise, and the same noise each time.

use crate::ai::judges::judged;
use crate::node::{Plan, check_passed};
use keyward_testkit::{RawClient, free_addresses, until};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The server as a process, in a folder of its own.
struct Server {
    process: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
        let _left = std::fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    async fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("../../target/llama/bin/python");
        assert!(
            python.is_file(),
            "llama-cpp-python is needed: `cargo xtask test --long` installs it into target/llama"
        );
        let folder = std::env::temp_dir().join(format!("keyward-llama-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let model = folder.join("noise.gguf");
        let made = Command::new(&python)
            .arg(root.join("tests/it/long/llama/model.py"))
            .arg(&model)
            .status()
            .unwrap();
        assert!(made.success(), "the model was not made");
        let [address] = free_addresses::<1>();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let process = Command::new(&python)
            .args(["-m", "llama_cpp.server", "--model"])
            .arg(&model)
            .args(["--model_alias", "noise", "--host", "127.0.0.1"])
            .args(["--port", &address.port().to_string()])
            .args(["--n_ctx", "1024", "--n_threads", "1"])
            .args(["--chat_format", "chatml"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self {
            process,
            folder,
            address,
        };
        until("llama.cpp's server is ready", async || {
            server.get("/v1/models").await.is_some()
        })
        .await;
        server
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let mut client = RawClient::connect(self.address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: llama\r\nConnection: close\r\n\r\n");
        client.send(request).await.ok()?;
        client.answer().await.ok()?.json().ok()
    }

    /// What it says to this when it is asked directly.
    async fn said(&self, body: &Value) -> String {
        let body = body.to_string();
        let mut client = RawClient::connect(self.address).await.unwrap();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: llama\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        client.send(request).await.unwrap();
        let answer = client.answer().await.unwrap().json().unwrap();
        let text = answer["choices"][0]["message"]["content"].as_str();
        text.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

const WORDS: &str = "Say something, whatever it is.";
const TOKENS: u32 = 24;

/// The same question in each form, without chance.
fn asked(form: &str, streamed: bool) -> Value {
    let mut body = match form {
        "openai-chat" => json!({
            "messages": [{ "role": "user", "content": WORDS }], "max_completion_tokens": TOKENS, "temperature": 0,
        }),
        "openai-responses" => json!({
            "input": WORDS, "max_output_tokens": TOKENS, "temperature": 0,
        }),
        "anthropic" => json!({
            "messages": [{ "role": "user", "content": WORDS }], "max_tokens": TOKENS, "temperature": 0,
        }),
        _ => {
            return json!({
                "contents": [{ "role": "user", "parts": [{ "text": WORDS }] }],
                "generationConfig": { "maxOutputTokens": TOKENS, "temperature": 0 },
            });
        }
    };
    body["model"] = json!("noise");
    if streamed {
        body["stream"] = json!(true);
    }
    body
}

#[tokio::test]
async fn a_server_of_llama_cpp_answers_callers_of_every_form_whole_and_streamed() {
    let server = Server::start().await;
    let direct = json!({
        "model": "noise", "messages": [{ "role": "user", "content": WORDS }], "max_tokens": TOKENS, "temperature": 0,
    });
    let expected = server.said(&direct).await;
    assert!(!expected.is_empty(), "silence shows nothing");
    let node = Plan::default()
        .resource(format!(
            "- {{ kind: provider, name: llama, catalogue: llama-cpp, base_url: \"http://{}/v1\" }}",
            server.address
        ))
        .resource("- { kind: model, name: noise, targets: [ { provider: llama, model: noise } ] }")
        .resource("- { kind: api, name: ai, version: v1, state: published, ai: { models: all }, authentication: none }")
        .start()
        .await;
    check_passed(&node.get("/v1/models", &[]).await);
    let mut cells = Vec::new();
    for form in ["openai-chat", "openai-responses", "anthropic", "gemini"] {
        for streamed in [false, true] {
            cells.push(json!({ "form": form, "model": "noise", "stream": streamed, "request": asked(form, streamed) }));
        }
    }
    let seen = judged(format!("http://{}", node.gateway()), cells.clone()).await;
    assert_eq!(seen.len(), cells.len());
    for (cell, seen) in cells.iter().zip(&seen) {
        println!("{} streamed {}: {seen}", cell["form"], cell["stream"]);
        assert_eq!(seen["text"], expected, "{cell}: {seen}");
        assert_eq!(seen["stop"], "length", "{cell}: {seen}");
        if cell["stream"] == false {
            assert!(seen["usage"][0].as_u64() > Some(0), "{cell}: {seen}");
        } else {
            assert!(seen["events"].as_u64() > Some(2), "{cell}: {seen}");
        }
    }
}
