//! Pages of which origins may read answers.

use super::{Call, Table};
use crate::node::{Node, Plan};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::{Script, Upstream};

const HEADERS: &[&str] = &[
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-allow-private-network",
    "vary",
];

fn preflight(target: &str, origin: &str, method: &str) -> Call {
    Call::new("OPTIONS", target)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
}

fn asking(target: &str, origin: &str, method: &str, headers: &str) -> Call {
    preflight(target, origin, method).header("Access-Control-Request-Headers", headers)
}

/// An API of a browser's application: behind a token, for its own pages.
async fn guarded(issuer: &Issuer, cors: &str) -> Node {
    Plan::default()
        .settings("workers: 1")
        .resource(issuer.resource(""))
        .api(
            "orders",
            &format!(
                "{}, cors: {{ origins: [ \"https://app.example\", \"https://*.preview.app.example\" ], {cors} }}, routes: [ {{ name: read, match: {{ prefix: /, methods: [GET, HEAD] }} }}, {{ name: write, match: {{ prefix: /, methods: [PUT, DELETE] }} }}, {{ name: internal, match: {{ path: /internal }}, cors: none }} ]",
                issuer.authentication("")
            ),
        )
        .start()
        .await
}

#[tokio::test]
async fn preflights() {
    let issuer = Issuer::new("main", A::Es256);
    let node = guarded(
        &issuer,
        "headers: [authorization, content-type, x-tenant], max_age: 5m",
    )
    .await;
    let app = "https://app.example";
    let mut table = Table::new("cors", "preflights").headers(HEADERS);
    for (case, call) in [
        (
            "a page of a listed origin asks",
            asking("/orders/7", app, "PUT", "content-type"),
        ),
        (
            "without asking for headers",
            preflight("/orders/7", app, "DELETE"),
        ),
        (
            "a page below a listed host",
            preflight("/orders/7", "https://pr-12.preview.app.example", "GET"),
        ),
        (
            "two names below it",
            preflight("/orders/7", "https://a.b.preview.app.example", "GET"),
        ),
        (
            "headers in any case and several fields",
            asking("/orders/7", app, "PUT", "X-Tenant,content-TYPE")
                .header("Access-Control-Request-Headers", "authorization"),
        ),
        (
            "the host above the wildcard",
            preflight("/orders/7", "https://preview.app.example", "GET"),
        ),
        (
            "a host that only ends alike",
            preflight("/orders/7", "https://evilpreview.app.example", "GET"),
        ),
        (
            "a host that only begins alike",
            preflight("/orders/7", "https://app.example.evil.test", "GET"),
        ),
        (
            "the listed host in clear",
            preflight("/orders/7", "http://app.example", "GET"),
        ),
        (
            "the listed host at another port",
            preflight("/orders/7", "https://app.example:8443", "GET"),
        ),
        (
            "the listed host in other letters, which no browser sends",
            preflight("/orders/7", "https://APP.example", "GET"),
        ),
        (
            "a page from a file or a sandbox",
            preflight("/orders/7", "null", "GET"),
        ),
        (
            "two origins",
            preflight("/orders/7", app, "GET").header("Origin", "https://evil.test"),
        ),
        (
            "a header that is not listed",
            asking("/orders/7", app, "PUT", "content-type, x-admin"),
        ),
        (
            "a header that is none",
            asking("/orders/7", app, "PUT", "x y"),
        ),
        (
            "a method that no route takes",
            preflight("/orders/7", app, "PATCH"),
        ),
        (
            "two methods",
            preflight("/orders/7", app, "PUT").header("Access-Control-Request-Method", "GET"),
        ),
        (
            "a path that nobody publishes",
            preflight("/none", app, "GET"),
        ),
        (
            "a route that has switched it off: authentication comes as for any call",
            preflight("/orders/internal", app, "GET"),
        ),
        (
            "OPTIONS that asks for no method is a call like any other",
            Call::new("OPTIONS", "/orders/internal").header("Origin", app),
        ),
        (
            "a page of the public network, where nothing is said of it",
            preflight("/orders/7", app, "GET")
                .header("Access-Control-Request-Private-Network", "true"),
        ),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();
    assert!(node.upstream.received().is_empty());
}

#[tokio::test]
async fn calls_of_pages() {
    let issuer = Issuer::new("main", A::Es256);
    let node = guarded(&issuer, "expose: [x-total]").await;
    let token = issuer.token();
    let app = "https://app.example";
    let mut table = Table::new("cors", "calls")
        .headers(HEADERS)
        .naming(&token, "TOKEN");
    let page = |origin: &str| {
        Call::get("/orders/7")
            .bearer(&token)
            .header("Origin", origin)
    };
    for (case, call) in [
        ("a page of a listed origin", page(app)),
        (
            "a page of another origin: the call passes, and the browser keeps the answer from it",
            page("https://evil.test"),
        ),
        ("no page", Call::get("/orders/7").bearer(&token)),
        ("`null`", page("null")),
        (
            "a page that has no token can read why",
            Call::get("/orders/7").header("Origin", app),
        ),
        (
            "a page of another origin can't",
            Call::get("/orders/7").header("Origin", "https://evil.test"),
        ),
        (
            "a page whose token is broken",
            Call::get("/orders/7").header("Origin", app).bearer("a.b.c"),
        ),
        (
            "HEAD",
            Call::new("HEAD", "/orders/7")
                .bearer(&token)
                .header("Origin", app),
        ),
        (
            "a route that has switched it off",
            Call::get("/orders/internal")
                .bearer(&token)
                .header("Origin", app),
        ),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();
}

#[tokio::test]
async fn what_an_upstream_says_of_it_is_replaced() {
    let careless = Script::answer(
        "200 OK",
        &[
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Allow-Methods", "DELETE"),
            ("Vary", "Accept-Encoding"),
        ],
        "{}",
    );
    let varies = Script::answer("404 Not Found", &[("Vary", "Accept, Origin")], "{}");
    let any = Script::answer("200 OK", &[("Vary", "*")], "{}");
    let upstream = Upstream::scripts(vec![
        careless.clone(),
        varies,
        any,
        careless.clone(),
        careless,
    ])
    .await;
    let node = Plan::default()
        .settings("workers: 1")
        .upstream("pages", &[upstream.url()], "")
        .api_at(
            "cookies",
            "/cookies",
            "pages",
            "authentication: none, cors: { origins: [ \"https://app.example\" ], credentials: true, expose: [] }",
        )
        .api_at(
            "public",
            "/public",
            "pages",
            "authentication: none, cors: { origins: [ \"*\" ], headers: [ \"*\" ], methods: [GET, POST], max_age: 0s, private_network: true, expose: [ \"*\" ] }",
        )
        .api_at("none", "/none", "pages", "authentication: none")
        .start()
        .await;
    let app = "https://app.example";
    let mut table = Table::new("cors", "upstreams").headers(HEADERS);
    for (case, call) in [
        (
            "an upstream that lets everybody in",
            Call::get("/cookies/x").header("Origin", app),
        ),
        (
            "an answer that varies by origin already",
            Call::get("/cookies/x").header("Origin", "https://evil.test"),
        ),
        (
            "an answer that varies by everything",
            Call::get("/cookies/x").header("Origin", app),
        ),
        (
            "an API for every page: the answer is the same for all",
            Call::get("/public/x").header("Origin", "https://any.example"),
        ),
        (
            "an API without a policy: what the upstream says goes through",
            Call::get("/none/x").header("Origin", app),
        ),
        (
            "a preflight with credentials",
            preflight("/cookies/x", app, "GET"),
        ),
        (
            "a preflight of an API for every page names what was asked for, since `*` would leave Authorization out",
            asking(
                "/public/x",
                "https://any.example",
                "POST",
                "Authorization, X-Any",
            )
            .header("Access-Control-Request-Private-Network", "true"),
        ),
        (
            "a sandboxed page, where every page may call",
            preflight("/public/x", "null", "GET"),
        ),
        (
            "a method that is not listed",
            preflight("/public/x", "https://any.example", "DELETE"),
        ),
    ] {
        table.drive_to(&node, &upstream, case, call).await;
    }
    table.finish();
}

#[tokio::test]
async fn foreign_origins_are_refused_where_that_is_asked_for() {
    let node = Plan::default()
        .settings("workers: 1")
        .api(
            "cookies",
            "authentication: none, cors: { origins: [ \"https://app.example\" ], credentials: true, other_origins: refuse }",
        )
        .start()
        .await;
    let mut table = Table::new("cors", "refused").headers(HEADERS);
    let post = |origin: &str| {
        Call::new("POST", "/cookies/x")
            .header("Origin", origin)
            .body("a=b")
    };
    for (case, call) in [
        ("a listed origin", post("https://app.example")),
        (
            "a foreign origin: the form of a page that wants to use another's cookies",
            post("https://evil.test"),
        ),
        ("`null`", post("null")),
        ("the called host itself", post("http://api.example")),
        (
            "the called host at another port",
            post("http://api.example:8443"),
        ),
        (
            "no page: programs send no origin",
            Call::new("POST", "/cookies/x").body("a=b"),
        ),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();
}

#[tokio::test]
async fn options_of_routes_without_it() {
    let issuer = Issuer::new("main", A::Es256);
    let guarded = issuer.authentication("");
    let node = Plan::default()
        .settings("workers: 1")
        .resource(issuer.resource(""))
        .api(
            "plain",
            &format!(
                "{guarded}, routes: [ {{ name: read, match: {{ prefix: /, methods: [GET] }} }}, {{ name: options, match: {{ prefix: /, methods: [OPTIONS] }}, authorization: {{ scopes: [admin] }} }} ]"
            ),
        )
        .api(
            "narrow",
            &format!("{guarded}, routes: [ {{ match: {{ prefix: /, methods: [GET] }} }} ]"),
        )
        .start()
        .await;
    let reader = issuer.token();
    let admin = issuer.sign(&issuer.claims().with_scopes(["admin"]));
    let app = "https://app.example";
    let mut table = Table::new("cors", "options")
        .headers(&["allow"])
        .naming(&reader, "TOKEN")
        .naming(&admin, "ADMIN");
    for (case, call) in [
        (
            "a call that looks like a preflight is what it is: for the route of OPTIONS",
            preflight("/plain/x", app, "GET").bearer(&reader),
        ),
        (
            "the same of who may call that",
            preflight("/plain/x", app, "GET").bearer(&admin),
        ),
        (
            "where no route takes OPTIONS",
            preflight("/narrow/x", app, "GET").bearer(&reader),
        ),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();
}
