//! Teams: none learns of another's.

use super::{Asked, Managed, back, expect, open_api};
use crate::node::{Plan, check_problem};
use keyward_model::{Clock as _, SystemClock};
use keyward_testkit::Answer;
use serde_json::{Value, json};

/// A deployment with the teams `red` and `blue`, each with what a team can have; the token is an owner's of `red`.
async fn two_teams() -> (Managed, String) {
    let managed = Managed::start(Plan::default()).await;
    managed.team_at("red", &["/red"]).await;
    managed.team_at("blue", &["/hidden"]).await;
    let owner = managed
        .member("red", "rita", "owner", &["read", "write"])
        .await;
    managed
        .member("blue", "boris", "owner", &["read", "write"])
        .await;
    for (plural, body) in [
        ("upstreams", back(&managed)),
        ("apis", open_api("hidden")),
        (
            "issuers",
            json!({ "name": "hidden", "issuer": "https://hidden.example", "jwks": { "url": "https://hidden.example/keys" } }),
        ),
        (
            "credentials",
            json!({ "name": "hidden", "username": "hidden", "password": "0123456789abcdef0123456789abcdef" }),
        ),
        (
            "roles",
            json!({ "name": "hidden", "given_to": [{ "issuer": "hidden", "subjects": ["a"] }] }),
        ),
        (
            "key-sets",
            json!({ "name": "hidden", "purpose": "tokens", "issuer": "https://keys.hidden.example" }),
        ),
        (
            "webhooks",
            json!({ "name": "hidden", "url": "https://hidden.example/hook" }),
        ),
        (
            "providers",
            json!({ "name": "hidden", "catalogue": "openai", "credentials": [{ "key": "sk-hidden" }] }),
        ),
        (
            "models",
            json!({ "name": "hidden", "targets": [{ "provider": "hidden", "model": "gpt-5" }] }),
        ),
        (
            "prompts",
            json!({
                "name": "hidden", "version": "v1", "state": "published", "model": "hidden",
                "messages": [{ "role": "user", "text": "hidden" }],
            }),
        ),
        (
            "revocations",
            json!({ "kind": "subject", "issuer": "https://hidden.example", "value": "hidden", "expires_in": "1h" }),
        ),
        (
            "access-policies",
            json!({ "name": "hidden", "cedar": "permit(principal, action, resource);" }),
        ),
        (
            "management-roles",
            json!({ "name": "hidden", "cedar": "permit(principal, action, resource);" }),
        ),
    ] {
        let path = format!("/teams/blue/{plural}");
        expect(&managed.call("POST", &path, Some(body)).await, 201);
    }
    (managed, owner)
}

/// Two answers that nobody can tell apart, but for their request's id and the time.
#[track_caller]
fn check_alike(one: &Answer, other: &Answer, what: &str) {
    let body = |answer: &Answer| {
        let mut body = answer.json().unwrap_or(Value::Null);
        if let Some(members) = body.as_object_mut() {
            members.remove("request_id");
        }
        body
    };
    assert_eq!(
        (one.status, body(one)),
        (other.status, body(other)),
        "{what}"
    );
}

/// Every endpoint of the document, from the other team: what is hidden answers as what is not there.
#[tokio::test]
async fn no_endpoint_tells_one_team_of_another_s() {
    let (managed, owner) = two_teams().await;
    let document = managed.get("/openapi.json").await;
    let of_blue = managed.get("/teams/blue/tokens").await;
    let token = of_blue["items"][0]["id"].as_str().unwrap().to_owned();
    let keys = managed.get("/teams/blue/key-sets/hidden/keys").await;
    let kid = keys["items"][0]["kid"].as_str().unwrap().to_owned();
    let revocations = managed.get("/teams/blue/revocations").await;
    let revocation = revocations["items"][0]["id"].as_str().unwrap().to_owned();
    let revisions = managed.get("/teams/blue/revisions").await;
    let revision = revisions["items"][0]["revision"].to_string();
    let (mut asked, mut unseen) = (0, Vec::new());
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/api/v1").unwrap();
        if !path.contains("{team}") {
            continue;
        }
        let of_prompt = path.contains("/prompts/") && !path.ends_with("/trial");
        let key = if path.contains("/apis/") || of_prompt {
            "hidden:v1"
        } else if path.contains("/upstreams/") {
            "back"
        } else {
            "hidden"
        };
        let at = |team: &str| {
            path.replace("{team}", team)
                .replace("{key}", key)
                .replace("{member}", "boris")
                .replace("{token}", &token)
                .replace("{revision}", &revision)
                .replace("{kid}", &kid)
                .replace("{revocation}", &revocation)
        };
        assert!(
            !at("blue").contains('{'),
            "{path}: what is hidden there is to be named"
        );
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            let call = |team: &'static str, token: String| {
                let managed = &managed;
                let mut asked = Asked::new(&method, at(team)).header("if-match", "*");
                if operation.get("requestBody").is_some() {
                    asked = asked.body(json!({}));
                }
                async move { managed.send(asked.by(&token)).await }
            };
            let hidden = call("blue", owner.clone()).await;
            let nothing = call("nobodys", owner.clone()).await;
            let what = format!("{method} {path}");
            if method == "GET" && !path.ends_with("/events") {
                // There is something to be hidden: who may see it does.
                let seen = managed.call("GET", &at("blue"), None).await;
                if seen.status != 200 {
                    unseen.push(format!("{what} {}", seen.status));
                }
            }
            check_problem(&hidden, 404, "not_found");
            check_alike(&hidden, &nothing, &what);
            asked += 1;
        }
    }
    assert!(asked > 40, "{asked}");
    assert_eq!(unseen, [""; 0]);
}

