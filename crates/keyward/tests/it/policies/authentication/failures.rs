//! Too many credentials from one address that are not good.

use super::super::{Call, Table};
use super::page_table;
use crate::node::Plan;
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_model::ApiKey;

#[tokio::test]
async fn a_flood_is_refused_and_known_callers_pass() {
    let issuer = Issuer::new("main", A::Es256);
    let key = ApiKey::from_random(&[5; 32]).reveal().to_owned();
    let node = Plan::default()
        .settings(
            "workers: 1\ntrusted_proxies: [ 127.0.0.1 ]\nfailed_attempts: { attempts: 5, per: 1h }",
        )
        .resource(issuer.resource(""))
        .resource(format!(
            "- {{ kind: credential, name: machine, api_key: {key} }}"
        ))
        .api("orders", &issuer.authentication(""))
        .api("keys", "authentication: { api_key: { header: X-API-Key } }")
        .api("open", "authentication: none")
        .start()
        .await;
    let known = issuer.token();
    let from = |call: Call, address: &str| call.header("X-Forwarded-For", address);
    let orders = |token: &str| Call::get("/orders/7").bearer(token);
    let flood = "192.0.2.7";
    let mut table = page_table(Table::new("authentication", "failed-attempts")).naming(&key, "KEY");
    table
        .drive(&node, "a good token", from(orders(&known), flood))
        .await;
    table
        .drive(&node, "a wrong one", from(orders("wrong"), flood))
        .await;
    for _ in 0..4 {
        let answer = from(orders("wrong"), flood).send(&node).await;
        assert_eq!(answer.status, 401);
    }
    for (case, call) in [
        ("another, after five", from(orders("wrong"), flood)),
        (
            "a good one that was seen before",
            from(orders(&known), flood),
        ),
        (
            "a good one that was not",
            from(orders(&issuer.token_of("bob")), flood),
        ),
        (
            "a good API key that was not",
            from(Call::get("/keys/7").header("X-API-Key", &key), flood),
        ),
        (
            "no credential: told how, as ever",
            from(Call::get("/orders/7"), flood),
        ),
        ("an open API", from(Call::get("/open/7"), flood)),
        (
            "from another address",
            from(orders(&issuer.token_of("carol")), "192.0.2.8"),
        ),
    ] {
        table.drive(&node, case, call).await;
    }
    for number in 0..5 {
        let answer = from(orders("wrong"), &format!("2001:db8:0:7::{number}"))
            .send(&node)
            .await;
        assert_eq!(answer.status, 401);
    }
    for (case, address) in [
        ("an IPv6 network counts as one", "2001:db8:0:7:1::1"),
        ("another network for itself", "2001:db8:0:8::1"),
    ] {
        table
            .drive(&node, case, from(orders("wrong"), address))
            .await;
    }
    table.finish();
}
