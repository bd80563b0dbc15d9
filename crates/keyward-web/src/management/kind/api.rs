//! The schema of `kind: api`.

use super::ai;
use super::authentication::{authentication, authorization};
use super::route::routes;
use super::schema::{about, boolean, choice, list, name, object, one_of, pattern, put};
use super::traffic;
use serde_json::{Value, json};

pub(super) fn schema() -> Value {
    let mut schema = object(
        &["version", "state", "base_path", "authentication"],
        json!({
            "version": about(name(), "Such as v1; part of what identifies it"),
            "state": about(choice(&["draft", "published", "deprecated", "retired"]), "Reached by legal steps alone"),
            "hosts": list(pattern("^(\\*\\.)?[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?){1,3}$")),
            "base_path": about(pattern("^(/|(/[A-Za-z0-9_~-]{1,40}){1,6})$"), "Which path leads here"),
            "keep_base_path": boolean(false),
            "upstream": name(),
            "routes": routes(),
            "ai": about(ai::served(), "The AI models that it serves, in place of upstreams"),
            "authentication": about(authentication(), "Who may call; `none` opens it to everyone"),
            "authorization": about(authorization(), "What callers need besides"),
            "identity_headers": about(
                json!({
                    "type": "object",
                    "maxProperties": 32,
                    "propertyNames": { "pattern": "^[Xx]-[A-Za-z0-9-]{1,60}$" },
                    "additionalProperties": one_of(vec![choice(&["issuer", "subject", "client", "scopes"]), pattern("^claim:[A-Za-z0-9_]{1,60}$")]),
                }),
                "Headers that tell the upstream who calls",
            ),
        }),
    );
    if let Some(Value::Object(members)) = schema.get_mut("properties") {
        members.extend(traffic::members());
        members.extend(traffic::budgets(traffic::By::Said));
    }
    put(
        &mut schema,
        "anyOf",
        json!([{ "required": ["upstream"] }, { "required": ["routes"] }, { "required": ["ai"] }]),
    );
    schema
}
