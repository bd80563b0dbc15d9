//! Whose answers are given to whom. An attacker who gets another one's, or has others get theirs, has won.

use super::{Case, Origin, Table, call, table};
use crate::node::Plan;
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::{Script, Upstream};

/// Name, API, answers, calls.
type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

const FRESH: &[(&str, &str)] = &[
    ("200 OK", "Cache-Control: max-age=3600"),
    ("200 OK", "Cache-Control: max-age=3600"),
];
const SHARED: &[(&str, &str)] = &[("200 OK", "Cache-Control: s-maxage=3600, must-revalidate")];
const PUBLIC: &[(&str, &str)] = &[("200 OK", "Cache-Control: public, max-age=3600")];
const BY_LANGUAGE: &[(&str, &str)] = &[
    ("200 OK", "Cache-Control: max-age=3600\nVary: X-Lang"),
    ("200 OK", "Cache-Control: max-age=3600\nVary: X-Lang"),
];

/// Cases whose last call may get nothing that was kept.
const FOR_NOBODY_ELSE: &[&str] = &[
    "who calls is decided elsewhere",
    "who calls is decided elsewhere: the same session again",
    "a template that says who calls",
    "a template that reads a header",
    "Connection names what tells answers apart",
];

/// A service that takes a session at its word.
async fn gate() -> Upstream {
    Upstream::choosing(|asked| {
        let who = asked.head.field("x-session").unwrap_or("nobody");
        Script::answer("200 OK", &[("X-User", who)], "")
    })
    .await
}

