//! Custom roles: what they give, what they can't, and that a change of one counts at once.

use super::{Asked, Managed, back, expect, open_api};
use crate::node::{Plan, check_problem};
use keyward_testkit::Answer;
use serde_json::{Value, json};

const BOTH: &[&str] = &["read", "write"];

/// Everything, as far as a custom role can say so.
const EVERYTHING: &str = "permit (principal, action, resource);";

fn role(name: &str, cedar: &str) -> Value {
    json!({ "name": name, "cedar": cedar })
}

/// A deployment with the teams `red` and `blue` and an owner's token of `red`.
async fn deployment() -> (Managed, String) {
    let managed = Managed::start(Plan::default()).await;
    managed.team_at("red", &["/red"]).await;
    managed.team_at("blue", &["/blue"]).await;
    let owner = managed.member("red", "olga", "owner", BOTH).await;
    (managed, owner)
}

async fn by(
    managed: &Managed,
    token: &str,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let mut asked = Asked::new(method, path).by(token).header("if-match", "*");
    asked.body = body;
    managed.send(asked).await
}

async fn declare(managed: &Managed, token: &str, name: &str, cedar: &str) -> Value {
    let body = Some(role(name, cedar));
    expect(
        &by(managed, token, "POST", "/teams/red/management-roles", body).await,
        201,
    )
}

fn at(name: &str) -> Value {
    let mut api = open_api(name);
    api["base_path"] = json!(format!("/red/{name}"));
    api
}

