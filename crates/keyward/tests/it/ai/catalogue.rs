//! The catalogue: what goes with the version, and a newer one in its place.

use super::{OPEN, body_of, chat, logged, post, recorded};
use crate::node::{Plan, check_passed};
use crate::shell::{Shell, json};
use keyward_testkit::{Script, Upstream, until};
use serde_json::{Value, json};
use std::process::Command;

const PROVIDER: &str = "provider\topenai\tOpenAI\topenai-chat\thttps://api.openai.com/v1\tbearer\tOPENAI_API_KEY\t\t50";

fn catalogue(price: &str) -> String {
    format!(
        "{PROVIDER}\nmodel\topenai\tgpt-next\tchat\t1000\t100\tin={price} out=2\t\t\t2030-01-02\t\t\n"
    )
}

#[test]
fn models_are_listed_with_their_prices() {
    let shell = Shell::new();
    let text =
        String::from_utf8(shell.pipe(&["models", "list", "--provider", "anthropic"], b"")).unwrap();
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(
        head,
        [
            "PROVIDER", "MODEL", "DOES", "CONTEXT", "IN", "OUT", "RETIRES"
        ]
    );
    let sonnet = lines
        .find(|line| line.contains(" claude-sonnet-4-5 "))
        .unwrap();
    let cells: Vec<&str> = sonnet.split_whitespace().collect();
    assert_eq!(cells[..3], ["anthropic", "claude-sonnet-4-5", "chat"]);
    assert_eq!(cells[4..6], ["3", "15"]);
    let all = json(&shell.pipe(&["models", "list", "--json"], b""));
    let all = all["models"].as_array().unwrap();
    assert!(all.len() >= 1_000);
    let named = |name: &str| all.iter().find(|model| model["model"] == name).unwrap();
    let sonnet = named("claude-sonnet-4-5");
    assert_eq!(sonnet["prices"][0]["above_tokens"], 0);
    assert_eq!(sonnet["prices"][0]["pico_usd"]["cache_read"], 300_000);
    let tiered = all
        .iter()
        .find(|model| model["provider"] == "gemini" && model["model"] == "gemini-2.5-pro");
    assert_eq!(tiered.unwrap()["prices"][1]["above_tokens"], 200_000);
    assert_eq!(sonnet["batch_percent"], 50);
    let abilities = sonnet["abilities"].as_array().unwrap();
    assert!(abilities.contains(&json!("tools")), "{sonnet}");
    let refused = shell.refusal(&["models", "list", "--provider", "opnai"], b"");
    assert!(refused.contains("no provider `opnai`"), "{refused}");
}

#[test]
fn a_newer_catalogue_is_checked_before_it_counts() {
    let shell = Shell::new();
    shell.file(
        "keyward.yaml",
        b"format: 1\ndata_dir: data\nresources:\n- { kind: provider, name: openai, credentials: [ { key: k } ] }\n- { kind: model, name: fast, targets: [ { provider: openai, model: gpt-next } ] }\n",
    );
    shell.file("new.tsv", catalogue("1").as_bytes());
    let update = ["models", "update", "--from", "new.tsv"];
    let told = String::from_utf8(shell.pipe(&update, b"")).unwrap();
    assert!(told.contains("1 providers, 1 models, revision "), "{told}");
    let listed = json(&shell.pipe(&["models", "list", "--json"], b""));
    assert_eq!(listed["models"][0]["input_pico_usd"], 1_000_000);
    assert_eq!(listed["models"][0]["retires"], "2030-01-02");
    shell.pipe(&["check"], b"");
    let kept = std::fs::read(shell.directory.path().join("data/catalogue.tsv")).unwrap();
    for (text, expected) in [
        ("nonsense".to_owned(), "line 1"),
        (String::new(), "has no providers"),
        (
            catalogue("1").replace("\topenai\t", "\tother\t"),
            "provider `openai` could not be served",
        ),
        (catalogue("-1"), "line 2"),
    ] {
        let refused = shell.refusal(&["models", "update", "--from", "-"], text.as_bytes());
        assert!(refused.contains(expected), "{refused}");
    }
    let refused = shell.refusal(&["models", "update", "--from", "none.tsv"], b"");
    assert!(refused.contains("no file"), "{refused}");
    let refused = shell.refusal(
        &["models", "update", "--from", "https://127.0.0.1:1/c"],
        b"",
    );
    assert!(
        refused.contains("unreachable") && !refused.contains("status"),
        "{refused}"
    );
    let now = std::fs::read(shell.directory.path().join("data/catalogue.tsv")).unwrap();
    assert_eq!(kept, now, "what was refused has changed nothing");
    shell.file("data/catalogue.tsv", b"broken");
    let output = shell.run(&["check"], b"");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && told.contains("keyward models update"),
        "{told}"
    );
}

