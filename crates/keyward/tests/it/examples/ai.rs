//! The examples of AI models.

use super::{Example, text};
use crate::gateway::node::call;
use keyward_testkit::{Script, Upstream};
use serde_json::{Value, json};

fn post(path: &str, key: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{key}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn ai_models() {
    let shell = crate::shell::Shell::new();
    let key = text(shell.pipe(&["credential", "generate"], b""));
    let busy = json!({ "error": { "message": "busy", "type": "overloaded_error" } });
    let busy = Upstream::scripted(Script::json("503 Service Unavailable", &[], &busy)).await;
    let answer = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "llama-3.3-70b",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "Hello" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    });
    let own = Upstream::scripted(Script::json("200 OK", &[], &answer)).await;
    let at = |name: &str| format!("name: {name}, base_url: \"{}/v1\", credentials", busy.url());
    let (openai, anthropic, address) = (at("openai"), at("anthropic"), own.address().to_string());
    let moved = [
        ("name: openai, credentials", &*openai),
        ("name: anthropic, credentials", &*anthropic),
        ("127.0.0.1:9001", &*address),
    ];
    let environment = [
        ("OPENAI_API_KEY", "sk-openai"),
        ("ANTHROPIC_API_KEY", "sk-ant"),
        ("APP_KEY", &*key),
    ];
    let example = Example::with("ai-models.yaml", &moved, &environment).await;
    let gateway = example.process.gateway();
    let bearer = format!("Authorization: Bearer {key}");
    let ask = json!({ "model": "fast", "messages": [{ "role": "user", "content": "Hello" }] });
    let answered = call(gateway, post("/v1/chat/completions", &bearer, &ask)).await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    assert_eq!(
        answered.head.field("keyward-model"),
        Some("own/llama-3.3-70b")
    );
    let mut ask = ask;
    ask["max_tokens"] = json!(100);
    let own_key = format!("x-api-key: {key}");
    let answered = call(gateway, post("/v1/messages", &own_key, &ask)).await;
    assert_eq!(answered.json().unwrap()["content"][0]["text"], "Hello");
    ask["model"] = json!("best");
    let answered = call(gateway, post("/v1/messages", &own_key, &ask)).await;
    assert_eq!(answered.status, 403, "{}", answered.text());
    assert_eq!(
        answered.json().unwrap()["error"]["type"],
        "permission_error"
    );
}

#[tokio::test]
async fn prompts() {
    let answer = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "demo",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "Bonjour" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10 },
    });
    let demo = Upstream::scripted(Script::json("200 OK", &[], &answer)).await;
    let address = demo.address().to_string();
    let moved = [("127.0.0.1:9001", &*address)];
    let example = Example::with("prompts.yaml", &moved, &[]).await;
    let gateway = example.process.gateway();
    let none = "X-None: 1";
    let body = json!({ "text": "Good morning", "to": "fr" });
    let answered = call(gateway, post("/prompts/translate", none, &body)).await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    let told = answered.json().unwrap();
    assert_eq!(told["output"], "Bonjour");
    let rating = json!({ "id": told["id"], "score": 1 });
    let rated = call(gateway, post("/prompts/translate/feedback", none, &rating)).await;
    assert_eq!(rated.status, 204, "{}", rated.text());
    let path = "/prompts/translate/versions/v1";
    let body = json!({ "text": "Hi", "to": "fr", "glossary": [{ "term": "API", "use": "API" }] });
    let answered = call(gateway, post(path, none, &body)).await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    let asked = demo.received();
    let asked: Value = serde_json::from_slice(&asked.last().unwrap().body).unwrap();
    let system = asked["messages"][0]["content"].as_str().unwrap();
    assert!(
        system.contains("into fr. Keep names") && system.contains("- API: API"),
        "{system}"
    );
    let list = example.get("/prompts", None, "").await.json().unwrap();
    assert_eq!(list["prompts"][0]["name"], "translate");
    let document = example
        .get("/prompts/translate/openapi.json", None, "")
        .await;
    assert_eq!(document.json().unwrap()["openapi"], "3.1.0");
}

