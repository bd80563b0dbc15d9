//! Revocations by management call: in force before they are answered.

use super::{Asked, Managed, back, expect};
use crate::node::{Plan, check_passed, check_problem};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm;
use keyward_testkit::until;
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_revoked_is_refused_from_the_next_call_on_and_believed_again_when_that_is_taken_back()
 {
    let issuer = Issuer::new("people", SignatureAlgorithm::Es256);
    let managed = Managed::start(Plan::default().resource(issuer.resource(""))).await;
    managed.declare("upstreams", back(&managed)).await;
    let api = json!({
        "name": "people", "version": "v1", "state": "published", "base_path": "/people", "upstream": "back",
        "authentication": { "issuers": ["people"], "audience": "api" },
    });
    managed.declare("apis", api).await;
    let claims = |name: &str, value: &str| {
        let claims = issuer.claims().with_audience(["api"]);
        claims.with(name, json!(value)).unwrap()
    };
    let iss = issuer.claims().issuer().unwrap().to_owned();
    for (kind, claim) in [
        ("token", "jti"),
        ("session", "sid"),
        ("subject", "sub"),
        ("client", "client_id"),
    ] {
        let value = format!("a-{kind}");
        let token = issuer.sign(&claims(claim, &value));
        let another = issuer.sign(&claims(claim, "another"));
        check_passed(&managed.node.get_with("/people/x", &token).await);
        let body = json!({ "kind": kind, "issuer": iss, "value": value, "expires_in": "1h" });
        let made = expect(&managed.call("POST", "/revocations", Some(body)).await, 201);
        let refused = managed.node.get_with("/people/x", &token).await;
        check_problem(&refused, 401, "token_revoked");
        check_passed(&managed.node.get_with("/people/x", &another).await);
        let listed = managed.get("/revocations").await;
        assert_eq!(listed["items"], json!([made]));
        let path = format!("/revocations/{}", made["id"].as_str().unwrap());
        expect(&managed.call("DELETE", &path, None).await, 204);
        until("it is believed again", async || {
            managed.node.get_with("/people/x", &token).await.status == 200
        })
        .await;
        check_problem(&managed.call("DELETE", &path, None).await, 404, "not_found");
    }
    for (body, member) in [
        (
            json!({ "kind": "people", "issuer": iss, "value": "a" }),
            "/kind",
        ),
        (
            json!({ "kind": "token", "issuer": iss, "value": "" }),
            "/value",
        ),
        (
            json!({ "kind": "token", "issuer": iss, "value": "a\u{0}" }),
            "/value",
        ),
        (json!({ "kind": "token", "value": "a" }), "/issuer"),
        (
            json!({ "kind": "token", "issuer": iss, "value": "a", "expires_in": "0s" }),
            "/expires_in",
        ),
    ] {
        let refused = managed.call("POST", "/revocations", Some(body)).await;
        check_problem(&refused, 422, "invalid");
        assert_eq!(refused.json().unwrap()["errors"][0]["member"], member);
    }
    // What is no longer believed concerns everyone: a team's owner has no say in it.
    managed.team("acme").await;
    let owner = managed
        .member("acme", "olga", "owner", &["read", "write"])
        .await;
    let body = json!({ "kind": "subject", "issuer": iss, "value": "alice" });
    let asked = Asked::new("POST", "/revocations").by(&owner).body(body);
    assert!([403, 404].contains(&managed.send(asked).await.status));
    assert_eq!(
        managed.get("/revocations").await["items"],
        Value::Array(Vec::new())
    );
}