#[tokio::test]
async fn a_custom_role_gives_what_it_says_and_a_change_of_it_counts_from_the_next_call_on() {
    let (managed, owner) = deployment().await;
    let upstreams = "/teams/red/upstreams";
    expect(
        &by(&managed, &owner, "POST", upstreams, Some(back(&managed))).await,
        201,
    );
    let shop = r#"
        @id("shop")
        permit (principal, action in [Action::"apis:read", Action::"apis:write"], resource)
        when { resource has name && resource.name like "shop-*" };
        @id("look")
        permit (principal, action in [Action::"upstreams:read", Action::"revisions:read", Action::"audit:read"], resource);
    "#;
    declare(&managed, &owner, "deployer", shop).await;
    // Owners give it as they give the others.
    let token = managed.member("red", "dora", "deployer", BOTH).await;
    let dora = async |method, path: &str, body| by(&managed, &token, method, path, body).await;
    let apis = "/teams/red/apis";
    for (name, status) in [("shop-a", 201), ("pay", 403)] {
        let made = dora("POST", apis, Some(at(name))).await;
        assert_eq!(made.status, status, "{name} {}", made.text());
        let path = format!("{apis}/{name}:v1");
        let put = dora("PUT", &path, Some(at(name))).await;
        assert_eq!(put.status, if status == 201 { 200 } else { 403 }, "{name}");
        let apply = json!({ "resources": [{ "kind": "api", "team": "red" }] });
        let mut apply: Value = apply;
        apply["resources"][0]
            .as_object_mut()
            .unwrap()
            .extend(at(name).as_object().unwrap().clone());
        let applied = dora("POST", "/apply", Some(apply)).await;
        assert_eq!(
            applied.status,
            if status == 201 { 200 } else { 403 },
            "{name} {}",
            applied.text()
        );
    }
    expect(
        &by(&managed, &owner, "POST", apis, Some(at("pay"))).await,
        201,
    );
    // What they may not read is told nowhere, and taken away by no way round.
    for path in [
        apis,
        "/export",
        "/teams/red/revisions/0/compare",
        "/teams/red/audit",
    ] {
        let told = dora("GET", path, None).await;
        assert_eq!(told.status, 200, "{path} {}", told.text());
        assert!(told.text().contains("shop-a"), "{path} {}", told.text());
        assert!(!told.text().contains("/red/pay"), "{path} {}", told.text());
        // Whoever may read it is told, so that its absence above means something.
        let all = by(&managed, &owner, "GET", path, None).await;
        assert!(all.text().contains("/red/pay"), "{path} {}", all.text());
    }
    for (method, path, body) in [
        ("GET", "/teams/red/apis/pay:v1", None),
        ("DELETE", "/teams/red/apis/pay:v1", None),
        ("PATCH", "/teams/red/apis/pay:v1", Some(json!({}))),
        (
            "POST",
            "/apply",
            Some(json!({ "resources": [], "prune": ["red"] })),
        ),
        ("GET", "/teams/red/members", None),
        ("GET", "/teams/red", None),
    ] {
        check_problem(&dora(method, path, body).await, 403, "forbidden");
    }
    // The log says by which policy.
    let log = expect(
        &by(&managed, &owner, "GET", "/teams/red/audit", None).await,
        200,
    );
    let events = log["items"].as_array().unwrap();
    let by_policy = |policy: &str| {
        let mut events = events.iter();
        events.any(|event| event["detail"]["policy"] == policy)
    };
    assert!(by_policy("deployer/shop"), "{log}");
    assert!(by_policy("owner"), "{log}");
    let me = expect(&dora("GET", "/me", None).await, 200);
    assert_eq!(
        me["teams"],
        json!([{ "team": "red", "roles": ["deployer"] }])
    );

    // The token is the same; what it may is not.
    let one = "/teams/red/management-roles/deployer";
    let narrower = format!(
        "{shop} @id(\"frozen\") forbid (principal, action == Action::\"apis:write\", resource) when {{ resource has name && resource.name == \"shop-a\" }};"
    );
    let changed = by(
        &managed,
        &owner,
        "PUT",
        one,
        Some(role("deployer", &narrower)),
    )
    .await;
    expect(&changed, 200);
    let path = format!("{apis}/shop-a:v1");
    check_problem(
        &dora("PUT", &path, Some(at("shop-a"))).await,
        403,
        "forbidden",
    );
    assert!(
        managed.node.process.log().contains("deployer/frozen"),
        "the log names the policy\n{}",
        managed.node.process.log()
    );
    expect(&dora("GET", &path, None).await, 200);
    let moved = json!({ "roles": ["consumer"] });
    let member = "/teams/red/members/dora";
    let delete = async || by(&managed, &owner, "DELETE", one, None).await;
    check_problem(&delete().await, 409, "unfit");
    let prune = json!({ "resources": [], "prune": ["red"] });
    let pruned = by(&managed, &owner, "POST", "/apply", Some(prune)).await;
    check_problem(&pruned, 409, "unfit");
    expect(&by(&managed, &owner, "PUT", member, Some(moved)).await, 200);
    expect(&delete().await, 204);
    // Nobody is given what is not there.
    let gone = json!({ "roles": ["deployer"] });
    let refused = by(&managed, &owner, "PUT", member, Some(gone)).await;
    check_problem(&refused, 409, "unfit");
    assert_eq!(refused.json().unwrap()["errors"][0]["member"], "/roles");
}

