//! Tokens that were revoked, while they are known and before.

use super::super::{Call, Table};
use super::page_table;
use crate::node::{Node, Plan};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::until;
use serde_json::json;
use std::process::Command;

fn keyward(node: &Node, arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(arguments)
        .args(["--config", "keyward.yaml"])
        .current_dir(node.process.folder())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}

async fn until_revoked(node: &Node, count: usize) {
    until("the node has heard of it", async || {
        let page = node.process.operations_get("/metrics").await.unwrap();
        page.text()
            .contains(&format!("\nkeyward_revocations {count}\n"))
    })
    .await;
}

#[tokio::test]
async fn what_was_revoked_is_refused_at_once() {
    let issuer = Issuer::new("main", A::Es256);
    let node = Plan::default()
        .settings("workers: 1")
        .resource(issuer.resource(""))
        .api("orders", &issuer.authentication(""))
        .start()
        .await;
    let token = |subject: &str, session: &str, client: &str, family: &str| {
        let claims = issuer.claims().with_subject(subject);
        let claims = [
            ("jti", format!("token-of-{subject}-{session}")),
            ("sid", session.to_owned()),
            ("client_id", client.to_owned()),
            ("keyward_family", family.to_owned()),
        ]
        .into_iter()
        .fold(claims, |claims, (name, value)| {
            claims.with(name, json!(value)).unwrap()
        });
        issuer.sign(&claims)
    };
    let mut table = page_table(Table::new("authentication", "revoked"))
        .upstream_headers(&["x-keyward-subject"]);
    let orders = |token: &str| Call::get("/orders/7").bearer(token);
    // Of each kind: what is revoked, a token that it covers and was known before, one that it covers and comes only
    // then, and one that it does not cover.
    let ([a, b, c, d, e], other) = (
        [
            token("a", "s-a1", "app", "f-a1"),
            token("b", "s-b1", "app", "f-b1"),
            token("c", "s-c1", "app", "f-c1"),
            token("d", "s-d1", "batch", "f-d1"),
            token("e", "s-e1", "app", "f-e1"),
        ],
        token("other", "s-o1", "app", "f-o1"),
    );
    for (revoked, (kind, value, known, new, spared)) in [
        (
            "token",
            "token-of-a-s-a1",
            &a,
            None,
            token("a", "s-a2", "app", "f-a1"),
        ),
        (
            "session",
            "s-b1",
            &b,
            Some(token("b", "s-b1", "app", "f-b2")),
            token("b", "s-b2", "app", "f-b1"),
        ),
        (
            "subject",
            "c",
            &c,
            Some(token("c", "s-c2", "app", "f-c2")),
            token("cc", "s-c1", "app", "f-c1"),
        ),
        (
            "client",
            "batch",
            &d,
            Some(token("dd", "s-d2", "batch", "f-d2")),
            token("d", "s-d1", "app", "f-d1"),
        ),
        (
            "family",
            "f-e1",
            &e,
            Some(token("e", "s-e2", "app", "f-e1")),
            token("e", "s-e1", "app", "f-e2"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let case = |case: &str| format!("by {kind}: {case}");
        table.drive(&node, &case("before"), orders(known)).await;
        keyward(&node, &["revoke", kind, value, "--issuer", "main"]);
        until_revoked(&node, revoked + 1).await;
        table
            .drive(&node, &case("the same token after it"), orders(known))
            .await;
        if let Some(new) = new {
            table
                .drive(&node, &case("another one that it covers"), orders(&new))
                .await;
        }
        table
            .drive(&node, &case("one that it does not cover"), orders(&spared))
            .await;
    }
    table
        .drive(&node, "another caller, all the while", orders(&other))
        .await;
    table.finish();
}
