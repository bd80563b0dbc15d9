//! The first administrator.

use super::{Asked, Managed, back, expect, open_api, send, setup_secret};
use crate::node::{Plan, check_problem};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

#[tokio::test]
async fn the_setup_secret_makes_one_administrator_once() {
    let node = Plan::default().start().await;
    let path = node.process.folder().join("data/setup-secret");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = setup_secret(&node);
    assert!(!node.process.log().contains(&secret), "a log has it");

    let claim = |name: &str, secret: &str| {
        Asked::new("POST", "/setup").body(json!({ "secret": secret, "name": name }))
    };
    check_problem(
        &send(&node, claim("eve", "guessed")).await,
        403,
        "forbidden",
    );
    // Of two who show it at once one wins, whoever that is.
    let (one, other) = tokio::join!(
        send(&node, claim("alice", &secret)),
        send(&node, claim("bob", &secret))
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403], "{} {}", one.text(), other.text());
    check_problem(
        &send(&node, claim("carol", &secret)).await,
        403,
        "forbidden",
    );
    assert!(!path.exists(), "a used secret is left lying about");

    let (winner, name) = if one.status == 201 {
        (one, "alice")
    } else {
        (other, "bob")
    };
    let made = expect(&winner, 201);
    let token = made["token"].as_str().unwrap();
    let me = expect(&send(&node, Asked::new("GET", "/me").by(token)).await, 200);
    assert_eq!(me["name"], name);
    assert_eq!(
        me["teams"],
        json!([{ "team": "default", "roles": ["operator"] }])
    );
    let members = Asked::new("GET", "/teams/default/members").by(token);
    let members = expect(&send(&node, members).await, 200);
    assert_eq!(members["items"].as_array().unwrap().len(), 1, "{members}");
}

