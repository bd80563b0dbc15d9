//! The history: what each revision did, what lies between two, and the way back.

use super::{Asked, Managed, back, expect, open_api};
use crate::node::{Plan, check_problem};
use serde_json::{Value, json};

fn changes(answer: &Value) -> Vec<String> {
    let all = answer["changes"].as_array().unwrap().iter();
    all.map(|change| {
        format!(
            "{} {}",
            change["action"].as_str().unwrap(),
            change["name"].as_str().unwrap()
        )
    })
    .collect()
}

#[tokio::test]
async fn revisions_are_compared_and_rolled_back_with_one_call() {
    let managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    let reasoned = Asked::new("POST", "/teams/default/apis")
        .by(&managed.token)
        .header("change-reason", "the first one")
        .body(open_api("one"));
    expect(&managed.send(reasoned).await, 201);
    managed.declare("apis", open_api("two")).await;
    let moved = Asked::new("PATCH", "/teams/default/apis/one:v1")
        .by(&managed.token)
        .header("if-match", "*")
        .body(json!({ "base_path": "/moved" }));
    expect(&managed.send(moved).await, 200);

    let listed = managed.get("/revisions").await;
    let summaries: Vec<&str> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["summary"].as_str().unwrap())
        .collect();
    assert_eq!(
        summaries,
        [
            "change api one:v1",
            "create api two:v1",
            "create api one:v1",
            "create upstream back"
        ]
    );
    let second = managed.get("/revisions/2").await;
    assert_eq!(
        (second["actor"].as_str(), second["reason"].as_str()),
        (Some("root"), Some("the first one"))
    );
    assert_eq!(changes(&second), ["create one"]);
    let page = managed.get("/revisions?limit=3").await;
    let next = page["next"].as_str().unwrap();
    let rest = managed
        .get(&format!("/revisions?limit=3&cursor={next}"))
        .await;
    assert_eq!(rest["items"][0]["revision"], 1);

    let compared = managed.get("/revisions/2/compare").await;
    assert_eq!(changes(&compared), ["change one", "create two"]);
    let change = &compared["changes"][0];
    assert_eq!(
        (
            change["before"]["base_path"].as_str(),
            change["after"]["base_path"].as_str()
        ),
        (Some("/one"), Some("/moved"))
    );
    let backwards = managed.get("/revisions/4/compare?with=2").await;
    assert_eq!(changes(&backwards), ["change one", "delete two"]);
    check_problem(
        &managed.call("GET", "/revisions/9/compare", None).await,
        404,
        "not_found",
    );
    check_problem(
        &managed.call("GET", "/revisions/9", None).await,
        404,
        "not_found",
    );

    for (path, status) in [("/one/a", 404), ("/two/a", 200)] {
        assert_eq!(managed.node.get(path, &[]).await.status, status, "{path}");
    }
    let dry = managed
        .call("POST", "/revisions/2/rollback?dry_run=true", None)
        .await;
    assert_eq!(expect(&dry, 200)["put_back"], json!(["one:v1", "two:v1"]));
    let done = managed.call("POST", "/revisions/2/rollback", None).await;
    assert_eq!(
        expect(&done, 200),
        json!({ "revision": 5, "put_back": ["one:v1", "two:v1"], "left_out": [] })
    );
    // Served at once: the one is where it was, the other is gone.
    for (path, status) in [("/one/a", 200), ("/two/a", 404)] {
        assert_eq!(managed.node.get(path, &[]).await.status, status, "{path}");
    }
    // Nothing is left to be put back, and no revision is made for it.
    let again = managed.call("POST", "/revisions/2/rollback", None).await;
    assert_eq!(
        expect(&again, 200),
        json!({ "revision": 5, "put_back": [], "left_out": [] })
    );
    // The way back is a revision like any other.
    let undone = managed.call("POST", "/revisions/4/rollback", None).await;
    assert_eq!(expect(&undone, 200)["revision"], 6);
    assert_eq!(managed.node.get("/two/a", &[]).await.status, 200);
    assert_eq!(managed.get("/audit/verify").await["intact"], true);
}

