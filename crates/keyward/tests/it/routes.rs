//! Routes of an API, as callers meet them.

use crate::node::{Plan, check_passed, check_problem};
use keyward_testkit::Upstream;

#[tokio::test]
async fn no_spelling_passes_a_closed_route_by() {
    let closed = Upstream::echo().await;
    let node = Plan::default()
        .settings("workers: 1")
        .upstream("closed", &[closed.url()], "")
        .resource(
            "- { kind: api, name: a, version: v1, state: published, base_path: /a, upstream: echo, authentication: none, routes: [ {}, { match: { path: /admin }, respond: { status: 403 } }, { match: { prefix: /inner/admin }, respond: { status: 403 } }, { match: { path: '/by/{id}/admin' }, upstream: closed } ] }",
        )
        .start()
        .await;
    check_passed(&node.get("/a/other", &[]).await);
    for path in [
        "/a/admin",
        "/a/admin/",
        "/a/%61dmin",
        "/a/admin;v=1",
        "/a/admin%3bv=1",
        "/a/%61%64%6d%69%6e/",
        "/a/inner/admin/x/y",
        "/a/inner;x/admin;y/x",
    ] {
        assert_eq!(node.get(path, &[]).await.status, 403, "{path}");
    }
    for path in [
        "/a//admin",
        "/a/;/admin",
        "/a/x/../admin",
        "/a/;x/admin",
        "/a/inner/%3b/admin",
    ] {
        check_problem(&node.get(path, &[]).await, 400, "ambiguous_path");
    }
    for path in ["/a/by/7/admin", "/a/by/%37/admin/", "/a/by/7;x/admin"] {
        check_passed(&node.get(path, &[]).await);
    }
    assert_eq!(closed.received().len(), 3);
    assert_eq!(node.upstream.received().len(), 1);
}

#[tokio::test]
async fn who_calls_is_told_by_the_gateway_whatever_a_route_edits() {
    let node = Plan::default()
        .settings("workers: 1")
        .resource(
            "- { kind: api, name: a, version: v1, state: published, base_path: /a, upstream: echo, authentication: none, routes: [ { request_headers: { set: { authorization: Basic Zm9vOmJhcg==, x-forwarded-prefix: /a }, remove: [cookie] }, response_headers: { remove: [content-type], set: { x-served-by: keyward } } } ] }",
        )
        .start()
        .await;
    let answer = node
        .get(
            "/a/x",
            &[
                ("Authorization", "Bearer of-the-client"),
                ("Cookie", "a=b"),
                ("X-Keyward-Subject", "admin"),
                ("X-Forwarded-Prefix", "/forged"),
                ("Connection", "close, authorization"),
            ],
        )
        .await;
    check_passed(&answer);
    assert_eq!(answer.head.field("x-served-by"), Some("keyward"));
    assert_eq!(answer.head.field("content-type"), None);
    let head = node.last_received().head;
    assert_eq!(head.field("authorization"), Some("Basic Zm9vOmJhcg=="));
    assert_eq!(head.field("x-forwarded-prefix"), Some("/a"));
    assert_eq!(head.field("cookie"), None);
    assert_eq!(head.field("x-keyward-subject"), None);
}

#[tokio::test]
async fn routes_that_answer_themselves_are_behind_limits_and_count_like_others() {
    let node = Plan::default()
        .settings("workers: 1")
        .resource(
            "- { kind: api, name: a, version: v1, state: published, base_path: /a, authentication: none, rate_limits: [ { by: api, requests: 2, per: 1h } ], routes: [ { name: hello, match: { path: /hello }, respond: { body: hello } }, { name: gone, match: { path: /gone }, redirect: { path: /a/hello } } ] }",
        )
        .resource("- { kind: api, name: b, version: v1, state: published, base_path: /b, upstream: echo, authentication: none }")
        .start()
        .await;
    let hello = node.get("/a/hello", &[]).await;
    check_passed(&hello);
    assert_eq!(hello.text(), "hello");
    assert_eq!(
        hello.head.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(hello.head.field("ratelimit").is_some());
    let head = node.call("HEAD", "/a/gone", &[], "").await;
    assert_eq!(
        (head.status, head.head.field("location")),
        (302, Some("/a/hello"))
    );
    check_problem(&node.get("/a/hello", &[]).await, 429, "rate_limited");
    check_problem(&node.get("/a/other", &[]).await, 404, "not_found");
    let page = node
        .process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text();
    assert!(page.contains("route=\"hello\""), "{page}");
    assert!(page.contains("route=\"gone\""), "{page}");
}

#[tokio::test]
async fn a_preflight_is_for_the_route_of_the_method_it_asks_for() {
    let node = Plan::default()
        .settings("workers: 1")
        .resource(
            "- { kind: api, name: a, version: v1, state: published, base_path: /a, upstream: echo, authentication: none, cors: { origins: [\"https://app.example\"], methods: [PUT] }, routes: [ { match: { path: /x, methods: [PUT] } }, { match: { path: /own, methods: [PUT] }, cors: none } ] }",
        )
        .start()
        .await;
    let origin = ("Origin", "https://app.example");
    let asks = |method| ("Access-Control-Request-Method", method);
    let preflight = node
        .call("OPTIONS", "/a/x", &[origin, asks("PUT")], "")
        .await;
    assert_eq!(preflight.status, 204, "{}", preflight.text());
    let headers: [&[(&str, &str)]; 4] = [&[origin, asks("DELETE")], &[origin], &[asks("PUT")], &[]];
    for headers in headers {
        let answer = node.call("OPTIONS", "/a/x", headers, "").await;
        check_problem(&answer, 405, "method_not_allowed");
        assert_eq!(answer.head.field("allow"), Some("PUT"));
    }
    let off = node
        .call("OPTIONS", "/a/own", &[origin, asks("PUT")], "")
        .await;
    check_problem(&off, 405, "method_not_allowed");
    assert_eq!(node.upstream.received().len(), 0);
}