#[tokio::test]
async fn an_answer_is_for_its_caller_unless_it_is_public() {
    let issuer = Issuer::new("main", A::Es256);
    let origin = Origin::start().await;
    let gate = gate().await;
    let authentication = issuer.authentication("");
    let asks = "authentication: none, external_decision: { upstream: gate, request_headers: [x-session], set_headers: [x-user] }";
    let node = Plan::default()
        .settings("workers: 2")
        .resource(issuer.resource(""))
        .upstream("origin", &[origin.upstream.url()], "")
        .api_at(
            "guarded",
            "/guarded",
            "origin",
            &format!("{authentication}, cache: true"),
        )
        .api_at(
            "own",
            "/own",
            "origin",
            &format!("{authentication}, cache: {{ per_caller: true }}"),
        )
        .api_at(
            "open",
            "/open",
            "origin",
            "authentication: none, cache: true",
        )
        .api_at(
            "open-own",
            "/open-own",
            "origin",
            "authentication: none, cache: { per_caller: true }",
        )
        .upstream("gate", &[gate.url()], "")
        .api_at(
            "of-user",
            "/of-user",
            "origin",
            &format!("{authentication}, identity_headers: {{ x-user: subject }}, cache: {{ key_headers: [x-user] }}"),
        )
        .api_at("asked", "/asked", "origin", &format!("{asks}, cache: true"))
        .api_at(
            "asked-own",
            "/asked-own",
            "origin",
            &format!("{asks}, cache: {{ per_caller: true }}"),
        )
        .api_at(
            "greets",
            "/greets",
            "origin",
            &format!("{authentication}, cache: true, transformation: {{ response: {{ headers: {{ set: {{ x-for: \"{{{{ caller.subject }}}}\" }} }} }} }}"),
        )
        .api_at(
            "greets-own",
            "/greets-own",
            "origin",
            &format!("{authentication}, cache: {{ per_caller: true }}, transformation: {{ response: {{ headers: {{ set: {{ x-for: \"{{{{ caller.subject }}}}\" }} }} }} }}"),
        )
        .api_at(
            "chooses",
            "/chooses",
            "origin",
            "authentication: none, cache: true, transformation: { request: { headers: { set: { x-lang: \"{{ request.headers['x-choice'] }}\" } } } }",
        )
        .start()
        .await;
    let (alice, bob) = (issuer.token_of("alice"), issuer.token_of("bob"));
    let admin = issuer.sign(
        &issuer
            .claims()
            .with_subject("alice")
            .with_scopes(["read", "admin"]),
    );
    let get = |token: &str| format!("GET\nAuthorization: Bearer {token}");
    let (as_alice, as_bob, as_admin) = (get(&alice), get(&bob), get(&admin));
    let mut table = table(Table::new("cache", "callers"))
        .headers(&["x-for"])
        .upstream_headers(&[
            "x-forwarded-host",
            "x-http-method-override",
            "x-user",
            "x-lang",
        ])
        .naming(&admin, "ALICE-AS-ADMIN")
        .naming(&alice, "ALICE")
        .naming(&bob, "BOB");
    let cases: &[Row<'_>] = &[
        (
            "another caller's answer",
            "guarded",
            FRESH,
            &[&as_alice, &as_bob],
        ),
        (
            "other-authorization: the same caller again",
            "guarded",
            FRESH,
            &[&as_alice, &as_alice],
        ),
        (
            "other-authorization-smaxage",
            "guarded",
            SHARED,
            &[&as_alice, &as_bob],
        ),
        (
            "other-authorization-public",
            "guarded",
            PUBLIC,
            &[&as_alice, &as_bob],
        ),
        (
            "a public answer without a token",
            "guarded",
            PUBLIC,
            &[&as_alice, "GET"],
        ),
        (
            "per caller: the same caller again",
            "own",
            FRESH,
            &[&as_alice, &as_alice],
        ),
        (
            "per caller: another one",
            "own",
            FRESH,
            &[&as_alice, &as_bob],
        ),
        (
            "per caller: the same with other scopes",
            "own",
            FRESH,
            &[&as_alice, &as_admin],
        ),
        (
            "a cookie that the upstream reads",
            "open",
            FRESH,
            &["GET\nCookie: session=a", "GET\nCookie: session=b"],
        ),
        (
            "a key that the upstream checks",
            "open",
            FRESH,
            &["GET\nX-Api-Key: a", "GET\nX-Api-Key: a"],
        ),
        (
            "a token that the upstream checks",
            "open",
            FRESH,
            &["GET\nAuthorization: Basic YTpi", "GET"],
        ),
        (
            "what nobody in particular got, asked with a cookie",
            "open",
            FRESH,
            &["GET", "GET\nCookie: session=a"],
        ),
        (
            "per caller on an open API: the same cookie",
            "open-own",
            FRESH,
            &["GET\nCookie: session=a", "GET\nCookie: session=a"],
        ),
        (
            "per caller on an open API: another cookie",
            "open-own",
            FRESH,
            &["GET\nCookie: session=a", "GET\nCookie: session=b"],
        ),
        ("account/style.css", "guarded", FRESH, &[&as_alice, &as_bob]),
        (
            "a forged X-Forwarded-Host",
            "open",
            FRESH,
            &["GET\nX-Forwarded-Host: evil.example", "GET"],
        ),
        (
            "X-HTTP-Method-Override",
            "open",
            FRESH,
            &["GET\nX-HTTP-Method-Override: DELETE"],
        ),
        (
            "an identity header in key_headers: another caller",
            "of-user",
            PUBLIC,
            &[&as_alice, &as_bob],
        ),
        (
            "an identity header in key_headers: the same caller again",
            "of-user",
            PUBLIC,
            &[&as_alice, &as_alice],
        ),
        (
            "who calls is decided elsewhere",
            "asked",
            FRESH,
            &["GET\nX-Session: a", "GET\nX-Session: b"],
        ),
        (
            "who calls is decided elsewhere: the same session again",
            "asked",
            FRESH,
            &["GET\nX-Session: a", "GET\nX-Session: a"],
        ),
        (
            "per caller, decided elsewhere: the same session again",
            "asked-own",
            FRESH,
            &["GET\nX-Session: a", "GET\nX-Session: a"],
        ),
        (
            "per caller, decided elsewhere: another session",
            "asked-own",
            FRESH,
            &["GET\nX-Session: a", "GET\nX-Session: b"],
        ),
        (
            "a template that says who calls",
            "greets",
            PUBLIC,
            &[&as_alice, &as_bob],
        ),
        (
            "per caller, a template that says who calls",
            "greets-own",
            PUBLIC,
            &[&as_alice, &as_alice],
        ),
        (
            "a template that reads a header",
            "chooses",
            BY_LANGUAGE,
            &["GET\nX-Choice: de", "GET\nX-Choice: fr"],
        ),
        (
            "Connection names what tells answers apart",
            "open",
            BY_LANGUAGE,
            &["GET\nX-Lang: fr\nConnection: x-lang", "GET\nX-Lang: fr"],
        ),
    ];
    for (name, api, answers, calls) in cases {
        let case = Case {
            name,
            api,
            origin: answers,
            calls,
        };
        let answer = case.drive(&mut table, &node, &origin).await;
        let status = answer.head.field("cache-status").unwrap_or_default();
        if name.contains("another") || FOR_NOBODY_ELSE.contains(name) {
            assert!(!status.contains("hit"), "{name}: {status}");
        }
        if let Some(told) = answer.head.field("x-for") {
            let last = calls.last().unwrap_or(&"");
            assert_eq!(told == "alice", last.contains(&alice), "{name}: {told}");
        }
    }
    host(&mut table, &node, &origin).await;
    table.finish();
}

/// What two names of one API answer.
async fn host(table: &mut Table, node: &crate::node::Node, origin: &Origin) {
    origin.answers(
        "/host",
        vec![super::answer("200 OK", "Cache-Control: max-age=3600", 1)],
    );
    call(node, "/open/host", "GET").await;
    let mut client = keyward_testkit::RawClient::connect(node.gateway())
        .await
        .unwrap();
    let other = "GET /open/host HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n";
    client.send(other).await.unwrap();
    let answer = client.answer().await.unwrap();
    let received = origin.received("/host").split_off(1);
    table.add_received(
        "another host",
        "`GET` of `api.example`<br>`GET` of `other.example`",
        &answer,
        &received,
    );
}
