//! The examples of who may do what.

use super::{Example, assert_refused};
use crate::gateway::node::call;
use serde_json::{Value, json};

fn request(method: &str, path: &str, token: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

#[tokio::test]
async fn authorization() {
    let example = Example::run("authorization.yaml").await;
    let token = |changes: &Value| {
        let mut claims = json!({ "iss": "https://issuer.bench", "sub": "alice", "aud": "orders-api", "tenant": "acme" });
        let members = claims.as_object_mut().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        example.token(&claims)
    };
    let reader = json!({ "realm_access": { "roles": ["reader"] } });
    // At night too: the level lets them.
    let editor = json!({ "realm_access": { "roles": ["editor"] }, "level": 9 });
    for (changes, method, path, refused) in [
        (&json!({}), "GET", "/orders/alice/7", None),
        (&json!({}), "GET", "/orders/bob/7", Some("policy_refused")),
        (&json!({}), "PUT", "/orders/alice/7", Some("policy_refused")),
        (&reader, "GET", "/orders/bob/7", None),
        (&reader, "PUT", "/orders/bob/7", Some("policy_refused")),
        (&editor, "PUT", "/orders/bob/7", None),
        (&editor, "GET", "/orders/report", Some("role_missing")),
        (&json!({ "sub": "carol" }), "GET", "/orders/report", None),
        (
            &json!({ "groups": ["audit"] }),
            "GET",
            "/orders/report",
            None,
        ),
        (
            &json!({ "tenant": "umbrella" }),
            "GET",
            "/orders/alice/7",
            Some("claims_refused"),
        ),
    ] {
        let text = request(method, path, &token(changes));
        let answer = call(example.process.gateway(), text).await;
        match refused {
            Some(code) => assert_refused(&answer, 403, code),
            None => assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text()),
        }
    }
    assert_eq!(example.upstream.received().len(), 5);
}
