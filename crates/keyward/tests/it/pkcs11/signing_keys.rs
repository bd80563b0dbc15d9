//! Signing keys in a token, which they never leave.

use super::token::SoftToken;
use super::{good, refused};
use crate::management::{Asked, Managed, back, expect};
use crate::node::{check_passed, check_problem};
use crate::python_peers::ask;
use keyward_testkit::until;
use serde_json::{Value, json};
use std::process::Command;

const ISSUER: &str = "https://payments.example";
const SET: &str = "/teams/default/key-sets/payments";

/// All that keys are made for in tokens.
const ALGORITHMS: [&str; 11] = [
    "ES256", "ES384", "ES512", "Ed25519", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384",
    "PS512",
];

/// A node with the token, and a key set in it whose tokens an API at `/paid` takes.
async fn paid(token: &SoftToken, more: Value) -> Managed {
    // Tokens are signed as often as they can be, by one member.
    let calls = "site: { calls: { requests: 1000000, per: 1m } }";
    let managed = Managed::start(token.plan().settings(calls)).await;
    declare(&managed, more).await;
    managed
}

async fn declare(managed: &Managed, more: Value) {
    managed.declare("upstreams", back(managed)).await;
    let mut set = json!({
        "name": "payments", "purpose": "tokens", "issuer": ISSUER, "keys_in": "pkcs11",
    });
    for (key, value) in more.as_object().unwrap() {
        set[key] = value.clone();
    }
    managed.declare("key-sets", set).await;
    let issuer = json!({ "name": "payments", "issuer": ISSUER, "key_set": "payments" });
    managed.declare("issuers", issuer).await;
    let api = json!({
        "name": "paid", "version": "v1", "state": "published", "base_path": "/paid", "upstream": "back",
        "authentication": { "issuers": ["payments"], "audience": "paid" },
    });
    managed.declare("apis", api).await;
}

async fn sign(managed: &Managed, algorithm: Option<&str>) -> keyward_testkit::Answer {
    let mut body = json!({ "claims": { "sub": "alice", "aud": "paid" } });
    if let Some(algorithm) = algorithm {
        body["algorithm"] = json!(algorithm);
    }
    managed
        .call("POST", &format!("{SET}/tokens"), Some(body))
        .await
}

async fn published(managed: &Managed) -> Vec<Value> {
    let path = "/.well-known/jwks.json/default/payments";
    let answer = managed.node.get(path, &[]).await;
    assert_eq!(answer.status, 200);
    let set = answer.json().unwrap();
    set["keys"].as_array().unwrap().clone()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {value}"))
}

