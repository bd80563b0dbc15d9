//! Resources: made, read, changed and taken away, each with effect on the gateway before the answer.

use super::{Asked, Managed, back, expect, open_api, until_logged};
use crate::node::{Plan, check_problem};
use keyward_testkit::until;
use serde_json::{Value, json};

#[tokio::test]
async fn a_change_is_served_before_it_is_answered() {
    let managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    assert_eq!(managed.node.get("/fresh/a", &[]).await.status, 404);
    let made = managed.declare("apis", open_api("fresh")).await;
    assert_eq!(managed.node.get("/fresh/a", &[]).await.status, 200);
    assert_eq!(
        (made["origin"].as_str(), made["revision"].as_u64()),
        (Some("database"), Some(2))
    );

    let at = "/teams/default/apis/fresh:v1";
    let seen = managed.call("GET", at, None).await;
    let tag = seen.head.field("etag").unwrap().to_owned();
    assert_eq!(expect(&seen, 200), made);
    let again = Asked::new("GET", at)
        .by(&managed.token)
        .header("if-none-match", &tag);
    assert_eq!(managed.send(again).await.status, 304);

    let moved = json!({ "base_path": "/moved" });
    let patch = |tag: Option<&str>, body: &Value| {
        let mut asked = Asked::new("PATCH", at)
            .by(&managed.token)
            .body(body.clone());
        if let Some(tag) = tag {
            asked = asked.header("if-match", tag);
        }
        managed.send(asked)
    };
    check_problem(&patch(None, &moved).await, 428, "precondition_required");
    let changed = patch(Some(&tag), &moved).await;
    let newer = changed.head.field("etag").unwrap().to_owned();
    assert_eq!(expect(&changed, 200)["base_path"], "/moved");
    assert_eq!(managed.node.get("/fresh/a", &[]).await.status, 404);
    assert_eq!(managed.node.get("/moved/a", &[]).await.status, 200);
    // Whoever has read what was before loses nobody's change.
    check_problem(&patch(Some(&tag), &moved).await, 412, "precondition_failed");
    // What changes nothing is no revision.
    let same = patch(
        Some(&newer),
        &json!({ "base_path": "/moved", "keep_base_path": false }),
    )
    .await;
    assert_eq!(same.head.field("etag"), Some(newer.as_str()));

    let upstream = "/teams/default/upstreams/back";
    let delete = |path: &'static str, tag: &str| {
        let asked = Asked::new("DELETE", path)
            .by(&managed.token)
            .header("if-match", tag);
        managed.send(asked)
    };
    let used = delete(upstream, "*").await;
    check_problem(&used, 409, "unfit");
    assert!(used.text().contains("api `fresh`"), "{}", used.text());
    check_problem(&delete(at, "\"r1\"").await, 412, "precondition_failed");
    assert_eq!(delete(at, &newer).await.status, 204);
    assert_eq!(managed.node.get("/moved/a", &[]).await.status, 404);
    assert_eq!(delete(upstream, "*").await.status, 204);
    check_problem(&managed.call("GET", at, None).await, 404, "not_found");
    assert_eq!(managed.get("/teams/default/apis").await["items"], json!([]));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_and_after_a_reload() {
    let mut managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    managed.declare("apis", open_api("lasting")).await;
    managed.node.process.restart().await;
    assert_eq!(managed.node.get("/lasting/a", &[]).await.status, 200);
    let path = managed.node.process.folder().join("keyward.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    // A file that takes what the database has is refused, and what was served stays.
    let taken = format!(
        "{text}\n- {{ kind: api, name: other, version: v1, state: published, base_path: /lasting, upstream: echo, authentication: none }}\n"
    );
    std::fs::write(&path, taken).unwrap();
    managed.node.process.signal("HUP");
    until_logged(&managed, "not reloaded").await;
    assert_eq!(managed.node.get("/lasting/a", &[]).await.status, 200);
    // Changes of the database go on, checked with what is served.
    managed.declare("apis", open_api("meanwhile")).await;
    assert_eq!(managed.node.get("/meanwhile/a", &[]).await.status, 200);
    let mut echo = back(&managed);
    echo["name"] = json!("echo");
    let refused = managed
        .call("POST", "/teams/default/upstreams", Some(echo))
        .await;
    check_problem(&refused, 409, "read_only");
    // So they do when nothing can be read of it at all.
    std::fs::write(&path, "format: [").unwrap();
    managed.node.process.signal("HUP");
    until_logged(&managed, "[yaml]").await;
    managed.declare("apis", open_api("unreadable")).await;
    assert_eq!(managed.node.get("/unreadable/a", &[]).await.status, 200);
    let right = format!(
        "{text}\n- {{ kind: api, name: other, version: v1, state: published, base_path: /other, upstream: echo, authentication: none }}\n"
    );
    std::fs::write(&path, right).unwrap();
    managed.node.process.signal("HUP");
    until_logged(&managed, "configuration: reloaded").await;
    for path in ["/lasting/a", "/other/a", "/meanwhile/a"] {
        assert_eq!(managed.node.get(path, &[]).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn what_stands_in_the_node_s_file_is_shown_and_never_changed() {
    let managed = Managed::start(
        Plan::default().api("written", "authentication: none").resource(
            "- { kind: issuer, name: shared, issuer: https://shared.example, secret: 0123456789abcdef0123456789abcdef, algorithms: [HS256] }",
        ),
    )
    .await;
    let at = "/teams/default/apis/written:v1";
    let seen = managed.call("GET", at, None).await;
    let tag = seen.head.field("etag").unwrap().to_owned();
    let shown = expect(&seen, 200);
    assert_eq!(
        (shown["origin"].as_str(), shown.get("revision")),
        (Some("file"), None)
    );
    let mut body = shown.clone();
    body["base_path"] = json!("/elsewhere");
    for asked in [
        Asked::new("PUT", at)
            .header("if-match", &tag)
            .body(body.clone()),
        Asked::new("PATCH", at)
            .header("if-match", &tag)
            .body(json!({ "state": "retired" })),
        Asked::new("DELETE", at).header("if-match", &tag),
        Asked::new("POST", "/teams/default/apis").body(body),
    ] {
        let answer = managed.send(asked.by(&managed.token)).await;
        check_problem(&answer, 409, "read_only");
    }
    let listed = managed.get("/teams/default/apis?origin=file").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    // A secret that somebody wrote in clear is not told.
    let issuer = managed.get("/teams/default/issuers/shared").await;
    assert_eq!(issuer["secret"], "[secret]");
}

#[tokio::test]
async fn a_creation_is_made_once_by_its_key_or_by_its_name() {
    let managed = Managed::start(Plan::default()).await;
    let create = |key: &str, body: Value| {
        let asked = Asked::new("POST", "/teams/default/upstreams").by(&managed.token);
        managed.send(asked.header("idempotency-key", key).body(body))
    };
    let first = create("k1", back(&managed)).await;
    let made = expect(&first, 201);
    let again = create("k1", back(&managed)).await;
    assert_eq!(expect(&again, 201), made);
    assert_eq!(again.head.field("etag"), first.head.field("etag"));
    let mut other = back(&managed);
    other["name"] = json!("other");
    check_problem(
        &create("k1", other.clone()).await,
        422,
        "idempotency_key_reused",
    );
    check_problem(&create("k2", back(&managed)).await, 409, "exists");
    // By its name: PUT makes it, or finds it as it is.
    let put = |body: &Value| {
        let asked = Asked::new("PUT", "/teams/default/upstreams/other").by(&managed.token);
        managed.send(asked.header("if-none-match", "*").body(body.clone()))
    };
    assert_eq!(put(&other).await.status, 201);
    check_problem(&put(&other).await, 412, "precondition_failed");
    let revisions = managed.get("/revisions").await;
    assert_eq!(
        revisions["items"].as_array().unwrap().len(),
        2,
        "{revisions}"
    );
}

/// Names are each team's own: an operator and an owner of the same name do not use up each other's keys.
#[tokio::test]
async fn namesakes_of_two_teams_have_idempotency_keys_of_their_own() {
    let managed = Managed::start(Plan::default()).await;
    managed.team("blue").await;
    let namesake = managed
        .member("blue", "root", "owner", &["read", "write"])
        .await;
    for (token, name) in [(&managed.token, "first"), (&namesake, "second")] {
        let mut body = back(&managed);
        body["name"] = json!(name);
        let asked = Asked::new("POST", "/teams/blue/upstreams").by(token);
        let answer = managed
            .send(asked.header("idempotency-key", "k1").body(body))
            .await;
        assert_eq!(expect(&answer, 201)["name"], name);
    }
}

#[tokio::test]
async fn of_calls_with_one_key_at_once_one_is_made_and_all_are_answered() {
    let managed = Managed::start(Plan::default()).await;
    let create = |key: &'static str, name: &str| {
        let mut body = back(&managed);
        body["name"] = json!(name);
        let asked = Asked::new("POST", "/teams/default/upstreams").by(&managed.token);
        managed.send(asked.header("idempotency-key", key).body(body))
    };
    let (one, two, three) = tokio::join!(
        create("k1", "same"),
        create("k1", "same"),
        create("k1", "same")
    );
    let made = expect(&one, 201);
    assert_eq!(expect(&two, 201), made);
    assert_eq!(expect(&three, 201), made);
    let (one, other) = tokio::join!(create("k2", "this"), create("k2", "that"));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422]);
    let revisions = managed.get("/revisions").await;
    assert_eq!(revisions["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    let dry = "/teams/default/apis?dry_run=true";
    let answer = managed.call("POST", dry, Some(open_api("dry"))).await;
    let would = expect(&answer, 200);
    assert_eq!(
        (would["name"].as_str(), would.get("revision")),
        (Some("dry"), None)
    );
    let mut dangling = open_api("dry");
    dangling["upstream"] = json!("bakc");
    let refused = managed.call("POST", dry, Some(dangling)).await;
    check_problem(&refused, 409, "unfit");
    let error = refused.json().unwrap()["errors"][0].clone();
    assert_eq!(error["member"], "/upstream");
    assert!(
        error["detail"]
            .as_str()
            .unwrap()
            .contains("did you mean `back`?"),
        "{error}"
    );
    assert_eq!(managed.node.get("/dry/a", &[]).await.status, 404);
    let gone = Asked::new("DELETE", "/teams/default/upstreams/back?dry_run=true")
        .by(&managed.token)
        .header("if-match", "*");
    assert_eq!(managed.send(gone).await.status, 204);
    assert_eq!(
        managed.get("/revisions").await["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    managed.get("/teams/default/upstreams/back").await;
}

#[tokio::test]
async fn lists_are_paged_sorted_and_narrowed() {
    let managed = Managed::start(Plan::default()).await;
    for name in ["pear", "apple", "fig", "apricot", "plum"] {
        let mut body = back(&managed);
        body["name"] = json!(name);
        managed.declare("upstreams", body).await;
    }
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    // The file's own is among them.
    for (query, expected) in [
        (
            "sort=name",
            vec!["apple", "apricot", "echo", "fig", "pear", "plum"],
        ),
        (
            "sort=-name",
            vec!["plum", "pear", "fig", "echo", "apricot", "apple"],
        ),
        (
            "origin=database&sort=revision",
            vec!["pear", "apple", "fig", "apricot", "plum"],
        ),
        (
            "origin=database&sort=-revision",
            vec!["plum", "apricot", "fig", "apple", "pear"],
        ),
        ("q=ap", vec!["apple", "apricot"]),
        ("name=fig", vec!["fig"]),
        ("q=nothing", vec![]),
    ] {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/teams/default/upstreams?{query}&limit=2{cursor}");
            let page = managed.get(&path).await;
            assert!(page["items"].as_array().unwrap().len() <= 2);
            all.extend(names(&page));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(all, expected, "{query}");
    }
    // What a page ended with may go away meanwhile.
    let first = managed.get("/teams/default/upstreams?limit=2").await;
    let gone = Asked::new("DELETE", "/teams/default/upstreams/apricot").by(&managed.token);
    assert_eq!(managed.send(gone.header("if-match", "*")).await.status, 204);
    let cursor = first["next"].as_str().unwrap();
    let rest = managed
        .get(&format!("/teams/default/upstreams?limit=2&cursor={cursor}"))
        .await;
    assert_eq!(names(&rest), ["echo", "fig"]);
}

#[tokio::test]
async fn of_two_patches_at_once_none_is_lost_whatever_they_say_of_what_they_have_read() {
    let managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    managed.declare("apis", open_api("shared")).await;
    let at = "/teams/default/apis/shared:v1";
    let patch = |tags: &str, body: Value| {
        let asked = Asked::new("PATCH", at).by(&managed.token);
        managed.send(asked.header("if-match", tags).body(body))
    };
    for round in 1..=10 {
        let (one, other) = tokio::join!(
            patch("*", json!({ "max_body": format!("{round}KiB") })),
            patch("*", json!({ "idle_body_timeout": format!("{round}s") })),
        );
        expect(&one, 200);
        expect(&other, 200);
        let seen = managed.get(at).await;
        assert_eq!(
            (
                seen["max_body"].as_str(),
                seen["idle_body_timeout"].as_str()
            ),
            (Some(&*format!("{round}KiB")), Some(&*format!("{round}s"))),
        );
    }
}

#[tokio::test]
async fn a_version_goes_forward_alone() {
    let managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    managed.declare("apis", open_api("steps")).await;
    let to = |state: &str| {
        let asked = Asked::new("PATCH", "/teams/default/apis/steps:v1")
            .by(&managed.token)
            .header("if-match", "*")
            .body(json!({ "state": state }));
        managed.send(asked)
    };
    check_problem(&to("draft").await, 422, "invalid");
    for (state, called) in [
        ("deprecated", 200),
        ("published", 200),
        ("deprecated", 200),
        ("retired", 404),
    ] {
        expect(&to(state).await, 200);
        assert_eq!(
            managed.node.get("/steps/a", &[]).await.status,
            called,
            "{state}"
        );
    }
    check_problem(&to("published").await, 422, "invalid");
}

#[tokio::test]
async fn of_two_who_change_the_same_one_is_told() {
    let managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    let at = "/teams/default/upstreams/back";
    let seen = managed.call("GET", at, None).await;
    let tag = seen.head.field("etag").unwrap().to_owned();
    let change = |timeout: &str| {
        let asked = Asked::new("PATCH", at)
            .by(&managed.token)
            .header("if-match", &tag)
            .body(json!({ "connect_timeout": timeout }));
        managed.send(asked)
    };
    let (one, other) = tokio::join!(change("3s"), change("4s"));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
}

#[tokio::test]
async fn a_dry_run_goes_out_to_nobody() {
    let managed =
        Managed::start(Plan::default().settings("egress: { allow: [127.0.0.0/8] }")).await;
    managed.declare("upstreams", back(&managed)).await;
    let address = keyward_testkit::Upstream::echo().await;
    let resources = |name: &str| {
        let mut api = open_api(name);
        api["kind"] = json!("api");
        api["authentication"] = json!({ "issuers": [name], "audience": "a" });
        let issuer = json!({
            "kind": "issuer", "name": name, "issuer": format!("https://{name}.example"),
            "jwks": { "url": format!("{}/{name}", address.url()) }, "algorithms": ["ES256"],
        });
        json!({ "resources": [issuer, api] })
    };
    let dry = "/apply?dry_run=true";
    for _ in 0..3 {
        expect(
            &managed.call("POST", dry, Some(resources("tried"))).await,
            200,
        );
    }
    expect(
        &managed
            .call("POST", "/apply", Some(resources("served")))
            .await,
        200,
    );
    let paths = || {
        let received = address.received();
        let paths = received.iter().map(|one| one.target().to_owned());
        paths.collect::<Vec<_>>()
    };
    until("the keys are fetched", async || {
        paths().iter().any(|path| path == "/served")
    })
    .await;
    let paths = paths();
    assert!(!paths.iter().any(|path| path == "/tried"), "{paths:?}");
}