#[tokio::test]
async fn a_rollback_takes_legal_steps_and_brings_no_key_back() {
    let managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    managed.declare("apis", open_api("one")).await;
    let key = json!({ "name": "leaked", "api_key": "a-key-that-somebody-has-found-by-now" });
    managed.declare("credentials", key).await;
    let change = |method: &'static str, path: &'static str, body: Option<Value>| {
        let mut asked = Asked::new(method, path)
            .by(&managed.token)
            .header("if-match", "*");
        asked.body = body;
        managed.send(asked)
    };
    let gone = change("DELETE", "/teams/default/credentials/leaked", None).await;
    assert_eq!(gone.status, 204);
    let moved = json!({ "base_path": "/moved" });
    expect(
        &change("PATCH", "/teams/default/apis/one:v1", Some(moved)).await,
        200,
    );

    let path = "/teams/default/credentials/leaked";
    let done = managed.call("POST", "/revisions/2/rollback", None).await;
    assert_eq!(expect(&done, 200)["put_back"], json!(["one:v1"]));
    // Keys have no revisions: whatever was taken away may have been known to somebody.
    assert_eq!(managed.call("GET", path, None).await.status, 404);

    let retired = json!({ "state": "retired" });
    expect(
        &change("PATCH", "/teams/default/apis/one:v1", Some(retired)).await,
        200,
    );
    let refused = managed.call("POST", "/revisions/2/rollback", None).await;
    check_problem(&refused, 422, "invalid");
    let problem = refused.json().unwrap();
    assert_eq!(problem["errors"][0]["member"], "resource:api/one:v1/state");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("api `one:v1`: "), "{detail}");
}