async fn keys(managed: &Managed) -> Vec<Value> {
    let listed = managed.get(&format!("{SET}/keys?limit=500")).await;
    listed["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_algorithm_is_signed_in_the_token_and_verified_by_libraries_of_others() {
    let token = SoftToken::new();
    let algorithms = json!({ "algorithms": ALGORITHMS, "rotation": "manual" });
    let managed = paid(&token, algorithms).await;
    for algorithm in ALGORITHMS {
        let body = json!({ "algorithm": algorithm });
        let path = format!("{SET}/keys");
        let made = expect(&managed.call("POST", &path, Some(body)).await, 201);
        assert_eq!(
            (text(&made, "kept_in"), &made["algorithm"]),
            ("pkcs11", &json!(algorithm))
        );
        // The first key of a set signs at once; the others as soon as every copy of the set has them.
        if made["state"] == "published" {
            assert_eq!(managed.get(&path).await["items"][0]["state"], "active");
        }
    }
    // So each has a set of its own, to have signed with it now.
    let mut requests = Vec::new();
    for (number, algorithm) in ALGORITHMS.into_iter().enumerate() {
        let name = format!("one-{number}");
        let issuer = format!("https://{name}.example");
        let set = json!({
            "name": name, "purpose": "tokens", "issuer": issuer, "keys_in": "pkcs11", "algorithms": [algorithm],
        });
        managed.declare("key-sets", set).await;
        let set = format!("/teams/default/key-sets/{name}");
        let body = json!({ "claims": { "sub": "alice", "aud": "paid" } });
        let mut signed = Value::Null;
        until("the set has a key that signs", async || {
            let path = format!("{set}/tokens");
            let answer = managed.call("POST", &path, Some(body.clone())).await;
            signed = answer.json().unwrap_or_default();
            answer.status == 200
        })
        .await;
        let path = format!("/.well-known/jwks.json/default/{name}");
        let shown = managed.node.get(&path, &[]).await.json().unwrap();
        let mut keys = shown["keys"].as_array().unwrap().iter();
        let key = keys.find(|key| key["kid"] == signed["kid"]).unwrap();
        assert_eq!(key["alg"], algorithm);
        // PyJWT knows Ed25519 by its older name alone.
        let library = if algorithm == "Ed25519" {
            "joserfc"
        } else {
            "pyjwt"
        };
        requests.push(json!({
            "library": library, "do": "verify", "alg": algorithm, "key": key, "token": signed["token"],
            "issuer": issuer, "audience": "paid",
        }));
    }
    let answers = ask(&requests);
    assert!(
        answers.iter().all(|answer| answer.contains("alice")),
        "{answers:?}"
    );

    // In the token: those by hand, and of each set by itself the key that signs and the next.
    let mut listed = Vec::new();
    until("each set has its next key", async || {
        listed = token.private_keys();
        // One that two looks have made at once is destroyed again.
        listed.len() == 3 * ALGORITHMS.len()
    })
    .await;
    for key in listed {
        assert_eq!(
            key.access, "sensitive, always sensitive, never extractable, local",
            "{key:?}"
        );
        assert!(key.label.starts_with("keyward default/"), "{key:?}");
    }
    let quantum = json!({
        "name": "quantum", "purpose": "tokens", "issuer": "https://quantum.example", "algorithms": ["ML-DSA-65"],
        "keys_in": "pkcs11",
    });
    let sealed = json!({ "name": "sealed", "purpose": "encryption", "keys_in": "pkcs11" });
    for (set, why) in [
        (quantum, "are made in a token"),
        (sealed, "keys in a token sign, and decrypt nothing here"),
    ] {
        let unfit = managed
            .call("POST", "/teams/default/key-sets", Some(set))
            .await;
        check_problem(&unfit, 422, "invalid");
        assert!(unfit.text().contains(why), "{}", unfit.text());
    }
}

#[tokio::test]
async fn a_token_makes_the_next_key_by_schedule_and_destroys_the_one_that_is_withdrawn() {
    let token = SoftToken::new();
    let managed = paid(
        &token,
        json!({ "rotation": "2s", "publish_before": "1s", "max_age": "1s", "token_life": "1s" }),
    )
    .await;
    let mut kids = std::collections::BTreeSet::new();
    until("three keys have signed", async || {
        let answer = sign(&managed, None).await;
        if answer.status != 200 {
            return false;
        }
        let signed = expect(&answer, 200);
        kids.insert(text(&signed, "kid").to_owned());
        check_passed(
            &managed
                .node
                .get_with("/paid/x", text(&signed, "token"))
                .await,
        );
        kids.len() >= 3
    })
    .await;
    let slow = json!({ "rotation": "90d" });
    let path = "/teams/default/key-sets/payments";
    let current = managed.call("GET", path, None).await;
    let tag = current.head.field("etag").unwrap().to_owned();
    let changed = Asked::new("PATCH", path)
        .by(&managed.token)
        .header("if-match", &tag)
        .body(slow);
    expect(&managed.send(changed).await, 200);
    let signs = |keys: &[Value]| {
        let mut active = keys.iter().filter(|key| key["state"] == "active");
        active.next().map(|key| text(key, "kid").to_owned())
    };
    let listed = keys(&managed).await;
    let active = signs(&listed).unwrap();
    let withdraw = format!("{SET}/keys/{active}/withdraw");
    let withdrawn = expect(&managed.call("POST", &withdraw, None).await, 200);
    assert_eq!(
        (&withdrawn["state"], &withdrawn["kept_in"]),
        (&json!("withdrawn"), &Value::Null)
    );
    // What the token holds is what the rows name: not the withdrawn one, and nothing that was made for nothing.
    until("the token holds what is of use", async || {
        let listed = keys(&managed).await;
        let kept = listed.iter().filter(|key| key["kept_in"] == "pkcs11");
        token.private_keys().len() == kept.count()
    })
    .await;
    let audit = managed.get("/audit?limit=500").await;
    let mut events = audit["items"].as_array().unwrap().iter();
    let destroyed =
        events.any(|event| event["action"] == "key.destroy" && event.to_string().contains(&active));
    assert!(destroyed, "{audit}");
    assert_eq!(managed.get("/audit/verify").await["intact"], true);
}

#[tokio::test]
async fn keys_in_a_token_are_certified_and_never_brought_in() {
    let token = SoftToken::new();
    let algorithms = ["ES256", "ES512", "PS256", "Ed25519"];
    let managed = paid(&token, json!({ "algorithms": algorithms })).await;
    until("the set has its keys", async || {
        keys(&managed).await.len() == 2 * algorithms.len()
    })
    .await;
    for key in keys(&managed).await {
        let path = format!("{SET}/keys/{}", text(&key, "kid"));
        let subject = json!({ "common_name": "payments", "dns_names": ["payments.example"] });
        let request = format!("{path}/certificate-request");
        let request = expect(&managed.call("POST", &request, Some(subject)).await, 200);
        let file = managed.node.process.folder().join("request.pem");
        std::fs::write(&file, text(&request, "pem")).unwrap();
        let verified = Command::new("openssl")
            .args(["req", "-verify", "-noout", "-in"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(verified.status.success(), "{key}: {verified:?}");
    }
    let path = format!("{SET}/keys");
    let algorithm = keyward_jose::Algorithm::Signature(keyward_jose::SignatureAlgorithm::Es256);
    let mine = keyward_jose::Key::generate(algorithm, None).unwrap();
    let private = mine.to_jwk(keyward_jose::key::Part::Private).unwrap();
    let private: Value = serde_json::from_str(&private).unwrap();
    let body = json!({ "algorithm": "ES256", "private_jwk": private });
    let brought = managed.call("POST", &path, Some(body)).await;
    check_problem(&brought, 422, "invalid");
    assert!(
        brought.text().contains("never leave it"),
        "{}",
        brought.text()
    );
}

#[tokio::test]
async fn while_the_token_is_away_all_is_verified_and_nothing_signed_and_it_comes_back_by_itself() {
    let token = SoftToken::new();
    let managed = paid(&token, json!({ "rotation": "90d" })).await;
    let mut signed = Value::Null;
    until("the set has a key that signs, and the next", async || {
        let answer = sign(&managed, None).await;
        signed = answer.json().unwrap_or_default();
        answer.status == 200 && published(&managed).await.len() == 2
    })
    .await;
    let pass = async || {
        check_passed(
            &managed
                .node
                .get_with("/paid/x", text(&signed, "token"))
                .await,
        );
        assert_eq!(published(&managed).await.len(), 2);
    };
    for _ in 0..2 {
        token.take_away();
        let answer = sign(&managed, None).await;
        check_problem(&answer, 503, "unavailable");
        // What the module says is the operator's to know.
        assert!(!answer.text().contains("CKR_") && !answer.text().contains("keyward\""));
        pass().await;
        let made = managed
            .call("POST", &format!("{SET}/keys"), Some(json!({})))
            .await;
        check_problem(&made, 503, "unavailable");
        token.put_back();
        until("it signs again", async || {
            sign(&managed, None).await.status == 200
        })
        .await;
        pass().await;
    }
    let log = managed.node.process.log();
    assert!(log.contains("code=\"pkcs11_key_absent\""), "{log}");
    // The key that could not be made left nothing behind.
    assert_eq!(token.private_keys().len(), keys(&managed).await.len());
}

#[tokio::test]
async fn a_key_that_the_token_has_no_more_is_shown_as_missing_until_it_is_withdrawn() {
    let token = SoftToken::new();
    let mut managed = paid(&token, json!({ "rotation": "manual" })).await;
    let path = format!("{SET}/keys");
    let made = managed.call("POST", &path, Some(json!({}))).await;
    let made = made.json().unwrap();
    assert_eq!(made["missing"], false, "{made}");
    let listed = token.tool(&["--list-objects", "--type", "privkey"]);
    let mut lines = listed.lines().map(str::trim);
    let id = lines.find_map(|line| line.strip_prefix("ID:")).unwrap();
    token.tool(&["--delete-object", "--type", "privkey", "--id", id.trim()]);
    managed.node.process.restart().await;
    until("it is missed", async || {
        keys(&managed).await.first().unwrap()["missing"] == true
    })
    .await;
    check_problem(&sign(&managed, None).await, 503, "unavailable");
    let log = managed.node.process.log();
    assert!(log.contains("nothing can be signed with it"), "{log}");
    let kid = text(&made, "kid");
    let withdrawn = managed
        .call("POST", &format!("{path}/{kid}/withdraw"), Some(json!({})))
        .await;
    assert_eq!(withdrawn.status, 200, "{}", withdrawn.text());
    let answer = managed.call("POST", &path, Some(json!({}))).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(keys(&managed).await.last().unwrap()["missing"], false);
}

#[tokio::test]
async fn a_node_that_is_given_no_token_shows_and_verifies_and_says_why_it_does_not_sign() {
    let token = SoftToken::new();
    let mut managed = paid(&token, json!({ "rotation": "90d" })).await;
    let mut signed = Value::Null;
    until("the set has a key that signs, and the next", async || {
        let answer = sign(&managed, None).await;
        signed = answer.json().unwrap_or_default();
        answer.status == 200 && published(&managed).await.len() == 2
    })
    .await;
    let before = published(&managed).await;
    let configuration = managed.node.process.folder().join("keyward.yaml");
    let text_before = std::fs::read_to_string(&configuration).unwrap();
    std::fs::write(&configuration, text_before.replace(&token.settings(), "")).unwrap();
    managed.node.process.restart().await;
    assert_eq!(published(&managed).await, before);
    check_passed(
        &managed
            .node
            .get_with("/paid/x", text(&signed, "token"))
            .await,
    );
    check_problem(&sign(&managed, None).await, 503, "unavailable");
    let path = format!("{SET}/keys");
    let made = managed.call("POST", &path, Some(json!({}))).await;
    check_problem(&made, 503, "unavailable");
    assert!(
        made.text().contains("this node has none"),
        "{}",
        made.text()
    );
    std::fs::write(&configuration, text_before).unwrap();
    managed.node.process.restart().await;
    assert_eq!(sign(&managed, None).await.status, 200);
}

#[tokio::test]
async fn a_wrong_pin_stops_no_node_and_is_tried_once_however_often_a_key_is_wanted() {
    let token = SoftToken::new();
    let wrong = token.settings_with_a_wrong_pin();
    let managed = Managed::start(token.plan_with(&wrong)).await;
    declare(&managed, json!({ "rotation": "90d" })).await;
    for _ in 0..3 {
        let made = managed
            .call("POST", &format!("{SET}/keys"), Some(json!({})))
            .await;
        check_problem(&made, 503, "unavailable");
    }
    until(
        "the node has tried to make the keys more than once",
        async || {
            managed
                .node
                .process
                .log()
                .matches("pkcs11_pin_refused")
                .count()
                >= 2
        },
    )
    .await;
    assert_eq!(token.logins(), 1);
    let log = managed.node.process.log();
    assert!(!log.contains(super::token::WRONG_PIN), "{log}");
    let folder = managed.node.process.folder();
    let made = refused(&token, &folder, &["keys", "make-master", "--label", "mine"]);
    assert!(made.contains("[pkcs11_pin_refused]"), "{made}");
}

#[tokio::test]
async fn a_wrong_pin_is_tried_once_by_eight_who_want_it_at_the_same_time() {
    let token = SoftToken::new();
    let mut managed = paid(&token, json!({ "rotation": "90d" })).await;
    until("the set has a key that signs, and the next", async || {
        sign(&managed, None).await.status == 200 && published(&managed).await.len() == 2
    })
    .await;
    let configuration = managed.node.process.folder().join("keyward.yaml");
    let text = std::fs::read_to_string(&configuration).unwrap();
    let wrong = token.settings_with_a_wrong_pin();
    std::fs::write(&configuration, text.replace(&token.settings(), &wrong)).unwrap();
    // The node itself looks whether the token has its keys, at the same time or just before.
    managed.node.process.restart().await;
    let one = || sign(&managed, None);
    let answers = tokio::join!(one(), one(), one(), one(), one(), one(), one(), one());
    let answers: [_; 8] = answers.into();
    for answer in answers {
        check_problem(&answer, 503, "unavailable");
    }
    assert_eq!(token.logins(), 1);
}

#[tokio::test]
async fn the_keys_of_self_that_sign_are_in_the_token_where_the_node_says_so() {
    let token = SoftToken::new();
    let mut managed = Managed::start(token.plan_with(&token.settings_with_own_keys())).await;
    // ES256 and RS256, each with its successor.
    assert_eq!(token.private_keys().len(), 4);
    assert_eq!(managed.get("/me").await["name"], "root");
    let listed = managed.get("/teams/default/key-sets/self/keys").await;
    for key in listed["items"].as_array().unwrap() {
        let place = if key["purpose"] == "sign" {
            "pkcs11"
        } else {
            "database"
        };
        assert_eq!(key["kept_in"], place, "{key}");
    }
    managed.member("default", "ada", "auditor", &["read"]).await;
    token.take_away();
    // Managers go on managing; no new token is made, and no row for one.
    let path = "/teams/default/tokens";
    let body = json!({ "member": "ada", "scopes": ["read"] });
    let refused = managed.call("POST", path, Some(body)).await;
    check_problem(&refused, 503, "unavailable");
    let tokens = managed.get(path).await;
    let of_ada = tokens["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["member"] == "ada");
    assert_eq!(of_ada.count(), 1);
    // And a node starts without the token, for its master key is not there.
    managed.node.process.restart().await;
    assert_eq!(managed.get("/me").await["name"], "root");
    token.put_back();
    good(&token, &managed.node.process.folder(), &["audit", "verify"]);
}
