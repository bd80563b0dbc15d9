//! The example of limits over several nodes.

use super::Example;
use keyward_testkit::RedisServer;
use serde_json::json;

#[tokio::test]
async fn shared_limits() {
    let mut redis = RedisServer::start().await;
    let address = redis.address().to_string();
    let moved = [("127.0.0.1:6379", address.as_str())];
    let one = Example::with("shared-limits.yaml", &moved, &[]).await;
    let claims = json!({ "iss": "https://issuer.bench", "sub": "alice", "aud": "reports-api", "tenant": "blue" });
    let token = one.token(&claims);
    for _ in 0..3 {
        assert_eq!(one.get("/reports", Some(&token), "").await.status, 200);
    }
    let refused = one.get("/reports", Some(&token), "").await;
    assert_eq!(refused.status, 429);
    assert!(
        refused.text().contains("`per-tenant`"),
        "{}",
        refused.text()
    );
    // What it counted is where other nodes find it.
    let names = redis.command("KEYS *");
    assert!(
        names.contains("keyward:{default}:reports/v1/per-tenant:month:"),
        "{names}"
    );
    // Without the count, nothing passes: the last line of the example's comment.
    redis.kill();
    let claims = json!({ "iss": "https://issuer.bench", "sub": "bob", "aud": "reports-api", "tenant": "red" });
    let token = one.token(&claims);
    let refused = one.get("/reports", Some(&token), "").await;
    assert_eq!(refused.status, 503);
    assert!(
        refused.text().contains("limits_unavailable"),
        "{}",
        refused.text()
    );
}
