//! What the site refuses before it looks at anything else, and what every answer of it has.

use super::{Asked, Managed, expect};
use crate::node::{Plan, check_problem};
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
