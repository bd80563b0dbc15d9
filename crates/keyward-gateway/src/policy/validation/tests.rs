//! What descriptions are read as. What is done with calls is tested over real sockets.

use super::Compiled;
use keyward_model::resource::content::Description;
use serde_json::{Value, json};
use std::sync::Arc;

fn open_api(paths: Value, components: Value) -> Result<Compiled, String> {
    let document = json!({ "openapi": "3.1.0", "paths": paths, "components": components });
    Compiled::new(&Description::OpenApi(Arc::new(document)))
}

fn body(schema: Value) -> Value {
    json!({ "/a": { "post": { "requestBody": { "content": { "application/json": { "schema": schema } } } } } })
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
