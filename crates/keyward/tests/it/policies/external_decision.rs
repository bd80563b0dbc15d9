//! Another service decides whether a call may pass.

use super::{Call, Table};
use crate::node::{Node, Plan, check_problem};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_model::ApiKey;
use keyward_testkit::{Script, Upstream, free_ports};

const HEADERS: &[&str] = &[
    "content-type",
    "content-encoding",
    "location",
    "set-cookie",
    "www-authenticate",
    "x-internal",
];

fn api(rest: &str) -> String {
    format!("authentication: none, external_decision: {{ upstream: gate, {rest} }}")
}

fn pass(headers: &[(&str, &str)]) -> Script {
    Script::answer("200 OK", headers, "let in")
}

/// A node whose API `/open` asks the gate.
async fn node(gate: &Upstream, rest: &str) -> Node {
    Plan::default()
        .settings("workers: 1")
        .upstream("gate", &[gate.url()], "retries: none")
        .api("open", &api(rest))
        .start()
        .await
}

#[tokio::test]
async fn what_the_service_says_happens() {
    let html = [("Content-Type", "text/html"), ("X-Internal", "10.0.0.1")];
    let cases = [
        (
            "200 lets a call pass, with the headers that are chosen",
            pass(&[("X-User", "alice"), ("X-Internal", "10.0.0.1")]),
            Call::get("/open/orders?page=2"),
        ),
        (
            "so does 204",
            Script::answer("204 No Content", &[("X-User", "bob")], ""),
            Call::get("/open/x"),
        ),
        (
            "a client's own header of that name never goes on",
            pass(&[("X-User", "alice")]),
            Call::get("/open/x")
                .header("X-User", "root")
                .header("X_User", "root"),
        ),
        (
            "nor can a client have the service's own taken out",
            pass(&[("X-User", "alice")]),
            Call::get("/open/x").header("Connection", "close, X-User"),
        ),
        (
            "nor where the service says nothing of it",
            pass(&[]),
            Call::get("/open/x").header("x-user", "root"),
        ),
        (
            "several values",
            pass(&[("X-User", "alice"), ("X-User", "of-sales")]),
            Call::get("/open/x"),
        ),
        (
            "401 is given to the caller, with the challenge and the page",
            Script::answer(
                "401 Unauthorized",
                &[
                    ("WWW-Authenticate", "Basic realm=\"gate\""),
                    html[0],
                    html[1],
                ],
                "<p>Who are you?</p>",
            ),
            Call::get("/open/x"),
        ),
        (
            "401 without a page is a problem",
            Script::answer("401 Unauthorized", &[("WWW-Authenticate", "Bearer")], ""),
            Call::get("/open/x"),
        ),
        (
            "403 with a page",
            Script::answer("403 Forbidden", &html, "<p>No</p>"),
            Call::get("/open/x"),
        ),
        (
            "403 with a page in a coding",
            Script::answer(
                "403 Forbidden",
                &[("Content-Type", "text/html"), ("Content-Encoding", "gzip")],
                "coded",
            ),
            Call::get("/open/x"),
        ),
        (
            "403 without one",
            Script::answer("403 Forbidden", &[], ""),
            Call::get("/open/x"),
        ),
        (
            "302 leads to where one logs in",
            Script::answer(
                "302 Found",
                &[
                    ("Location", "https://login.example/?rd=x"),
                    ("Set-Cookie", "state=1; HttpOnly"),
                    ("X-User", "nobody"),
                ],
                "",
            ),
            Call::get("/open/x"),
        ),
        (
            "429 of the service's own",
            Script::answer(
                "429 Too Many Requests",
                &[("Content-Type", "text/plain")],
                "slow",
            ),
            Call::get("/open/x"),
        ),
        (
            "500 is no decision",
            Script::answer("500 Internal Server Error", &[], "oops"),
            Call::get("/open/x"),
        ),
        (
            "nor is an answer that can't be read",
            Script::new().write("HTTP/1.1 2x0 What\r\n\r\n").close(),
            Call::get("/open/x"),
        ),
        (
            "nor a connection that is closed",
            Script::new().close(),
            Call::new("POST", "/open/x").body("{}"),
        ),
        (
            "nor an answer that does not come in time",
            Script::new().wait_until_closed(),
            Call::get("/open/x"),
        ),
        (
            "nor a refusal without end",
            Script::answer("403 Forbidden", &[], "x".repeat(65 * 1024)),
            Call::get("/open/x"),
        ),
    ];
    let gate = Upstream::scripts(cases.iter().map(|(_, script, _)| script.clone()).collect()).await;
    let node = node(
        &gate,
        "path: /decide, set_headers: [x-user], timeout: 400ms",
    )
    .await;
    let mut table = Table::new("external-decision", "answers")
        .headers(HEADERS)
        .upstream_headers(&["x-user", "x_user", "x-internal"]);
    for (case, _, call) in cases {
        table.drive(&node, case, call).await;
    }
    table.finish();
    let page = node
        .process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text();
    for (decision, count) in [
        ("passed", 6),
        ("refused", 7),
        ("failed", 5),
        ("failed_open", 0),
    ] {
        let line = format!(
            "keyward_policy_decisions_total{{policy=\"external_decision\",decision=\"{decision}\"}} {count}\n"
        );
        assert!(page.contains(&line), "{line}{page}");
    }
}