#[tokio::test]
async fn nobody_becomes_more_by_a_custom_role() {
    let (managed, owner) = deployment().await;
    declare(&managed, &owner, "everything", EVERYTHING).await;
    let token = managed.member("red", "eve", "everything", BOTH).await;
    let eve = async |method, path: &str, body| by(&managed, &token, method, path, body).await;
    // All that a role can give …
    let upstream = Some(back(&managed));
    expect(&eve("POST", "/teams/red/upstreams", upstream).await, 201);
    // … and none of what rights are given by, in her team or as a way out of it.
    let owners = json!({ "roles": ["owner"] });
    let new_token = json!({ "member": "olga", "scopes": ["read", "write"] });
    let wider = role("everything", EVERYTHING);
    let applied = json!({ "resources": [{ "kind": "management_role", "team": "red", "name": "new", "cedar": EVERYTHING }] });
    for (method, path, body) in [
        ("PUT", "/teams/red/members/eve", Some(owners.clone())),
        ("DELETE", "/teams/red/members/olga", None),
        ("POST", "/teams/red/tokens", Some(new_token)),
        (
            "PUT",
            "/teams/red/management-roles/everything",
            Some(wider.clone()),
        ),
        ("POST", "/teams/red/management-roles", Some(wider)),
        ("POST", "/apply", Some(applied)),
        // What she would put back is a role, too.
        ("POST", "/teams/red/revisions/0/rollback", None),
        ("PUT", "/teams/red/paths", Some(json!({ "paths": [] }))),
        ("POST", "/teams", Some(json!({ "name": "mine" }))),
        ("GET", "/audit", None),
        ("GET", "/revocations", None),
        ("POST", "/revisions/0/rollback", None),
    ] {
        let refused = eve(method, path, body).await;
        assert_eq!(refused.status, 403, "{method} {path} {}", refused.text());
    }
    for path in ["/teams/blue", "/teams/blue/apis", "/teams/blue/members"] {
        check_problem(&eve("GET", path, None).await, 404, "not_found");
    }
    // Publishers write no roles, and nobody gives those of another team.
    let publisher = managed.member("red", "paul", "publisher", BOTH).await;
    let path = "/teams/red/management-roles";
    let mine = Some(role("mine", EVERYTHING));
    check_problem(
        &by(&managed, &publisher, "POST", path, mine).await,
        403,
        "forbidden",
    );
    let blue = managed.member("blue", "boris", "owner", BOTH).await;
    let given = Some(json!({ "roles": ["everything"] }));
    let refused = by(&managed, &blue, "PUT", "/teams/blue/members/boris", given).await;
    check_problem(&refused, 409, "unfit");
    // Each is asked at each call: nobody has many.
    let many = Some(json!({ "roles": ["a", "b", "c", "d", "e"] }));
    let refused = by(&managed, &owner, "PUT", "/teams/red/members/olga", many).await;
    check_problem(&refused, 422, "invalid");
    // What is written wrongly is told with its line, and no role is called as a built-in one.
    for (body, member, says) in [
        (
            role(
                "wrong",
                "permit (principal, action, resource);\npermit (principal, action == Action::\"teams:write\", resource);",
            ),
            "/cedar",
            "line 2",
        ),
        (
            role(
                "wrong",
                "permit (principal, action == Action::\"tokens:write\", resource);",
            ),
            "/cedar",
            "no custom role gives",
        ),
        (role("operator", EVERYTHING), "/name", "built-in"),
    ] {
        let refused = by(&managed, &owner, "POST", path, Some(body)).await;
        check_problem(&refused, 422, "invalid");
        let flaw = refused.json().unwrap()["errors"][0].clone();
        assert_eq!(flaw["member"], member, "{flaw}");
        assert!(flaw["detail"].as_str().unwrap().contains(says), "{flaw}");
    }
}

#[tokio::test]
async fn whoever_is_held_back_can_not_take_that_away_and_an_operator_always_can() {
    let (managed, owner) = deployment().await;
    let frozen = r#"forbid (principal, action == Action::"upstreams:write", resource);"#;
    declare(&managed, &owner, "frozen", frozen).await;
    let member = "/teams/red/members/olga";
    let roles = |roles: Value| Some(json!({ "roles": roles }));
    let held = roles(json!(["owner", "frozen"]));
    expect(&by(&managed, &owner, "PUT", member, held).await, 200);
    let upstream = Some(back(&managed));
    let refused = by(&managed, &owner, "POST", "/teams/red/upstreams", upstream).await;
    check_problem(&refused, 403, "forbidden");
    for (method, path, body) in [
        ("PUT", member, roles(json!(["owner"]))),
        ("PUT", "/teams/red/members/other", roles(json!(["owner"]))),
        (
            "POST",
            "/teams/red/tokens",
            Some(json!({ "member": "olga", "scopes": ["write"] })),
        ),
        (
            "PUT",
            "/teams/red/management-roles/frozen",
            Some(role("frozen", EVERYTHING)),
        ),
        ("DELETE", "/teams/red/management-roles/frozen", None),
    ] {
        check_problem(
            &by(&managed, &owner, method, path, body).await,
            403,
            "forbidden",
        );
    }
    let root = managed.token.clone();
    let free = roles(json!(["owner"]));
    expect(&by(&managed, &root, "PUT", member, free).await, 200);
    let upstream = Some(back(&managed));
    expect(
        &by(&managed, &owner, "POST", "/teams/red/upstreams", upstream).await,
        201,
    );
}

