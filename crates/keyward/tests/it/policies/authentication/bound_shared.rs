//! Tokens that are bound to a key, at two nodes that remember together which proofs were used.

use super::super::{Call, Table};
use super::{Holder, page_table, until_believed};
use crate::node::{Node, Plan};
use crate::token::{Issuer, now};
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::{RedisServer, until};
use serde_json::json;

async fn node(redis: &RedisServer, issuer: &Issuer) -> Node {
    let settings = format!(
        "workers: 1\nshared_state: {{ url: \"{}\", timeout: 5s }}",
        redis.url()
    );
    // Known by the host that is called, which is the same for both.
    let host = "hosts: [api.example]";
    Plan::default()
        .settings(&settings)
        .resource(issuer.resource(""))
        .api("orders", &format!("{host}, {}", issuer.authentication("")))
        .api(
            "lenient",
            &format!(
                "{host}, {}",
                issuer.authentication("dpop: { on_outage: allow_locally }")
            ),
        )
        .start()
        .await
}

async fn until_connected(node: &Node, workers: usize) {
    until("the node knows how the server is", async || {
        let page = node.process.operations_get("/metrics").await.unwrap();
        let told = format!("\nkeyward_shared_state_connected {workers}\n");
        page.text().contains(&told)
    })
    .await;
}

#[tokio::test]
async fn a_proof_that_was_used_at_one_node_is_taken_at_no_other() {
    let mut redis = RedisServer::start().await;
    let issuer = Issuer::new("main", A::Es256);
    let (one, other) = tokio::join!(node(&redis, &issuer), node(&redis, &issuer));
    for node in [&one, &other] {
        until_connected(node, 1).await;
    }
    until_believed().await;
    let holder = Holder::new();
    let token = holder.token(&issuer);
    let proof = |path: &str| holder.proof("GET", &format!("http://api.example{path}"), &token);
    let call = |path: &str, proof: &str| {
        Call::get(path)
            .header("Authorization", &format!("DPoP {token}"))
            .header("DPoP", proof)
    };
    let mut table = page_table(Table::new("authentication", "dpop-nodes"));
    let (used, next) = (proof("/orders/7"), proof("/orders/7"));
    for (case, node, proof) in [
        ("a proof at one node", &one, &used),
        ("the same at the other", &other, &used),
        ("a new one at the other", &other, &next),
        ("the same at the first", &one, &next),
    ] {
        table.drive(node, case, call("/orders/7", proof)).await;
    }
    let kept = proof("/lenient/7");
    let killed_at = now().0;
    redis.kill();
    for node in [&one, &other] {
        until_connected(node, 0).await;
    }
    for (case, node, path, proof) in [
        (
            "Redis is gone: no proof is taken",
            &one,
            "/orders/7",
            &proof("/orders/7"),
        ),
        (
            "`on_outage: allow_locally`: each node goes by its own memory",
            &one,
            "/lenient/7",
            &kept,
        ),
        ("the same proof there again", &one, "/lenient/7", &kept),
        (
            "and at the other node, which does not know of it",
            &other,
            "/lenient/7",
            &kept,
        ),
    ] {
        table.drive(node, case, call(path, proof)).await;
    }
    redis.bring_back().await;
    for node in [&one, &other] {
        until_connected(node, 1).await;
    }
    until_believed().await;
    // Redis has lost what it knew: what is older than the connection needs a nonce.
    let mut claims = Holder::claims("GET", "http://api.example/orders/7", &token);
    claims.insert("iat".to_owned(), json!(killed_at));
    for (case, proof) in [
        ("Redis is back: one from before that", &holder.sign(&claims)),
        ("a new one", &proof("/orders/7")),
    ] {
        table.drive(&one, case, call("/orders/7", proof)).await;
    }
    table.finish();
}
