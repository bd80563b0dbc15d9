//! What descriptions are read as. What is done with calls is tested over real sockets.

use super::open_api::Found;
use super::{Compiled, Mistakes, schema};
use keyward_model::resource::content::Description;
use serde_json::{Value, json};
use std::sync::Arc;

fn open_api(paths: Value, components: Value) -> Result<Compiled, String> {
    let document = json!({ "openapi": "3.1.0", "paths": paths, "components": components });
    Compiled::new(&Description::OpenApi(Arc::new(document)), true)
}

fn body(schema: Value) -> Value {
    json!({ "/a": { "post": { "requestBody": { "content": { "application/json": { "schema": schema } } } } } })
}

/// Which operation is found, by its place in a path: `values` are those of its parameters.
fn found(paths: Value, path: &str, method: &str) -> Option<Vec<String>> {
    let Compiled::OpenApi(operations) = open_api(paths, json!({})).unwrap() else {
        panic!("it is an OpenAPI document")
    };
    match operations.find(path, method) {
        Found::Operation(_, values) => Some(values.into_iter().map(|(_, value)| value).collect()),
        Found::OtherMethods(_) | Found::Nothing => None,
    }
}

#[test]
fn a_path_is_read_as_whoever_is_behind_may_read_it() {
    let paths =
        || json!({ "/o/mine": { "get": {} }, "/o/{id}": { "get": {} }, "/o:all": { "get": {} } });
    for (path, method, values) in [
        ("/o/mine", "GET", Some(&[][..])),
        ("/o/mine;x=1", "GET", Some(&[])),
        ("/o/%6dine", "HEAD", Some(&[])),
        ("/o%3Aall", "GET", Some(&[])),
        ("/o/a%40b", "GET", Some(&["a@b"])),
        ("/o/a;x=1", "GET", Some(&["a;x=1"])),
        ("/o/mine", "POST", None),
        ("/o/", "GET", None),
    ] {
        let expected =
            values.map(|values| values.iter().map(|value| (*value).to_owned()).collect());
        assert_eq!(found(paths(), path, method), expected, "{method} {path}");
    }
}

#[test]
fn a_mistake_at_any_depth_is_told_in_bounded_work() {
    let node = |name: &str| {
        json!({
            "type": "object",
            "properties": { "op": { "const": name }, "left": { "$ref": "#/$defs/expression" } },
        })
    };
    let expression = json!({ "oneOf": [node("add"), node("multiply"), { "type": "number" }] });
    let schema = json!({ "$ref": "#/$defs/expression", "$defs": { "expression": expression } });
    let schema = schema::alone(&schema).unwrap();
    let deep = |last: Value| (0..60).fold(last, |inner, _| json!({ "op": "add", "left": inner }));
    assert!(schema.takes(&deep(json!(1))));
    let wrong = deep(json!("x"));
    assert!(!schema.takes(&wrong));
    let told = schema.mistakes(&wrong, 121, 10);
    assert_eq!(
        told,
        [(String::new(), "it does not fit its schema".to_owned())]
    );
    // A list in a list has one way there: it is told where the mistake is.
    let list = schema::alone(&json!({ "type": "array", "items": { "$ref": "#" } })).unwrap();
    let wrong = (0..60).fold(json!(1), |inner, _| json!([inner]));
    let told = list.mistakes(&wrong, 61, 10);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, "/0".repeat(60));
}

#[test]
fn mistakes_in_a_description_are_told_with_their_place() {
    for (paths, expected) in [
        (json!({}), "`/paths` is empty"),
        (json!({ "a": {} }), "`/paths/a`: a path begins"),
        (json!({ "/a/{b}-{c}": {} }), "one parameter in braces"),
        (
            json!({ "/a/{b}": {}, "/a/{c}": {} }),
            "another path matches",
        ),
        (
            json!({ "/a": { "get": { "parameters": [ { "in": "query" } ] } } }),
            "`/paths/~1a/get/parameters/0`: a parameter has a `name`",
        ),
        (
            json!({ "/a": { "get": { "parameters": [ { "name": "b", "in": "body" } ] } } }),
            "path, query, header and cookie",
        ),
        (
            json!({ "/a": { "get": { "parameters": [ { "$ref": "#/nowhere" } ] } } }),
            "`#/nowhere` leads nowhere",
        ),
        (
            body(json!({ "$ref": "other.json#/a" })),
            "leads out of the document",
        ),
        (
            body(json!({ "$ref": "https://example.com/a" })),
            "leads out of the document",
        ),
        (
            body(json!({ "type": "objekt" })),
            "`/paths/~1a/post/requestBody/content/application~1json/schema`",
        ),
        (
            json!({ "/a": { "get": { "responses": { "teapot": {} } } } }),
            "`/paths/~1a/get/responses/teapot`: it is a status, such as 200 or 2XX, or `default`",
        ),
        (
            json!({ "/a": { "get": { "responses": { "200": {
                "headers": { "x-a": { "schema": { "type": "objekt" } } },
            } } } } }),
            "`/paths/~1a/get/responses/200/headers/x-a/schema`",
        ),
        (body(json!({ "pattern": "(" })), "application~1json/schema"),
        (
            body(json!({ "pattern": "(a)\\1" })),
            "application~1json/schema",
        ),
    ] {
        let error = open_api(paths.clone(), json!({})).unwrap_err();
        assert!(
            error.contains(expected),
            "{expected} is not in {error}: {paths}"
        );
    }
    let circle = json!({ "parameters": { "a": { "$ref": "#/components/parameters/b" }, "b": { "$ref": "#/components/parameters/a" } } });
    let paths =
        json!({ "/a": { "get": { "parameters": [ { "$ref": "#/components/parameters/a" } ] } } });
    assert!(open_api(paths, circle).unwrap_err().contains("in a circle"));
}

#[test]
fn what_an_upstream_calls_its_members_stays_in_its_line_of_the_log() {
    let mut mistakes = Mistakes {
        found: Vec::new(),
        most: 4,
    };
    let detail = "\"a\u{1b}[2J\" isn't described";
    mistakes.add("body", None, "/a\nWARN all is lost\u{202e}", detail);
    let told = r#"body at `/a\nWARN all is lost\u{202e}`: "a\u{1b}[2J" isn't described"#;
    assert_eq!(mistakes.words(), told);
}
