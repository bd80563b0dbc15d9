//! Who may have which model, and where models are served at all.

use super::{OPEN, chat, plan, post, provider, recorded};
use crate::node::{Plan, check_passed, check_problem};
use crate::shell::Shell;
use keyward_model::ApiKey;
use serde_json::{Value, json};
use std::process::Command;

/// Two models of one provider, of which the second is for those alone who have a scope, and the third for whom a policy
/// permits it.
fn models(url: &str) -> Plan {
    Plan::default()
        .resource(provider("back", "openai-chat", url, ""))
        .resource("- { kind: model, name: cheap, targets: [ { provider: back, model: m } ] }")
        .resource("- { kind: model, name: dear, targets: [ { provider: back, model: m } ], authorization: { scopes: [dear] } }")
        .resource("- { kind: model, name: secret, targets: [ { provider: back, model: m } ], authorization: { policies: [by-day] } }")
        .resource(r#"- { kind: access_policy, name: by-day, cedar: 'permit(principal, action, resource == Route::"ai/v1 model secret") when { context.headers has "x-day" };' }"#)
        .resource("- { kind: api, name: ai, version: v1, state: published, ai: { models: all }, authentication: [ { api_key: { sdk: true } } ], rate_limits: [ { by: key, requests: 12, per: 1h } ] }")
}

#[tokio::test]
async fn a_caller_gets_the_models_that_they_may_have_and_sees_no_others() {
    let back = recorded("openai-chat", "text").await;
    let key = |byte| ApiKey::from_random(&[byte; 32]).reveal().to_owned();
    let (plain, scoped) = (key(1), key(2));
    let node = models(&back.url())
        .resource(format!(
            "- {{ kind: credential, name: plain, api_key: {plain} }}"
        ))
        .resource(format!(
            "- {{ kind: credential, name: scoped, api_key: {scoped}, scopes: [dear] }}"
        ))
        .start()
        .await;
    let path = "/v1/chat/completions";
    let bearer = |key: &str| format!("Bearer {key}");
    let (of_plain, of_scoped) = (bearer(&plain), bearer(&scoped));
    let plain_headers = [("Authorization", &*of_plain)];
    check_passed(&post(&node, path, &plain_headers, &chat("cheap")).await);
    for model in ["dear", "secret"] {
        let answer = post(&node, path, &plain_headers, &chat(model)).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert_eq!(answer.json().unwrap()["error"]["type"], "permission_error");
    }
    check_passed(&post(&node, path, &[("Authorization", &of_scoped)], &chat("dear")).await);
    let by_day = [("Authorization", &*of_plain), ("X-Day", "1")];
    check_passed(&post(&node, path, &by_day, &chat("secret")).await);
    // Each library has the key in another place.
    for header in ["x-api-key", "x-goog-api-key", "api-key"] {
        check_passed(&post(&node, path, &[(header, &plain)], &chat("cheap")).await);
    }
    let listed = async |headers: &[(&str, &str)]| -> Vec<String> {
        let list = node.get("/v1/models", headers).await.json().unwrap();
        let data = list["data"].as_array().unwrap().iter();
        data.map(|model| model["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(listed(&plain_headers).await, ["cheap"]);
    assert_eq!(listed(&by_day).await, ["cheap", "secret"]);
    assert_eq!(
        listed(&[("Authorization", &of_scoped)]).await,
        ["cheap", "dear"]
    );
    let one = node.get("/v1/models/dear", &plain_headers).await;
    assert_eq!(one.status, 404, "{}", one.text());
    assert_eq!(back.received().len(), 6, "what may not pass is not sent");
}

#[tokio::test]
async fn lists_tell_what_is_known_of_models() {
    let target =
        |provider: &str, model: &str| format!("{{ provider: {provider}, model: {model} }}");
    let model = |name: &str, targets: &[String]| {
        format!(
            "- {{ kind: model, name: {name}, targets: [ {} ] }}",
            targets.join(", ")
        )
    };
    let node = Plan::default()
        .resource("- { kind: provider, name: openai, credentials: [ { key: k } ] }")
        .resource("- { kind: provider, name: gemini, credentials: [ { key: k } ] }")
        .resource(model(
            "both",
            &[
                target("openai", "gpt-5"),
                target("gemini", "gemini-2.5-pro"),
            ],
        ))
        .resource(model(
            "vectors",
            &[target("openai", "text-embedding-3-small")],
        ))
        .resource(model("unknown", &[target("openai", "gpt-next")]))
        .resource(OPEN)
        .start()
        .await;
    let one = async |name: &str, headers: &[(&str, &str)]| {
        let answer = node.get(name, headers).await;
        check_passed(&answer);
        answer.json().unwrap()
    };
    assert_eq!(
        one("/v1beta/models/both", &[]).await,
        json!({
            "name": "models/both",
            "displayName": "both",
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
            "inputTokenLimit": 272_000,
            "outputTokenLimit": 65_536,
        })
    );
    let vectors = one("/v1beta/models/vectors", &[]).await;
    let methods = json!(["embedContent", "batchEmbedContents"]);
    assert_eq!(vectors["supportedGenerationMethods"], methods);
    let unknown = one("/v1/models/unknown", &[("x-goog-api-key", "k")]).await;
    assert_eq!(unknown["name"], "models/unknown");
    assert!(unknown.get("inputTokenLimit").is_none(), "{unknown}");
    let of_anthropic = [("anthropic-version", "2023-06-01")];
    let both = one("/v1/models/both", &of_anthropic).await;
    assert_eq!(both["max_input_tokens"], 272_000);
    assert_eq!(node.get("/v1beta/models/none", &[]).await.status, 404);
}

#[tokio::test]
async fn refusals_of_every_step_are_in_the_caller_s_dialect() {
    let back = recorded("openai-chat", "text").await;
    let key = ApiKey::from_random(&[1; 32]).reveal().to_owned();
    let node = models(&back.url())
        .resource(format!(
            "- {{ kind: credential, name: plain, api_key: {key} }}"
        ))
        .start()
        .await;
    let ask = json!({ "model": "cheap", "max_tokens": 5, "messages": [{ "role": "user", "content": "Hi" }] });
    let answer = post(&node, "/v1/messages", &[], &ask).await;
    assert_eq!(answer.status, 401);
    let error = answer.json().unwrap();
    assert_eq!(
        (&error["type"], &error["error"]["type"]),
        (&json!("error"), &json!("authentication_error"))
    );
    assert!(answer.head.field("www-authenticate").is_some());
    let headers = [("x-goog-api-key", &*key)];
    let contents = json!({ "contents": [{ "role": "user", "parts": [{ "text": "Hi" }] }] });
    let path = "/v1beta/models/nobody:generateContent";
    let answer = post(&node, path, &headers, &contents).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json().unwrap()["error"]["status"], "NOT_FOUND");
    let body = json!({ "model": "cheap" }).to_string().replace('}', ",}");
    let json_type = [("Content-Type", "application/json"), ("x-api-key", &*key)];
    let answer = node
        .call("POST", "/v1/chat/completions", &json_type, &body)
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json().unwrap()["error"]["type"],
        "invalid_request_error"
    );
    let twice = r#"{"model":"cheap","messages":[],"model":"dear"}"#;
    let answer = node
        .call("POST", "/v1/chat/completions", &json_type, twice)
        .await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    // The limit counts what was admitted alone, and says so in the caller's words.
    for _ in 0..12 {
        check_passed(&post(&node, "/v1/messages", &[("x-api-key", &key)], &ask).await);
    }
    let answer = post(&node, "/v1/messages", &[("x-api-key", &key)], &ask).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(answer.json().unwrap()["error"]["type"], "rate_limit_error");
    assert!(answer.head.field("retry-after").is_some());
    assert!(answer.head.field("ratelimit").is_some());
}

#[tokio::test]
async fn models_are_served_only_where_an_api_says_so() {
    let node = Plan::default()
        .api("orders", "authentication: none")
        .start()
        .await;
    let answer = post(&node, "/v1/chat/completions", &[], &chat("fast")).await;
    check_problem(&answer, 404, "not_found");
    // Nor elsewhere than where it says so.
    let back = recorded("openai-chat", "text").await;
    let node = plan("openai-chat", &back.url()).start().await;
    let answer = post(&node, "/v1/assistants", &[], &chat("fast")).await;
    check_problem(&answer, 404, "not_found");
    let answer = node.get("/v1/chat/completions", &[]).await;
    check_problem(&answer, 405, "method_not_allowed");
}

/// What `keyward check` says of resources.
pub(super) fn checked(resources: &str) -> (bool, String) {
    let shell = Shell::new();
    let text = format!(
        "format: 1\nlisteners: [ {{ address: \"127.0.0.1:0\", serves: gateway }} ]\nresources:\n{resources}"
    );
    let file = shell.file("keyward.yaml", text.as_bytes());
    let output = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(["check", "--config"])
        .arg(file)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), told)
}

