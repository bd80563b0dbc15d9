//! Tokens that are bound to a key (RFC 9449).

use super::super::{Call, Table};
use super::{AHEAD, Holder, page_table, until_believed};
use crate::node::{Node, Plan, check_passed, check_problem, request};
use crate::token::{Issuer, now};
use keyward_jose::SignatureAlgorithm as A;
use keyward_jose::key::Part;
use keyward_testkit::RawClient;
use serde_json::{Value, json};

async fn start(issuer: &Issuer) -> Node {
    let node = Plan::default()
        .settings("workers: 2")
        .resource(issuer.resource(""))
        .api("orders", &issuer.authentication("dpop: accepted"))
        .api("strict", &issuer.authentication("dpop: required"))
        .api(
            "nonce",
            &issuer.authentication("dpop: { tokens: required, nonce: always }"),
        )
        .start()
        .await;
    until_believed().await;
    node
}

fn call(path: &str, token: &str, proof: &str) -> Call {
    Call::get(path)
        .header("Authorization", &format!("DPoP {token}"))
        .header("DPoP", proof)
}

#[tokio::test]
async fn proofs_of_possession() {
    let issuer = Issuer::new("main", A::Es256);
    let node = start(&issuer).await;
    let (holder, thief) = (Holder::new(), Holder::new());
    let token = holder.token(&issuer);
    let plain = issuer.token();
    let address = format!("http://{}/orders/7", node.gateway());
    let with = |name: &str, value: Value| {
        let mut claims = Holder::claims("GET", &address, &token);
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.to_owned(), value);
        }
        holder.sign(&claims)
    };
    let used = holder.proof("GET", &address, &token);
    let claims = Holder::claims("GET", &address, &token);
    let private = holder.sign_as("dpop+jwt", holder.jwk(Part::Private), &claims);
    let typ = holder.sign_as("JWT", holder.jwk(Part::Public), &claims);
    let strict = format!("http://{}/strict/7", node.gateway());
    let mut table = page_table(Table::new("authentication", "dpop")).upstream_headers(&[
        "authorization",
        "dpop",
        "x-keyward-subject",
    ]);
    let path = "/orders/7";
    for (case, call) in [
        ("a token with a proof", call(path, &token, &used)),
        ("the same proof again", call(path, &token, &used)),
        (
            "a new one",
            call(path, &token, &holder.proof("GET", &address, &token)),
        ),
        (
            "with a query, which is no part of the address",
            call(
                "/orders/7?a=b",
                &token,
                &holder.proof("GET", &address, &token),
            ),
        ),
        (
            "the address in another spelling",
            call(
                path,
                &token,
                &with(
                    "htu",
                    json!(format!("HTTP://{}/orders/%37", node.gateway())),
                ),
            ),
        ),
        (
            "the token as `Bearer`: stolen, or half a client",
            Call::get(path).bearer(&token),
        ),
        (
            "as `Bearer` with the proof",
            Call::get(path)
                .bearer(&token)
                .header("DPoP", &holder.proof("GET", &address, &token)),
        ),
        (
            "no proof",
            Call::get(path).header("Authorization", &format!("DPoP {token}")),
        ),
        (
            "two proofs",
            call(path, &token, &used).header("DPoP", &used),
        ),
        ("no proof but something", call(path, &token, "abc")),
        (
            "a proof by another key",
            call(path, &token, &thief.proof("GET", &address, &token)),
        ),
        (
            "for another method",
            call(path, &token, &holder.proof("POST", &address, &token)),
        ),
        (
            "for another path",
            call("/orders/8", &token, &holder.proof("GET", &address, &token)),
        ),
        (
            "for another host",
            call(
                path,
                &token,
                &holder.proof("GET", "http://other.example/orders/7", &token),
            ),
        ),
        (
            "for another token",
            call(path, &token, &holder.proof("GET", &address, &plain)),
        ),
        (
            "without the token's hash",
            call(path, &token, &with("ath", Value::Null)),
        ),
        (
            "without an identifier",
            call(path, &token, &with("jti", Value::Null)),
        ),
        (
            "a minute and more old: a nonce is told",
            call(path, &token, &with("iat", json!(now().0 - 65))),
        ),
        (
            "of a client whose clock is ahead",
            call(path, &token, &with("iat", json!(now().0 + 60))),
        ),
        (
            "with a nonce that is not ours",
            call(path, &token, &with("nonce", json!("abc"))),
        ),
        ("with the private key in it", call(path, &token, &private)),
        ("of another type", call(path, &token, &typ)),
        (
            "a token that is bound to no key, as `DPoP`",
            call(path, &plain, &holder.proof("GET", &address, &plain)),
        ),
        (
            "the same as `Bearer`, where bound ones are not required",
            Call::get(path).bearer(&plain),
        ),
        ("where they are", Call::get("/strict/7").bearer(&plain)),
        (
            "a bound one there",
            call("/strict/7", &token, &holder.proof("GET", &strict, &token)),
        ),
        ("nothing there", Call::get("/strict/7")),
        ("nothing here", Call::get(path)),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();
}

