//! Providers that callers pay themselves, and providers that an operator shares with teams.

use super::{OPEN, chat, logged, post, provider, recorded};
use crate::management::{Managed, expect};
use crate::node::{Plan, check_passed};
use keyward_testkit::{Script, Upstream};
use serde_json::{Value, json};

const PATH: &str = "/v1/chat/completions";
const OWN: &str = "keyward-provider-key";

#[tokio::test]
async fn a_caller_s_own_key_goes_to_its_provider_alone_and_is_told_nowhere() {
    let (mine, other) = (
        recorded("openai-chat", "text").await,
        recorded("openai-chat", "text").await,
    );
    let node = Plan::default()
        .settings("access_log: { format: json }")
        .resource(provider("mine", "openai-chat", &mine.url(), "credentials: [ { key: sk-operator } ], own_key: allow"))
        .resource(provider("other", "openai-chat", &other.url(), "credentials: [ { key: sk-other } ]"))
        .resource("- { kind: model, name: fast, targets: [ { provider: other, model: m } ], fallbacks: [ { provider: mine, model: m } ] }")
        .resource(OPEN)
        .start()
        .await;
    for value in ["sk-of-the-caller", "mine sk-of-the-caller"] {
        check_passed(&post(&node, PATH, &[(OWN, value)], &chat("fast")).await);
    }
    assert!(
        other.received().is_empty(),
        "the other one is not asked, though it comes first"
    );
    for received in mine.received() {
        assert_eq!(
            received.head.field("authorization"),
            Some("Bearer sk-of-the-caller")
        );
        assert_eq!(received.head.field(OWN), None);
    }
    let logged = logged(&node, "fast").await;
    assert_eq!(logged["price_revision"], 0, "the operator pays nothing");
    check_passed(&post(&node, PATH, &[], &chat("fast")).await);
    assert_eq!(
        other.received()[0].head.field("authorization"),
        Some("Bearer sk-other")
    );
    for (value, expected) in [
        ("other sk-of-the-caller", "names no provider"),
        ("nobody sk-of-the-caller", "names no provider"),
        ("mine sk of-the-caller", "is no key"),
        ("", "is no key"),
    ] {
        let refused = post(&node, PATH, &[(OWN, value)], &chat("fast")).await;
        assert_eq!(refused.status, 400, "{value}");
        assert!(
            refused.text().contains(expected),
            "{value}: {}",
            refused.text()
        );
        assert!(
            !refused.text().contains("of-the-caller"),
            "{}",
            refused.text()
        );
    }
    let twice = [(OWN, "sk-of-the-caller"), (OWN, "sk-of-the-caller")];
    assert_eq!(post(&node, PATH, &twice, &chat("fast")).await.status, 400);
    assert!(!node.process.log().contains("of-the-caller"));
}

#[tokio::test]
async fn a_caller_s_own_key_that_is_refused_is_theirs_to_hear_and_cools_no_other() {
    let back = Upstream::choosing(|asked| {
        if asked.head.field("authorization") == Some("Bearer sk-operator") {
            return Script::json("200 OK", &[], &super::fixture("answers", "openai-chat", "text"));
        }
        let said = json!({ "error": { "message": "Incorrect API key provided: sk-bad", "type": "invalid_request_error" } });
        Script::json("401 Unauthorized", &[], &said)
    })
    .await;
    let node = Plan::default()
        .resource(provider("back", "openai-chat", &back.url(), "credentials: [ { key: sk-operator } ], own_key: allow"))
        .resource(provider("paid", "openai-chat", &back.url(), "own_key: require"))
        .resource("- { kind: model, name: fast, targets: [ { provider: back, model: m } ] }")
        .resource("- { kind: model, name: brought, targets: [ { provider: paid, model: m } ] }")
        .resource("- { kind: model, name: both, targets: [ { provider: back, model: m }, { provider: paid, model: m } ] }")
        .resource(OPEN)
        .start()
        .await;
    let refused = post(&node, PATH, &[(OWN, "sk-bad")], &chat("fast")).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert!(
        refused.text().contains("does not accept the key"),
        "{}",
        refused.text()
    );
    assert_eq!(back.received().len(), 1, "it is tried once");
    check_passed(&post(&node, PATH, &[], &chat("fast")).await);
    let without = post(&node, PATH, &[], &chat("brought")).await;
    assert_eq!(without.status, 400);
    assert_eq!(
        without.json().unwrap()["error"]["code"],
        "provider_key_required"
    );
    let unclear = post(&node, PATH, &[(OWN, "sk-bad")], &chat("both")).await;
    assert_eq!(unclear.status, 400);
    assert!(
        unclear.text().contains("say for which one"),
        "{}",
        unclear.text()
    );
}

#[tokio::test]
async fn teams_name_a_provider_that_the_operator_shares_with_them() {
    let back = recorded("openai-chat", "text").await;
    let shared = |name: &str, with: &str| {
        provider(
            name,
            "openai-chat",
            &back.url(),
            &format!("credentials: [ {{ key: sk-operator-s }} ], shared: {with}"),
        )
    };
    let plan = Plan::default()
        .settings("access_log: { format: json }")
        .resource(shared("common", "true"))
        .resource(shared("theirs", "[payments]"))
        .resource(shared("others", "[somebody-else]"));
    let managed = Managed::start(plan).await;
    let made = managed
        .call(
            "POST",
            "/teams",
            Some(json!({ "name": "payments", "paths": ["/payments"] })),
        )
        .await;
    expect(&made, 201);
    let declare = async |plural: &str, body: Value| {
        managed
            .call("POST", &format!("/teams/payments/{plural}"), Some(body))
            .await
    };
    for (model, provider) in [("fast", "common"), ("best", "theirs")] {
        let body = json!({ "name": model, "targets": [{ "provider": provider, "model": "m" }] });
        expect(&declare("models", body).await, 201);
    }
    let body = json!({ "name": "none", "targets": [{ "provider": "others", "model": "m" }] });
    let refused = declare("models", body).await;
    assert!([409, 422].contains(&refused.status), "{}", refused.text());
    assert!(
        refused.text().contains("there is no provider `others`"),
        "{}",
        refused.text()
    );
    let api = json!({
        "name": "ai", "version": "v1", "state": "published", "base_path": "/payments",
        "ai": { "models": "all" }, "authentication": "none",
    });
    expect(&declare("apis", api).await, 201);
    for model in ["fast", "best"] {
        check_passed(
            &post(
                &managed.node,
                &format!("/payments{PATH}"),
                &[],
                &chat(model),
            )
            .await,
        );
    }
    assert_eq!(
        back.received()[0].head.field("authorization"),
        Some("Bearer sk-operator-s")
    );
    let logged = logged(&managed.node, "fast").await;
    assert_eq!(logged["team"], "payments", "{logged}");
    let own =
        json!({ "name": "own", "dialect": "openai-chat", "base_url": back.url(), "shared": true });
    let refused = declare("providers", own).await;
    assert!([409, 422].contains(&refused.status), "{}", refused.text());
    assert!(
        refused.text().contains("node's own file"),
        "{}",
        refused.text()
    );
    let told = managed.get("/teams/payments/models").await.to_string();
    assert!(!told.contains("sk-operator-s"), "{told}");
}