#[tokio::test]
async fn every_change_stands_in_the_audit_log_with_who_from_where_and_what() {
    let managed = Managed::start(Plan::default()).await;
    let made = managed
        .call("POST", "/teams/default/upstreams", Some(back(&managed)))
        .await;
    let request_id = made.head.field("request-id").unwrap().to_owned();
    expect(&made, 201);
    let events = managed.get("/audit").await;
    // Of what the node does by itself there may be more.
    let mut events = events["items"].as_array().unwrap().iter();
    let event = events.find(|event| event["actor"] == "root").unwrap();
    assert_eq!(
        (event["actor"].as_str(), event["action"].as_str()),
        (Some("root"), Some("configuration.change"))
    );
    assert_eq!(event["detail"]["request_id"], request_id);
    assert_eq!(event["detail"]["address"], "127.0.0.1");
    let change = &event["detail"]["changes"][0];
    assert_eq!(
        (change["kind"].as_str(), change.get("before")),
        (Some("upstream"), None)
    );
    assert_eq!(change["after"]["name"], "back");
    managed.team("blue").await;
    let of_blue = managed.get("/teams/blue/audit").await;
    let actions: Vec<&Value> = of_blue["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["action"])
        .collect();
    assert_eq!(actions, ["team.create"]);
    assert_eq!(managed.get("/audit/verify").await["intact"], true);
}

/// A change of several teams at once tells none of them of the others: neither how many, nor why.
#[tokio::test]
async fn a_team_s_history_tells_of_its_own_changes_alone() {
    let managed = Managed::start(Plan::default()).await;
    for team in ["red", "blue"] {
        managed.team(team).await;
    }
    let role = |team: &str, name: &str| json!({ "kind": "role", "team": team, "name": name });
    let apply = |resources: Vec<Value>| {
        let asked = Asked::new("POST", "/apply")
            .by(&managed.token)
            .header("change-reason", "blue pays late");
        managed.send(asked.body(json!({ "resources": resources })))
    };
    let mixed = vec![role("red", "a"), role("blue", "a"), role("blue", "b")];
    expect(&apply(mixed).await, 200);
    let told = async |base: &str| {
        let listed = managed.get(&format!("{base}/revisions")).await;
        let newest = listed["items"][0].clone();
        let text = |key: &str| newest[key].as_str().unwrap().to_owned();
        (text("summary"), text("reason"))
    };
    let of = |summary: &str, reason: &str| (summary.to_owned(), reason.to_owned());
    assert_eq!(told("").await, of("apply 3 resources", "blue pays late"));
    assert_eq!(told("/teams/red").await, of("apply 1 resource", ""));
    assert_eq!(told("/teams/blue").await, of("apply 2 resources", ""));
    let shown = managed.get("/teams/red/revisions/1").await;
    assert_eq!(changes(&shown), ["create a"]);
    for path in [
        "/teams/red/revisions/1",
        "/teams/red/audit",
        "/teams/red/revisions/0/compare",
    ] {
        let text = managed.get(path).await.to_string();
        assert!(!text.contains("blue"), "{path}: {text}");
    }
    // Its own alone are told with their reason.
    expect(&apply(vec![role("red", "c")]).await, 200);
    assert_eq!(
        told("/teams/red").await,
        of("apply 1 resource", "blue pays late")
    );
    assert_eq!(told("/teams/blue").await, of("apply 2 resources", ""));
    check_problem(
        &managed.call("GET", "/teams/blue/revisions/2", None).await,
        404,
        "not_found",
    );
}

/// What is there is told to whoever may read it, by whatever way it is asked for.
#[tokio::test]
async fn a_token_that_only_writes_or_only_looks_back_reads_no_resource() {
    let managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    let mut api = open_api("seen");
    api["hosts"] = json!(["hidden.example.com"]);
    managed.declare("apis", api.clone()).await;
    let owner = |name: &'static str, scope: &'static str| {
        let managed = &managed;
        async move { managed.member("default", name, "owner", &[scope]).await }
    };
    let writer = owner("writer", "write").await;
    let patch = Asked::new("PATCH", "/teams/default/apis/seen:v1")
        .by(&writer)
        .header("if-match", "*");
    let patched = managed.send(patch.body(json!({}))).await;
    check_problem(&patched, 403, "forbidden");
    let mut moved = open_api("seen");
    moved["kind"] = json!("api");
    let body = json!({ "resources": [moved], "prune": ["default"] });
    let asked = Asked::new("POST", "/apply?dry_run=true").by(&writer);
    let hidden = managed.send(asked.body(body.clone())).await;
    let told = expect(&hidden, 409);
    assert!(!told.to_string().contains("hidden.example.com"), "{told}");
    let body = json!({ "resources": [body["resources"][0]] });
    let asked = Asked::new("POST", "/apply?dry_run=true").by(&writer);
    let told = expect(&managed.send(asked.body(body.clone())).await, 200);
    assert_eq!(told["changes"][0]["action"], "change");
    assert_eq!(told["changes"][0]["before"], Value::Null);
    let asked = Asked::new("POST", "/apply?dry_run=true").by(&managed.token);
    let told = expect(&managed.send(asked.body(body)).await, 200);
    assert_eq!(told["changes"][0]["before"]["hosts"], api["hosts"]);

    let looks = owner("looks", "revisions:read").await;
    let audits = owner("audits", "audit:read").await;
    for (token, path) in [
        (&looks, "/teams/default/revisions/2"),
        (&looks, "/teams/default/revisions/0/compare"),
        (&audits, "/teams/default/audit"),
    ] {
        let asked = Asked::new("GET", path);
        let seen = expect(&managed.send(asked.clone().by(token)).await, 200);
        assert!(!seen.to_string().contains("hidden.example.com"), "{path}");
        let seen = expect(&managed.send(asked.by(&managed.token)).await, 200);
        assert!(seen.to_string().contains("hidden.example.com"), "{path}");
    }
}