#[tokio::test]
async fn ai_clouds() {
    let shell = crate::shell::Shell::new();
    let key = text(shell.pipe(&["credential", "generate"], b""));
    let private = shell.pipe(&["jwk", "generate", "--alg", "RS256"], b"");
    let pem = text(shell.pipe(&["jwk", "convert", "--to", "pem"], &private));
    let cloud = Upstream::choosing(|asked| {
        if asked.target() == "/token" {
            let token = json!({ "access_token": "a-token", "expires_in": 3600 });
            return Script::json("200 OK", &[], &token);
        }
        if asked.target().starts_with("/model/") {
            return Script::json("503 Service Unavailable", &[], &json!({ "message": "busy" }));
        }
        let answer = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
            "stop_sequence": null, "content": [{ "type": "text", "text": "Hello" }],
            "usage": { "input_tokens": 1, "output_tokens": 1 },
        });
        Script::json("200 OK", &[], &answer)
    })
    .await;
    let account = json!({
        "type": "service_account", "client_email": "a@b", "private_key": pem,
        "token_uri": format!("{}/token", cloud.url()),
    });
    shell.file("service-account.json", account.to_string().as_bytes());
    let bedrock = format!("name: bedrock\n    base_url: {}", cloud.url());
    let vertex = format!("base_url: {}/vertex", cloud.url());
    let moved = [
        ("name: bedrock", &*bedrock),
        (
            "at: { region: europe-west1, project: my-project }",
            &*vertex,
        ),
        ("format: 1", "format: 1\negress: { allow: [127.0.0.0/8] }"),
    ];
    let environment = [
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AZURE_CLIENT_SECRET", "secret"),
        ("APP_KEY", &*key),
    ];
    let example = Example::in_shell(shell, "ai-clouds.yaml", &moved, &environment).await;
    let bearer = format!("Authorization: Bearer {key}");
    let ask = json!({ "model": "claude", "messages": [{ "role": "user", "content": "Hello" }] });
    let answered = call(
        example.process.gateway(),
        post("/v1/chat/completions", &bearer, &ask),
    )
    .await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    assert_eq!(
        answered.head.field("keyward-attempts"),
        Some(
            "bedrock/eu.anthropic.claude-sonnet-4-5-20250929-v1:0 503, vertex/claude-sonnet-4-5@20250929 200"
        )
    );
    let received = cloud.received();
    let signed = received
        .iter()
        .find(|asked| asked.target().starts_with("/model/"));
    let authorization = signed.unwrap().head.field("authorization").unwrap();
    assert!(
        authorization.contains("/eu-central-1/bedrock/aws4_request"),
        "{authorization}"
    );
}

#[tokio::test]
async fn ai_routing() {
    let shell = crate::shell::Shell::new();
    let key = text(shell.pipe(&["credential", "generate"], b""));
    let answer = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "Hello" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    });
    let openai = Upstream::scripted(Script::json("200 OK", &[], &answer)).await;
    let busy =
        json!({ "type": "error", "error": { "message": "busy", "type": "overloaded_error" } });
    let anthropic = Upstream::scripted(Script::json("529 Overloaded", &[], &busy)).await;
    let at = |name: &str, back: &Upstream| {
        format!("name: {name}, base_url: \"{}/v1\", credentials", back.url())
    };
    let openai_at = format!(
        "name: openai\n    base_url: \"{}/v1\"\n    credentials",
        openai.url()
    );
    let anthropic_at = at("anthropic", &anthropic);
    let moved = [
        ("name: openai\n    credentials", &*openai_at),
        ("name: anthropic, credentials", &*anthropic_at),
    ];
    let environment = [
        ("OPENAI_API_KEY", "sk-openai"),
        ("ANTHROPIC_API_KEY", "sk-ant"),
        ("APP_KEY", &*key),
    ];
    let example = Example::with("ai-routing.yaml", &moved, &environment).await;
    let gateway = example.process.gateway();
    let bearer = format!("Authorization: Bearer {key}");
    for (model, content, served) in [
        ("cheap", json!("Hello"), "openai/gpt-5-nano"),
        ("fast", json!("Hello"), "openai/gpt-5-mini"),
        ("best", json!("Hello"), "openai/gpt-5-mini"),
        (
            "best",
            json!([{ "type": "image_url", "image_url": { "url": "https://a.example/x.png" } }]),
            "openai/gpt-5",
        ),
    ] {
        let ask = json!({ "model": model, "messages": [{ "role": "user", "content": content }] });
        let answered = call(gateway, post("/v1/chat/completions", &bearer, &ask)).await;
        assert_eq!(answered.status, 200, "{}", answered.text());
        assert_eq!(
            answered.head.field("keyward-model"),
            Some(served),
            "{model}"
        );
    }
}