/// With a key of each of these regions, or one that names none.
fn bedrock(more: &str, regions: &[&str]) -> String {
    let key = |at: usize, region: &str| {
        format!(
            "{{ aws: {{ access_key_id: AKIAIOSFODNN7EXAMPL{at}, secret_access_key: s{region} }} }}"
        )
    };
    let mut keys: Vec<String> = regions
        .iter()
        .enumerate()
        .map(|(at, region)| key(at, &format!(", region: {region}")))
        .collect();
    if keys.is_empty() {
        keys.push(key(0, ""));
    }
    format!(
        "- {{ kind: provider, name: bedrock, {more} credentials: [ {} ] }}",
        keys.join(", ")
    )
}

#[test]
fn what_can_not_be_served_is_told_before_anything_runs() {
    let good = "- { kind: provider, name: back, dialect: openai-chat, base_url: \"http://127.0.0.1:1/v1\" }\n- { kind: model, name: fast, targets: [ { provider: back, model: m } ] }";
    let with = |rest: &str| checked(&format!("{good}\n{OPEN}\n{rest}"));
    let (passes, told) = with("");
    assert!(passes && told.is_empty(), "{told}");
    let upstream = "- { kind: upstream, name: u, targets: [ { url: \"http://127.0.0.1:1\" } ] }";
    let api = |path: &str, more: &str| {
        format!(
            "{upstream}\n- {{ kind: api, name: own, version: v1, state: published, base_path: {path}, upstream: u, authentication: none{more} }}"
        )
    };
    let model = |target: &str| format!("- {{ kind: model, name: m, targets: [ {{ {target} }} ] }}");
    let cases = [
        (api("/v1/rerank", ""), Some("is hidden: an API with `ai` serves models there")),
        (api("/v1/models/own", ""), Some("is hidden")),
        (api("/v1beta/models", ""), Some("is hidden")),
        (api("/v1/orders", ""), None),
        (api("/v1/embeddings", ", hosts: [own.example]"), None),
        ("- { kind: provider, name: opnai, credentials: [ { key: k } ] }".to_owned(), Some("did you mean `openai`?")),
        ("- { kind: provider, name: openai }".to_owned(), Some("`credentials` is missing")),
        ("- { kind: provider, name: p, dialect: openai, base_url: \"http://a.example\" }".to_owned(), Some("`openai` is none of")),
        ("- { kind: provider, name: p, dialect: anthropic }".to_owned(), Some("`base_url` is missing")),
        ("- { kind: provider, name: azure-openai, credentials: [ { key: k } ] }".to_owned(), Some("`at` lacks `resource`")),
        ("- { kind: provider, name: vertex, base_url: \"https://a.example\", credentials: [ { key: k } ] }".to_owned(), Some("tokens of an account")),
        ("- { kind: provider, name: azure-openai, at: { resource: a/b }, credentials: [ { key: k } ] }".to_owned(), Some("is no part of an address")),
        ("- { kind: provider, name: openai, at: { region: r }, credentials: [ { key: k } ] }".to_owned(), Some("stands for nothing")),
        ("- { kind: provider, name: openai, own_key: require, credentials: [ { key: k } ] }".to_owned(), Some("where callers bring the keys")),
        ("- { kind: provider, name: anthropic, api_version: \"1\", credentials: [ { key: k } ] }".to_owned(), Some("is of Azure's OpenAI")),
        ("- { kind: provider, name: bedrock, base_url: \"https://a.example\", credentials: [ { aws: { access_key_id: AKIAIOSFODNN7EXAMPLE, secret_access_key: s } } ] }".to_owned(), Some("lacks `region`")),
        // Keys of one region, at the address of another.
        (bedrock("", &["eu-central-1", "eu-central-1"]), None),
        (bedrock("", &["eu-central-1", "us-east-1"]), Some("`region: us-east-1` sign for another region than that of the address, `eu-central-1`")),
        (bedrock("at: { region: us-east-1 },", &["eu-central-1"]), Some("another region")),
        (bedrock("base_url: \"https://vpce-0a-1b.bedrock-runtime.us-east-1.vpce.amazonaws.com\",", &["us-east-1"]), None),
        (bedrock("base_url: \"https://vpce-0a-1b.bedrock-runtime.us-east-1.vpce.amazonaws.com\",", &["eu-central-1"]), Some("another region")),
        (bedrock("base_url: \"https://bedrock-runtime-fips.us-east-1.amazonaws.com\",", &["us-east-1"]), None),
        (bedrock("base_url: \"https://bedrock-runtime.us-east-1.amazonaws.com\", at: { region: eu-central-1 },", &[]), Some("is not that of the address")),
        (bedrock("base_url: \"https://a.b.amazonaws.com\",", &[]), Some("lacks `region`")),
        (bedrock("base_url: \"https://a.example\",", &["eu-central-1", "us-east-1"]), None),
        ("- { kind: provider, name: bedrock, at: { region: r }, credentials: [ { aws: { machine: true, secret_access_key: s } } ] }".to_owned(), Some("stands beside `machine: true`")),
        ("- { kind: provider, name: bedrock, at: { region: r }, credentials: [ { key: k, aws: { machine: true } } ] }".to_owned(), Some("`aws` stands beside `key`")),
        ("- { kind: provider, name: vertex, at: { region: r, project: p }, credentials: [ { google: { service_account: \"{}\" } } ] }".to_owned(), Some("is not the JSON of a service account")),
        ("- { kind: provider, name: azure-openai, at: { resource: r }, credentials: [ { entra: { tenant: t, client_id: c, client_secret: s, authority: \"https://a.example/path\" } } ] }".to_owned(), Some("is no address without a path")),
        ("- { kind: provider, name: p, catalogue: openai, credentials: [ { key: \"a b\" } ] }".to_owned(), Some("`key` is no key")),
        ("- { kind: provider, name: p, catalogue: openai, credentials: [ sk-mistaken ] }".to_owned(), Some("`credentials` is a mapping of keys to values, not a text")),
        ("- { kind: provider, name: p, catalogue: openai, credentials: sk-mistaken }".to_owned(), Some("`credentials` is a list, not a text")),
        ("- { kind: provider, name: p, catalogue: openai, credentials: [ 817263545 ] }".to_owned(), Some("not a number")),
        ("- { kind: provider, name: p, catalogue: openai, credentials: [ { sk-mistaken: } ] }".to_owned(), Some("unknown key")),
        ("- { kind: provider, name: p, catalogue: openai, credentials: [ { kye: sk-mistaken } ] }".to_owned(), Some("did you mean `key`?")),
        ("- { kind: provider, name: p, catalogue: openai, credentials: [ { key: k, weight: sk-mistaken } ] }".to_owned(), Some("`weight`")),
        ("- { kind: provider, name: p, catalogue: openai, credentials: [ { key: k, quotas: [ { sk-mistaken: 1 } ] } ] }".to_owned(), Some("unknown key")),
        ("- { kind: provider, name: bedrock, at: { region: r }, credentials: [ { aws: sk-mistaken } ] }".to_owned(), Some("`aws` is a mapping")),
        ("- { kind: provider, name: bedrock, at: { region: r }, credentials: [ { aws: { access_key_id: sk-mistaken, secret_access_key: s } } ] }".to_owned(), Some("is no id of a key")),
        ("- { kind: provider, name: azure-openai, at: { resource: r }, credentials: [ { entra: { tenant: sk-mistaken/, client_id: c, client_secret: s } } ] }".to_owned(), Some("is no id")),
        ("- { kind: model, name: m, targets: [ { provider: bakc, model: m } ] }".to_owned(), Some("did you mean `back`?")),
        ("- { kind: model, name: m, targets: [ { provider: back, model: ../admin } ] }".to_owned(), Some("is no model's name")),
        ("- { kind: api, name: more, version: v1, state: published, base_path: /more, ai: { models: [fats] }, authentication: none }".to_owned(), Some("did you mean `fast`?")),
        ("- { kind: api, name: more, version: v1, state: published, base_path: /more, ai: { models: all }, routes: [], authentication: none }".to_owned(), Some("does nothing beside `ai`")),
        ("- { kind: api, name: more, version: v1, state: published, ai: { models: all }, authentication: none }".to_owned(), Some("is taken by the API `ai`")),
        (model("alias: fats"), Some("did you mean `fast`?")),
        (model("alias: m"), Some("leads back to one that names it: `m` → `m`")),
        (format!("{}\n- {{ kind: model, name: n, targets: [ {{ alias: m }} ] }}", model("alias: n")), Some("leads back")),
        ((1..6).map(|at| format!("- {{ kind: model, name: m{at}, targets: [ {{ alias: {} }} ] }}\n", if at == 5 { "fast".to_owned() } else { format!("m{}", at + 1) })).collect(), Some("leads over more than 4 models")),
        (model("alias: fast, model: m"), Some("stands beside `alias`")),
        (model("provider: back"), Some("`model` is missing")),
        (model("provider: back, model: m, when: {}"), Some("says nothing")),
        (model("provider: back, model: m, when: { input_tokens: { min: 5, max: 2 } }"), Some("`max` is less than `min`")),
        (model("provider: back, model: m, when: { abilities: [visoin] }"), Some("did you mean `vision`?")),
        (model("provider: back, model: m, when: { claims: { plan: [gold] }, abilities: [tools] }"), None),
        (model("provider: back, model: m, price: { input: \"0.1\", output: \"0.000001\" }, abilities: [tools]"), None),
        (model("provider: back, model: m, price: { input: \"0.1\" }"), Some("`output` is missing")),
        (model("provider: back, model: m, price: { input: \"0.0000001\", output: \"1\" }"), Some("is no price")),
        (model("provider: back, model: m, price: { input: \"-1\", output: \"1\" }"), Some("is no price")),
        (model("provider: back, model: m, price: { input: \"1000001\", output: \"1\" }"), Some("is no price")),
        (model("provider: back, model: m, context: 0"), Some("`context`")),
        (model("provider: back, model: m, abilities: [fly]"), Some("is none of")),
        (model("provider: back, model: m } ], fallbacks: [ { alias: fast, price: { input: \"1\", output: \"1\" }"), Some("of a provider's model")),
        (model("provider: back, model: m } ], choose: sticky, fallbacks: [ { alias: fast"), Some("does not say by what")),
        (model("provider: back, model: m } ], choose: cheapest, fallbacks: [ { alias: fast"), Some("is none of")),
        (model("provider: back, model: m } ], choose: { sticky: { header: \"x y\" } }, fallbacks: [ { alias: fast"), Some("is no header")),
        (model("provider: back, model: m } ], choose: { sticky: user }, hedge: { after: 0s }, fallbacks: [ { alias: fast"), Some("`after`")),
        (model("provider: back, model: m } ], choose: { sticky: user }, hedge: { after: 2s }, allow_model_members: true, fallbacks: [ { alias: fast"), None),
        ("- { kind: provider, name: p, dialect: anthropic, base_url: \"http://127.0.0.1:1\", ejection: { time: 10m } }\n- { kind: model, name: m, targets: [ { provider: p, model: m } ] }".to_owned(), None),
        ("- { kind: provider, name: p, dialect: anthropic, base_url: \"http://127.0.0.1:1\", ejection: { time: 10s, max_time: 1s } }".to_owned(), Some("`max_time` is shorter")),
        ("- { kind: provider, name: p, dialect: anthropic, base_url: \"http://127.0.0.1:1\", ejection: none }\n- { kind: model, name: m, targets: [ { provider: p, model: m } ] }".to_owned(), None),
    ];
    for (resources, expected) in cases {
        let (passes, told) = with(&resources);
        match expected {
            Some(expected) => assert!(!passes && told.contains(expected), "{resources}: {told}"),
            None => assert!(passes, "{resources}: {told}"),
        }
        for secret in ["a b", "sk-mistaken", "817263545"] {
            assert!(!told.contains(secret), "a key is not repeated: {told}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_or_compressed_is_refused_before_it_is_read() {
    let back = recorded("openai-chat", "text").await;
    let node = Plan::default()
        .resource(provider("back", "openai-chat", &back.url(), ""))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ] }")
        .resource(OPEN.replace("authentication", "max_body: 1kB, authentication"))
        .start()
        .await;
    let mut large = chat("fast");
    large["messages"][0]["content"] = Value::String("a".repeat(2_000));
    let answer = post(&node, "/v1/chat/completions", &[], &large).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.json().unwrap()["error"]["message"].is_string());
    let headers = [("Content-Encoding", "gzip")];
    let answer = post(&node, "/v1/chat/completions", &headers, &chat("fast")).await;
    assert_eq!(answer.status, 415, "{}", answer.text());
    check_passed(&post(&node, "/v1/chat/completions", &[], &chat("fast")).await);
    assert_eq!(back.received().len(), 1);
}