#[tokio::test]
async fn lists_exports_and_conflicts_tell_nothing_of_another_team() {
    let (managed, owner) = two_teams().await;
    let as_rita = |method, path: &str, body: Option<Value>| {
        let mut asked = Asked::new(method, path).by(&owner);
        asked.body = body;
        managed.send(asked)
    };
    let told = |answer: &Answer| answer.text();
    for path in ["/teams", "/export", "/export?team=blue", "/me"] {
        let answer = as_rita("GET", path, None).await;
        assert_eq!(answer.status, 200, "{path}");
        for secret in ["blue", "hidden", "boris"] {
            assert!(!told(&answer).contains(secret), "{path}: {}", told(&answer));
        }
    }
    for path in ["/revisions", "/audit", "/audit/verify", "/revisions/1"] {
        check_problem(&as_rita("GET", path, None).await, 403, "forbidden");
    }
    // The same names are free in each team.
    for (plural, mut body) in [
        ("upstreams", back(&managed)),
        (
            "issuers",
            json!({ "name": "hidden", "issuer": "https://other.example", "jwks": { "url": "https://other.example/keys" } }),
        ),
        (
            "credentials",
            json!({ "name": "hidden", "username": "hidden", "password": "0123456789abcdef0123456789abcdef" }),
        ),
        ("apis", open_api("hidden")),
    ] {
        if plural == "apis" {
            body["base_path"] = json!("/red");
        }
        let path = format!("/teams/red/{plural}");
        expect(&as_rita("POST", &path, Some(body)).await, 201);
    }
    assert_eq!(managed.node.get("/red/a", &[]).await.status, 200);
    // What another team has can't be used either.
    let mut borrowed = open_api("borrowed");
    borrowed["base_path"] = json!("/red/borrowed");
    borrowed["authentication"] = json!({ "issuers": ["boris-issuer"], "audience": "x" });
    let answer = as_rita("POST", "/teams/red/apis", Some(borrowed)).await;
    check_problem(&answer, 409, "unfit");
    let apply =
        |team: &str| json!({ "resources": [{ "kind": "role", "team": team, "name": "r" }] });
    let hidden = as_rita("POST", "/apply", Some(apply("blue"))).await;
    let nothing = as_rita("POST", "/apply", Some(apply("nobodys"))).await;
    check_problem(&hidden, 404, "not_found");
    check_alike(&hidden, &nothing, "apply");
    let history = as_rita("GET", "/teams/red/revisions", None).await;
    assert!(!told(&history).contains("blue"), "{}", told(&history));
    assert_eq!(
        history.json().unwrap()["items"].as_array().unwrap().len(),
        3
    );
}

