//! Which calls pass, and what the others are told.

use super::node::{AUDIENCE, ISSUER, Node, TokenIssuer, claims, code, get, seconds_from_now};
use keyward_jose::jwt::{self, Claims};
use keyward_jose::{Key, LocalSigner, SignatureAlgorithm};
use keyward_testkit::Answer;

/// A token with the header `{"alg":"none"}` and the claims of another.
fn unsigned(token: &str) -> String {
    let claims = token.split('.').nth(1).unwrap();
    format!("eyJhbGciOiJub25lIn0.{claims}.")
}

/// A token signed with HMAC, with this as the secret and the kid of the issuer's key.
fn signed_with_secret(issuer: &TokenIssuer, secret: &[u8]) -> String {
    let kid = issuer.key.kid().map(str::to_owned);
    let key = Key::from_secret(secret).unwrap().with_kid(kid).unwrap();
    let signer = LocalSigner::new(&key, SignatureAlgorithm::Hs256).unwrap();
    jwt::sign(&claims(), &signer, "at+jwt").unwrap()
}

fn challenge(answer: &Answer) -> &str {
    answer.head.field("www-authenticate").unwrap_or_default()
}

#[tokio::test]
async fn a_good_token_passes_and_nothing_else_does() {
    let node = Node::start().await;
    let issuer = &node.issuer;
    let token = |change: fn(Claims) -> Claims| issuer.token(change);
    let good = token(|claims| claims);
    let (message, _) = good.rsplit_once('.').unwrap();
    let (_, signature) = TokenIssuer::new()
        .token(|claims| claims)
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    for (name, token, status, expected) in [
        ("good", good.clone(), 200, ""),
        (
            "several audiences",
            token(|c| c.with_audience(["other", AUDIENCE])),
            200,
            "",
        ),
        ("garbage", "garbage".to_owned(), 401, "token_invalid"),
        (
            "another's signature",
            format!("{message}.{signature}"),
            401,
            "token_invalid",
        ),
        ("no signature", format!("{message}."), 401, "token_invalid"),
        ("alg none", unsigned(&good), 401, "token_invalid"),
        ("padded", format!("{good}="), 401, "token_invalid"),
        (
            "an unknown key",
            TokenIssuer::new().token(|c| c),
            401,
            "token_invalid",
        ),
        (
            "the public key as a secret",
            signed_with_secret(issuer, issuer.key_set().as_bytes()),
            401,
            "token_invalid",
        ),
        (
            "expired",
            token(|c| c.with_expiry(seconds_from_now(-60))),
            401,
            "token_expired",
        ),
        (
            "expired within the leeway",
            token(|c| c.with_expiry(seconds_from_now(-10))),
            200,
            "",
        ),
        (
            "not yet",
            token(|c| c.with_not_before(seconds_from_now(60))),
            401,
            "token_invalid",
        ),
        (
            "issued in the future",
            token(|c| c.with_issued_at(seconds_from_now(60))),
            401,
            "token_invalid",
        ),
        (
            "another audience",
            token(|c| c.with_audience(["other"])),
            401,
            "token_invalid",
        ),
        (
            "another issuer",
            token(|c| c.with_issuer("https://other.test")),
            401,
            "token_invalid",
        ),
        (
            "an issuer with a slash",
            token(|c| c.with_issuer(format!("{ISSUER}/"))),
            401,
            "token_invalid",
        ),
        (
            "without expiry",
            {
                let without = Claims::new()
                    .with_issuer(ISSUER)
                    .with_audience([AUDIENCE])
                    .with_scopes(["read"]);
                issuer.token(|_| without)
            },
            401,
            "token_invalid",
        ),
        (
            "without a scope",
            token(|c| c.with_scopes(["write", "reader"])),
            403,
            "insufficient_scope",
        ),
    ] {
        let answer = node.call(get("/guarded/x", Some(&token), "")).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        if status == 200 {
            continue;
        }
        assert_eq!(code(&answer), expected, "{name}");
        let error = if status == 403 {
            "insufficient_scope"
        } else {
            "invalid_token"
        };
        assert!(challenge(&answer).starts_with("Bearer "), "{name}");
        assert!(
            challenge(&answer).contains(&format!("error=\"{error}\"")),
            "{name}: {}",
            challenge(&answer)
        );
    }
    // The upstream saw those that passed, and no token.
    let received = node.upstream.received();
    assert_eq!(received.len(), 3);
    assert!(
        received
            .iter()
            .all(|request| request.head.values("authorization").next().is_none())
    );
}

#[tokio::test]
async fn a_call_without_a_token_is_told_how_and_not_that_something_was_wrong() {
    let node = Node::start().await;
    let good = node.issuer.token(|claims| claims);
    for (name, path, headers) in [
        ("nothing", "/guarded/x".to_owned(), String::new()),
        (
            "in the query",
            format!("/guarded/x?access_token={good}"),
            String::new(),
        ),
        (
            "in a cookie",
            "/guarded/x".to_owned(),
            format!("Cookie: token={good}\r\n"),
        ),
        (
            "another scheme",
            "/guarded/x".to_owned(),
            "Authorization: Basic YTpi\r\n".to_owned(),
        ),
    ] {
        let answer = node.call(get(&path, None, &headers)).await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (401, "token_missing"),
            "{name}"
        );
        assert!(
            !challenge(&answer).contains("error"),
            "{name}: {}",
            challenge(&answer)
        );
    }
    let twice = format!("Authorization: Bearer {good}\r\n");
    let answer = node.call(get("/guarded/x", Some(&good), &twice)).await;
    assert_eq!(
        (answer.status, code(&answer).as_str()),
        (400, "token_ambiguous")
    );
    assert!(node.upstream.received().is_empty());
}

#[tokio::test]
async fn a_token_that_passed_is_refused_when_its_time_is_over() {
    let node = Node::with(
        keyward_testkit::Upstream::echo().await,
        super::node::SETTINGS,
        "",
    )
    .await;
    // The leeway of 30 s is used up but for four seconds.
    let token = node
        .issuer
        .token(|claims| claims.with_expiry(seconds_from_now(-26)));
    let request = get("/guarded/x", Some(&token), "");
    assert_eq!(node.call(&request).await.status, 200);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let answer = node.call(&request).await;
    assert_eq!(
        (answer.status, code(&answer).as_str()),
        (401, "token_expired")
    );
}

#[tokio::test]
async fn calls_go_where_their_path_leads() {
    let node = Node::start().await;
    for (path, expected) in [
        ("/open", "/"),
        ("/open/", "/"),
        ("/open/a/b?c=d&e", "/a/b?c=d&e"),
        ("/open/%41%20b", "/%41%20b"),
    ] {
        let echo = node.call(get(path, None, "")).await.json().unwrap();
        assert_eq!(echo["target"], expected, "{path}");
    }
    for path in ["/", "/nothing", "/opened", "/Open"] {
        let answer = node.call(get(path, None, "")).await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (404, "not_found"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn health_and_metrics_are_told_to_operators_alone() {
    let node = Node::start().await;
    node.get_guarded("").await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = node.process.operations_get(path).await.unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(node.call(get(path, None, "")).await.status, 404, "{path}");
    }
    let metrics = node
        .process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text();
    assert!(
        metrics
            .lines()
            .any(|line| line.contains("guarded") && !line.ends_with(" 0")),
        "{metrics}"
    );
}