/// What stands in the node's own file is its operator's word for all teams; a team's own role of the name comes first.
#[tokio::test]
async fn every_team_gives_the_roles_of_the_node_s_own_file() {
    let plan = Plan::default().resource(
        "- { kind: management_role, name: support, cedar: 'permit (principal, action in Action::\"read\", resource);' }",
    );
    let managed = Managed::start(plan).await;
    managed.team("red").await;
    let token = managed.member("red", "sam", "support", BOTH).await;
    let owner = managed.member("red", "olga", "owner", BOTH).await;
    let audit = async || {
        by(&managed, &token, "GET", "/teams/red/audit", None)
            .await
            .status
    };
    assert_eq!(audit().await, 200);
    let write = by(
        &managed,
        &token,
        "POST",
        "/teams/red/roles",
        Some(json!({ "name": "r" })),
    )
    .await;
    check_problem(&write, 403, "forbidden");
    let path = "/teams/default/management-roles/support";
    let told = managed.get(path).await;
    assert_eq!(told["origin"], "file");
    let own = r#"permit (principal, action == Action::"apis:read", resource);"#;
    declare(&managed, &owner, "support", own).await;
    assert_eq!(audit().await, 403);
}

/// The roles of one team's members keep nobody from rolling the deployment back.
#[tokio::test]
async fn a_rollback_leaves_a_role_that_members_have_and_says_so() {
    let (managed, owner) = deployment().await;
    managed.declare("upstreams", back(&managed)).await;
    let before = managed.get("/revisions").await["items"][0]["revision"].clone();
    declare(&managed, &owner, "deployer", EVERYTHING).await;
    managed.member("red", "dora", "deployer", BOTH).await;
    managed.declare("apis", open_api("one")).await;
    let back_to = format!("/revisions/{before}/rollback");
    let done = expect(&managed.call("POST", &back_to, None).await, 200);
    assert_eq!(done["put_back"], json!(["one:v1"]));
    assert_eq!(done["left_out"], json!(["red/deployer"]));
    managed.get("/teams/red/management-roles/deployer").await;
    let moved = Some(json!({ "roles": ["consumer"] }));
    let member = "/teams/red/members/dora";
    expect(&by(&managed, &owner, "PUT", member, moved).await, 200);
    let done = expect(&managed.call("POST", &back_to, None).await, 200);
    assert_eq!(done["put_back"], json!(["deployer"]));
    assert_eq!(done["left_out"], json!([]));
}

/// A call that comes again tells what it has made, and not what somebody else has put in its place.
#[tokio::test]
async fn a_call_that_comes_again_tells_its_maker_no_more_than_they_may_read_now() {
    let (managed, owner) = deployment().await;
    let keys = |names: &str| {
        format!(
            r#"permit (principal, action == Action::"credentials:write", resource) when {{ resource has name && resource.name like "{names}" }};"#
        )
    };
    declare(&managed, &owner, "keys", &keys("shop-*")).await;
    let token = managed.member("red", "kim", "keys", BOTH).await;
    let body = json!({ "name": "shop-a", "api_key": "a-key-that-kim-has-made-for-it", "subject": "first" });
    let create = async || {
        let asked = Asked::new("POST", "/teams/red/credentials").by(&token);
        let asked = asked.header("idempotency-key", "once");
        managed.send(asked.body(body.clone())).await
    };
    let made = expect(&create().await, 201);
    assert_eq!(expect(&create().await, 201), made);
    let path = "/teams/red/credentials/shop-a";
    let other = json!({ "name": "shop-a", "api_key": "another-key-that-the-owner-made", "subject": "second" });
    expect(&by(&managed, &owner, "PUT", path, Some(other)).await, 200);
    let again = create().await;
    assert_eq!(expect(&again, 201), json!({ "name": "shop-a" }));
    let location = again.head.field("location").unwrap();
    assert_eq!(location, format!("/api/v1{path}"));
    // Whom it is no longer given to is told nothing.
    let role = Some(role("keys", &keys("other-*")));
    let one = "/teams/red/management-roles/keys";
    expect(&by(&managed, &owner, "PUT", one, role).await, 200);
    check_problem(&create().await, 403, "forbidden");
}