#[tokio::test]
async fn what_the_service_is_told() {
    let issuer = Issuer::new("main", A::Es256);
    let token = issuer.token();
    let key = ApiKey::from_random(&[1; 32]).reveal().to_owned();
    let gate = Upstream::scripted(pass(&[])).await;
    let node = Plan::default()
        .settings("workers: 1\ntrusted_proxies: [ 127.0.0.2 ]")
        .resource(issuer.resource(""))
        .resource(format!("- {{ kind: credential, name: billing, api_key: {key} }}"))
        .upstream("gate", &[gate.url()], "")
        .api("keyed", "authentication: [ { api_key: { query: api_key } }, { anonymous: true } ], external_decision: { upstream: gate }")
        .api("open", &api("request_headers: [ authorization, cookie, x-tenant ]"))
        .api(
            "guarded",
            &format!(
                "{}, external_decision: {{ upstream: gate, path: \"/decide?for=guarded\" }}, routes: [ {{ name: all, match: {{ prefix: / }} }}, {{ name: status, match: {{ path: /status }}, external_decision: none }} ]",
                issuer.authentication("")
            ),
        )
        .start()
        .await;
    let mut table = Table::new("external-decision", "questions")
        .naming(&token, "TOKEN")
        .naming(&key, "KEY")
        .upstream_headers(&[
            "x-forwarded-method",
            "x-forwarded-uri",
            "x-forwarded-host",
            "x-forwarded-for",
            "x-forwarded-proto",
            "authorization",
            "cookie",
            "x-tenant",
            "x-keyward-subject",
            "content-type",
            "content-length",
            "accept",
        ]);
    for (case, call) in [
        (
            "the chosen headers and which call it is",
            Call::get("/open/orders?page=2")
                .header("Authorization", "Basic YTpi")
                .header("Cookie", "session=7")
                .header("X-Tenant", "acme")
                .header("Accept", "text/html"),
        ),
        (
            "a body is not sent to it",
            Call::new("POST", "/open/orders")
                .header("Content-Type", "application/json")
                .body("{\"a\":1}"),
        ),
        (
            "what strangers say of where they come from is not passed on",
            Call::get("/open/x")
                .header("X-Forwarded-For", "10.0.0.1")
                .header("X-Forwarded-Host", "admin.example")
                .header("X-Forwarded-Uri", "/public")
                .header("X-Forwarded-Method", "HEAD"),
        ),
        (
            "who calls, where our own authentication knows it; the token stays here",
            Call::get("/guarded/x").bearer(&token),
        ),
        (
            "a call that may not pass anyway is not asked about",
            Call::get("/guarded/x"),
        ),
        (
            "nor one to a route without the policy",
            Call::get("/guarded/status").bearer(&token),
        ),
        (
            "an API key in the query stays here too",
            Call::get(&format!("/keyed/x?a=b&api%5Fkey={key}&c=d")),
        ),
    ] {
        table.drive_to(&node, &gate, case, call).await;
    }
    table.finish();
    let mut asked = gate.received();
    let keyed = asked.pop().unwrap();
    assert_eq!(
        keyed.head.field("x-forwarded-uri"),
        Some("/keyed/x?a=b&c=d")
    );
    assert_eq!(asked.first().unwrap().head.first_line, "GET / HTTP/1.1");
    assert_eq!(
        asked.last().unwrap().head.first_line,
        "GET /decide?for=guarded HTTP/1.1"
    );
    assert!(asked.iter().all(|asked| asked.body_length == 0));
    assert_eq!(node.upstream.received().len(), 6);
    assert_eq!(gate.connections(), 1, "questions share a connection");
}

