//! The schemas of `kind: key_set` and `kind: webhook`.

use super::schema::{
    about, boolean, choice, filled, name, object, one_of, pattern, positive_duration, put, text,
    url,
};
use keyward_model::resource::{KeyAlgorithm, KeySetPurpose, KeysIn};
use serde_json::{Value, json};

pub(super) fn schema() -> Value {
    let purposes = KeySetPurpose::ALL.map(KeySetPurpose::as_str);
    let those = |fits: &dyn Fn(KeyAlgorithm) -> bool| -> Value {
        let fitting = KeyAlgorithm::ALL.iter().filter(|one| fits(**one));
        let names: Vec<&str> = fitting.map(|one| one.as_str()).collect();
        let mut list = filled(choice(&names));
        put(&mut list, "uniqueItems", json!(true));
        list
    };
    let of = |signs: bool| those(&|algorithm| algorithm.signs() == signs);
    let in_token = || those(&|algorithm| algorithm.in_token());
    let (database, pkcs11) = (KeysIn::Database.as_str(), KeysIn::Pkcs11.as_str());
    let whole_seconds = json!({ "type": "string", "pattern": "^[1-9][0-9]{0,2}(s|m|h|d)$" });
    let mut schema = object(
        &["purpose"],
        json!({
            "purpose": about(choice(&purposes), "What the keys are for"),
            "issuer": about(text(), "The `iss` of what they sign"),
            "algorithms": about(one_of(vec![of(true), of(false)]), "Each has a succession of keys of its own. Default: ES256, or ECDH-ES to encrypt to"),
            "rotation": about(one_of(vec![json!({ "const": "manual" }), positive_duration()]), "How long each key signs, 90d unless said otherwise; or `manual`"),
            "publish_before": about(whole_seconds.clone(), "How long a key stands in the set before it is used; 24h unless said otherwise"),
            "token_life": about(whole_seconds.clone(), "How long what a key signs may be good; 24h unless said otherwise"),
            "max_age": about(whole_seconds, "How long a copy of the set may be kept; 15m unless said otherwise"),
            "keys_in": about(choice(&KeysIn::ALL.map(KeysIn::as_str)), "Where new keys are made and kept: sealed in the database unless said otherwise, or in the PKCS#11 token of the nodes"),
        }),
    );
    put(
        &mut schema,
        "oneOf",
        json!([
            { "required": ["issuer"], "properties": { "purpose": { "enum": ["tokens", "id_tokens"] }, "algorithms": of(true), "keys_in": { "const": database } } },
            { "required": ["issuer", "keys_in"], "properties": { "purpose": { "enum": ["tokens", "id_tokens"] }, "algorithms": in_token(), "keys_in": { "const": pkcs11 } } },
            { "properties": { "purpose": { "const": "webhooks" }, "algorithms": of(true), "keys_in": { "const": database } } },
            { "required": ["keys_in"], "properties": { "purpose": { "const": "webhooks" }, "algorithms": in_token(), "keys_in": { "const": pkcs11 } } },
            { "properties": { "purpose": { "const": "encryption" }, "issuer": false, "algorithms": of(false), "keys_in": { "const": database } } },
        ]),
    );
    schema
}

pub(super) fn webhook_schema() -> Value {
    let event = pattern(r"^[a-z_]{1,31}(\.[a-z_]{1,31})?$");
    object(
        &["url"],
        json!({
            "url": about(url(), "Where it is told, by POST"),
            "events": about(filled(event), "Actions as the audit log names them, or what stands before their dot; of everything without it"),
            "key_set": about(name(), "What signs it: a key set of the team with `purpose: webhooks`; the keys of `self` without it"),
            "enabled": boolean(true),
        }),
    )
}
