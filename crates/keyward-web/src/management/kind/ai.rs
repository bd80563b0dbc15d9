//! The schemas of `kind: provider` and `kind: model`, and of what an API says of AI.

use super::authentication::authorization;
use super::schema::{
    about, choice, filled, name, object, one_of, positive_duration, put, url, whole,
};
use serde_json::{Value, json};

/// What providers speak.
const DIALECTS: &[&str] = &[
    "openai-chat",
    "openai-responses",
    "anthropic",
    "gemini",
    "bedrock-converse",
    "ollama",
    "cohere",
];

pub(super) fn provider_schema() -> Value {
    let mut credentials = filled(credential());
    put(&mut credentials, "maxItems", json!(64));
    let mut schema = object(
        &[],
        json!({
            "catalogue": about(name(), "What the catalogue calls it; its own name unless said otherwise"),
            "dialect": about(choice(DIALECTS), "What it speaks, where the catalogue does not know it"),
            "base_url": about(url(), "Where it is, in place of what the catalogue says"),
            "at": about(words(), "What stands for the words in braces of the catalogue's address"),
            "api_version": about(
                json!({ "type": "string", "pattern": "^[A-Za-z0-9.-]{1,40}$" }),
                "Of Azure: calls go to a deployment's own address",
            ),
            "key_header": choice(&["authorization", "x-api-key", "x-goog-api-key", "api-key"]),
            "credentials": about(credentials, "The keys that it is called with"),
            "own_key": about(choice(&["refuse", "allow", "require"]), "Whether callers bring keys of their own"),
            "shared": about(json!({ "const": false }), "Only in nodes' own files"),
            "connect_timeout": positive_duration(),
            "first_token_timeout": about(positive_duration(), "To the first token of a stream"),
            "total_timeout": about(positive_duration(), "Of one answer"),
        }),
    );
    put(
        &mut schema,
        "oneOf",
        json!([
            { "required": ["dialect", "base_url"], "properties": { "catalogue": false } },
            { "properties": { "dialect": false } },
        ]),
    );
    schema
}

/// A key, or an account of a cloud: one of them.
fn credential() -> Value {
    let sealed = "Comes in as it is, and is told as a reference";
    let secret = || {
        let text =
            json!({ "type": "string", "minLength": 1, "maxLength": 4096, "pattern": "^[!-~]+$" });
        about(text, sealed)
    };
    let aws = object(
        &["access_key_id", "secret_access_key"],
        json!({
            "access_key_id": { "type": "string", "pattern": "^[A-Za-z0-9]{16,128}$" },
            "secret_access_key": secret(),
            "session_token": secret(),
            "region": segment(),
        }),
    );
    let account = json!({ "type": "string", "minLength": 1, "maxLength": 16_384 });
    let google = object(
        &["service_account"],
        json!({ "service_account": about(account, sealed) }),
    );
    let entra = object(
        &["tenant", "client_id", "client_secret"],
        json!({
            "tenant": segment(),
            "client_id": segment(),
            "client_secret": secret(),
            "authority": about(url(), "Where tokens come from, in place of the public cloud's"),
            "scope": { "type": "string", "pattern": "^[!-~]{1,4096}$" },
        }),
    );
    let mut credential = object(
        &[],
        json!({
            "key": secret(),
            "aws": about(aws, "Keys that sign requests to Bedrock"),
            "google": about(google, "An account that gets tokens for Vertex"),
            "entra": about(entra, "A client of Microsoft Entra that gets tokens for Azure"),
            "weight": whole(1, 1_000_000),
        }),
    );
    let one_of_them = ["key", "aws", "google", "entra"].map(|way| json!({ "required": [way] }));
    put(&mut credential, "oneOf", json!(one_of_them));
    credential
}

/// What is one segment of an address.
fn segment() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", "maxLength": 128 })
}

fn words() -> Value {
    json!({ "type": "object", "maxProperties": 8, "additionalProperties": segment() })
}

pub(super) fn model_schema() -> Value {
    let model = || json!({ "type": "string", "pattern": "^[A-Za-z0-9_@:-][A-Za-z0-9_.@:-]*(/[A-Za-z0-9_@:-][A-Za-z0-9_.@:-]*)*$", "maxLength": 256 });
    let target = object(
        &["provider", "model"],
        json!({ "provider": name(), "model": model(), "weight": whole(1, 1_000_000) }),
    );
    let fallback = object(
        &["provider", "model"],
        json!({ "provider": name(), "model": model() }),
    );
    let bounded = |items| {
        let mut list = filled(items);
        put(&mut list, "maxItems", json!(64));
        list
    };
    object(
        &["targets"],
        json!({
            "targets": about(bounded(target), "Who answers, by weight"),
            "fallbacks": about(bounded(fallback), "Who answers when none of them does, in order"),
            "authorization": about(authorization(), "What callers need besides what the API asks for"),
            "attempts": whole(1, 16),
        }),
    )
}

/// What an API says of AI.
pub(super) fn served() -> Value {
    let mut names = filled(name());
    put(&mut names, "uniqueItems", json!(true));
    put(&mut names, "maxItems", json!(1_000));
    let models = one_of(vec![json!({ "const": "all" }), names]);
    object(
        &["models"],
        json!({ "models": about(models, "Which it offers") }),
    )
}
