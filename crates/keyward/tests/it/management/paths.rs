//! Paths are of teams: nobody takes another's calls.

use super::{Asked, Managed, back, expect, open_api};
use crate::node::{Plan, check_problem};
use keyward_testkit::Answer;
use serde_json::{Value, json};

/// An API of this name at a path, on the upstream `back`.
fn at(name: &str, base_path: &str) -> Value {
    let mut api = open_api(name);
    api["base_path"] = json!(base_path);
    api
}

async fn post(managed: &Managed, token: &str, path: &str, body: Value) -> Answer {
    let asked = Asked::new("POST", path).by(token).body(body);
    managed.send(asked).await
}

/// What a refusal says, but for its request's id and for the path that was asked for.
fn told(answer: &Answer, asked: &str) -> Value {
    let text = answer.text().replace(asked, "PATH");
    let mut body: Value = serde_json::from_str(&text).unwrap();
    body.as_object_mut().unwrap().remove("request_id");
    body
}

#[tokio::test]
async fn no_publisher_takes_calls_of_another_team_or_learns_that_there_are_any() {
    let managed = Managed::start(Plan::default()).await;
    managed.team_at("red", &["/pay"]).await;
    managed.team_at("blue", &["/blue"]).await;
    let both: &[&str] = &["read", "write"];
    let mut publishers = Vec::new();
    for team in ["red", "blue", "default"] {
        let token = managed.member(team, "paul", "publisher", both).await;
        let path = format!("/teams/{team}/upstreams");
        expect(&post(&managed, &token, &path, back(&managed)).await, 201);
        publishers.push(token);
    }
    let [red, blue, default] = &publishers[..] else {
        panic!()
    };
    let made = post(&managed, red, "/teams/red/apis", at("pay", "/pay")).await;
    expect(&made, 201);
    let answered = managed.node.get("/pay/login", &[]).await;
    assert_eq!(answered.status, 200);

    let with = |mut api: Value, key: &str, value: Value| {
        api[key] = value;
        api
    };
    let taking = [
        at("thief", "/pay"),
        at("thief", "/pay/login"),
        with(at("thief", "/pay"), "hosts", json!(["gw.example.com"])),
        with(
            at("thief", "/pay"),
            "routes",
            json!([{ "match": { "prefix": "/", "methods": ["POST"] } }]),
        ),
    ];
    for api in &taking {
        for query in ["", "?dry_run=true"] {
            let path = format!("/teams/blue/apis{query}");
            let answer = post(&managed, blue, &path, api.clone()).await;
            check_problem(&answer, 403, "forbidden");
            let base = api["base_path"].as_str().unwrap();
            assert_eq!(answer.json().unwrap()["errors"][0]["member"], "/base_path");
            // The same is said where nobody is.
            let mut nowhere = api.clone();
            nowhere["base_path"] = json!("/nowhere");
            let free = post(&managed, blue, &path, nowhere).await;
            assert_eq!(told(&answer, base), told(&free, "/nowhere"), "{api}");
        }
        // Of `default` it is said where a path is given, whether or not something is published at it.
        for query in ["", "?dry_run=true"] {
            let path = format!("/teams/default/apis{query}");
            let answer = post(&managed, default, &path, api.clone()).await;
            check_problem(&answer, 403, "forbidden");
            for secret in ["red", "blue", "another team"] {
                assert!(!answer.text().contains(secret), "{}", answer.text());
            }
            let base = api["base_path"].as_str().unwrap();
            let mut given = api.clone();
            given["base_path"] = json!("/blue/empty");
            let empty = post(&managed, default, &path, given).await;
            assert_eq!(told(&answer, base), told(&empty, "/blue/empty"), "{api}");
        }
    }
    // Several at once, and from above at a host that is looked at first.
    let mut named = at("thief", "/");
    named["hosts"] = json!(["gw.example.com"]);
    let answer = post(&managed, default, "/teams/default/apis", named.clone()).await;
    check_problem(&answer, 403, "forbidden");
    named["kind"] = json!("api");
    named["team"] = json!("blue");
    let body = json!({ "resources": [named] });
    let answer = post(&managed, blue, "/apply", body).await;
    check_problem(&answer, 403, "forbidden");
    let errors = &answer.json().unwrap()["errors"];
    assert_eq!(errors[0]["member"], "/resources/0/base_path");
    // A draft takes no calls, and can't be published either.
    let draft = with(at("thief", "/pay/login"), "state", json!("draft"));
    expect(&post(&managed, blue, "/teams/blue/apis", draft).await, 201);
    let published = Asked::new("PATCH", "/teams/blue/apis/thief:v1")
        .by(blue)
        .header("if-match", "*")
        .body(json!({ "state": "published" }));
    check_problem(&managed.send(published).await, 403, "forbidden");

    // Each below its own, and `default` wherever no other team is.
    let mut own = at("own", "/blue/a");
    own["hosts"] = json!(["gw.example.com"]);
    expect(&post(&managed, blue, "/teams/blue/apis", own).await, 201);
    let path = "/teams/default/apis";
    expect(&post(&managed, default, path, at("rest", "/")).await, 201);
    assert_eq!(managed.node.get("/rest", &[]).await.status, 200);
}

