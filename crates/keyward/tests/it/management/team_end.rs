//! The end of a team: what it has is in the way, or goes with it, and what it was stays known.

use super::{Asked, Managed, back, expect, open_api};
use crate::node::{Plan, check_problem};
use keyward_testkit::Answer;
use serde_json::{Value, json};

const BOTH: &[&str] = &["read", "write"];

async fn delete(managed: &Managed, path: &str, tag: &str) -> Answer {
    let asked = Asked::new("DELETE", path).by(&managed.token);
    managed.send(asked.header("if-match", tag)).await
}

/// A key that its callers show.
const KEY: &str = "a-key-of-red-that-is-long-enough";

/// An API that takes keys.
fn keyed_api(path: &str) -> Value {
    let mut api = open_api("keyed");
    api["base_path"] = json!(path);
    api["authentication"] = json!({ "api_key": { "header": "x-api-key" } });
    api
}

/// A team with something of each kind; its owner's token, and the team's entity tag.
async fn team(managed: &Managed, name: &str) -> (String, String) {
    managed.team_at(name, &[&format!("/{name}")]).await;
    let owner = managed.member(name, "olga", "owner", BOTH).await;
    let mut api = open_api("pay");
    api["base_path"] = json!(format!("/{name}"));
    for (plural, body) in [
        ("upstreams", back(managed)),
        ("apis", api),
        (
            "key-sets",
            json!({ "name": "keys", "purpose": "tokens", "issuer": "https://keys.example" }),
        ),
        (
            "webhooks",
            json!({ "name": "hook", "url": "https://hook.example/a", "enabled": false }),
        ),
        ("apis", keyed_api(&format!("/{name}/keyed"))),
        ("credentials", json!({ "name": "card", "api_key": KEY })),
    ] {
        let path = format!("/teams/{name}/{plural}");
        expect(&managed.call("POST", &path, Some(body)).await, 201);
    }
    let shown = managed.call("GET", &format!("/teams/{name}"), None).await;
    let tag = shown.head.field("etag").unwrap().to_owned();
    (owner, tag)
}

#[tokio::test]
async fn a_team_goes_with_all_that_it_has_where_that_is_said_and_its_name_is_free() {
    let managed = Managed::start(Plan::default()).await;
    let (owner, tag) = team(&managed, "red").await;
    let (other, _) = team(&managed, "blue").await;
    let set = managed
        .node
        .get("/.well-known/jwks.json/red/keys", &[])
        .await;
    assert_eq!(set.status, 200);
    assert_eq!(managed.node.get("/red/a", &[]).await.status, 200);
    let with_key = async || {
        let headers = [("x-api-key", KEY)];
        managed.node.get("/red/keyed/a", &headers).await.status
    };
    assert_eq!(with_key().await, 200);

    // What is in the way is told, of that team alone.
    let refused = delete(&managed, "/teams/red", &tag).await;
    check_problem(&refused, 409, "unfit");
    let detail = refused.json().unwrap()["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    for count in [
        "2 api",
        "1 credential",
        "1 key_set",
        "1 upstream",
        "1 webhook",
        "1 member",
        "1 token",
        "1 path",
        "2 key",
    ] {
        assert!(detail.contains(count), "{count}: {detail}");
    }
    for (path, tag, status) in [
        ("/teams/red?cascade=blue", tag.as_str(), 400),
        ("/teams/red?cascade=red", "\"t0\"", 412),
        ("/teams/default?cascade=default", "*", 409),
        ("/teams/nobodys?cascade=nobodys", "*", 404),
    ] {
        let refused = delete(&managed, path, tag).await;
        assert_eq!(refused.status, status, "{path} {}", refused.text());
    }
    let blind = managed.call("DELETE", "/teams/red?cascade=red", None).await;
    check_problem(&blind, 428, "precondition_required");
    let as_owner = Asked::new("DELETE", "/teams/red?cascade=red").by(&owner);
    check_problem(
        &managed.send(as_owner.header("if-match", "*")).await,
        403,
        "forbidden",
    );
    assert_eq!(managed.node.get("/red/a", &[]).await.status, 200);

    let before = managed.get("/revisions").await["items"][0]["revision"]
        .as_u64()
        .unwrap();
    let gone = delete(&managed, "/teams/red?cascade=red", &tag).await;
    expect(&gone, 204);
    // At once: its calls, its keys, its tokens, its name.
    assert_eq!(managed.node.get("/red/a", &[]).await.status, 404);
    let set = managed
        .node
        .get("/.well-known/jwks.json/red/keys", &[])
        .await;
    assert_eq!(set.status, 404);
    let asked = Asked::new("GET", "/me").by(&owner);
    assert_eq!(managed.send(asked).await.status, 401);
    for path in ["/teams/red", "/teams/red/apis", "/teams/red/audit"] {
        check_problem(&managed.call("GET", path, None).await, 404, "not_found");
    }
    let teams = managed.get("/teams").await;
    assert!(!teams.to_string().contains("red"), "{teams}");
    let other = Asked::new("GET", "/teams/blue/apis/pay:v1").by(&other);
    assert_eq!(managed.send(other).await.status, 200);
    // It is one revision, and told once.
    let newest = managed.get("/revisions").await["items"][0].clone();
    assert_eq!(newest["revision"], before + 1);
    assert_eq!(newest["summary"], "delete the team red");
    let path = format!("/revisions/{}", before + 1);
    let changes = managed.get(&path).await["changes"].clone();
    assert_eq!(changes.as_array().unwrap().len(), 5, "{changes}");
    let log = managed.get("/audit").await;
    let events = log["items"].as_array().unwrap();
    let of_credential = events
        .iter()
        .find(|event| event["action"] == "credentials.change");
    let change = &of_credential.unwrap()["detail"]["changes"][0];
    assert_eq!(change["name"], "card", "{log}");
    assert!(change.get("after").is_none(), "{change}");
    // The node may have made a key of its own meanwhile, which stands there too.
    let mut ends = events
        .iter()
        .filter(|event| event["action"] == "team.delete");
    let event = ends.next().unwrap();
    assert_eq!(event["object"], "team red");
    assert_eq!(event["detail"]["had"]["api"], 2);

    // The rest is put back without it, and says so.
    let back_to = format!("/revisions/{before}/rollback");
    let put_back = expect(&managed.call("POST", &back_to, None).await, 200);
    assert_eq!(put_back["put_back"], json!([]));
    assert_eq!(put_back["left_out"].as_array().unwrap().len(), 5);

    // A team of the same name is another.
    managed.team_at("red", &["/red"]).await;
    assert_eq!(managed.get("/teams/red/members").await["items"], json!([]));
    assert_eq!(
        managed.get("/teams/red/revisions").await["items"],
        json!([])
    );
    let asked = Asked::new("GET", "/me").by(&owner);
    assert_eq!(managed.send(asked).await.status, 401);
    check_problem(
        &delete(&managed, "/teams/red?cascade=red", &tag).await,
        412,
        "precondition_failed",
    );
    let shown = managed.call("GET", "/teams/red/paths", None).await;
    assert_eq!(shown.json().unwrap()["paths"], json!(["/red"]));
    for (plural, body) in [
        ("upstreams", back(&managed)),
        ("apis", keyed_api("/red/keyed")),
    ] {
        let path = format!("/teams/red/{plural}");
        expect(&managed.call("POST", &path, Some(body)).await, 201);
    }
    assert_eq!(with_key().await, 401);
}

