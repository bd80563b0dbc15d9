//! Policies that read content.

use super::{Example, assert_refused};
use crate::gateway::node::call;
use keyward_testkit::{Script, Upstream};
use serde_json::json;

#[tokio::test]
async fn cache() {
    let shop = Upstream::choosing(|received| {
        if received.target().starts_with("/prices") {
            return Script::answer("200 OK", &[], "7.50");
        }
        Script::answer("200 OK", &[("cache-control", "max-age=60")], "seven")
    })
    .await;
    let address = shop.address().to_string();
    let moved = [("127.0.0.1:9000", address.as_str())];
    let example = Example::with("cache.yaml", &moved, &[]).await;
    for path in ["/catalogue/7", "/catalogue/prices/7"] {
        let first = example.get(path, None, "").await;
        let status = first.head.field("cache-status");
        assert_eq!(status, Some("keyward; fwd=uri-miss; stored"), "{path}");
        let second = example.get(path, None, "").await;
        let status = second.head.field("cache-status").unwrap();
        assert!(status.starts_with("keyward; hit"), "{path}: {status}");
        assert_eq!(second.body, first.body);
    }
    assert_eq!(shop.received().len(), 2);
    let claims = json!({
        "iss": "https://issuer.shop.example", "aud": "shop", "sub": "alice", "exp": 4_102_444_800_u64
    });
    let token = example.token(&claims);
    for _ in 0..2 {
        let answer = example.get("/account/orders", Some(&token), "").await;
        let status = answer.head.field("cache-status");
        assert_eq!(status, Some("keyward; fwd=uri-miss; detail=not-public"));
    }
    assert_eq!(shop.received().len(), 4);
}

#[tokio::test]
async fn validation() {
    let example = Example::run("validation.yaml").await;
    let post = |body: &str| {
        format!(
            "POST /shop/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let gateway = example.process.gateway();
    let good = call(gateway, post(r#"{"customer":"a@b.example","count":2}"#)).await;
    assert_eq!(good.status, 200, "{}", good.text());
    let bad = call(gateway, post(r#"{"customer":"nobody","admin":true}"#)).await;
    assert_refused(&bad, 400, "validation_failed");
    let errors = bad.json().unwrap()["errors"].clone();
    assert_eq!(errors.as_array().unwrap().len(), 3, "{errors}");
    let many = example.get("/shop/orders?limit=1000", None, "").await;
    assert_refused(&many, 400, "validation_failed");
    let lost = example
        .get("/shop/orders?filter[state]=lost", None, "")
        .await;
    assert_refused(&lost, 400, "validation_failed");
    assert_eq!(example.upstream.received().len(), 1);
}

#[tokio::test]
async fn transformation() {
    let example = Example::run("transformation.yaml").await;
    let body = r#"{"name":"Ada","skus":["a","b"]}"#;
    let request = format!(
        "POST /orders/v1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = call(example.process.gateway(), request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent =
        r#"{"customer":{"name":"Ada"},"lines":[{"sku":"a","count":1},{"sku":"b","count":1}]}"#;
    let expected = json!({ "method": "POST", "text": sent, "note": null });
    assert_eq!(answer.json().unwrap(), expected);
    let received = example.upstream.received().remove(0);
    assert_eq!(received.head.field("x-client-version"), Some("v1"));
}

#[tokio::test]
async fn idempotency() {
    let example = Example::run("idempotency.yaml").await;
    let claims = json!({
        "iss": "https://issuer.shop.example", "aud": "shop", "sub": "alice", "exp": 4_102_444_800_u64
    });
    let token = example.token(&claims);
    let pay = async |path: &str, key: &str, body: &str| {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{key}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        call(example.process.gateway(), request).await
    };
    let key = "Idempotency-Key: \"8e03978e\"\r\n";
    let first = pay("/payments", key, "amount=5").await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(first.head.field("idempotent-replayed"), None);
    let second = pay("/payments", key, "amount=5").await;
    assert_eq!(second.head.field("idempotent-replayed"), Some("true"));
    assert_eq!(second.body, first.body);
    assert_eq!(example.upstream.received().len(), 1);
    let other = pay("/payments", key, "amount=6").await;
    assert_refused(&other, 422, "idempotency_key_reused");
    let without = pay("/payments", "", "amount=5").await;
    assert_refused(&without, 400, "idempotency_key_missing");
    assert_eq!(pay("/payments/notes", "", "x").await.status, 200);
    assert_eq!(example.upstream.received().len(), 2);
}