/// Whoever can put another catalogue in an operator's way would get every key otherwise.
#[test]
fn a_newer_catalogue_leads_keys_elsewhere_only_where_that_is_accepted() {
    let shell = Shell::new();
    shell.file("keyward.yaml", b"format: 1\ndata_dir: data\n");
    let update = ["models", "update", "--from", "-"];
    let accepting = ["models", "update", "--accept-addresses", "--from", "-"];
    let elsewhere = catalogue("1").replace("https://api.openai.com/v1", "https://evil.example/v1");
    for (text, expected) in [
        (
            elsewhere.clone(),
            "another address: `https://evil.example/v1` instead of `https://api.openai.com/v1`",
        ),
        (
            catalogue("1").replace("\topenai-chat\t", "\tollama\t"),
            "another dialect: `ollama`",
        ),
        (
            catalogue("1").replace("\tbearer\t", "\tapi-key\t"),
            "another place of the key: `api-key`",
        ),
    ] {
        let refused = shell.refusal(&update, text.as_bytes());
        assert!(
            refused.contains(expected) && refused.contains("--accept-addresses"),
            "{refused}"
        );
    }
    let plain = elsewhere.replace("https://", "http://");
    let refused = shell.refusal(&accepting, plain.as_bytes());
    assert!(refused.contains("without TLS"), "{refused}");
    assert!(!shell.directory.path().join("data/catalogue.tsv").exists());
    shell.pipe(&accepting, elsewhere.as_bytes());
    // What was accepted is what counts from then on.
    shell.pipe(&update, elsewhere.as_bytes());
    let back = shell.refusal(&update, catalogue("1").as_bytes());
    assert!(
        back.contains("`https://api.openai.com/v1` instead of"),
        "{back}"
    );
}

#[test]
fn a_model_that_is_served_no_more_is_warned_of() {
    let shell = Shell::new();
    let given = catalogue("1");
    let gone = given.replace("\tgpt-next\t", "\tgpt-last\t");
    let gone = gone.replace("2030-01-02", "2020-01-02");
    let (_, gone) = gone.split_once('\n').unwrap();
    std::fs::create_dir(shell.directory.path().join("data")).unwrap();
    shell.file("data/catalogue.tsv", format!("{given}{gone}").as_bytes());
    let check = |name: &str, more: &str| {
        let text = format!(
            "format: 1\ndata_dir: data\nresources:\n- {{ kind: provider, name: openai, {more} credentials: [ {{ key: k }} ] }}\n- {{ kind: model, name: fast, targets: [ {{ provider: openai, model: gpt-next }} ], fallbacks: [ {{ provider: openai, model: {name} }} ] }}\n"
        );
        shell.file("keyward.yaml", text.as_bytes());
        let output = shell.run(&["check"], b"");
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let told = check("gpt-last", "");
    assert!(
        told.contains("`gpt-last` of `openai` is served no more since 2020-01-02")
            && told.contains("[retired_model]"),
        "{told}"
    );
    assert_eq!(check("gpt-unknown", ""), "");
    assert_eq!(
        check("gpt-last", "base_url: \"https://own.example/v1\","),
        ""
    );
}

#[tokio::test]
async fn a_node_takes_up_a_newer_catalogue_without_a_restart() {
    let back = recorded("openai-chat", "text").await;
    let node = Plan::default()
        .settings("access_log: { format: json }")
        .resource(format!(
            "- {{ kind: provider, name: openai, base_url: \"{}/v1\", credentials: [ {{ key: k }} ] }}",
            back.url()
        ))
        .resource("- { kind: model, name: fast, targets: [ { provider: openai, model: gpt-next } ] }")
        .resource(OPEN)
        .start()
        .await;
    check_passed(&post(&node, "/v1/chat/completions", &[], &chat("fast")).await);
    let before = logged(&node, "fast").await;
    assert_eq!(
        (&before["cost_pico_usd"], &before["price_revision"]),
        (&json!(0), &json!(0))
    );
    // From an address, as an operator's own script would.
    let served = Upstream::choosing(|_| Script::answer("200 OK", &[], catalogue("1"))).await;
    let url = served.url();
    let folder = node.process.folder();
    let configuration = folder.join("keyward.yaml");
    // On a thread of its own: the server that it asks is on this one.
    let updating = tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(["models", "update", "--from", &url])
            .args(["--allow", "127.0.0.1", "--config"])
            .arg(configuration)
            .output()
            .unwrap()
    });
    let updated = updating.await.unwrap();
    assert!(
        updated.status.success(),
        "{}",
        String::from_utf8_lossy(&updated.stderr)
    );
    let mut priced = Value::Null;
    until("calls have a price", async || {
        post(&node, "/v1/chat/completions", &[], &chat("fast")).await;
        let lines = node.process.log();
        let mut lines = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        priced = lines
            .rfind(|line| line["model"] == "fast" && line["price_revision"] != 0)
            .unwrap_or_default();
        !priced.is_null()
    })
    .await;
    let tokens = |name: &str| priced[name].as_u64().unwrap();
    let expected = tokens("input_tokens") * 1_000_000 + tokens("output_tokens") * 2_000_000;
    assert!(expected > 0);
    assert_eq!(priced["cost_pico_usd"], expected);
    let listed = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(["models", "list", "--json", "--config"])
        .arg(folder.join("keyward.yaml"))
        .output()
        .unwrap();
    let listed = json(&listed.stdout);
    assert_eq!(priced["price_revision"], listed["revision"]);
}

