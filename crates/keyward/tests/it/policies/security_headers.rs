//! What answers tell browsers to do and not to do.

use super::{Call, Table};
use crate::node::Plan;
use keyward_testkit::{Script, Upstream};

const HEADERS: &[&str] = &[
    "strict-transport-security",
    "x-content-type-options",
    "x-frame-options",
    "content-security-policy",
    "referrer-policy",
    "permissions-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "server",
    "x-powered-by",
    "x-runtime",
];

fn told() -> Script {
    Script::answer(
        "200 OK",
        &[
            ("Server", "Apache/2.4.1 (Unix)"),
            ("X-Powered-By", "PHP/5.4"),
            ("X-Runtime", "0.1"),
            ("X-Frame-Options", "ALLOWALL"),
            ("Content-Security-Policy", "default-src https:"),
            ("Strict-Transport-Security", "max-age=1"),
        ],
        "<p>",
    )
}

#[tokio::test]
async fn presets_and_settings() {
    let upstream = Upstream::scripted(told()).await;
    let plain = Upstream::scripted(Script::answer("204 No Content", &[], "")).await;
    let api = |plan: Plan, name: &str, upstream: &str, said: &str| {
        let rest = format!("authentication: none, security_headers: {said}");
        plan.api_at(name, &format!("/{name}"), upstream, &rest)
    };
    let mut plan = Plan::default()
        .settings("workers: 1\ntrusted_proxies: [ 127.0.0.1 ]")
        .upstream("talkative", &[upstream.url()], "")
        .upstream("plain", &[plain.url()], "");
    for (name, to, said) in [
        ("api", "talkative", "true"),
        ("web", "talkative", "{ preset: web }"),
        ("keep", "talkative", "{ from_upstream: keep }"),
        (
            "own",
            "talkative",
            "{ preset: none, nosniff: true, frame_options: same_origin, content_security_policy: \"default-src 'self'\", cross_origin_resource_policy: same-site, remove: [x-runtime] }",
        ),
        (
            "less",
            "talkative",
            "{ frame_options: none, content_security_policy: none, remove: [], strict_transport_security: false }",
        ),
        (
            "hsts",
            "plain",
            "{ strict_transport_security: { max_age: 730d, include_subdomains: true, preload: true } }",
        ),
        (
            "back",
            "plain",
            "{ preset: none, strict_transport_security: { max_age: 0s } }",
        ),
    ] {
        plan = api(plan, name, to, said);
    }
    let node = plan
        .api_at("off", "/off", "talkative", "authentication: none")
        .api(
            "routes",
            "authentication: none, max_body: 1, security_headers: true, routes: [ { name: page, match: { prefix: /page }, security_headers: { preset: web } }, { name: raw, match: { prefix: /raw }, security_headers: false }, { name: moved, match: { path: /moved }, redirect: { path: /new } }, { name: fixed, match: { path: /fixed }, respond: { status: 200, body: hello } }, { name: all, match: { prefix: / } } ]",
        )
        .start()
        .await;
    let mut table = Table::new("security-headers", "answers").headers(HEADERS);
    let secure = |target: &str| Call::get(target).header("X-Forwarded-Proto", "https");
    for (case, call) in [
        (
            "no policy: what the upstream says goes through",
            Call::get("/off/x"),
        ),
        ("`true`, in clear", Call::get("/api/x")),
        ("`true`, by TLS that a trusted proxy ends", secure("/api/x")),
        ("`preset: web`", secure("/web/x")),
        (
            "what the upstream says itself stays, but for what is taken off",
            secure("/keep/x"),
        ),
        ("settings without a preset", secure("/own/x")),
        ("a preset with settings switched off", secure("/less/x")),
        (
            "a host that is ready for the browsers' list",
            secure("/hsts/x"),
        ),
        ("the promise is taken back", secure("/back/x")),
        ("a route of its own", Call::get("/routes/page")),
        ("a route without", Call::get("/routes/raw")),
        (
            "a redirect of the gateway's own",
            Call::get("/routes/moved"),
        ),
        (
            "a fixed answer of the gateway's own",
            Call::get("/routes/fixed"),
        ),
        (
            "a refusal",
            Call::new("POST", "/routes/x").body("too large"),
        ),
        (
            "an address that leads to no API: whose headers would it have?",
            Call::get("/nowhere"),
        ),
    ] {
        let to = match call.first_segment() {
            "hsts" | "back" => &plain,
            "routes" => &node.upstream,
            _ => &upstream,
        };
        table.drive_to(&node, to, case, call).await;
    }
    table.finish();
}

#[tokio::test]
async fn a_stranger_does_not_say_that_it_speaks_tls() {
    let node = Plan::default()
        .settings("workers: 1")
        .api("api", "authentication: none, security_headers: true")
        .start()
        .await;
    let answer = node.get("/api/x", &[("X-Forwarded-Proto", "https")]).await;
    assert_eq!(answer.head.field("strict-transport-security"), None);
    assert_eq!(answer.head.field("x-content-type-options"), Some("nosniff"));
}