/// What the database has of the team `default` is that team's, and what the node's file has is everybody's.
#[tokio::test]
async fn a_publisher_of_default_gets_into_no_other_team_s_apis() {
    let key = keyward_jose::Key::generate(
        keyward_jose::Algorithm::Signature(keyward_jose::SignatureAlgorithm::Es256),
        None,
    )
    .unwrap();
    let public = keyward_jose::JwkSet::from_keys([key.clone()]).unwrap();
    let public = public.to_json(keyward_jose::key::Part::Public).unwrap();
    let plan = Plan::default().resource(format!(
        "- {{ kind: issuer, name: corp, issuer: https://corp.example, jwks: {} }}\n- {{ kind: role, name: shared, given_to: [ {{ issuer: corp, subjects: [alice] }} ] }}",
        public.as_str()
    ));
    let managed = Managed::start(plan).await;
    managed.team_at("red", &["/red"]).await;
    let both: &[&str] = &["read", "write"];
    let publisher = managed.member("default", "paul", "publisher", both).await;
    let post = async |token: &str, path: &str, body: Value| {
        let asked = Asked::new("POST", path).by(token).body(body);
        managed.send(asked).await
    };
    let root = managed.token.clone();
    expect(
        &post(&root, "/teams/red/upstreams", back(&managed)).await,
        201,
    );
    for (name, role) in [("guarded", "admin"), ("common", "shared")] {
        let api = json!({
            "name": name, "version": "v1", "state": "published", "base_path": format!("/red/{name}"),
            "upstream": "back", "authentication": { "issuers": ["corp"], "audience": "red" },
            "authorization": { "roles": [role] },
        });
        let admin =
            json!({ "name": "admin", "given_to": [{ "issuer": "corp", "subjects": ["bob"] }] });
        if role == "admin" {
            expect(&post(&root, "/teams/red/roles", admin).await, 201);
        }
        expect(&post(&root, "/teams/red/apis", api).await, 201);
    }
    // Whoever publishes in `default` says that eve is an admin, by the same name and by one that includes it.
    for role in [
        json!({ "name": "admin", "given_to": [{ "issuer": "corp", "subjects": ["eve"] }] }),
        json!({ "name": "other", "given_to": [{ "issuer": "corp", "subjects": ["eve"] }], "includes": ["admin"] }),
    ] {
        expect(&post(&publisher, "/teams/default/roles", role).await, 201);
    }
    let signer =
        keyward_jose::LocalSigner::new(&key, keyward_jose::SignatureAlgorithm::Es256).unwrap();
    let soon = SystemClock::new().now().as_seconds() + 600;
    let token = |subject: &str| {
        let claims = keyward_jose::jwt::Claims::new()
            .with_issuer("https://corp.example")
            .with_subject(subject)
            .with_audience(["red"])
            .with_expiry(keyward_jose::NumericDate(soon));
        keyward_jose::jwt::sign(&claims, &signer, "at+jwt").unwrap()
    };
    for (path, subject, status) in [
        ("/red/guarded/a", "bob", 200),
        ("/red/guarded/a", "eve", 403),
        ("/red/common/a", "alice", 200),
        ("/red/common/a", "eve", 403),
    ] {
        let called = managed.node.get_with(path, &token(subject)).await;
        assert_eq!(called.status, status, "{path} {subject}");
    }
    // Nor can another team name what `default` has in the database, or learn that it has it.
    let named = async |role: &str| {
        let body = json!({ "name": "mine", "includes": [role] });
        post(&root, "/teams/red/roles", body).await
    };
    let (there, nowhere) = (named("other").await, named("no-such").await);
    check_problem(&there, 409, "unfit");
    let text = |answer: &Answer, name: &str| {
        let detail = answer.json().unwrap()["detail"]
            .as_str()
            .unwrap()
            .to_owned();
        detail.replace(name, "NAME")
    };
    assert_eq!(text(&there, "other"), text(&nowhere, "no-such"));
    expect(&named("shared").await, 201);
}

/// Of two administrators who have read the same, the second does not undo what the first did.
#[tokio::test]
async fn changes_of_members_and_paths_are_not_lost() {
    let managed = Managed::start(Plan::default()).await;
    managed.team_at("red", &["/red"]).await;
    managed.member("red", "rita", "owner", &["read"]).await;
    for (path, first, second, more) in [
        (
            "/teams/red/members/rita",
            json!({ "roles": ["auditor"] }),
            json!({ "roles": ["publisher"] }),
            true,
        ),
        (
            "/teams/red/paths",
            json!({ "paths": ["/red", "/first"] }),
            json!({ "paths": ["/red", "/second"] }),
            false,
        ),
    ] {
        let read = managed.call("GET", path, None).await;
        let tag = read.head.field("etag").unwrap().to_owned();
        let put = |tag: &str, body: &Value| {
            let asked = Asked::new("PUT", path).by(&managed.token);
            managed.send(asked.header("if-match", tag).body(body.clone()))
        };
        let changed = put(&tag, &first).await;
        expect(&changed, 200);
        let newer = changed.head.field("etag").unwrap().to_owned();
        assert_ne!(newer, tag, "{path}");
        check_problem(&put(&tag, &second).await, 412, "precondition_failed");
        let now = managed.call("GET", path, None).await;
        assert_eq!(now.head.field("etag"), Some(&*newer), "{path}");
        expect(&put(&newer, &second).await, 200);
        expect(&put("*", &first).await, 200);
        if more {
            let delete = |tag: &str| {
                let asked = Asked::new("DELETE", path).by(&managed.token);
                managed.send(asked.header("if-match", tag))
            };
            check_problem(&delete(&tag).await, 412, "precondition_failed");
            expect(&delete(&newer).await, 204);
            // Whoever is none has nothing that could still be so.
            check_problem(&put("*", &first).await, 412, "precondition_failed");
        }
    }
}
