//! Opaque tokens, about which their issuer is asked (RFC 7662).

use super::super::{Call, Table};
use super::{Holder, page_table, until_believed};
use crate::node::Plan;
use crate::token::now;
use keyward_testkit::{Script, Upstream};
use serde_json::{Value, json};

fn answer(claims: &Value) -> Script {
    let headers = [("content-type", "application/json")];
    Script::answer("200 OK", &headers, claims.to_string())
}

fn active(change: &[(&str, Value)]) -> Script {
    let mut claims = json!({
        "active": true,
        "iss": "https://issuer.example",
        "sub": "alice",
        "aud": "test-api",
        "scope": "read",
        "client_id": "app",
        "exp": now().0 + 600,
    });
    for (name, value) in change {
        claims[*name] = value.clone();
    }
    // Null is left out, as most leave it out.
    if let Value::Object(members) = &mut claims {
        members.retain(|_, value| !value.is_null());
    }
    answer(&claims)
}

#[tokio::test]
async fn tokens_that_their_issuer_is_asked_about() {
    let holder = Holder::new();
    let jkt = holder.key.thumbprint_base64url();
    let issuer = Upstream::scripts(vec![
        active(&[]),
        answer(&json!({ "active": false })),
        active(&[("aud", json!(["other-api"]))]),
        active(&[("aud", Value::Null)]),
        active(&[("exp", json!(now().0 - 600))]),
        active(&[("exp", Value::Null)]),
        active(&[("iss", json!("https://other.example"))]),
        active(&[("scope", json!("write"))]),
        active(&[("cnf", json!({ "jkt": jkt }))]),
        Script::answer("500 Internal Server Error", &[], ""),
    ])
    .await;
    let node = Plan::default()
        .settings("workers: 1\negress: { allow: [ 127.0.0.1 ] }")
        .resource(format!(
            "- {{ kind: issuer, name: asked, issuer: \"https://issuer.example\", introspection: {{ url: \"{}/introspect\", client_id: gateway, client_secret: a-secret-of-the-gateway }} }}",
            issuer.url()
        ))
        .api(
            "orders",
            "authentication: { issuers: [asked], audience: test-api }, authorization: { scopes: [read] }",
        )
        .start()
        .await;
    let mut table = page_table(Table::new("authentication", "introspection")).upstream_headers(&[
        "authorization",
        "x-keyward-subject",
        "x-keyward-client",
    ]);
    for (case, token) in [
        ("a good token", "opaque-1"),
        ("the same again: not asked about twice", "opaque-1"),
        ("one that is no longer active", "opaque-2"),
        ("for another audience", "opaque-3"),
        ("for nobody in particular", "opaque-4"),
        ("expired, whatever `active` says", "opaque-5"),
        ("without an end", "opaque-6"),
        ("of another issuer", "opaque-7"),
        ("without the scope", "opaque-8"),
        ("bound to a key, as `Bearer`", "opaque-9"),
        ("the issuer fails", "opaque-10"),
        ("what is known passes meanwhile", "opaque-1"),
        ("a character that no token has", "opaque\u{e4}"),
    ] {
        table
            .drive(&node, case, Call::get("/orders/7").bearer(token))
            .await;
    }
    until_believed().await;
    let address = format!("http://{}/orders/7", node.gateway());
    let proof = holder.proof("GET", &address, "opaque-9");
    let bound = Call::get("/orders/7")
        .header("Authorization", "DPoP opaque-9")
        .header("DPoP", &proof);
    table.drive(&node, "the same with a proof", bound).await;
    table.finish();
    assert_eq!(issuer.received().len(), 10);
    assert!(!node.process.log().contains("a-secret-of-the-gateway"));
}

#[tokio::test]
async fn an_answer_that_counts_for_no_time_is_asked_for_at_each_call() {
    let issuer = Upstream::scripts(vec![active(&[]), answer(&json!({ "active": false }))]).await;
    let node = Plan::default()
        .settings("workers: 1\negress: { allow: [ 127.0.0.1 ] }")
        .resource(format!(
            "- {{ kind: issuer, name: asked, issuer: \"https://issuer.example\", introspection: {{ url: \"{}/introspect\", client_id: gateway, client_secret: s, cache_for: 0s }} }}",
            issuer.url()
        ))
        .api("orders", "authentication: { issuers: [asked], audience: test-api }")
        .start()
        .await;
    let call = || Call::get("/orders/7").bearer("opaque");
    assert_eq!(call().send(&node).await.status, 200);
    let answer = call().send(&node).await;
    crate::node::check_problem(&answer, 401, "token_invalid");
}
