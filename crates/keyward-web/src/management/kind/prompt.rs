//! The schema of `kind: prompt`.

use super::authentication::authorization;
use super::schema::{about, bytes, choice, filled, name, object, one_of, put, whole};
use serde_json::{Value, json};

/// What templates can say as a name.
const IDENTIFIER: &str = "^[a-z_][a-z0-9_]{0,62}$";
/// More characters than a template, or a description, may have are refused whatever they are.
const TEMPLATE_MAX: u64 = 64 << 10;
const DESCRIPTION_MAX: u64 = 4_096;

pub(super) fn schema() -> Value {
    object(
        &["version", "state", "model", "messages"],
        json!({
            "version": about(name(), "Such as v1; part of what identifies it"),
            "state": about(choice(&["draft", "published", "deprecated", "retired"]), "Reached by legal steps alone"),
            "description": about(description(), "What it does, for those who call it"),
            "model": about(name(), "The model that is asked, of the same team"),
            "variables": about(variables(), "What callers send, by name"),
            "messages": about(few(filled(message())), "What the model is told; the last is the user's"),
            "partials": about(named(template()), "Pieces of text that templates name as `partials.NAME`"),
            "examples": about(few(filled(example())), "Questions with their answers"),
            "parameters": about(parameters(), "How the model answers"),
            "output": about(output(), "What the answer is"),
            "tools": about(few(filled(tool())), "What the model may call"),
            "tool_choice": about(json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" }), "`auto`, `required`, or the name of a tool"),
            "trial": about(
                object(&["weight"], json!({ "weight": whole(0, 1_000_000) })),
                "Its share of the calls that name no version, beside other published versions",
            ),
            "authorization": about(authorization(), "What callers need besides what the API asks for"),
        }),
    )
}

fn description() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": DESCRIPTION_MAX })
}

fn template() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": TEMPLATE_MAX })
}

fn few(mut list: Value) -> Value {
    put(&mut list, "maxItems", json!(64));
    list
}

/// A mapping whose keys templates can say.
fn named(values: Value) -> Value {
    json!({
        "type": "object",
        "maxProperties": 64,
        "propertyNames": { "pattern": IDENTIFIER },
        "additionalProperties": values,
    })
}

/// Variables nest: what lies in one is told as an object of the same keys.
fn variables() -> Value {
    let inner = json!({ "type": "object" });
    named(object(
        &[],
        json!({
            "type": choice(&["string", "number", "integer", "boolean", "array", "object", "image"]),
            "description": description(),
            "required": { "type": "boolean" },
            "default": {},
            "enum": { "type": "array", "minItems": 1, "maxItems": 1_000, "items": { "type": ["string", "number"] } },
            "min_length": whole(0, 10_000_000),
            "max_length": whole(1, 10_000_000),
            "pattern": { "type": "string", "minLength": 1, "maxLength": 1_024 },
            "minimum": { "type": "number" },
            "maximum": { "type": "number" },
            "items": inner,
            "min_items": whole(0, 10_000),
            "max_items": whole(1, 10_000),
            "properties": named(json!({ "type": "object" })),
            "max_size": about(bytes(), "Of a picture, at most 20MiB"),
            "addresses": about(json!({ "type": "boolean" }), "Whether a picture may be an address, which the provider fetches"),
        }),
    ))
}

fn message() -> Value {
    let part = one_of(vec![
        object(&["text"], json!({ "text": template() })),
        object(
            &["image"],
            json!({ "image": { "type": "string", "pattern": IDENTIFIER } }),
        ),
    ]);
    let role = || choice(&["system", "user", "assistant"]);
    one_of(vec![
        object(
            &["role", "text"],
            json!({ "role": role(), "text": template() }),
        ),
        object(
            &["role", "parts"],
            json!({ "role": role(), "parts": few(filled(part)) }),
        ),
    ])
}

fn example() -> Value {
    object(
        &["answer"],
        json!({
            "variables": { "type": "object" },
            "answer": about(json!({ "type": ["string", "object"] }), "A text, or what fits the output's schema"),
        }),
    )
}

fn parameters() -> Value {
    let number =
        |least: f64, most: f64| json!({ "type": "number", "minimum": least, "maximum": most });
    object(
        &[],
        json!({
            "temperature": number(0.0, 2.0),
            "top_p": number(0.0, 1.0),
            "frequency_penalty": number(-2.0, 2.0),
            "presence_penalty": number(-2.0, 2.0),
            "max_output_tokens": whole(1, 10_000_000),
            "stop": { "type": "array", "maxItems": 16, "uniqueItems": true, "items": { "type": "string", "minLength": 1 } },
            "seed": { "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX },
            "reasoning_effort": choice(&keyward_model::resource::prompt::EFFORTS),
        }),
    )
}

/// A JSON schema of an object.
fn of_object() -> Value {
    json!({
        "type": "object",
        "required": ["type"],
        "properties": { "type": { "const": "object" } },
    })
}

fn output() -> Value {
    let fits = object(
        &["schema"],
        json!({
            "schema": about(of_object(), "The JSON schema that answers fit"),
            "strict": about(json!({ "type": "boolean" }), "Whether the provider holds the model to it"),
            "repairs": about(whole(0, 3), "How often the model is told what does not fit, and asked again; 1 unless said otherwise"),
        }),
    );
    one_of(vec![json!({ "const": "text" }), fits])
}

fn tool() -> Value {
    object(
        &["name"],
        json!({
            "name": { "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" },
            "description": description(),
            "parameters": of_object(),
        }),
    )
}