#[tokio::test]
async fn a_policy_about_an_address_meets_calls_of_models_there_too() {
    let back = recorded("openai-chat", "text").await;
    let node = Plan::default()
        .settings("access_log: { format: json }")
        .resource(provider("back", "openai-chat", &back.url(), ""))
        .resource("- { kind: model, name: cheap, targets: [ { provider: back, model: m } ] }")
        .resource("- { kind: model, name: secret, targets: [ { provider: back, model: m } ], authorization: { policies: [by-day] } }")
        .resource(r#"- { kind: access_policy, name: by-day, cedar: 'permit(principal, action, resource == Route::"ai/v1 model secret") when { context.headers has "x-day" };' }"#)
        .resource(r#"- { kind: access_policy, name: no-chat, cedar: 'permit(principal, action, resource); forbid(principal, action, resource == Route::"ai/v1 POST /v1/chat/completions") unless { context.headers has "x-chat" };' }"#)
        .resource("- { kind: api, name: ai, version: v1, state: published, ai: { models: all }, authentication: none, authorization: { policies: [no-chat] } }")
        .start()
        .await;
    let path = "/v1/chat/completions";
    for (model, headers, status) in [
        ("cheap", vec![], 403),
        ("cheap", vec![("X-Chat", "1")], 200),
        ("secret", vec![("X-Day", "1")], 403),
        ("secret", vec![("X-Chat", "1")], 403),
        ("secret", vec![("X-Chat", "1"), ("X-Day", "1")], 200),
    ] {
        let answer = post(&node, path, &headers, &chat(model)).await;
        assert_eq!(
            answer.status,
            status,
            "{model} {headers:?}: {}",
            answer.text()
        );
    }
    // Other addresses of the same model are none of its business.
    let asked = json!({ "model": "cheap", "input": "Hi" });
    check_passed(&post(&node, "/v1/responses", &[], &asked).await);
    assert_eq!(back.received().len(), 3);
}
