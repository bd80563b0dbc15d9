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

/// A team has a say in its own issuers' tokens alone, and touches nobody else's by the same address.
#[tokio::test]
async fn a_team_revokes_tokens_of_its_own_issuers_and_of_no_other_s() {
    let issuer = Issuer::new("people", SignatureAlgorithm::Es256);
    let managed = Managed::start(Plan::default().resource(issuer.resource(""))).await;
    let iss = issuer.claims().issuer().unwrap().to_owned();
    let jwks: Value = serde_json::from_str(&issuer.key_set()).unwrap();
    let both: &[&str] = &["read", "write"];
    let mut publishers = Vec::new();
    for team in ["red", "blue", "default"] {
        if team != "default" {
            managed.team_at(team, &[&format!("/{team}")]).await;
        }
        // Each believes the same issuer, by a declaration of its own, or by the node's file.
        let name = if team == "default" { "people" } else { "own" };
        let own = json!({ "name": "own", "issuer": iss, "jwks": jwks, "algorithms": ["ES256"] });
        let api = json!({
            "name": team, "version": "v1", "state": "published", "base_path": format!("/{team}"), "upstream": "back",
            "authentication": { "issuers": [name], "audience": "api" },
        });
        for (plural, body) in [
            ("upstreams", back(&managed)),
            ("issuers", own),
            ("apis", api),
        ] {
            if team == "default" && plural == "issuers" {
                continue;
            }
            let path = format!("/teams/{team}/{plural}");
            expect(&managed.call("POST", &path, Some(body)).await, 201);
        }
        publishers.push(managed.member(team, "paul", "publisher", both).await);
    }
    let [red, blue, default] = &publishers[..] else {
        panic!()
    };
    let token = issuer.sign(&issuer.claims().with_audience(["api"]).with_subject("alice"));
    let answers = async || {
        let mut answers = Vec::new();
        for team in ["red", "blue", "default"] {
            answers.push(
                managed
                    .node
                    .get_with(&format!("/{team}/x"), &token)
                    .await
                    .status,
            );
        }
        answers
    };
    assert_eq!(answers().await, [200, 200, 200]);
    let as_publisher = async |token: &str, method, path: &str, body: Option<Value>| {
        let mut asked = Asked::new(method, path).by(token);
        asked.body = body;
        managed.send(asked).await
    };
    let body = |issuer: &str| {
        Some(json!({ "kind": "subject", "issuer": issuer, "value": "alice", "expires_in": "1h" }))
    };
    let made = as_publisher(red, "POST", "/teams/red/revocations", body(&iss)).await;
    let location = made.head.field("location").unwrap().to_owned();
    let made = expect(&made, 201);
    let one = location.strip_prefix("/api/v1").unwrap();
    assert_eq!(answers().await, [401, 200, 200]);
    let listed = as_publisher(red, "GET", "/teams/red/revocations", None).await;
    assert_eq!(listed.json().unwrap()["items"], json!([made]));
    // Others neither see it nor take it back, and nobody revokes what is not theirs.
    let listed = as_publisher(blue, "GET", "/teams/blue/revocations", None).await;
    assert_eq!(listed.json().unwrap()["items"], json!([]));
    let of_blue = one.replace("/red/", "/blue/");
    for (token, method, path, body, status) in [
        (blue, "DELETE", of_blue.as_str(), None, 404),
        (blue, "DELETE", one, None, 404),
        (red, "POST", "/teams/blue/revocations", body(&iss), 404),
        (red, "POST", "/revocations", body(&iss), 403),
        (
            red,
            "POST",
            "/teams/red/revocations",
            body("https://other.example"),
            409,
        ),
        (
            red,
            "POST",
            "/teams/red/revocations",
            body("http://keyward.test"),
            409,
        ),
        (
            default,
            "POST",
            "/teams/default/revocations",
            body(&iss),
            403,
        ),
        (default, "GET", "/teams/default/revocations", None, 403),
    ] {
        let refused = as_publisher(token, method, path, body).await;
        assert_eq!(refused.status, status, "{method} {path} {}", refused.text());
    }
    assert_eq!(answers().await, [401, 200, 200]);
    expect(&as_publisher(red, "DELETE", one, None).await, 204);
    until("it is believed again", async || {
        answers().await == [200, 200, 200]
    })
    .await;
    // What an operator revokes is of the issuers that all share.
    expect(&managed.call("POST", "/revocations", body(&iss)).await, 201);
    assert_eq!(answers().await, [200, 200, 401]);
    let of_all = managed.get("/revocations").await["items"][0].clone();
    assert_eq!(
        (of_all["team"].as_str(), of_all["issuer_known"].as_bool()),
        (Some("default"), Some(true))
    );
    // An operator may know of an issuer that the node does not, and is told so.
    let elsewhere = body("https://elsewhere.example");
    for path in ["/revocations", "/teams/red/revocations"] {
        let made = managed.call("POST", path, elsewhere.clone()).await;
        let made = expect(&made, 201);
        assert_eq!(made["issuer_known"], false, "{made}");
    }
    // The command does the same, while the node runs.
    let revoke = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(["revoke", "subject", "alice", "--config", "keyward.yaml"])
            .args(arguments)
            .current_dir(managed.node.process.folder())
            .output()
            .unwrap()
    };
    for (arguments, code) in [
        (["--team", "nobodys", "--issuer", "own"], "unknown_team"),
        (["--team", "blue", "--issuer", "people"], "unknown_issuer"),
    ] {
        let refused = revoke(&arguments);
        assert!(!refused.status.success());
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains(code), "{told}");
    }
    let done = revoke(&["--team", "blue", "--issuer", "CN=Partners"]);
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && told.contains("warning"), "{told}");
    let done = revoke(&["--team", "blue", "--issuer", "own"]);
    assert!(done.status.success(), "{done:?}");
    until("the other team's is refused", async || {
        answers().await == [200, 401, 401]
    })
    .await;
}

