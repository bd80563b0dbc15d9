//! What the site refuses before it looks at anything else, and what every answer of it has.

use super::{Asked, Managed, expect, until_logged};
use crate::node::{Plan, check_problem};
use keyward_testkit::{RawClient, until};
use serde_json::json;

#[tokio::test]
async fn other_hosts_and_pages_of_other_origins_get_nothing() {
    let managed = Managed::start(Plan::default()).await;
    let site = managed.node.process.site();
    let me = || Asked::new("GET", "/me").by(&managed.token);
    check_problem(
        &managed.send(me().header("host", "evil.example")).await,
        421,
        "unknown_host",
    );
    let cross = [
        ("origin", "https://evil.example".to_owned()),
        ("origin", "null".to_owned()),
        ("sec-fetch-site", "cross-site".to_owned()),
        ("sec-fetch-site", "same-site".to_owned()),
    ];
    let make = |name: &str| {
        Asked::new("POST", "/teams")
            .by(&managed.token)
            .body(json!({ "name": name }))
    };
    for (name, value) in &cross {
        let answer = managed.send(make("stolen").header(name, value)).await;
        check_problem(&answer, 403, "cross_site");
        // To look is not to change, and nothing lets the page read the answer.
        let seen = managed.send(me().header(name, value)).await;
        expect(&seen, 200);
        assert_eq!(seen.head.field("access-control-allow-origin"), None);
    }
    let own = make("own")
        .header("origin", &format!("http://{site}"))
        .header("sec-fetch-site", "same-origin");
    expect(&managed.send(own).await, 201);
    let preflight = Asked::new("OPTIONS", "/teams")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST");
    let preflight = managed.send(preflight).await;
    check_problem(&preflight, 405, "method_not_allowed");
    assert_eq!(preflight.head.field("access-control-allow-origin"), None);
    assert_eq!(preflight.head.field("allow"), Some("GET, POST, HEAD"));
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_browsers_away() {
    let managed = Managed::start(Plan::default()).await;
    for asked in [
        Asked::new("GET", "/me").by(&managed.token),
        Asked::new("GET", "/me"),
        Asked::new("GET", "/nothing"),
        Asked::new("GET", "/openapi.json"),
        Asked::new("HEAD", "/openapi.json"),
    ] {
        let answer = managed.send(asked.clone()).await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            (
                "content-security-policy",
                "default-src 'none'; frame-ancestors 'none'",
            ),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.head.field(name), Some(value), "{asked:?}");
        }
        assert!(answer.head.field("request-id").is_some(), "{asked:?}");
    }
}

#[tokio::test]
async fn what_can_t_be_read_is_told_with_its_member() {
    let managed = Managed::start(Plan::default()).await;
    let apis = "/teams/default/apis";
    let list = |query: &str| Asked::new("GET", format!("{apis}?{query}")).by(&managed.token);
    for (query, member) in [
        ("limit=0", "query:limit"),
        ("limit=many", "query:limit"),
        ("limit=1&limit=2", "query:limit"),
        ("sort=size", "query:sort"),
        ("colour=red", "query:colour"),
        ("q=%ff", "query:q=%ff"),
        ("state=running", "query:state"),
        ("origin=moon", "query:origin"),
    ] {
        let answer = managed.send(list(query)).await;
        check_problem(&answer, 400, "malformed");
        assert_eq!(
            answer.json().unwrap()["errors"][0]["member"],
            member,
            "{query}"
        );
    }
    let elsewhere = managed.send(list("cursor=AAAA")).await;
    check_problem(&elsewhere, 422, "invalid");
    assert_eq!(
        elsewhere.json().unwrap()["errors"][0]["member"],
        "query:cursor"
    );
    let post = || Asked::new("POST", apis).by(&managed.token);
    let text = post().header("content-type", "text/plain").body(json!({}));
    check_problem(&managed.send(text).await, 415, "unsupported_media_type");
    let body = json!({
        "name": "Bad Name", "version": "v1", "state": "open", "base_path": "/x",
        "upstream": "none", "authentication": "none", "colour": "red",
        "rate_limits": [{ "by": "subject", "requests": 1, "per": "1s" }, { "by": "moon", "requests": 1, "per": "1s" }],
    });
    let answer = managed.send(post().body(body)).await;
    check_problem(&answer, 422, "invalid");
    let errors = answer.json().unwrap()["errors"].clone();
    let members: Vec<&str> = errors
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["member"].as_str().unwrap())
        .collect();
    for member in ["/name", "/state", "/colour", "/rate_limits/1/by"] {
        assert!(members.contains(&member), "{member} is not in {errors:#}");
    }
    for (method, member) in [
        ("POST", "header:change-reason"),
        ("POST", "header:idempotency-key"),
    ] {
        let name = member.strip_prefix("header:").unwrap();
        let long = "x".repeat(600);
        let answer = managed
            .send(
                Asked::new(method, apis)
                    .by(&managed.token)
                    .header(name, &long)
                    .body(super::open_api("echo")),
            )
            .await;
        check_problem(&answer, 400, "malformed");
        assert_eq!(answer.json().unwrap()["errors"][0]["member"], member);
    }
}

