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
    let key = json!({ "type": "string", "minLength": 1, "maxLength": 4096, "pattern": "^[!-~]+$" });
    let credential = object(
        &["key"],
        json!({
            "key": about(key, "Comes in as it is, and is told as a reference"),
            "weight": whole(1, 1_000_000),
        }),
    );
    let mut credentials = filled(credential);
    put(&mut credentials, "maxItems", json!(64));
    let mut schema = object(
        &[],
        json!({
            "catalogue": about(name(), "What the catalogue calls it; its own name unless said otherwise"),
            "dialect": about(choice(DIALECTS), "What it speaks, where the catalogue does not know it"),
            "base_url": about(url(), "Where it is, in place of what the catalogue says"),
            "key_header": choice(&["authorization", "x-api-key", "x-goog-api-key", "api-key"]),
            "credentials": about(credentials, "The keys that it is called with"),
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
    let mut served = filled(name());
    put(&mut served, "uniqueItems", json!(true));
    put(&mut served, "maxItems", json!(1_000));
    let prompts = one_of(vec![json!({ "const": "all" }), served]);
    let mut schema = object(
        &[],
        json!({
            "models": about(models, "Which it offers"),
            "prompts": about(prompts, "Which prompts it serves; none unless said otherwise"),
        }),
    );
    let either = json!([{ "required": ["models"] }, { "required": ["prompts"] }]);
    put(&mut schema, "anyOf", either);
    schema
}