#[tokio::test]
async fn without_a_decision_calls_pass_where_that_is_said() {
    let [port] = free_ports();
    let gate = Upstream::scripts(vec![
        Script::answer("503 Service Unavailable", &[], ""),
        Script::answer("403 Forbidden", &[], ""),
    ])
    .await;
    let node = Plan::default()
        .settings("workers: 1")
        .upstream("gate", &[gate.url()], "retries: none")
        .upstream("dead", &[format!("http://127.0.0.1:{port}")], "")
        .api("open", &api("on_failure: allow, set_headers: [x-user]"))
        .api(
            "dead-open",
            "authentication: none, external_decision: { upstream: dead, on_failure: allow, set_headers: [x-user] }",
        )
        .api(
            "dead-closed",
            "authentication: none, external_decision: { upstream: dead }",
        )
        .start()
        .await;
    let mut table = Table::new("external-decision", "failures").upstream_headers(&["x-user"]);
    let forged = |target: &str| Call::get(target).header("X-User", "root");
    for (case, call) in [
        (
            "`on_failure: allow`, and the service fails",
            forged("/open/x"),
        ),
        ("the same, and it refuses", forged("/open/x")),
        (
            "`on_failure: allow`, and nobody is there",
            forged("/dead-open/x"),
        ),
        (
            "`on_failure: refuse`, and nobody is there",
            forged("/dead-closed/x"),
        ),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();
}

#[tokio::test]
async fn decisions_are_remembered_for_the_caller_and_call_that_they_were_made_for() {
    let mut scripts = vec![pass(&[("X-User", "first")]); 6];
    scripts.push(Script::answer("403 Forbidden", &[], ""));
    scripts.push(pass(&[("X-User", "later")]));
    let gate = Upstream::scripts(scripts).await;
    let node = node(
        &gate,
        "set_headers: [x-user], cache: { ttl: 10m, entries: 100 }",
    )
    .await;
    let mut table = Table::new("external-decision", "cache");
    let with = |target: &str, cookie: &str| Call::get(target).header("Cookie", cookie);
    for (case, call) in [
        ("a first call is asked about", with("/open/a", "s=1")),
        ("the same again is not", with("/open/a", "s=1")),
        ("with another cookie", with("/open/a", "s=2")),
        ("without a cookie", Call::get("/open/a")),
        ("another path", with("/open/b", "s=1")),
        ("another query", with("/open/a?x=1", "s=1")),
        (
            "another method",
            Call::new("POST", "/open/a")
                .header("Cookie", "s=1")
                .body("x"),
        ),
        ("a refusal", with("/open/c", "s=1")),
        ("is not remembered", with("/open/c", "s=1")),
        ("what was let in then is", with("/open/c", "s=1")),
        (
            "headers that are not asked with make no difference",
            with("/open/c", "s=1").header("Accept", "text/html"),
        ),
    ] {
        table.drive_to(&node, &gate, case, call).await;
    }
    table.finish();
    assert_eq!(node.last_received().head.field("x-user"), Some("later"));
}

#[tokio::test]
async fn a_refused_call_uses_no_limit_up_and_is_told_why_to_pages() {
    let refuses = Script::answer("403 Forbidden", &[], "");
    let gate = Upstream::scripts(vec![refuses.clone(), refuses.clone(), refuses, pass(&[])]).await;
    let node = Plan::default()
        .settings("workers: 1")
        .upstream("gate", &[gate.url()], "")
        .api(
            "open",
"authentication: none, external_decision: { upstream: gate }, rate_limits: [ { by: route, requests: 1, per: 1h } ], cors: { origins: [ \"https://app.example\" ] }",
        )
        .start()
        .await;
    let page = [("Origin", "https://app.example")];
    for _ in 0..3 {
        let answer = node.get("/open/x", &page).await;
        check_problem(&answer, 403, "decision_refused");
        assert_eq!(
            answer.head.field("access-control-allow-origin"),
            Some("https://app.example")
        );
    }
    assert_eq!(node.get("/open/x", &page).await.status, 200);
    check_problem(&node.get("/open/x", &page).await, 429, "rate_limited");
}

#[tokio::test]
async fn no_decision_about_one_host_counts_for_another() {
    let gate = Upstream::scripted(pass(&[])).await;
    let node = Plan::default()
        .settings("workers: 1\ntrusted_proxies: [ 127.0.0.1 ]")
        .upstream("gate", &[gate.url()], "")
        .api("open", &api("cache: { ttl: 10m, any_path: true }"))
        .start()
        .await;
    for (host, scheme, asked) in [
        ("a.example", "https", 1),
        ("a.example", "https", 1),
        ("b.example", "https", 2),
        ("b.example", "http", 3),
        ("a.example", "https", 3),
    ] {
        let told = [("X-Forwarded-Host", host), ("X-Forwarded-Proto", scheme)];
        assert_eq!(node.get("/open/x", &told).await.status, 200);
        assert_eq!(gate.received().len(), asked, "{scheme}://{host}");
    }
}