#[tokio::test]
async fn a_node_that_is_managed_makes_no_secret_and_reset_makes_one_that_counts() {
    let mut managed = Managed::start(Plan::default()).await;
    managed.node.process.restart().await;
    let folder = managed.node.process.folder();
    let path = folder.join("data/setup-secret");
    assert!(!path.exists());
    let output = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(["admin", "reset", "--config", "keyward.yaml"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let secret = setup_secret(&managed.node);
    assert!(!String::from_utf8_lossy(&output.stdout).contains(&secret));
    let claim = Asked::new("POST", "/setup").body(json!({ "secret": secret, "name": "second" }));
    expect(&managed.send(claim).await, 201);
    // Whoever was one before still is.
    expect(&managed.call("GET", "/me", None).await, 200);
}

#[tokio::test]
async fn tokens_are_good_until_they_are_taken_back_and_for_nothing_else() {
    let managed = Managed::start(Plan::default().api(
        "guarded",
        "authentication: { issuers: [self], audience: guarded }",
    ))
    .await;
    let token = managed
        .member("default", "ci", "publisher", &["read"])
        .await;
    let me = |token: String| {
        let managed = &managed;
        async move { managed.send(Asked::new("GET", "/me").by(&token)).await }
    };
    assert_eq!(
        expect(&me(token.clone()).await, 200)["scopes"],
        json!(["read"])
    );
    // An API takes none of them, though it be for the same audience.
    let audience = format!("http://{}/api/v1", managed.node.process.site());
    managed.declare("upstreams", back(&managed)).await;
    let mut api = open_api("same");
    api["authentication"] = json!({ "issuers": ["self"], "audience": audience });
    managed.declare("apis", api).await;
    for path in ["/guarded", "/same"] {
        let called = managed.node.get_with(path, &token).await;
        assert_eq!(called.status, 401, "{path}");
    }

    let tokens = managed.get("/teams/default/tokens").await;
    let row = tokens["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["member"] == "ci");
    let id = row.unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/teams/default/tokens/{id}");
    expect(&managed.call("DELETE", &path, None).await, 204);
    check_problem(&me(token).await, 401, "unauthenticated");
    check_problem(&managed.call("DELETE", &path, None).await, 404, "not_found");

    // Who is no member any more has no good token.
    let other = managed.member("default", "ops", "auditor", &["read"]).await;
    expect(&me(other.clone()).await, 200);
    let path = "/teams/default/members/ops";
    expect(&managed.call("DELETE", path, None).await, 204);
    let refused = me(other).await;
    check_problem(&refused, 401, "unauthenticated");
    assert!(
        refused
            .head
            .field("www-authenticate")
            .unwrap()
            .starts_with("Bearer")
    );

    for bad in ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        check_problem(&me(bad.to_owned()).await, 401, "unauthenticated");
    }
}

#[tokio::test]
async fn nobody_becomes_more_than_they_are() {
    let managed = Managed::start(Plan::default()).await;
    let owner = managed
        .member("default", "olga", "owner", &["read", "write"])
        .await;
    let as_owner = |method, path: &str, body| {
        let asked = Asked::new(method, path).by(&owner).body(body);
        managed.send(asked)
    };
    let operator = json!({ "roles": ["operator"] });
    for path in [
        "/teams/default/members/olga",
        "/teams/default/members/mallory",
    ] {
        let answer = as_owner("PUT", path, operator.clone()).await;
        check_problem(&answer, 403, "forbidden");
    }
    let demoted = as_owner(
        "PUT",
        "/teams/default/members/root",
        json!({ "roles": ["consumer"] }),
    );
    check_problem(&demoted.await, 403, "forbidden");
    let token = json!({ "member": "root", "scopes": ["read"] });
    let answer = as_owner("POST", "/teams/default/tokens", token).await;
    check_problem(&answer, 403, "forbidden");
    // No further than one's own token goes.
    let narrow = managed
        .member("default", "nina", "owner", &["tokens:write"])
        .await;
    let wide = json!({ "member": "nina", "scopes": ["write"] });
    let asked = Asked::new("POST", "/teams/default/tokens")
        .by(&narrow)
        .body(wide);
    check_problem(&managed.send(asked).await, 403, "forbidden");
    // The last operator stays one.
    let last = managed
        .call("DELETE", "/teams/default/members/root", None)
        .await;
    check_problem(&last, 409, "unfit");
    // Elsewhere nobody is an operator.
    managed.team("blue").await;
    let elsewhere = managed
        .call("PUT", "/teams/blue/members/olga", Some(operator))
        .await;
    check_problem(&elsewhere, 422, "invalid");
    let lives = json!({ "member": "olga", "scopes": ["read"], "expires_in": "25h" });
    let answer = managed
        .call("POST", "/teams/default/tokens", Some(lives))
        .await;
    check_problem(&answer, 422, "invalid");
}

/// An owner of the team `default` is no operator, whatever they have prepared.
#[tokio::test]
async fn tokens_made_beforehand_and_taken_back_make_nobody_an_operator() {
    let managed = Managed::start(Plan::default()).await;
    let both: &[&str] = &["read", "write"];
    let owner = managed.member("default", "olga", "owner", both).await;
    let as_owner = |method, path: &str, body: Option<Value>| {
        let mut asked = Asked::new(method, path).by(&owner);
        asked.body = body;
        managed.send(asked)
    };
    let carol = "/teams/default/members/carol";
    let roles = |roles: &[&str]| Some(json!({ "roles": roles }));
    expect(&as_owner("PUT", carol, roles(&["auditor"])).await, 200);
    let asked = json!({ "member": "carol", "scopes": ["read", "write"] });
    let made = as_owner("POST", "/teams/default/tokens", Some(asked)).await;
    let prepared = expect(&made, 201)["token"].as_str().unwrap().to_owned();
    expect(
        &managed
            .call("PUT", carol, roles(&["auditor", "operator"]))
            .await,
        200,
    );
    let with = async |token: &str, method: &'static str, path: &str| {
        let mut asked = Asked::new(method, path).by(token);
        if method == "POST" {
            asked = asked.body(json!({ "name": "stolen" }));
        }
        managed.send(asked).await
    };
    check_problem(&with(&prepared, "POST", "/teams").await, 403, "forbidden");
    let me = expect(&with(&prepared, "GET", "/me").await, 200);
    assert_eq!(me["teams"][0]["roles"], json!(["auditor"]));
    // What an operator makes for her is one's.
    let asked = json!({ "member": "carol", "scopes": ["read", "write"] });
    let path = "/teams/default/tokens";
    let made = expect(&managed.call("POST", path, Some(asked)).await, 201);
    let given = made["token"].as_str().unwrap();
    expect(&with(given, "POST", "/teams").await, 201);

    // Nor does an owner take from operators what they manage with.
    let rows = managed.get(path).await;
    let of_root = rows["items"].as_array().unwrap().iter();
    let of_root = of_root.filter(|row| row["member"] == "root");
    let of_root: Vec<&str> = of_root.map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(of_root.len(), 1);
    for id in of_root {
        let answer = as_owner("DELETE", &format!("{path}/{id}"), None).await;
        check_problem(&answer, 403, "forbidden");
    }
    check_problem(&as_owner("DELETE", carol, None).await, 403, "forbidden");
    expect(&managed.call("GET", "/me", None).await, 200);
}

#[tokio::test]
async fn tokens_of_who_has_left_stay_without_effect_when_somebody_is_called_so_again() {
    let managed = Managed::start(Plan::default()).await;
    let old = managed.member("default", "ci", "owner", &["read"]).await;
    let path = "/teams/default/members/ci";
    expect(&managed.call("DELETE", path, None).await, 204);
    let new = managed.member("default", "ci", "owner", &["read"]).await;
    let me = async |token: &str| managed.send(Asked::new("GET", "/me").by(token)).await;
    check_problem(&me(&old).await, 401, "unauthenticated");
    expect(&me(&new).await, 200);
}

/// A name is a team's own: who did something is known by the team and the token.
#[tokio::test]
async fn what_was_done_tells_by_which_token_and_nobody_is_called_as_the_node_is() {
    let managed = Managed::start(Plan::default()).await;
    for name in ["node", "Node"] {
        let path = format!("/teams/default/members/{name}");
        let roles = Some(json!({ "roles": ["owner"] }));
        check_problem(&managed.call("PUT", &path, roles).await, 400, "malformed");
    }
    managed.team("blue").await;
    let both: &[&str] = &["read", "write"];
    let forged = managed.member("blue", "root", "owner", both).await;
    let body = json!({ "name": "mine" });
    let asked = Asked::new("POST", "/teams/blue/roles").by(&forged);
    expect(&managed.send(asked.body(body)).await, 201);
    let team = managed.get("/teams/blue").await["id"].clone();
    let tokens = managed.get("/teams/blue/tokens").await;
    let token = &tokens["items"][0]["id"];
    let events = managed.get("/audit").await;
    let mut events = events["items"].as_array().unwrap().iter();
    let event = events.find(|event| event["actor"] == "root").unwrap();
    let revision = &managed.get("/revisions").await["items"][0];
    for told in [&event["detail"], revision] {
        assert_eq!((&told["actor_team"], &told["token"]), (&team, token));
    }
}
