//! What an upstream learns of the caller, and from whom alone.

use crate::node::{Node, Plan, check_passed, check_problem, request};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::{RawClient, Received};
use serde_json::json;

const IDENTITY: &str = "identity_headers: { x-user: subject, x-tenant: \"claim:tenant\", x-scopes: scopes, x-client: client, x-issuer: issuer }";

/// Names as the most careless reader folds them.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// The values of all fields that someone could take for this one, in headers and trailers.
fn values(received: &Received, name: &str) -> Vec<String> {
    let fields = received.head.fields.iter().chain(&received.trailers);
    fields
        .filter(|(field, _)| folded(field) == name)
        .map(|(_, value)| value.clone())
        .collect()
}

async fn node(settings: &str) -> (Node, Issuer) {
    let issuer = Issuer::new("main", A::Es256);
    let node = Plan::default()
        .settings(&format!("workers: 1\n{settings}"))
        .resource(issuer.resource(""))
        .api(
            "guarded",
            &format!("{}, {IDENTITY}", issuer.authentication("")),
        )
        .api("open", &format!("authentication: none, {IDENTITY}"))
        .start()
        .await;
    (node, issuer)
}

/// Sends these bytes on a connection of their own, and gives what arrived at the upstream.
async fn arrived(node: &Node, bytes: &str) -> Received {
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client.send(bytes).await.unwrap();
    check_passed(&client.answer().await.unwrap());
    node.last_received()
}