#[tokio::test]
async fn bodies_are_as_large_as_their_endpoint_takes_and_say_how_long_they_are() {
    let managed = Managed::start(Plan::default()).await;
    let member = managed
        .member("default", "reader", "auditor", &["read"])
        .await;
    let large = |bytes: usize| json!({ "name": "x".repeat(bytes) });
    let resource = "/teams/default/apis";
    for (path, bytes) in [
        ("/setup", 5 << 10),
        ("/teams", 65 << 10),
        (resource, 1025 << 10),
    ] {
        let asked = Asked::new("POST", path).by(&managed.token);
        let answer = managed.send(asked.body(large(bytes))).await;
        check_problem(&answer, 413, "body_too_large");
    }
    // Much at once is taken of those alone who may declare something.
    let asked = Asked::new("POST", "/apply").by(&member);
    let answer = managed.send(asked.body(large(2 << 20))).await;
    check_problem(&answer, 403, "forbidden");
    let asked = Asked::new("POST", "/apply").by(&managed.token);
    let answer = managed.send(asked.body(large(2 << 20))).await;
    check_problem(&answer, 422, "invalid");
    // Where a body ends is told in one way, before or behind a length.
    for fields in [
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
    ] {
        let site = managed.node.process.site();
        let mut client = RawClient::connect(site).await.unwrap();
        let text = format!(
            "POST /api/v1/teams HTTP/1.1\r\nhost: {site}\r\n{fields}\r\n0\r\n\r\nGET /api/v1/me HTTP/1.1\r\nhost: {site}\r\n\r\n"
        );
        client.send(text).await.unwrap();
        let answer = client.answer().await.unwrap();
        check_problem(&answer, 411, "length_required");
        // Nothing that came behind is taken for a call.
        assert!(client.answer().await.is_err(), "{fields}");
    }
}

#[tokio::test]
async fn who_tries_or_calls_too_often_is_told_which_limit_and_until_when() {
    let limits = "site: { failed_attempts: { attempts: 10, per: 1h }, calls: { requests: 20, per: 1h } }\ntrusted_proxies: [127.0.0.1]";
    let managed = Managed::start(Plan::default().settings(limits)).await;
    let from = |address: &str, token: &str| {
        let asked = Asked::new("GET", "/me").header("authorization", &format!("Bearer {token}"));
        managed.send(asked.header("x-forwarded-for", address))
    };
    for _ in 0..10 {
        check_problem(&from("192.0.2.1", "wrong").await, 401, "unauthenticated");
    }
    let refused = from("192.0.2.1", "wrong").await;
    check_problem(&refused, 429, "too_many_requests");
    assert_eq!(
        refused.head.field("ratelimit-policy"),
        Some("\"failed_attempts\";q=10;w=3600")
    );
    assert!(refused.head.field("retry-after").is_some());
    // A good one from there too, which nobody can tell before; from elsewhere it is none of this.
    check_problem(
        &from("192.0.2.1", &managed.token).await,
        429,
        "too_many_requests",
    );
    expect(&from("192.0.2.2", &managed.token).await, 200);
    // Whoever guesses setup secrets has fewer tries.
    let guess = || {
        let body = json!({ "secret": "guessed", "name": "eve" });
        let asked = Asked::new("POST", "/setup").header("x-forwarded-for", "192.0.2.3");
        managed.send(asked.body(body))
    };
    for _ in 0..2 {
        check_problem(&guess().await, 403, "forbidden");
    }
    check_problem(&guess().await, 429, "too_many_requests");

    // Where a call comes from is told as the proxy does.
    expect(
        &managed
            .send(
                Asked::new("POST", "/teams")
                    .by(&managed.token)
                    .header("x-forwarded-for", "198.51.100.7")
                    .body(json!({ "name": "blue" })),
            )
            .await,
        201,
    );
    let events = managed.get("/audit").await;
    let mut events = events["items"].as_array().unwrap().iter();
    let event = events
        .find(|event| event["action"] == "team.create")
        .unwrap();
    assert_eq!(event["detail"]["address"], "198.51.100.7");

    let mut last = managed.call("GET", "/me", None).await;
    for _ in 0..20 {
        if last.status != 200 {
            break;
        }
        last = managed.call("GET", "/me", None).await;
    }
    check_problem(&last, 429, "too_many_requests");
    assert_eq!(
        last.head.field("ratelimit-policy"),
        Some("\"calls\";q=20;w=3600")
    );
}

/// A creation whose head was read and whose body is awaited, on a connection of its own.
async fn begun(managed: &Managed, name: &str) -> (RawClient, String) {
    let site = managed.node.process.site();
    let body = json!({ "name": name }).to_string();
    let head = format!(
        "POST /api/v1/teams HTTP/1.1\r\nhost: {site}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        managed.token,
        body.len(),
    );
    let mut client = RawClient::connect(site).await.unwrap();
    client.send(head).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 100);
    (client, body)
}

#[tokio::test]
async fn a_change_whose_client_has_left_is_made() {
    let managed = Managed::start(Plan::default()).await;
    for number in 0..10 {
        let name = format!("left-{number}");
        let (mut client, body) = begun(&managed, &name).await;
        client.send(body).await.unwrap();
        drop(client);
        let path = format!("/teams/{name}");
        until("the team is there", async || {
            managed.call("GET", &path, None).await.status == 200
        })
        .await;
    }
}

#[tokio::test]
async fn a_change_that_runs_when_the_process_is_told_to_end_has_its_answer() {
    let managed = Managed::start(Plan::default()).await;
    let (mut client, body) = begun(&managed, "late").await;
    managed.node.process.signal("TERM");
    until_logged(&managed, "shutting down").await;
    client.send(body).await.unwrap();
    expect(&client.answer().await.unwrap(), 201);
    // And no other call is taken on that connection.
    assert!(client.answer().await.is_err());
}
