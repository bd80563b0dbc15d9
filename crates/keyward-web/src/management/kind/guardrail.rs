//! The schemas of guardrails and of the cache of answers, which an API's `ai` and a model share.

use super::schema::{
    about, bytes, choice, filled, list, name, object, one_of, positive_duration, put, whole,
};
use keyward_model::resource::guardrail::PiiKind;
use serde_json::{Value, json};

/// The members, to stand beside others.
pub(super) fn members() -> [(&'static str, Value); 2] {
    let mut guardrails = list(guardrail());
    put(&mut guardrails, "maxItems", json!(32));
    [
        (
            "guardrails",
            about(
                guardrails,
                "What is looked for in texts. See the guide `docs/guides/guardrails.md`",
            ),
        ),
        (
            "cache",
            about(
                one_of(vec![json!({ "const": false }), cache()]),
                "How answers are kept for equal calls. See the guide `docs/guides/ai.md`",
            ),
        ),
    ]
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn share() -> Value {
    json!({ "type": "number", "minimum": 0, "maximum": 1 })
}

fn texts(items: u64, longest: u64) -> Value {
    let mut texts = filled(json!({ "type": "string", "minLength": 1, "maxLength": longest }));
    put(&mut texts, "maxItems", json!(items));
    put(&mut texts, "uniqueItems", json!(true));
    texts
}

fn guardrail() -> Value {
    let checks = checks();
    let keys: Vec<Value> = checks
        .iter()
        .map(|(key, _)| json!({ "required": [key] }))
        .collect();
    let mut schema = object(
        &["name", "action"],
        json!({
            "name": name(),
            "on": about(choice(&["request", "answer", "both"]), "At requests unless said otherwise"),
            "action": choice(&["block", "mask", "flag"]),
        }),
    );
    if let Some(Value::Object(members)) = schema.get_mut("properties") {
        for (key, check) in checks {
            members.insert(key.to_owned(), check);
        }
    }
    put(&mut schema, "oneOf", json!(keys));
    schema
}

fn checks() -> [(&'static str, Value); 7] {
    let kinds: Vec<&str> = PiiKind::ALL.iter().map(|(word, _)| *word).collect();
    let mut kinds = filled(choice(&kinds));
    put(&mut kinds, "uniqueItems", json!(true));
    let path = || json!({ "type": "string", "pattern": "^/", "maxLength": 1_024 });
    let on_failure = || choice(&["refuse", "allow"]);
    [
        (
            "regex",
            object(
                &["patterns"],
                json!({ "patterns": texts(64, 2_048), "ignore_case": boolean(), "normalise": boolean() }),
            ),
        ),
        (
            "keywords",
            object(
                &["words"],
                json!({ "words": texts(10_000, 256), "ignore_case": boolean(), "whole_words": boolean(), "normalise": boolean() }),
            ),
        ),
        (
            "pii",
            object(
                &["kinds"],
                json!({ "kinds": kinds, "reversible": boolean(), "normalise": boolean() }),
            ),
        ),
        (
            "prompt_injection",
            one_of(vec![
                json!({ "const": true }),
                object(&[], json!({ "threshold": whole(1, 1_000) })),
            ]),
        ),
        (
            "answer_schema",
            about(
                json!({ "type": ["object", "boolean", "string"] }),
                "A JSON schema that answers follow",
            ),
        ),
        (
            "webhook",
            object(
                &["upstream"],
                json!({ "upstream": name(), "path": path(), "timeout": positive_duration(), "on_failure": on_failure() }),
            ),
        ),
        (
            "moderation",
            object(
                &["model"],
                json!({
                    "model": name(),
                    "thresholds": { "type": "object", "additionalProperties": share(), "maxProperties": 64 },
                    "timeout": positive_duration(),
                    "on_failure": on_failure(),
                }),
            ),
        ),
    ]
}

fn cache() -> Value {
    let semantic = object(
        &["model"],
        json!({ "model": name(), "threshold": share(), "entries": whole(1, 10_000) }),
    );
    object(
        &[],
        json!({
            "ttl": about(positive_duration(), "31d at most"),
            "shared": about(choice(&["caller", "api"]), "Who may have an answer: the caller whose call it was, or all"),
            "only_deterministic": about(boolean(), "Only calls with `temperature: 0`"),
            "max_bytes": bytes(),
            "semantic": about(semantic, "Answers of calls that mean the same count too"),
        }),
    )
}