/// Whoever comes to a team with a key of it, or a certificate that it takes, is refused by the team's own word too.
#[tokio::test]
async fn a_team_revokes_its_credentials_and_the_certificates_that_its_apis_take() {
    let managed = Managed::start(Plan::default().settings("trusted_proxies: [127.0.0.1]")).await;
    let both: &[&str] = &["read", "write"];
    let key = "a-key-that-both-teams-have-given-out";
    let mut publishers = Vec::new();
    for team in ["red", "blue"] {
        managed.team_at(team, &[&format!("/{team}")]).await;
        let api = json!({
            "name": "keyed", "version": "v1", "state": "published", "base_path": format!("/{team}"), "upstream": "back",
            "authentication": { "api_key": { "header": "x-api-key" } },
        });
        let card = json!({ "name": "card", "api_key": key, "subject": "bob" });
        for (plural, body) in [
            ("upstreams", back(&managed)),
            ("apis", api),
            ("credentials", card),
        ] {
            let path = format!("/teams/{team}/{plural}");
            expect(&managed.call("POST", &path, Some(body)).await, 201);
        }
        publishers.push(managed.member(team, "paul", "publisher", both).await);
    }
    let answers = async || {
        let headers = [("x-api-key", key)];
        let red = managed.node.get("/red/x", &headers).await.status;
        [red, managed.node.get("/blue/x", &headers).await.status]
    };
    assert_eq!(answers().await, [200, 200]);
    let revoke = async |issuer: &str| {
        let body = json!({ "kind": "subject", "issuer": issuer, "value": "bob" });
        let asked = Asked::new("POST", "/teams/red/revocations").by(&publishers[0]);
        managed.send(asked.body(body)).await
    };
    let made = expect(&revoke("urn:keyward:credentials").await, 201);
    assert_eq!(
        (made["team"].as_str(), answers().await),
        (Some("red"), [401, 200])
    );
    // Certificates, once an API of its takes them.
    check_problem(&revoke("CN=Partners").await, 409, "unfit");
    let certified = json!({
        "name": "certified", "version": "v1", "state": "draft", "base_path": "/red/certified", "upstream": "back",
        "authentication": { "mutual_tls": { "subject": "san_uri", "proxied": true } },
    });
    let path = "/teams/red/apis";
    expect(&managed.call("POST", path, Some(certified)).await, 201);
    expect(&revoke("CN=Partners").await, 201);
}
