//! Bodies and headers that are made anew, seen from both ends.

use super::{Call, Table};
use crate::node::{Node, Plan, check_problem};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::{Answer, Script, Upstream};
use std::sync::atomic::{AtomicUsize, Ordering};

const TRANSFORMATION: &str = r#"
      request:
        headers:
          set: { x-customer: "{{ body.customer.name }}", x-path: "{{ request.path }}", x-language: "{{ request.headers['accept-language'] | default('en') }}" }
          remove: [x-internal]
        body: |
          { "name": {{ body.customer.name }}, "lines": [
            {% for line in body.lines %}{ "sku": {{ line.sku | upper }}, "count": {{ line.count }} }{% if not loop.last %},{% endif %}{% endfor %}
          ], "source": "gateway" }
        max_body: 2KiB
        max_output: 1KiB
"#;

/// The node, and the service that it asks about calls of `/decided`.
async fn node(issuer: &Issuer, answers: &Upstream) -> (Node, Upstream) {
    let gate = Upstream::scripted(Script::answer("200 OK", &[("X-User", "alice")], "")).await;
    let api = |name: &str, upstream: &str, rest: &str| {
        format!(
            "- kind: api\n  name: {name}\n  version: v1\n  state: published\n  base_path: /{name}\n  upstream: {upstream}\n  {rest}\n"
        )
    };
    let node = Plan::default()
        .settings("workers: 1")
        .resource(issuer.resource(""))
        .upstream("answers", &[answers.url()], "")
        .resource(api("in", "echo", &format!("authentication: none\n  transformation:{TRANSFORMATION}")))
        .resource(api("fixed", "echo", "authentication: none\n  transformation: { request: { body: \"{ \\\"a\\\": 1 }\" } }"))
        .upstream("gate", &[gate.url()], "")
        .resource(api("decided", "echo", "authentication: none\n  external_decision: { upstream: gate, set_headers: [x-user] }\n  transformation: { request: { headers: { set: { x-user: root, x-path: \"{{ request.path }}\" } } } }"))
        .resource(api("lenient", "echo", "authentication: none\n  transformation: { request: { body: \"{ \\\"old\\\": {{ body }} }\", headers: { set: { x-customer: \"{{ request.query }}\" }, remove: [x-internal] }, not_json: pass } }"))
        .resource(api(
            "who",
            "echo",
            &format!("{}\n  transformation: {{ request: {{ headers: {{ set: {{ x-subject: \"{{{{ caller.subject }}}}\", x-keyward-subject: admin }} }} }} }}", issuer.authentication("")),
        ))
        .resource(api(
            "out",
            "answers",
            "authentication: none\n  transformation: { response: { body: \"{ \\\"data\\\": {{ body.result }}, \\\"status\\\": {{ response.status }} }\", headers: { set: { x-count: \"{{ body.result | length }}\" }, remove: [x-secret] }, max_body: 1KiB } }",
        ))
        .resource(api(
            "strict",
            "answers",
            "authentication: none\n  transformation: { response: { body: \"{{ body.result }}\", not_json: refuse, statuses: 2xx } }",
        ))
        .resource(api(
            "kept",
            "answers",
            "authentication: none\n  cache: true\n  transformation: { response: { body: \"{{ body.result }}\" } }",
        ))
        .resource(api(
            "turning",
            "answers",
            "authentication: none\n  cache: { stale_if_error: 1h }\n  transformation: { response: { body: \"{{ body.result }}\" } }",
        ))
        .start()
        .await;
    (node, gate)
}