/// What a call has made is known again by its key, and not in a team that only has the name of the one where it was made.
#[tokio::test]
async fn a_call_is_not_known_again_in_another_team_of_the_name() {
    let managed = Managed::start(Plan::default()).await;
    let create = async || {
        let asked = Asked::new("POST", "/teams/red/roles").by(&managed.token);
        let asked = asked.header("idempotency-key", "once");
        managed.send(asked.body(json!({ "name": "reader" }))).await
    };
    managed.team("red").await;
    let first = expect(&create().await, 201);
    assert_eq!(expect(&create().await, 201)["id"], first["id"]);
    expect(&delete(&managed, "/teams/red?cascade=red", "*").await, 204);
    managed.team("red").await;
    let made = expect(&create().await, 201);
    assert_ne!(made["id"], first["id"]);
    let shown = managed.get("/teams/red/roles/reader").await;
    assert_eq!(shown["id"], made["id"]);
}

/// Whoever is faster: what was acknowledged is there, or went with the team.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_while_a_team_goes_is_refused_or_goes_with_it() {
    let managed = Managed::start(Plan::default()).await;
    let (_, tag) = team(&managed, "red").await;
    let declaring = async {
        let mut answers = Vec::new();
        for number in 0..20 {
            let body = json!({ "name": format!("role-{number}") });
            let made = managed.call("POST", "/teams/red/roles", Some(body)).await;
            answers.push(made.status);
        }
        answers
    };
    let ending = delete(&managed, "/teams/red?cascade=red", &tag);
    let (answers, ended) = tokio::join!(declaring, ending);
    expect(&ended, 204);
    let made = answers.iter().filter(|status| **status == 201).count();
    assert!(
        answers.iter().all(|status| [201, 404].contains(status)),
        "{answers:?}"
    );
    let export = managed.get("/export").await;
    assert!(!export.to_string().contains("role-"), "{export}");
    let newest = managed.get("/audit").await;
    let mut events = newest["items"].as_array().unwrap().iter();
    let event: &Value = events
        .find(|event| event["action"] == "team.delete")
        .unwrap();
    let had = event["detail"]["had"]["role"].as_u64().unwrap_or(0);
    assert_eq!(had, u64::try_from(made).unwrap());
}
