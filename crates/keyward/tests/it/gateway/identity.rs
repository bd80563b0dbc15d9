//! Who calls, as the upstream is told: by the gateway alone.

use super::node::{ISSUER, Node, get};
use keyward_testkit::Received;

/// The values of every header that an upstream may take for this name: CGI and its children read `_` as
/// `-`.
fn told<'a>(request: &'a Received, name: &str) -> Vec<&'a str> {
    let fold = |text: &str| text.to_ascii_lowercase().replace('_', "-");
    let fields = request.head.fields.iter().chain(&request.trailers);
    fields
        .filter(|(field, _)| fold(field) == name)
        .map(|(_, value)| value.as_str())
        .collect()
}

/// Every spelling and place that a forger may try.
const FORGED: &[&str] = &[
    "x-keyward-subject: eve\r\n",
    "X-Keyward-Subject: eve\r\n",
    "X_KEYWARD_SUBJECT: eve\r\n",
    "x-keyward_subject: eve\r\n",
    "X_Keyward-Subject: eve\r\nx-keyward-subject: eve\r\nx-keyward-subject: mallory\r\n",
    "x-keyward-issuer: https://evil.test\r\nx_keyward_scopes: admin\r\nx-keyward-client: evil\r\n",
    // To have ours taken out further on.
    "Connection: x-keyward-subject, x-keyward-issuer\r\n",
    "Connection: keep-alive, X_Keyward_Subject\r\nX_Keyward_Subject: eve\r\n",
];

#[tokio::test]
async fn the_caller_is_told_by_the_gateway_alone() {
    let node = Node::start().await;
    for headers in FORGED {
        assert_eq!(node.get_guarded(headers).await.status, 200, "{headers:?}");
    }
    let received = node.upstream.received();
    assert_eq!(received.len(), FORGED.len());
    for (request, headers) in received.iter().zip(FORGED) {
        assert_eq!(told(request, "x-keyward-subject"), ["alice"], "{headers:?}");
        assert_eq!(told(request, "x-keyward-issuer"), [ISSUER], "{headers:?}");
        assert_eq!(
            told(request, "x-keyward-scopes"),
            ["read write"],
            "{headers:?}"
        );
        assert!(told(request, "x-keyward-client").is_empty(), "{headers:?}");
    }
}

#[tokio::test]
async fn nobody_is_told_of_on_open_routes() {
    let node = Node::start().await;
    for headers in FORGED {
        let answer = node.call(get("/open/x", None, headers)).await;
        assert_eq!(answer.status, 200, "{headers:?}");
    }
    for (request, headers) in node.upstream.received().iter().zip(FORGED) {
        for name in ["subject", "issuer", "client", "scopes"] {
            let told = told(request, &format!("x-keyward-{name}"));
            assert!(told.is_empty(), "{headers:?}: {told:?}");
        }
    }
}

#[tokio::test]
async fn trailers_tell_nothing_of_the_caller_either() {
    let node = Node::start().await;
    for token in [None, Some(node.issuer.token(|claims| claims))] {
        let path = if token.is_some() {
            "/guarded/x"
        } else {
            "/open/x"
        };
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let message = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\n{}Transfer-Encoding: chunked\r\nTrailer: x-keyward-subject, x-sum\r\n\r\n\
             1\r\na\r\n0\r\nx-keyward-subject: eve\r\nX_Keyward_Subject: eve\r\nAuthorization: Bearer x\r\nx-sum: 1\r\n\r\n",
            authorization.unwrap_or_default()
        );
        assert_eq!(node.call(message).await.status, 200);
    }
    for (request, expected) in node
        .upstream
        .received()
        .iter()
        .zip([&[] as &[&str], &["alice"]])
    {
        assert_eq!(told(request, "x-keyward-subject"), expected);
        assert!(told(request, "authorization").is_empty());
    }
}

#[tokio::test]
async fn values_are_encoded_so_that_they_stay_one_header() {
    let node = Node::start().await;
    for (subject, expected) in [
        ("zo\u{eb}", "zo%C3%AB"),
        (
            "a\r\nx-keyward-client: evil",
            "a%0D%0Ax-keyward-client: evil",
        ),
        ("100%", "100%25"),
    ] {
        let token = node.issuer.token(|claims| claims.with_subject(subject));
        assert_eq!(
            node.call(get("/guarded/x", Some(&token), "")).await.status,
            200
        );
        let received = node.upstream.received();
        let request = received.last().unwrap();
        assert_eq!(told(request, "x-keyward-subject"), [expected]);
        assert!(told(request, "x-keyward-client").is_empty());
    }
}

#[tokio::test]
async fn forwarded_headers_of_strangers_are_not_believed() {
    let node = Node::start().await;
    let forged = "X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Proto: https\r\nX-Original-URL: /admin\r\nrequest-id: forged\r\n";
    let answer = node.get_guarded(forged).await;
    let received = node.upstream.received();
    let request = &received[0];
    assert_eq!(told(request, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(told(request, "x-forwarded-host"), ["gateway.test"]);
    assert_eq!(told(request, "x-forwarded-proto"), ["http"]);
    for name in ["x-real-ip", "forwarded", "x-original-url"] {
        assert!(told(request, name).is_empty(), "{name}");
    }
    let id = answer.head.field("request-id").unwrap();
    assert_ne!(id, "forged");
    assert_eq!(told(request, "request-id"), [id]);
}
