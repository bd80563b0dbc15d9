//! The schemas of `kind: credential`, and of `kind: role`, `kind: access_policy` and `kind: management_role`.

use super::issuer::{enabled, holders};
use super::schema::{
    about, choice, filled, list, name, object, one_of, pattern, put, scopes, text,
};
use super::traffic::{By, budgets};
use keyward_model::resource::CustomRole;
use serde_json::{Value, json};

/// A keyed hash, as `keyward credential hash` prints it.
const KEYED_HASH: &str = r"^kh1\.[0-9a-f]{32}\.[A-Za-z0-9_-]{43}$";

pub(super) fn schema() -> Value {
    let hash = || object(&["hash"], json!({ "hash": pattern(KEYED_HASH) }));
    let argon2 = object(
        &["argon2"],
        json!({ "argon2": pattern(r"^\$(argon2id\$v=19\$m=[0-9]+,t=[0-9]+,p=[0-9]+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+|\{SECRET:argon2\.[A-Za-z0-9_-]{24}\})$") }),
    );
    let key = json!({ "type": "string", "minLength": 1, "writeOnly": true });
    let password =
        json!({ "type": "string", "minLength": 22, "maxLength": 512, "writeOnly": true });
    let mut members = json!({
            "api_key": about(one_of(vec![key, hash()]), "A key as `keyward credential generate` makes it, or its hash, which is all that is kept"),
            "username": json!({ "type": "string", "pattern": "^[^:\\x00-\\x1f\\x7f]+$", "maxLength": 64 }),
            "password": about(one_of(vec![password, hash(), argon2]), "A machine's password, or a hash"),
            "subject": json!({ "type": "string", "minLength": 1, "maxLength": 64 }),
            "scopes": scopes(),
            "roles": list(text()),
            "expires": json!({ "type": "string", "format": "date-time" }),
            "enabled": enabled(),
    });
    for (name, schema) in budgets(By::Itself) {
        put(
            &mut members,
            &name,
            about(schema, "What its calls of AI models may take"),
        );
    }
    let mut schema = object(&[], members);
    put(
        &mut schema,
        "oneOf",
        json!([
            { "required": ["api_key"], "properties": { "username": false } },
            { "required": ["password"] },
        ]),
    );
    schema
}

pub(super) fn role_schema() -> Value {
    let mut includes = list(name());
    put(&mut includes, "uniqueItems", json!(true));
    put(&mut includes, "maxItems", json!(64));
    object(
        &[],
        json!({
            "given_to": about(holders(), "Who has it"),
            "includes": about(includes, "Roles that whoever has this one has too"),
        }),
    )
}

pub(super) fn access_policy_schema() -> Value {
    object(&["cedar"], policy_members())
}

pub(super) fn management_role_schema() -> Value {
    let text = json!({ "type": "string", "minLength": 1, "maxLength": CustomRole::TEXT_MAX_BYTES });
    object(
        &["cedar"],
        json!({ "cedar": about(text, "The role's policies, in Cedar") }),
    )
}

/// A policy that is written where it is used.
pub(super) fn inline_policy() -> Value {
    object(&["cedar"], policy_members())
}

fn policy_members() -> Value {
    let types = choice(&["String", "Long", "Bool", "Set<String>"]);
    let claims = json!({ "type": "object", "maxProperties": 64, "additionalProperties": types });
    json!({
        "cedar": about(json!({ "type": "string", "minLength": 1, "maxLength": 65_536 }), "The policies, in Cedar"),
        "claims": about(claims, "What the claims are that they read"),
    })
}

/// Names of access policies, and policies written in their place.
pub(super) fn policies() -> Value {
    let mut policies = filled(one_of(vec![name(), inline_policy()]));
    put(&mut policies, "maxItems", json!(32));
    policies
}