#[tokio::test]
async fn ai_guardrails() {
    let shell = crate::shell::Shell::new();
    let key = text(shell.pipe(&["credential", "generate"], b""));
    let provider = Upstream::choosing(|asked| {
        if asked.target().ends_with("/moderations") {
            let result = json!({ "flagged": false, "category_scores": { "violence": 0.1, "hate": 0.1 } });
            return Script::json("200 OK", &[], &json!({ "results": [result] }));
        }
        if asked.target().ends_with("/embeddings") {
            let data = json!([{ "index": 0, "embedding": [0.6, 0.8] }]);
            return Script::json("200 OK", &[], &json!({ "data": data }));
        }
        let asked: Value = serde_json::from_slice(&asked.body).unwrap();
        let choice = json!({ "index": 0, "message": { "role": "assistant", "content": asked["messages"][0]["content"] }, "finish_reason": "stop" });
        let answer = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice] });
        Script::json("200 OK", &[], &answer)
    })
    .await;
    let judge =
        Upstream::scripted(Script::json("200 OK", &[], &json!({ "action": "allow" }))).await;
    let at = format!(
        "name: openai, base_url: \"{}/v1\", credentials",
        provider.url()
    );
    let address = judge.address().to_string();
    let moved = [
        ("name: openai, credentials", &*at),
        ("127.0.0.1:9002", &*address),
    ];
    let environment = [("OPENAI_API_KEY", "sk-openai"), ("APP_KEY", &*key)];
    let example = Example::with("ai-guardrails.yaml", &moved, &environment).await;
    let gateway = example.process.gateway();
    let bearer = format!("Authorization: Bearer {key}");
    let ask = |text: &str| json!({ "model": "fast", "temperature": 0, "messages": [{ "role": "user", "content": text }] });
    let send =
        async |text: &str| call(gateway, post("/v1/chat/completions", &bearer, &ask(text))).await;
    let written = "Write to ann@mail.example";
    for expected in ["miss", "hit"] {
        let answered = send(written).await;
        assert_eq!(answered.status, 200, "{}", answered.text());
        let said = answered.json().unwrap();
        assert_eq!(said["choices"][0]["message"]["content"], written);
        let told = answered.head.field("keyward-cache").unwrap_or_default();
        assert!(told.starts_with(expected), "{told}");
    }
    let chats: Vec<String> = provider
        .received()
        .iter()
        .filter(|asked| asked.target().ends_with("/chat/completions"))
        .map(|asked| String::from_utf8_lossy(&asked.body).into_owned())
        .collect();
    let [chat] = &chats[..] else {
        panic!("{chats:?}");
    };
    assert!(chat.contains("Write to [EMAIL_1]"), "{chat}");
    let answered = send("What is Project Heron?").await;
    assert_eq!(answered.status, 400);
    assert_eq!(
        answered.json().unwrap()["error"]["code"],
        "guardrail_blocked"
    );
}
