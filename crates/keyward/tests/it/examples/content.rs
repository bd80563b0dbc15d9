//! Policies that read content.

use super::Example;
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