/// The providers that have to work by name and key alone: each is called at a scripted server in its place, and the address
/// that counts without one is the vendor's documented one.
#[tokio::test]
async fn providers_are_called_by_name_and_key_alone() {
    let built_in = keyward_llm::catalogue::Catalogue::built_in().unwrap();
    for (id, documented, dialect, path, header, value) in [
        (
            "openai",
            "https://api.openai.com/v1",
            "openai-chat",
            "/chat/completions",
            "authorization",
            "Bearer a-key",
        ),
        (
            "anthropic",
            "https://api.anthropic.com/v1",
            "anthropic",
            "/messages",
            "x-api-key",
            "a-key",
        ),
        (
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta",
            "gemini",
            "/models/some-model:generateContent",
            "x-goog-api-key",
            "a-key",
        ),
        (
            "mistral",
            "https://api.mistral.ai/v1",
            "openai-chat",
            "/chat/completions",
            "authorization",
            "Bearer a-key",
        ),
        (
            "moonshot",
            "https://api.moonshot.ai/v1",
            "openai-chat",
            "/chat/completions",
            "authorization",
            "Bearer a-key",
        ),
        (
            "moonshot-cn",
            "https://api.moonshot.cn/v1",
            "openai-chat",
            "/chat/completions",
            "authorization",
            "Bearer a-key",
        ),
        (
            "dashscope",
            "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
            "openai-chat",
            "/chat/completions",
            "authorization",
            "Bearer a-key",
        ),
        (
            "dashscope-cn",
            "https://dashscope.aliyuncs.com/compatible-mode/v1",
            "openai-chat",
            "/chat/completions",
            "authorization",
            "Bearer a-key",
        ),
        (
            "meta-llama",
            "https://api.llama.com/compat/v1",
            "openai-chat",
            "/chat/completions",
            "authorization",
            "Bearer a-key",
        ),
    ] {
        let entry = built_in.provider(id).unwrap();
        assert_eq!(
            (entry.base_url.as_str(), entry.dialect.as_str()),
            (documented, dialect),
            "{id}"
        );
        // By name and key alone it passes the check; the test does not go out.
        let back = recorded(dialect, "text").await;
        let provider = |at: &str| {
            format!("- {{ kind: provider, name: {id}, {at} credentials: [ {{ key: a-key }} ] }}")
        };
        let model = format!(
            "- {{ kind: model, name: fast, targets: [ {{ provider: {id}, model: some-model }} ] }}"
        );
        let shell = Shell::new();
        let alone = format!("format: 1\nresources:\n{}\n{model}\n{OPEN}\n", provider(""));
        shell.file("keyward.yaml", alone.as_bytes());
        shell.pipe(&["check"], b"");
        let prefix = documented.split_once("://").unwrap().1;
        let prefix = prefix
            .split_once('/')
            .map_or(String::new(), |(_, rest)| format!("/{rest}"));
        let node = Plan::default()
            .resource(provider(&format!("base_url: \"{}{prefix}\",", back.url())))
            .resource(model)
            .resource(OPEN)
            .start()
            .await;
        let mut asked = chat("fast");
        asked["max_completion_tokens"] = json!(9);
        check_passed(&post(&node, "/v1/chat/completions", &[], &asked).await);
        let received = &back.received()[0];
        assert_eq!(received.target(), format!("{prefix}{path}"), "{id}");
        assert_eq!(received.head.field(header), Some(value), "{id}");
        let body = body_of(received);
        if dialect != "gemini" {
            assert_eq!(body["model"], "some-model", "{id}");
        }
        let most = match (dialect, id) {
            ("gemini", _) => &body["generationConfig"]["maxOutputTokens"],
            ("anthropic", _)
            | (_, "mistral" | "moonshot" | "moonshot-cn" | "dashscope" | "dashscope-cn") => {
                &body["max_tokens"]
            }
            (_, _) => &body["max_completion_tokens"],
        };
        assert_eq!(*most, 9, "{id}: {body}");
    }
}

/// Servers of one's own, by address alone: Ollama in its own dialect; vLLM and llama.cpp in OpenAI's.
#[tokio::test]
async fn servers_of_one_s_own_are_called_by_address_alone() {
    for (catalogued, dialect, prefix, path) in [
        ("ollama", "ollama", "", "/api/chat"),
        ("vllm", "openai-chat", "/v1", "/v1/chat/completions"),
        ("llama-cpp", "openai-chat", "/v1", "/v1/chat/completions"),
    ] {
        let back = recorded(dialect, "text").await;
        let node = Plan::default()
            .resource(format!(
                "- {{ kind: provider, name: own, catalogue: {catalogued}, base_url: \"{}{prefix}\" }}",
                back.url()
            ))
            .resource("- { kind: model, name: fast, targets: [ { provider: own, model: m } ] }")
            .resource(OPEN)
            .start()
            .await;
        check_passed(&post(&node, "/v1/chat/completions", &[], &chat("fast")).await);
        let received = &back.received()[0];
        assert_eq!(received.target(), path, "{catalogued}");
        assert_eq!(received.head.field("authorization"), None);
    }
}
