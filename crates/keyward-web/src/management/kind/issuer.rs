//! The schema of `kind: issuer`.

use super::schema::{
    about, boolean, choice, duration, filled, list, name, object, one_of, positive_duration, put,
    text, url, whole,
};
use serde_json::{Value, json};

const ALGORITHMS: &[&str] = &[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "HS256", "HS384", "HS512",
];

pub(super) fn schema() -> Value {
    let mut schema = object(
        &["issuer"],
        json!({
            "issuer": about(text(), "The `iss` of its tokens"),
            "jwks": about(jwks(), "Where its public keys come from"),
            "key_set": about(name(), "A key set of the same team, in the place of `jwks`"),
            "secret": about(secret(), "A secret shared with it, for HMAC"),
            "introspection": about(introspection(), "Where it is asked about opaque tokens (RFC 7662)"),
            "algorithms": filled(choice(ALGORITHMS)),
            "leeway": about(duration(), "How far its clock may differ; 5m at most"),
            "types": filled(text()),
            "max_age": positive_duration(),
            "scope_claim": text(),
            "roles_from": one_of(vec![text(), filled(text())]),
            "encrypted": choice(&["no", "required"]),
        }),
    );
    let has = |key: &str| json!({ "required": [key] });
    put(
        &mut schema,
        "oneOf",
        json!([
            has("jwks"),
            has("key_set"),
            has("secret"),
            has("introspection")
        ]),
    );
    schema
}

/// A secret comes in as it is, and is told as a reference.
fn secret() -> Value {
    json!({ "type": "string", "minLength": 32, "maxLength": 4096, "pattern": "^[!-~]+$" })
}

fn jwks() -> Value {
    let key = json!({ "type": "object", "required": ["kty"], "properties": { "kty": choice(&["RSA", "EC", "OKP"]) } });
    let mut schema = object(
        &[],
        json!({
            "keys": about(filled(key), "The keys themselves, as JWK"),
            "url": url(),
            "discover": one_of(vec![json!({ "const": true }), url()]),
            "stale_for": duration(),
        }),
    );
    let has = |key: &str| json!({ "required": [key] });
    put(
        &mut schema,
        "oneOf",
        json!([has("keys"), has("url"), has("discover")]),
    );
    schema
}

fn introspection() -> Value {
    object(
        &["url", "client_id", "client_secret"],
        json!({
            "url": url(),
            "client_id": text(),
            "client_secret": text(),
            "cache_for": about(duration(), "5m at most"),
        }),
    )
}

/// Who has a role, which are issuers' callers for the most part.
pub(super) fn holders() -> Value {
    let mut schema = object(
        &[],
        json!({
            "issuer": name(),
            "method": choice(&["mutual_tls", "api_key", "basic"]),
            "subjects": filled(text()),
            "clients": filled(text()),
            "scopes": super::schema::scopes(),
            "claims": super::authentication::claims(),
        }),
    );
    put(
        &mut schema,
        "oneOf",
        json!([{ "required": ["issuer"] }, { "required": ["method"], "properties": { "claims": false } }]),
    );
    let mut list = list(schema);
    put(&mut list, "maxItems", json!(256));
    list
}

/// As in several places: on or off, a number, a time.
pub(super) fn enabled() -> Value {
    boolean(true)
}

pub(super) fn count() -> Value {
    whole(1, 1_000_000)
}
