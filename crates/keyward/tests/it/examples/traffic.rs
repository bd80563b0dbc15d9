//! Who may call from where, and what answers say to browsers.

use super::{Example, assert_refused};
use crate::gateway::node::call;
use keyward_testkit::{Answer, Script, Upstream};
use serde_json::json;

async fn sent(example: &Example, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    call(example.process.gateway(), request).await
}

#[tokio::test]
async fn cors() {
    let example = Example::run("cors.yaml").await;
    let app = "Origin: https://app.example\r\n";
    let asks = format!("{app}Access-Control-Request-Method: PUT\r\n");
    let answer = sent(&example, "OPTIONS", "/orders/7", &asks, "").await;
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-methods", "PUT"),
        (
            "access-control-allow-headers",
            "authorization, content-type, x-tenant",
        ),
        ("access-control-max-age", "3600"),
    ] {
        assert_eq!(answer.head.field(name), Some(value));
    }
    let refused = example.get("/orders/7", None, app).await;
    assert_refused(&refused, 401, "token_missing");
    assert_eq!(
        refused.head.field("access-control-allow-origin"),
        Some("https://app.example")
    );
    let token = example.token(&json!({
        "iss": "https://login.example", "sub": "alice", "aud": "shop",
    }));
    let preview = "Origin: https://pr-7.preview.app.example\r\n";
    let answer = example.get("/orders/7", Some(&token), preview).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.head.field("access-control-allow-origin"),
        Some("https://pr-7.preview.app.example")
    );
    let any = "Origin: https://any.example\r\n";
    let answer = example.get("/orders/7", Some(&token), any).await;
    assert_eq!(answer.head.field("access-control-allow-origin"), None);
    let answer = example.get("/catalogue/7", None, any).await;
    assert_eq!(answer.head.field("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn ip_filter() {
    let example = Example::with_file("ip-filter.yaml", ("harm.txt", "198.51.100.0/24\n")).await;
    for (path, address, status) in [
        ("/partners/prices", "192.0.2.7", 200),
        ("/partners/prices", "2001:db8:7::1", 200),
        ("/partners/prices", "192.0.2.66", 403),
        ("/partners/prices", "203.0.113.1", 403),
        ("/shop/prices", "203.0.113.1", 200),
        ("/shop/prices", "198.51.100.9", 403),
    ] {
        let header = format!("X-Forwarded-For: {address}\r\n");
        let answer = example.get(path, None, &header).await;
        assert_eq!(answer.status, status, "{path} {address}");
    }
}

#[tokio::test]
async fn security_headers() {
    let example = Example::run("security-headers.yaml").await;
    let answer = example.get("/api/orders", None, "").await;
    assert_eq!(answer.status, 200);
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        assert_eq!(answer.head.field(name), Some(value));
    }
    let page = example.get("/pages/", None, "").await;
    assert_eq!(
        page.head.field("content-security-policy"),
        Some("default-src 'self'; img-src *")
    );
    assert_eq!(page.head.field("x-frame-options"), Some("SAMEORIGIN"));
}

#[tokio::test]
async fn size_limits() {
    let example = Example::run("size-limits.yaml").await;
    let large = "0".repeat(5000);
    let answer = sent(&example, "POST", "/notes", "", "some 20 bytes of text").await;
    assert_eq!(answer.status, 200);
    let answer = sent(&example, "POST", "/notes", "", &large).await;
    assert_refused(&answer, 413, "body_too_large");
    let answer = sent(&example, "POST", "/notes/attachment", "", &large).await;
    assert_eq!(answer.status, 200);
    let long = format!("/notes/{}", "a".repeat(1024));
    let answer = example.get(&long, None, "").await;
    assert_refused(&answer, 414, "uri_too_long");
}

#[tokio::test]
async fn external_decision() {
    let gatekeeper = Upstream::scripts(vec![
        Script::answer("302 Found", &[("Location", "https://login.example/")], ""),
        Script::answer("200 OK", &[("X-User", "alice")], ""),
        Script::answer("500 Internal Server Error", &[], ""),
    ])
    .await;
    let address = gatekeeper.address().to_string();
    let moved = [("127.0.0.1:9001", address.as_str())];
    let example = Example::with("external-decision.yaml", &moved, &[]).await;
    let answer = example.get("/orders/7", None, "").await;
    assert_eq!(answer.status, 302);
    let location = answer.head.field("location");
    assert_eq!(location, Some("https://login.example/"));
    for _ in 0..2 {
        let answer = example
            .get("/orders/7", None, "Cookie: session=7\r\n")
            .await;
        assert_eq!(answer.status, 200);
        let received = example.upstream.received().pop().unwrap();
        assert_eq!(received.head.field("x-user"), Some("alice"));
    }
    assert_eq!(gatekeeper.received().len(), 2);
    let answer = example.get("/orders/status", None, "").await;
    assert_eq!(answer.status, 200);
    let answer = example.get("/orders/8", None, "").await;
    assert_refused(&answer, 503, "decision_unavailable");
}