#[tokio::test]
async fn a_path_is_one_team_s_alone_and_stays_while_it_is_used() {
    let managed = Managed::start(Plan::default()).await;
    managed
        .team_at("red", &["/red", "*.red.example.com/x"])
        .await;
    managed.team("blue").await;
    let owner = managed
        .member("red", "rita", "owner", &["read", "write"])
        .await;
    let put = |team: &str, paths: &[&str]| {
        let body = json!({ "paths": paths });
        let path = format!("/teams/{team}/paths");
        let managed = &managed;
        async move { managed.call("PUT", &path, Some(body)).await }
    };
    for taken in [
        "/red",
        "/",
        "/red/part",
        "gw.example.com/red",
        "a.red.example.com/x",
        "*.example.com/x",
    ] {
        let answer = put("blue", &["/free", taken]).await;
        check_problem(&answer, 409, "unfit");
        assert!(
            answer.text().contains("the team `red`"),
            "{}",
            answer.text()
        );
    }
    for (paths, member) in [
        (json!(["/free", "none"]), "/paths/1"),
        (json!("/free"), "/paths"),
    ] {
        let body = json!({ "paths": paths });
        let answer = managed.call("PUT", "/teams/blue/paths", Some(body)).await;
        check_problem(&answer, 422, "invalid");
        assert_eq!(answer.json().unwrap()["errors"][0]["member"], member);
    }
    check_problem(&put("default", &["/all"]).await, 422, "invalid");
    let body = json!({ "name": "green", "paths": ["/red/green"] });
    let answer = managed.call("POST", "/teams", Some(body)).await;
    check_problem(&answer, 409, "unfit");
    check_problem(
        &managed.call("GET", "/teams/green", None).await,
        404,
        "not_found",
    );
    let given = expect(&put("blue", &["/free"]).await, 200);
    assert_eq!(given["paths"], json!(["/free"]));

    // Who is in a team sees its paths, and only operators give them.
    let of_red = Asked::new("GET", "/teams/red/paths").by(&owner);
    let of_red = expect(&managed.send(of_red).await, 200);
    assert_eq!(of_red["paths"], json!(["/red", "*.red.example.com/x"]));
    let wanted = Asked::new("PUT", "/teams/red/paths")
        .by(&owner)
        .body(json!({ "paths": ["/all"] }));
    check_problem(&managed.send(wanted).await, 403, "forbidden");

    for (path, body) in [
        ("/teams/red/upstreams", back(&managed)),
        ("/teams/red/apis", at("used", "/red/used")),
    ] {
        expect(&managed.call("POST", path, Some(body)).await, 201);
    }
    check_problem(&put("red", &["/red/other"]).await, 409, "unfit");
    expect(&put("red", &["/red"]).await, 200);
    let path = "/teams/red/apis/used:v1";
    let retired = Asked::new("PATCH", path)
        .by(&owner)
        .header("if-match", "*")
        .body(json!({ "state": "retired" }));
    expect(&managed.send(retired).await, 200);
    expect(&put("red", &[]).await, 200);
    expect(&put("blue", &["/red"]).await, 200);
    // What `default` has published is moved before its path is another's.
    managed.declare("upstreams", back(&managed)).await;
    managed.declare("apis", at("old", "/old")).await;
    let answer = put("blue", &["/red", "/old"]).await;
    check_problem(&answer, 409, "unfit");
    assert!(answer.text().contains("`old:v1`"), "{}", answer.text());
    let events = managed.get("/teams/blue/audit").await;
    let event = &events["items"][0];
    assert_eq!(event["action"], "team.paths");
    assert_eq!(event["detail"]["after"], json!(["/red"]));
}