#[tokio::test]
async fn nonces_are_told_taken_and_renewed() {
    let issuer = Issuer::new("main", A::Es256);
    let node = start(&issuer).await;
    let holder = Holder::new();
    let token = holder.token(&issuer);
    let address = format!("http://{}/nonce/7", node.gateway());
    let mut table = page_table(Table::new("authentication", "nonces"));
    let refused = table
        .drive(
            &node,
            "without a nonce",
            call("/nonce/7", &token, &holder.proof("GET", &address, &token)),
        )
        .await;
    let nonce = refused.head.field("dpop-nonce").unwrap().to_owned();
    assert_eq!(refused.head.field("cache-control"), Some("no-store"));
    let with = |nonce: &str, iat: i64| {
        let mut claims = Holder::claims("GET", &address, &token);
        claims.insert("nonce".to_owned(), json!(nonce));
        claims.insert("iat".to_owned(), json!(iat));
        holder.sign(&claims)
    };
    let good = with(&nonce, now().0);
    for (case, proof) in [
        ("with the one that was told", good.clone()),
        ("the same proof again", good),
        (
            "by a clock that is years off: the nonce tells its age",
            with(&nonce, 7),
        ),
        (
            "with another one",
            with(&nonce.replace(&nonce[..1], "_"), now().0),
        ),
    ] {
        table
            .drive(&node, case, call("/nonce/7", &token, &proof))
            .await;
    }
    table.finish();
}

#[tokio::test]
async fn a_proof_from_before_a_restart_is_not_taken_after_it() {
    let issuer = Issuer::new("main", A::Es256);
    let mut node = start(&issuer).await;
    let holder = Holder::new();
    let token = holder.token(&issuer);
    let address = format!("http://{}/orders/7", node.gateway());
    let mut claims = Holder::claims("GET", &address, &token);
    // By a clock that is right, and by one that is as far ahead as clocks may be: that time is of after the restart.
    let mut before = Vec::new();
    for ahead in [0, AHEAD] {
        claims.insert("iat".to_owned(), json!(now().0 + ahead));
        claims.insert("jti".to_owned(), json!(format!("from-before-{ahead}")));
        before.push(holder.sign(&claims));
    }
    check_passed(&call("/orders/7", &token, &before[1]).send(&node).await);
    node.process.restart().await;
    let mut told = Vec::new();
    for proof in &before {
        let answer = call("/orders/7", &token, proof).send(&node).await;
        check_problem(&answer, 401, "nonce_needed");
        told.push(answer);
    }
    let answer = &told[0];
    // With the nonce that was told it goes on at once.
    let nonce = answer.head.field("dpop-nonce").unwrap();
    let mut claims = Holder::claims("GET", &address, &token);
    claims.insert("nonce".to_owned(), json!(nonce));
    let answer = call("/orders/7", &token, &holder.sign(&claims))
        .send(&node)
        .await;
    check_passed(&answer);
}

#[tokio::test]
async fn a_proof_passes_once_however_many_workers_it_is_sent_to_at_once() {
    let issuer = Issuer::new("main", A::Es256);
    let node = start(&issuer).await;
    let holder = Holder::new();
    let token = holder.token(&issuer);
    let address = format!("http://{}/orders/7", node.gateway());
    let proof = holder.proof("GET", &address, &token);
    let authorization = format!("DPoP {token}");
    let headers = [("Authorization", &*authorization), ("DPoP", &*proof)];
    let text = request("GET", "/orders/7", &headers, "");
    let sending: Vec<_> = (0..16)
        .map(|_| {
            let (gateway, text) = (node.gateway(), text.clone());
            tokio::spawn(async move {
                let mut client = RawClient::connect(gateway).await.unwrap();
                client.send(text).await.unwrap();
                client.answer().await.unwrap().status
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for sent in sending {
        statuses.push(sent.await.unwrap());
    }
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(passed, 1, "{statuses:?}");
}
