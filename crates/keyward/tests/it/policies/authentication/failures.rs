//! Too many credentials from one address that are not good.

use super::super::{Call, Table};
use super::credentials::argon2_hash;
use super::page_table;
use crate::node::{Plan, request};
use crate::token::Issuer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_jose::SignatureAlgorithm as A;
use keyward_model::ApiKey;
use keyward_testkit::{RawClient, until};

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
        .resource(format!(
            "- {{ kind: credential, name: alice, password: {{ argon2: \"{}\" }} }}",
            argon2_hash()
        ))
        .api("jobs", "authentication: { basic: true }")
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
    // Another guesses a password, and does not wait for the answer.
    let guess = format!("Basic {}", STANDARD.encode("alice:wrong horse"));
    let headers = [("Authorization", &*guess), ("X-Forwarded-For", "192.0.2.9")];
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    let call = request("GET", "/jobs/7", &headers, "");
    client.send(call).await.unwrap();
    drop(client);
    until("the guess is counted", async || {
        let page = node.process.operations_get("/metrics").await.unwrap();
        page.text().contains("\nkeyward_failing_addresses 4\n")
    })
    .await;
    let again = Call::get("/jobs/7").header("Authorization", &guess);
    table
        .drive(
            &node,
            "a password, after one whose client left before it was answered",
            from(again, "192.0.2.9"),
        )
        .await;
    table.finish();
}
