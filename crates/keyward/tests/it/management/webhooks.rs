//! Webhooks: what was done, told in order and signed, while an address fails too.

use super::{Managed, expect};
use crate::node::{Plan, check_problem};
use keyward_jose::jws::compact;
use keyward_jose::{JwkSet, SignatureAlgorithm, Verifiers};
use keyward_testkit::{Script, Upstream, until};
use serde_json::{Value, json};

async fn managed() -> Managed {
    Managed::start(Plan::default().settings("egress: { allow: [127.0.0.1] }")).await
}

#[tokio::test]
async fn what_was_done_is_told_signed_and_in_order_and_again_after_a_failure() {
    let managed = managed().await;
    let fails = || Script::answer("503 Service Unavailable", &[], "");
    let takes = || Script::answer("204 No Content", &[], "");
    let hook = Upstream::scripts(vec![takes(), fails(), takes(), takes(), takes(), takes()]).await;
    managed
        .declare(
            "key-sets",
            json!({ "name": "hooks", "purpose": "webhooks" }),
        )
        .await;
    let webhook = json!({
        "name": "ci", "url": hook.url(), "events": ["member.change", "team"], "key_set": "hooks",
    });
    managed.declare("webhooks", webhook).await;
    // Until it has begun, nothing is told.
    let member = async |name: &str| {
        let path = format!("/teams/default/members/{name}");
        let roles = json!({ "roles": ["auditor"] });
        expect(&managed.call("PUT", &path, Some(roles)).await, 200);
    };
    let mut count = 0;
    until("it is told of", async || {
        count += 1;
        member(&format!("first-{count}")).await;
        !hook.received().is_empty()
    })
    .await;
    member("second").await;
    until("it was told again", async || {
        let told = hook.received();
        told.iter()
            .any(|call| String::from_utf8_lossy(&call.body).contains("member second"))
            && told.len() >= 3
    })
    .await;

    let set = managed
        .node
        .get("/.well-known/jwks.json/default/hooks", &[])
        .await;
    let set = JwkSet::parse_public(&set.body).unwrap();
    let verifiers = Verifiers::new(set.keys(), &[SignatureAlgorithm::Es256]);
    let mut sequences = Vec::new();
    for call in hook.received() {
        let signature = call.head.field("keyward-signature").unwrap();
        compact::verify_detached(signature, &call.body, &verifiers).unwrap();
        let other = [&call.body[..], b" "].concat();
        assert!(compact::verify_detached(signature, &other, &verifiers).is_err());
        let told: Value = serde_json::from_slice(&call.body).unwrap();
        assert_eq!(call.head.field("keyward-event"), told["action"].as_str());
        assert_eq!(
            (&told["team"], &told["actor"]),
            (&json!("default"), &json!("root"))
        );
        sequences.push(told["sequence"].as_i64().unwrap());
    }
    // The one that failed came again before the next.
    assert!(sequences.is_sorted(), "{sequences:?}");
    assert_eq!(sequences[1], sequences[2], "{sequences:?}");
    let audit = managed.get("/teams/default/audit?limit=500").await;
    let others = audit["items"].as_array().unwrap().iter();
    let unasked = others.filter(|event| event["action"] == "configuration.change");
    for event in unasked {
        assert!(!sequences.contains(&event["sequence"].as_i64().unwrap()));
    }
}

#[tokio::test]
async fn a_webhook_reaches_no_address_of_the_inside_and_is_signed_by_keys_that_are_for_it() {
    let managed = Managed::start(Plan::default()).await;
    managed
        .declare(
            "key-sets",
            json!({ "name": "tokens", "purpose": "tokens", "issuer": "https://a.example" }),
        )
        .await;
    for webhook in [
        json!({ "name": "w", "url": "ftp://hooks.example" }),
        json!({ "name": "w", "url": "https://hooks.example", "events": ["Key.Create"] }),
        json!({ "name": "w", "url": "https://hooks.example", "key_set": "tokens" }),
        json!({ "name": "w", "url": "https://hooks.example", "key_set": "none" }),
    ] {
        let refused = managed
            .call("POST", "/teams/default/webhooks", Some(webhook.clone()))
            .await;
        assert!(
            [409, 422].contains(&refused.status),
            "{webhook}: {}",
            refused.text()
        );
    }
    let hook = Upstream::echo().await;
    let inside = json!({ "name": "inside", "url": hook.url() });
    managed.declare("webhooks", inside).await;
    let delivery = "/teams/default/webhooks/inside/delivery";
    until("it was tried", async || {
        // Something that it is told of.
        let roles = json!({ "roles": ["auditor"] });
        let path = "/teams/default/members/ann";
        expect(&managed.call("PUT", path, Some(roles)).await, 200);
        let answer = managed.call("GET", delivery, None).await;
        answer.status == 200 && answer.json().unwrap()["problem"].is_string()
    })
    .await;
    let told = managed.get(delivery).await;
    assert!(told["attempts"].as_i64().unwrap() >= 1, "{told}");
    assert!(hook.received().is_empty(), "{told}");
    let path = "/teams/default/webhooks/none/delivery";
    check_problem(&managed.call("GET", path, None).await, 404, "not_found");
}
