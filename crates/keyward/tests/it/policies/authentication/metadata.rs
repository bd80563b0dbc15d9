//! What an API tells of itself as a protected resource (RFC 9728).

use super::super::{Call, Table};
use super::page_table;
use crate::node::Plan;
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use serde_json::json;

const PATH: &str = "/.well-known/oauth-protected-resource";

#[tokio::test]
async fn metadata_of_each_api() {
    let (first, second) = (
        Issuer::new("first", A::Es256),
        Issuer::new("second", A::Es256),
    );
    let node = Plan::default()
        .settings("workers: 1")
        .resource(first.resource(""))
        .resource(second.resource(""))
        .api_at("orders", "/shop/orders", "echo", "authentication: { issuers: [first, second], audience: test-api, dpop: required }, authorization: { scopes: [read] }")
        .api_at("shop", "/shop", "echo", &first.authentication(""))
        .api_at("pets", "/pets", "echo", "hosts: [ pets.example ], authentication: { issuers: [second], audience: test-api }")
        .api("keys", "authentication: { api_key: { header: X-API-Key } }")
        .api("open", "authentication: none")
        .start()
        .await;
    let gateway = format!("http://{}", node.gateway());
    let mut table =
        page_table(Table::new("authentication", "metadata")).headers(&["cache-control", "allow"]);
    let get = |path: &str| Call::get(&format!("{PATH}{path}"));
    let orders = table.drive(&node, "of an API", get("/shop/orders")).await;
    assert_eq!(
        orders.json().unwrap(),
        json!({
            "resource": format!("{gateway}/shop/orders"),
            "authorization_servers": ["https://first.example", "https://second.example"],
            "scopes_supported": ["read"],
            "bearer_methods_supported": ["header"],
            "resource_name": "orders",
            "dpop_signing_alg_values_supported": ["ES256", "ES384", "ES512", "Ed25519", "EdDSA", "PS256", "PS384", "RS256"],
            "dpop_bound_access_tokens_required": true,
        })
    );
    let below = table
        .drive(&node, "of a path below it", get("/shop/orders/7"))
        .await;
    assert_eq!(below.body, orders.body);
    let shop = table
        .drive(&node, "of the API around it", get("/shop/other"))
        .await;
    assert_eq!(shop.json().unwrap()["resource"], format!("{gateway}/shop"));
    for (case, call) in [
        ("of an API of another host", get("/pets")),
        ("of one that takes no tokens", get("/keys")),
        ("of an open one", get("/open")),
        ("of nothing", get("")),
        ("of a path that only begins alike", get("/shopping")),
        (
            "by another method",
            Call::new("POST", &format!("{PATH}/shop")),
        ),
        ("its head", Call::new("HEAD", &format!("{PATH}/shop"))),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();

    // The address stands in the challenge, and leads there.
    for (path, host, address) in [
        (
            "/shop/orders/7",
            None,
            format!("{gateway}{PATH}/shop/orders"),
        ),
        (
            "/pets/7",
            Some("pets.example"),
            format!("http://pets.example{PATH}/pets"),
        ),
    ] {
        let host = host.unwrap_or("api.example");
        let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let mut client = keyward_testkit::RawClient::connect(node.gateway())
            .await
            .unwrap();
        client.send(text).await.unwrap();
        let answer = client.answer().await.unwrap();
        let challenges: Vec<_> = answer.head.values("www-authenticate").collect();
        assert!(!challenges.is_empty());
        for challenge in challenges {
            assert!(
                challenge.contains(&format!("resource_metadata=\"{address}\"")),
                "{challenge}"
            );
        }
    }
}
