//! The official libraries of OpenAI and Anthropic run unmodified against a node, whatever stands behind it.

use super::{provider, recorded};
use crate::node::Plan;
use keyward_model::ApiKey;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Runs both libraries, each with a key where it has its own.
async fn run(gateway: String, key: String) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../../.venv/bin/python");
    assert!(
        python.is_file(),
        "the vendors' libraries are needed: `cargo xtask test` installs them into .venv"
    );
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python)
            .arg(root.join("tests/it/ai/sdk.py"))
            .args([gateway, key, "fast".to_owned()])
            .env("NO_PROXY", "*")
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn the_official_libraries_read_every_answer_and_every_event() {
    for dialect in ["openai-chat", "anthropic", "gemini", "openai-responses"] {
        let back = recorded(dialect, "text").await;
        let tools = recorded(dialect, "one tool").await;
        let key = ApiKey::from_random(&[7; 32]).reveal().to_owned();
        let node = Plan::default()
            .resource(format!("- {{ kind: credential, name: app, api_key: {key} }}"))
            .resource(provider("back", dialect, &back.url(), ""))
            .resource(provider("back-tools", dialect, &tools.url(), ""))
            .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ] }")
            .resource("- { kind: model, name: tools, targets: [ { provider: back-tools, model: m } ] }")
            .resource("- { kind: api, name: ai, version: v1, state: published, ai: { models: all }, authentication: [ { api_key: { sdk: true } } ] }")
            .start()
            .await;
        let told = run(format!("http://{}", node.gateway()), key).await;
        let openai = &told["openai"];
        let text = openai["text"].as_str().unwrap();
        assert!(text.starts_with("Hello"), "{dialect}: {openai}");
        assert_eq!(openai["finish"], "stop", "{dialect}");
        assert_eq!(openai["tokens"], json!([10, 5]), "{dialect}");
        assert_eq!(openai["streamed"], "Hello thére 😀!", "{dialect}");
        assert_eq!(openai["streamed tokens"][0], 10, "{dialect}");
        assert_eq!(openai["response"], text, "{dialect}");
        let events = openai["response events"].as_array().unwrap();
        assert_eq!(events.first().unwrap(), "response.created", "{dialect}");
        assert_eq!(events.last().unwrap(), "response.completed", "{dialect}");
        assert_eq!(
            openai["unknown"],
            json!([404, "model_not_found"]),
            "{dialect}"
        );
        let anthropic = &told["anthropic"];
        assert_eq!(anthropic["text"], text, "{dialect}");
        assert_eq!(anthropic["stop"], "end_turn", "{dialect}");
        assert_eq!(anthropic["tokens"], json!([10, 5]), "{dialect}");
        assert_eq!(anthropic["streamed"], "Hello thére 😀!", "{dialect}");
        assert_eq!(anthropic["streamed stop"], "end_turn", "{dialect}");
        assert_eq!(
            anthropic["unknown"],
            json!([404, "not_found_error"]),
            "{dialect}"
        );
        for library in ["openai", "anthropic"] {
            let own = &told[library];
            assert_eq!(
                own["models"],
                json!(["fast", "tools"]),
                "{dialect} {library}"
            );
            assert_eq!(own["model"], "fast", "{dialect} {library}");
            assert_eq!(own["wrong key"], 401, "{dialect} {library}");
            let tools = &told[format!("{library} tools")];
            for call in ["call", "streamed call"] {
                assert_eq!(tools[call][0], "get_weather", "{dialect} {library}");
                assert!(
                    tools[call][1]["city"].is_string(),
                    "{dialect} {library}: {tools}"
                );
            }
        }
    }
}
