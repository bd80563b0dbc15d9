//! `keyward prompts preview`: a draft that is stored nowhere, rendered, and asked of a real model.

use super::{SECRET, plan, saying, translate};
use crate::shell::Shell;
use serde_json::{Value, json};
use std::process::Command;

fn preview(shell: &Shell, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(["prompts", "preview"])
        .args(arguments)
        .current_dir(shell.directory.path())
        .output()
        .unwrap();
    let told = if output.status.success() {
        output.stdout
    } else {
        output.stderr
    };
    (
        output.status.success(),
        String::from_utf8_lossy(&told).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_shown_as_its_model_is_told_it_and_asked_for_real() {
    let back = saying("Bonjour").await;
    let node = plan(&back.url())
        .resource("- { kind: api, name: ai, version: v1, state: published, ai: { models: all }, authentication: none }")
        .start()
        .await;
    let shell = Shell::new();
    let draft = |version: &str| {
        let text = translate(version, "").replace("state: published", "state: draft");
        // One document, not a member of a list.
        let lines = text.lines().map(|line| line.get(2..).unwrap_or_default());
        lines.collect::<Vec<_>>().join("\n")
    };
    shell.file("one.yaml", draft("v7").as_bytes());
    let both = format!("{}\n---\n{}", draft("v7"), draft("v8"));
    shell.file("both.yaml", both.as_bytes());
    let variables = json!({ "text": "Hello" }).to_string();
    let (passes, told) = preview(&shell, &["-f", "one.yaml", "--variables", &variables]);
    assert!(passes, "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let messages = told["asked"]["messages"].as_array().unwrap();
    assert_eq!(messages.last().unwrap()["content"], "T: Hello");
    assert!(messages[0]["content"].as_str().unwrap().contains(SECRET));
    assert!(
        back.received().is_empty(),
        "nothing is called unless it is said"
    );
    let gateway = format!("http://{}", node.gateway());
    let (passes, told) = preview(
        &shell,
        &[
            "-f",
            "both.yaml",
            "--prompt",
            "translate:v8",
            "--variables",
            &variables,
            "--gateway",
            &gateway,
        ],
    );
    assert!(passes, "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["answer"]["content"], "Bonjour");
    assert_eq!(
        (&told["model"], &told["usage"]["prompt_tokens"]),
        (&json!("back/big-1"), &json!(11))
    );
    assert_eq!(back.received().len(), 1);
    for (arguments, expected) in [
        (vec!["-f", "both.yaml"], "say which with --prompt"),
        (
            vec!["-f", "one.yaml", "--prompt", "other"],
            "no such `kind: prompt`",
        ),
        (
            vec!["-f", "one.yaml", "--variables", "{\"text\":7}"],
            "at `/text`",
        ),
        (
            vec!["-f", "one.yaml", "--variables", "{"],
            "ends in the middle",
        ),
    ] {
        let (passes, told) = preview(&shell, &arguments);
        assert!(!passes && told.contains(expected), "{arguments:?}: {told}");
    }
}
