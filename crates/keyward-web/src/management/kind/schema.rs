//! Schemas of JSON (the dialect of OpenAPI 3.1), in few words.

use super::KindDescription;
use serde_json::{Map, Value, json};

/// The form of names.
pub(crate) const NAME: &str = "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$";
/// The form of durations.
const DURATION: &str = "^[0-9]{1,7}(ms|s|m|h|d)$";
/// The form of durations that are more than none.
const POSITIVE_DURATION: &str = "^[1-9][0-9]{0,6}(ms|s|m|h|d)$";
/// The form of byte sizes.
const BYTES: &str = "^[0-9]{1,9}(B|kB|KB|MB|GB|KiB|MiB|GiB)?$";
/// The form of scopes (RFC 6749, section 3.3).
const SCOPE: &str = r"^[!#-\[\]-~]+$";

pub(crate) fn name() -> Value {
    json!({ "type": "string", "pattern": NAME, "maxLength": 63 })
}

pub(crate) fn text() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 4096 })
}

pub(crate) fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

pub(crate) fn boolean(default: bool) -> Value {
    json!({ "type": "boolean", "default": default })
}

pub(crate) fn whole(least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

pub(crate) fn duration() -> Value {
    pattern(DURATION)
}

pub(crate) fn positive_duration() -> Value {
    pattern(POSITIVE_DURATION)
}

pub(crate) fn bytes() -> Value {
    pattern(BYTES)
}

pub(crate) fn scopes() -> Value {
    json!({ "type": "array", "uniqueItems": true, "items": pattern(SCOPE) })
}

pub(crate) fn url() -> Value {
    json!({ "type": "string", "pattern": "^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$" })
}

pub(crate) fn choice(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

pub(crate) fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

pub(crate) fn filled(items: Value) -> Value {
    json!({ "type": "array", "minItems": 1, "items": items })
}

pub(crate) fn one_of(schemas: Vec<Value>) -> Value {
    json!({ "oneOf": schemas })
}

/// A mapping with these keys and no others; `required` have to be there.
pub(crate) fn object(required: &[&str], members: Value) -> Value {
    json!({
        "type": "object",
        "required": required,
        "additionalProperties": false,
        "properties": members,
    })
}

/// A mapping with at least one of these keys.
pub(crate) fn some(members: Value) -> Value {
    let mut schema = object(&[], members);
    put(&mut schema, "minProperties", json!(1));
    schema
}

pub(crate) fn about(mut schema: Value, text: &str) -> Value {
    put(&mut schema, "description", json!(text));
    schema
}

pub(crate) fn put(schema: &mut Value, key: &str, value: Value) {
    if let Value::Object(schema) = schema {
        schema.insert(key.to_owned(), value);
    }
}

/// The schema of a kind with the members of every resource: `kind`, `team` and `name` in front, and what the node
/// tells of it, which is not written.
pub(super) fn of_resource(description: &KindDescription) -> Value {
    let mut schema = (description.schema)();
    let mut members = Map::from_iter([
        (
            "kind".to_owned(),
            json!({ "const": description.kind.as_str() }),
        ),
        (
            "team".to_owned(),
            about(name(), "The owner. The address says it too"),
        ),
        ("name".to_owned(), name()),
    ]);
    if let Some(Value::Object(own)) = schema.get_mut("properties").map(Value::take) {
        members.extend(own);
    }
    for (name, told) in [
        (
            "id",
            json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" }),
        ),
        ("origin", choice(&["file", "database"])),
        ("revision", whole(1, u64::from(u32::MAX))),
    ] {
        let mut told = told;
        put(&mut told, "readOnly", json!(true));
        members.insert(name.to_owned(), told);
    }
    put(&mut schema, "properties", Value::Object(members));
    let mut required = vec![json!("name")];
    if let Some(Value::Array(own)) = schema.get("required") {
        required.extend(own.iter().cloned());
    }
    put(&mut schema, "required", Value::Array(required));
    put(&mut schema, "description", json!(description.about));
    schema
}
