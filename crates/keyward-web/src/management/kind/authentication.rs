//! The schemas of who may call: `authentication` and `authorization`.

use super::credential::policies;
use super::schema::{
    about, boolean, choice, filled, list, name, object, one_of, pattern, put, scopes, some, text,
};
use serde_json::{Value, json};

/// A token of RFC 9110, section 5.6.2.
const TOKEN: &str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$";

pub(super) fn authentication() -> Value {
    one_of(vec![
        json!({ "const": "none" }),
        method(false),
        filled(method(true)),
    ])
}

fn method(in_list: bool) -> Value {
    let mut methods = vec![
        tokens(),
        object(&["api_key"], json!({ "api_key": api_key() })),
        object(
            &["basic"],
            json!({ "basic": one_of(vec![json!({ "const": true }), object(&[], json!({ "realm": pattern("^[ !#-\\[\\]-~]+$") }))]) }),
        ),
        object(&["mutual_tls"], json!({ "mutual_tls": mutual_tls() })),
    ];
    if in_list {
        methods.push(object(
            &["anonymous"],
            json!({ "anonymous": { "const": true } }),
        ));
    }
    one_of(methods)
}

fn tokens() -> Value {
    let mut issuers = filled(name());
    put(&mut issuers, "uniqueItems", json!(true));
    let dpop = object(
        &[],
        json!({
            "tokens": choice(&["accepted", "required"]),
            "nonce": choice(&["when_stale", "always"]),
            "algorithms": filled(choice(&["ES256", "ES384", "EdDSA", "RS256", "PS256"])),
        }),
    );
    object(
        &["issuers", "audience"],
        json!({
            "issuers": about(issuers, "Whose tokens are taken; `self` is this node"),
            "audience": one_of(vec![text(), filled(text())]),
            "token": one_of(vec![json!({ "const": "header" }), object(&["cookie"], json!({ "cookie": pattern(TOKEN) }))]),
            "forward_token": boolean(false),
            "dpop": one_of(vec![choice(&["accepted", "required"]), dpop]),
            "proxied_certificate": boolean(false),
        }),
    )
}

fn api_key() -> Value {
    let query = || pattern("^[A-Za-z0-9._~-]{1,60}$");
    one_of(vec![
        some(json!({ "header": pattern("^[Xx]-[A-Za-z0-9-]{1,60}$"), "query": query() })),
        object(
            &["sdk"],
            json!({ "sdk": about(json!({ "const": true }), "Where the libraries of AI vendors send theirs"), "query": query() }),
        ),
    ])
}

fn mutual_tls() -> Value {
    let caller = object(&["name"], json!({ "name": text(), "scopes": scopes() }));
    object(
        &["subject"],
        json!({
            "subject": choice(&["san_uri", "san_dns", "san_email", "common_name", "subject_dn"]),
            "callers": filled(one_of(vec![text(), caller])),
            "forward_certificate": boolean(false),
            "proxied": boolean(false),
        }),
    )
}

pub(super) fn authorization() -> Value {
    object(
        &[],
        json!({
            "scopes": scopes(),
            "any_scopes": filled_scopes(),
            "roles": list(text()),
            "any_roles": filled(text()),
            "claims": claims(),
            "policies": policies(),
        }),
    )
}

fn filled_scopes() -> Value {
    let mut scopes = scopes();
    put(&mut scopes, "minItems", json!(1));
    scopes
}

/// What claims must be, by their names.
pub(super) fn claims() -> Value {
    let scalar = || json!({ "type": ["string", "integer", "boolean"] });
    let values = || filled(scalar());
    let tests = some(json!({
        "equals": scalar(), "not": scalar(), "contains": scalar(),
        "one_of": values(), "contains_any": values(), "contains_all": values(),
        "at_least": { "type": "integer" }, "at_most": { "type": "integer" },
        "starts_with": text(), "ends_with": text(), "present": { "type": "boolean" },
    }));
    json!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 32,
        "propertyNames": { "pattern": "^[A-Za-z0-9_]+(\\.[A-Za-z0-9_]+)*$" },
        "additionalProperties": one_of(vec![scalar(), values(), tests]),
    })
}
