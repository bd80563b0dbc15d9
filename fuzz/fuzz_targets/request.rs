//! What policies read in a request: cookies, forwarded addresses, path, query and headers under a description, and a body
//! that is held against its schema.

#![no_main]

use keyward_fuzz::edited;
use keyward_gateway::fuzzing::{Described, read_request};
use keyward_model::Network;
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use std::sync::LazyLock;

const VALID: &[&str] = &[
    "GET /orders/7?tag=a&tag=b&filter[state]=open&filter[price][min]=1&page=2 HTTP/1.1\r\nHost: a\r\nCookie: session=abc; theme=dark\r\nX-Forwarded-For: 192.0.2.1, 10.0.0.2\r\nForwarded: for=\"192.0.2.1:80\";proto=https;host=a, for=10.0.0.2\r\nX-Kinds: a,b\r\n\r\n",
    "POST /orders/x%2fy HTTP/1.1\r\nHost: a:8080\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n{\"name\":\"n\",\"lines\":[{\"count\":1.5,\"note\":null}],\"at\":\"2026\"}",
    "GET /orders/7;v=1?where=%7B%22a%22%3A%5B1%5D%7D HTTP/1.1\r\nHost: a\r\nCookie: session=\"x\"; session=y\r\nX-Forwarded-For: [::1]:80\r\n\r\n",
];

static DESCRIBED: LazyLock<Described> = LazyLock::new(|| {
    let text = json!({ "type": "string", "maxLength": 40, "pattern": "^[a-z%/]*$" });
    let document = json!({
        "openapi": "3.1.0", "info": { "title": "Orders", "version": "1" },
        "paths": { "/orders/{id}": {
            "parameters": [
                { "name": "id", "in": "path", "required": true, "schema": { "oneOf": [{ "type": "integer" }, text] } },
                { "name": "tag", "in": "query", "schema": { "type": "array", "items": text, "uniqueItems": true } },
                { "name": "page", "in": "query", "schema": { "type": "integer", "minimum": 1 } },
                { "name": "filter", "in": "query", "style": "deepObject", "explode": true, "schema": {
                    "type": "object", "additionalProperties": false,
                    "properties": { "state": { "enum": ["open", "shut"] }, "price": { "type": "object" } },
                } },
                { "name": "where", "in": "query", "content": { "application/json": { "schema": { "type": "object" } } } },
                { "name": "X-Kinds", "in": "header", "schema": { "type": "array", "items": { "type": "string" } } },
                { "name": "theme", "in": "cookie", "schema": { "type": "string", "maxLength": 8 } },
            ],
            "get": { "responses": {} },
            "post": { "responses": {}, "requestBody": { "content": { "application/json": { "schema": {
                "type": "object", "required": ["name"], "additionalProperties": false,
                "properties": {
                    "name": text, "at": { "type": "string", "format": "date-time" },
                    "lines": { "type": "array", "contains": { "type": "object" }, "items": {
                        "type": "object", "properties": { "count": { "multipleOf": 0.5 }, "note": { "type": ["string", "null"] } },
                    } },
                },
            } } } } },
        } },
    });
    Described::new(document).expect("it is sound")
});
static TRUSTED: LazyLock<[Network; 1]> =
    LazyLock::new(|| ["10.0.0.0/8".parse().expect("a network")]);

fuzz_target!(|data: &[u8]| {
    read_request(&edited(VALID, data).text, &*TRUSTED, &DESCRIBED);
});