#[tokio::test]
async fn nobody_forges_who_they_are() {
    let (node, issuer) = node("").await;
    let bearer = format!("Bearer {}", issuer.token());
    for name in [
        "x-user", "X-User", "X-USER", "x_user", "X_User", "x.user", "x-tenant", "X_Tenant",
    ] {
        for twice in [false, true] {
            let mut forged = vec![(name, "admin")];
            if twice {
                forged.push((name, "root"));
            }
            check_passed(&node.get("/open/x", &forged).await);
            let open = node.last_received();
            assert_eq!(values(&open, &folded(name)), [""; 0], "{name}");
            forged.push(("Authorization", &bearer));
            check_passed(&node.get("/guarded/x", &forged).await);
            let guarded = node.last_received();
            assert_eq!(values(&guarded, "x-user"), ["alice"], "{name}");
            assert_eq!(values(&guarded, "x-tenant"), [""; 0], "{name}");
        }
    }
    // Named as an option of the connection, to have ours taken out.
    for option in [
        "x-user",
        "close, X-User",
        "x_user",
        "x-user, x-forwarded-for, via, request-id",
    ] {
        let headers = [
            ("Authorization", &*bearer),
            ("Connection", option),
            ("X-User", "admin"),
        ];
        check_passed(&node.get("/guarded/x", &headers).await);
        let received = node.last_received();
        assert_eq!(values(&received, "x-user"), ["alice"], "{option}");
        assert_eq!(
            values(&received, "x-forwarded-for"),
            ["127.0.0.1"],
            "{option}"
        );
        assert_eq!(values(&received, "request-id").len(), 1, "{option}");
    }
    // In trailers, which some servers put among the headers.
    for (path, user) in [("/open/x", None), ("/guarded/x", Some("alice"))] {
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nConnection: close\r\nTE: trailers\r\n\
             Trailer: X-User, X_User, X-Forwarded-For, Authorization, Content-Length, X-Sum, Request-Id\r\n\
             Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-User: admin\r\nX_User: admin\r\n\
             X-Forwarded-For: 10.0.0.1\r\nX-Real-Ip: 10.0.0.1\r\nAuthorization: Basic YTpi\r\nContent-Length: 7\r\n\
             Request-Id: mine\r\nX-Sum: 7\r\n\r\n"
        );
        let received = arrived(&node, &bytes).await;
        assert_eq!(received.body, b"abc");
        assert_eq!(
            values(&received, "x-user"),
            user.into_iter().collect::<Vec<_>>()
        );
        assert_eq!(values(&received, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(received.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    }
}

#[tokio::test]
async fn claims_arrive_whole_and_smuggle_nothing() {
    let (node, issuer) = node("").await;
    for (tenant, header) in [
        (json!("acme"), Some("acme")),
        (json!("a\r\nX-Admin: 1"), Some("a%0D%0AX-Admin: 1")),
        (json!("a\nb\0c\u{7f}"), Some("a%0Ab%00c%7F")),
        (json!("\u{5b89}\u{5fb7}"), Some("%E5%AE%89%E5%BE%B7")),
        (json!("100%"), Some("100%25")),
        (json!(" a b "), Some("%20a b%20")),
        (json!(7), Some("7")),
        (json!(["a", "b\n"]), Some("[\"a\",\"b\\n\"]")),
        (json!({"a": true}), Some("{\"a\":true}")),
    ] {
        let token = issuer.token_with("tenant", Some(tenant.clone()));
        check_passed(&node.get_with("/guarded/x", &token).await);
        let received = node.last_received();
        assert_eq!(
            values(&received, "x-tenant"),
            header.into_iter().collect::<Vec<_>>(),
            "{tenant}"
        );
        assert_eq!(values(&received, "x-admin"), [""; 0]);
    }
    let claims = issuer.claims().with_scopes(["write", "read"]);
    let token = issuer.sign(&claims.with("client_id", json!("app-1")).unwrap());
    check_passed(&node.get_with("/guarded/x", &token).await);
    let received = node.last_received();
    assert_eq!(values(&received, "x-scopes"), ["read write"]);
    assert_eq!(values(&received, "x-client"), ["app-1"]);
    assert_eq!(values(&received, "x-issuer"), [&*issuer.url]);
    // On an open API nobody is known, whatever was sent.
    let received = {
        check_passed(&node.get_with("/open/x", &token).await);
        node.last_received()
    };
    for name in ["x-user", "x-tenant", "x-scopes", "x-client", "x-issuer"] {
        assert_eq!(values(&received, name), [""; 0], "{name}");
    }
}

#[tokio::test]
async fn a_token_says_the_same_at_each_of_its_calls() {
    let (node, issuer) = node("").await;
    // Claims whose text is kept, and claims that have to be read into a map.
    for tenant in ["acme", "a\"b"] {
        let claims = issuer.claims().with_scopes(["write", "read"]);
        let claims = claims.with("client_id", json!("app-1")).unwrap();
        let token = issuer.sign(&claims.with("tenant", json!(tenant)).unwrap());
        for call in 1..=4 {
            check_passed(&node.get_with("/guarded/x", &token).await);
            let received = node.last_received();
            for (name, value) in [
                ("x-user", "alice"),
                ("x-tenant", tenant),
                ("x-scopes", "read write"),
                ("x-client", "app-1"),
                ("x-issuer", &*issuer.url),
            ] {
                assert_eq!(values(&received, name), [value], "{name} at call {call}");
            }
        }
    }
}

/// What was found of a token is remembered for the API's own rules, not for those of another.
#[tokio::test]
async fn a_token_that_one_api_knows_is_judged_anew_by_another() {
    let issuer = Issuer::new("main", A::Es256);
    let api = |audience: &str, rest: &str| {
        let name = &issuer.name;
        format!("authentication: {{ issuers: [{name}], audience: {audience} }}, {rest}")
    };
    let node = Plan::default()
        .settings("workers: 1")
        .resource(issuer.resource(""))
        .api("one", &api("one", "identity_headers: { x-user: subject }"))
        .api(
            "two",
            &api(
                "two",
                "identity_headers: { x-user: issuer, x-scopes: scopes }",
            ),
        )
        .api(
            "strict",
            &api(
                "one",
                "authorization: { scopes: [write] }, identity_headers: { x-user: subject }",
            ),
        )
        .start()
        .await;
    let token = |audience: &[&str], subject: &str| {
        let claims = issuer.claims().with_audience(audience.iter().copied());
        issuer.sign(&claims.with_subject(subject))
    };
    // Whichever API has seen it first, and however often.
    for (number, order) in [["one", "two", "strict"], ["strict", "two", "one"]]
        .iter()
        .enumerate()
    {
        let subject = format!("s{number}");
        let (both, first) = (token(&["one", "two"], &subject), token(&["one"], &subject));
        for _ in 0..4 {
            for name in order {
                let path = format!("/{name}/x");
                let answer = node.get_with(&path, &both).await;
                if *name == "strict" {
                    check_problem(&answer, 403, "insufficient_scope");
                } else {
                    check_passed(&answer);
                    let received = node.last_received();
                    let (user, scopes): (&str, &[&str]) = match *name {
                        "one" => (&subject, &[]),
                        _ => (&issuer.url, &["read"]),
                    };
                    assert_eq!(values(&received, "x-user"), [user], "{path}");
                    assert_eq!(values(&received, "x-scopes"), scopes, "{path}");
                }
                let answer = node.get_with(&path, &first).await;
                match *name {
                    "one" => check_passed(&answer),
                    "two" => check_problem(&answer, 401, "token_invalid"),
                    _ => check_problem(&answer, 403, "insufficient_scope"),
                }
            }
        }
    }
}

#[tokio::test]
async fn what_belongs_to_a_connection_ends_there() {
    let (node, _) = node("").await;
    let sent = [
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic YTpi"),
        ("TE", "gzip"),
        ("Upgrade", "websocket"),
        ("X-End", "kept"),
        ("Expect", "100-continue"),
    ];
    let bytes = request("POST", "/open/x", &sent, "abc");
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client.send(bytes).await.unwrap();
    let mut answer = client.answer().await.unwrap();
    if answer.status == 100 {
        answer = client.answer().await.unwrap();
    }
    check_passed(&answer);
    let received = node.last_received();
    assert_eq!(received.body, b"abc");
    for name in [
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
        "expect",
    ] {
        assert_eq!(values(&received, name), [""; 0], "{name}");
    }
    assert_eq!(values(&received, "x-end"), ["kept"]);
    assert_eq!(values(&received, "via"), ["1.1 keyward"]);
    assert_eq!(values(&received, "x-forwarded-host"), ["api.example"]);
    assert_eq!(values(&received, "x-forwarded-proto"), ["http"]);
}

/// What a proxy says of a call, true or not.
const SAID: [(&str, &str); 8] = [
    (
        "Forwarded",
        "for=203.0.113.9;proto=https;host=public.example",
    ),
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "public.example"),
    ("X_Forwarded_For", "203.0.113.10"),
    ("X-Real-IP", "203.0.113.9"),
    ("X_Real_IP", "203.0.113.10"),
    ("Request-Id", "00000000000000000000000000abcdef"),
];

#[tokio::test]
async fn strangers_are_not_believed() {
    let (node, _) = node("").await;
    let answer = node.get("/open/x", &SAID).await;
    check_passed(&answer);
    let received = node.last_received();
    assert_eq!(values(&received, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&received, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&received, "x-forwarded-host"), ["api.example"]);
    assert_eq!(values(&received, "x-real-ip"), [""; 0]);
    assert_eq!(values(&received, "forwarded"), [""; 0]);
    let id = answer.head.field("request-id").unwrap();
    assert_ne!(id, "00000000000000000000000000abcdef");
    assert_eq!(values(&received, "request-id"), [id]);
    // Refusals bear an id as well, and never a stranger's.
    for (path, status, code) in [
        ("/nowhere", 404, "not_found"),
        ("/guarded/x", 401, "token_missing"),
        ("/open/../x", 400, "ambiguous_path"),
    ] {
        let answer = node.get(path, &SAID).await;
        check_problem(&answer, status, code);
        assert_ne!(
            answer.head.field("request-id"),
            Some("00000000000000000000000000abcdef")
        );
    }
}

#[tokio::test]
async fn trusted_proxies_are_believed() {
    let (node, _) = node("trusted_proxies: [ 127.0.0.0/8, 10.0.0.0/8 ]").await;
    let answer = node.get("/open/x", &SAID).await;
    check_passed(&answer);
    let received = node.last_received();
    assert_eq!(
        values(&received, "x-forwarded-for"),
        ["203.0.113.9, 127.0.0.1"]
    );
    assert_eq!(values(&received, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&received, "x-forwarded-host"), ["public.example"]);
    assert_eq!(
        answer.head.field("request-id"),
        Some("00000000000000000000000000abcdef")
    );
    assert_eq!(
        values(&received, "request-id"),
        ["00000000000000000000000000abcdef"]
    );
    let answer = node.get("/nowhere", &SAID).await;
    check_problem(&answer, 404, "not_found");
    assert_eq!(
        answer.head.field("request-id"),
        Some("00000000000000000000000000abcdef")
    );
    // What is no id of ours' form is not taken over, nor are two.
    for ids in [
        vec!["x"],
        vec!["00000000000000000000000000ABCDEF"],
        vec!["0000000000000000000000000000000g"],
        vec!["00000000000000000000000000abcdef0"],
        vec![
            "00000000000000000000000000abcdef",
            "00000000000000000000000000abcdef",
        ],
        vec![""],
    ] {
        let headers: Vec<(&str, &str)> = ids.iter().map(|id| ("Request-Id", *id)).collect();
        let answer = node.get("/open/x", &headers).await;
        check_passed(&answer);
        let id = answer.head.field("request-id").unwrap();
        assert!(!ids.contains(&id), "{id}");
        assert_eq!(id.len(), 32);
        assert_eq!(values(&node.last_received(), "request-id"), [id]);
    }
}

/// What an upstream learns of a call with these headers: for whom, by which scheme, at which host.
async fn told(node: &Node, headers: &[(&str, &str)]) -> [String; 3] {
    check_passed(&node.get("/open/x", headers).await);
    let received = node.last_received();
    assert_eq!(values(&received, "forwarded"), [""; 0], "{headers:?}");
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
        .map(|name| values(&received, name).join(" | "))
}

#[tokio::test]
async fn what_a_trusted_proxy_says_in_forwarded_is_passed_on() {
    let (node, _) = node("trusted_proxies: [ 127.0.0.0/8, 10.0.0.0/8 ]").await;
    let passed = [
        (
            vec![(
                "Forwarded",
                "for=203.0.113.9;proto=https;host=public.example",
            )],
            ["203.0.113.9, 127.0.0.1", "https", "public.example"],
        ),
        (
            vec![
                (
                    "Forwarded",
                    "for=10.9.9.9, for=\"[2001:db8::7]:4711\";proto=https",
                ),
                ("Forwarded", "for=10.0.0.2;proto=http;host=inner"),
            ],
            ["2001:db8::7, 10.0.0.2, 127.0.0.1", "https", "api.example"],
        ),
        // Whom it does not name, nobody else may.
        (
            vec![("Forwarded", "for=203.0.113.9, for=_hidden")],
            ["127.0.0.1", "http", "api.example"],
        ),
        // What it lets pass of its client's.
        (
            vec![
                ("Forwarded", "for=203.0.113.9;proto=http"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "admin.example"),
            ],
            ["203.0.113.9, 127.0.0.1", "http", "api.example"],
        ),
        // Named as an option of its connection, it is for nobody.
        (
            vec![
                ("Connection", "forwarded"),
                ("Forwarded", "for=203.0.113.9"),
            ],
            ["127.0.0.1", "http", "api.example"],
        ),
    ];
    for (headers, expected) in passed {
        assert_eq!(told(&node, &headers).await, expected, "{headers:?}");
    }
    for headers in [
        vec![
            ("Forwarded", "for=203.0.113.9"),
            ("X-Forwarded-For", "203.0.113.8"),
        ],
        vec![
            ("Forwarded", "for=unknown"),
            ("X-Forwarded-For", "203.0.113.8"),
        ],
        vec![
            ("Forwarded", "for=203.0.113.9;proto=http"),
            ("X-Forwarded-For", "203.0.113.9"),
            ("X-Forwarded-Proto", "https"),
        ],
        vec![
            ("Forwarded", "for=203.0.113.9;host=a.example"),
            ("X-Forwarded-For", "203.0.113.9"),
            ("X-Forwarded-Host", "b.example"),
        ],
        vec![("Forwarded", "for=\"203.0.113.9")],
    ] {
        let answer = node.get("/open/x", &headers).await;
        check_problem(&answer, 400, "bad_request");
    }
    // The client of a trusted proxy is who is counted, and no other.
    let node = Plan::default()
        .settings("workers: 2\ntrusted_proxies: [ 127.0.0.1 ]")
        .api(
            "open",
            "authentication: none, rate_limits: [ { by: address, requests: 1, per: 1h } ]",
        )
        .start()
        .await;
    for client in ["for=192.0.2.1", "for=192.0.2.2", "for=\"[2001:db8::1]\""] {
        check_passed(&node.get("/open/x", &[("Forwarded", client)]).await);
        let forged = format!("for=198.51.100.7, {client}");
        for value in [client, &forged] {
            let again = node.get("/open/x", &[("Forwarded", value)]).await;
            check_problem(&again, 429, "rate_limited");
        }
    }
}

#[tokio::test]
async fn credentials_go_on_only_where_they_are_nobodys_business_here() {
    let (node, issuer) = node("").await;
    check_passed(&node.get_with("/guarded/x", &issuer.token()).await);
    assert_eq!(values(&node.last_received(), "authorization"), [""; 0]);
    // An open API has its upstream look at credentials, or nobody.
    check_passed(
        &node
            .get("/open/x", &[("Authorization", "Basic YTpi")])
            .await,
    );
    assert_eq!(
        values(&node.last_received(), "authorization"),
        ["Basic YTpi"]
    );
}