/// An upstream that answers by its path.
async fn answers() -> Upstream {
    let turns = AtomicUsize::new(0);
    Upstream::choosing(move |received| {
        let json = ("content-type", "application/json");
        let good = r#"{"result":[1,2,3]}"#;
        match received.target() {
            "/tagged" => Script::answer(
                "200 OK",
                &[
                    json,
                    ("etag", "\"a\""),
                    ("x-secret", "1"),
                    ("content-digest", "sha-256=:AA==:"),
                    ("accept-ranges", "bytes"),
                ],
                good,
            ),
            "/missing" => Script::answer("200 OK", &[json], r#"{"error":1}"#),
            "/failed" => Script::answer("500 Internal Server Error", &[json], r#"{"error":1}"#),
            "/text" => Script::answer("200 OK", &[("content-type", "text/plain")], "hello"),
            "/broken" => Script::answer("200 OK", &[json], r#"{"result":"#),
            "/twice" => Script::answer("200 OK", &[json], r#"{"result":1,"result":2}"#),
            "/large" => Script::answer(
                "200 OK",
                &[json],
                format!("{{\"result\":\"{}\"}}", "x".repeat(2000)),
            ),
            "/pieces" => Script::chunked("200 OK", &[json], &["{\"result\"", ":[1", ",2]}"], &[]),
            "/endless" => Script::chunked(
                "200 OK",
                &[json],
                &["{\"result\":\"", &"x".repeat(2000), "\"}"],
                &[],
            ),
            "/coded" => Script::answer("200 OK", &[json, ("content-encoding", "gzip")], "xx"),
            "/nothing" => Script::new().write("HTTP/1.1 204 No Content\r\n\r\n"),
            "/turning" => {
                let old = [json, ("cache-control", "max-age=60"), ("age", "100")];
                let body = match turns.fetch_add(1, Ordering::Relaxed) {
                    0 => good,
                    _ => r#"{"error":1}"#,
                };
                Script::answer("200 OK", &old, body)
            }
            "/fresh" => Script::answer("200 OK", &[json, ("cache-control", "max-age=60")], good),
            _ => Script::answer("200 OK", &[json], good),
        }
    })
    .await
}

fn json(target: &str, body: &str) -> Call {
    Call::new("POST", target)
        .header("content-type", "application/json")
        .body(body)
}

#[tokio::test]
async fn requests_are_made_anew() {
    const GOOD: &str =
        r#"{"customer":{"name":"Ada"},"lines":[{"sku":"a1","count":2},{"sku":"b2","count":1}]}"#;
    let issuer = Issuer::new("main", A::Es256);
    let token = issuer.token();
    let upstream = answers().await;
    let (node, _gate) = node(&issuer, &upstream).await;
    let mut table = Table::new("transformation", "requests")
        .upstream_headers(&[
            "content-type",
            "content-length",
            "x-customer",
            "x-path",
            "x-language",
            "x-internal",
            "x-subject",
            "x-keyward-subject",
            "x-user",
            "x_internal",
            "content-encoding",
            "trailer",
        ])
        .naming(&token, "ALICE");
    let mut made = Vec::new();
    for (case, call, expected) in [
        (
            "a body that is made anew",
            json("/in/orders", GOOD),
            Some(
                r#"{"name":"Ada","lines":[{"sku":"A1","count":2},{"sku":"B2","count":1}],"source":"gateway"}"#,
            ),
        ),
        (
            "a header that is taken out",
            json("/in/orders", GOOD)
                .header("x-internal", "1")
                .header("accept-language", "zh"),
            None,
        ),
        (
            "a value that would break out of its place",
            json(
                "/in/orders",
                r#"{"customer":{"name":"\",\"admin\":true,\"x\":\""},"lines":[]}"#,
            ),
            Some(r#"{"name":"\",\"admin\":true,\"x\":\"","lines":[],"source":"gateway"}"#),
        ),
        (
            "a value that would be a template",
            json(
                "/in/orders",
                r#"{"customer":{"name":"{{ 7 * 7 }}"},"lines":[]}"#,
            ),
            Some(r#"{"name":"{{ 7 * 7 }}","lines":[],"source":"gateway"}"#),
        ),
        (
            "a value that would end a header",
            json(
                "/in/orders",
                r#"{"customer":{"name":"a\r\nx-admin: 1"},"lines":[]}"#,
            ),
            None,
        ),
        (
            "a member that is missing",
            json("/in/orders", r#"{"customer":{}}"#),
            None,
        ),
        (
            "a member that stands twice",
            json(
                "/in/orders",
                r#"{"customer":{"name":"a"},"customer":{"name":"b"},"lines":[]}"#,
            ),
            None,
        ),
        ("no JSON", json("/in/orders", "name=a"), None),
        (
            "a media type that is not JSON",
            Call::new("POST", "/in/orders")
                .header("content-type", "text/plain")
                .body("hello"),
            None,
        ),
        (
            "the same, where it passes",
            Call::new("POST", "/lenient/orders")
                .header("content-type", "text/plain")
                .body("hello"),
            Some("hello"),
        ),
        (
            "headers that it takes out or sets itself, with what passes",
            Call::new("POST", "/lenient/orders")
                .header("content-type", "text/plain")
                .header("x-internal", "1")
                .header("x_internal", "2")
                .header("x-customer", "forged")
                .body("hello"),
            Some("hello"),
        ),
        (
            "a header that is set to nothing",
            json("/lenient/orders", "[1]").header("x-customer", "forged"),
            Some(r#"{"old":[1]}"#),
        ),
        (
            "a body in a coding",
            json("/in/orders", GOOD).header("content-encoding", "gzip"),
            None,
        ),
        (
            "a body that is too large",
            json(
                "/in/orders",
                &format!(
                    "{{\"customer\":{{\"name\":\"{}\"}},\"lines\":[]}}",
                    "x".repeat(2100)
                ),
            ),
            None,
        ),
        (
            "what comes out is too large",
            json(
                "/in/orders",
                &format!(
                    "{{\"customer\":{{\"name\":\"{}\"}},\"lines\":[]}}",
                    "x".repeat(1100)
                ),
            ),
            None,
        ),
        (
            "a number that would come out as another",
            json("/lenient/orders", "[12345678901234567890123]"),
            None,
        ),
        (
            "two media types",
            json("/lenient/orders", "[1]").header("content-type", "text/plain"),
            None,
        ),
        (
            "a call without a body",
            Call::get("/lenient/orders"),
            Some(""),
        ),
        (
            "another media type of JSON",
            Call::new("POST", "/lenient/orders")
                .header("content-type", "application/vnd.shop+json; charset=utf-8")
                .body("[1]"),
            Some(r#"{"old":[1]}"#),
        ),
        (
            "a body that is made without reading the one that came",
            json("/fixed/orders", "xx")
                .header("content-encoding", "gzip")
                .header("trailer", "x-sum"),
            Some(r#"{"a":1}"#),
        ),
        (
            "who calls, as another service says, and a template that says otherwise",
            Call::get("/decided/x").header("x-user", "forged"),
            Some(""),
        ),
        (
            "who calls, and a forged identity header",
            Call::get("/who/x").bearer(&token),
            None,
        ),
    ] {
        let before = node.upstream.received().len();
        table.drive(&node, case, call).await;
        let received = node.upstream.received().get(before).cloned();
        made.push((case, received, expected));
    }
    for (case, received, expected) in made {
        let Some(expected) = expected else { continue };
        let received = received.unwrap_or_else(|| panic!("{case}: the upstream was not called"));
        assert_eq!(String::from_utf8_lossy(&received.body), expected, "{case}");
        assert!(received.head.field("x-admin").is_none(), "{case}");
        let gone = |name: &str| assert_eq!(received.head.field(name), None, "{case}: {name}");
        if case.starts_with("a body that is made without") {
            gone("content-encoding");
            gone("trailer");
        } else if case.starts_with("who calls, as another service") {
            assert_eq!(received.head.field("x-user"), Some("alice"), "{case}");
        } else if case.starts_with("a header that is set to nothing") {
            gone("x-customer");
        } else if case.starts_with("headers that it takes out") {
            gone("x-internal");
            gone("x_internal");
        }
    }
    table.finish();
}

#[tokio::test]
async fn answers_are_made_anew() {
    let issuer = Issuer::new("main", A::Es256);
    let upstream = answers().await;
    let (node, _gate) = node(&issuer, &upstream).await;
    let mut table = Table::new("transformation", "answers")
        .headers(&[
            "content-type",
            "content-length",
            "etag",
            "x-count",
            "x-secret",
            "content-digest",
            "accept-ranges",
            "cache-status",
        ])
        .upstream_headers(&["accept-encoding", "range"])
        .masking("cache-status", |value| {
            value.split("; ttl").next().unwrap().to_owned()
        });
    for (case, method, target, expected) in [
        (
            "a body that is made anew",
            "GET",
            "/out/plain",
            r#"{"data":[1,2,3],"status":200}"#,
        ),
        (
            "what speaks of the very bytes goes, a strong ETag is weak",
            "GET",
            "/out/tagged",
            r#"{"data":[1,2,3],"status":200}"#,
        ),
        (
            "a body in chunks",
            "GET",
            "/out/pieces",
            r#"{"data":[1,2],"status":200}"#,
        ),
        ("a member is missing", "GET", "/out/missing", ""),
        (
            "another status than those that are changed",
            "GET",
            "/out/failed",
            r#"{"error":1}"#,
        ),
        ("no JSON passes", "GET", "/out/text", "hello"),
        (
            "no JSON is refused where that is said",
            "GET",
            "/strict/text",
            "",
        ),
        ("JSON that is cut", "GET", "/out/broken", ""),
        ("a member that stands twice", "GET", "/out/twice", ""),
        ("too large by what it says", "GET", "/out/large", ""),
        ("too large as it comes", "GET", "/out/endless", ""),
        (
            "in a coding that nobody has asked for",
            "GET",
            "/out/coded",
            "xx",
        ),
        ("nothing", "GET", "/out/nothing", ""),
        ("HEAD", "HEAD", "/out/tagged", ""),
        ("kept as it was made", "GET", "/kept/fresh", "[1,2,3]"),
        ("given as it was kept", "GET", "/kept/fresh ", "[1,2,3]"),
        (
            "an answer that is old at once",
            "GET",
            "/turning/turning",
            "[1,2,3]",
        ),
        (
            "the next can't be made anew: the old one with `stale_if_error`",
            "GET",
            "/turning/turning ",
            "[1,2,3]",
        ),
    ] {
        let before = upstream.received().len();
        let call = Call::new(method, target.trim())
            .header("accept-encoding", "gzip")
            .header("range", "bytes=0-1");
        let call = if target.starts_with("/kept") || target.starts_with("/turning") {
            Call::get(target.trim())
        } else {
            call
        };
        let answer: Answer = call.send(&node).await;
        let received = upstream.received().split_off(before);
        table.add_received(
            case,
            &format!("`{method} {}`", target.trim()),
            &answer,
            &received,
        );
        if !expected.is_empty() {
            assert_eq!(answer.text(), expected, "{case}");
        } else if answer.status == 502 {
            check_problem(&answer, 502, "untransformable_answer");
        }
    }
    table.finish();
}
