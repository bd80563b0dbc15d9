//! Tunnels that need a token, and end with it.

use super::configuration;
use super::tunnel_server::TunnelServer;
use super::websocket::{answer, connect, handshake, logged, open, passes};
use crate::gateway::node::{AUDIENCE, ISSUER, TokenIssuer, seconds_from_now};
use keyward_testkit::KeywardProcess;
use serde_json::json;
use std::process::Command;
use std::time::Duration;

/// A node whose API wants a token, from the place that `token` names.
pub(super) async fn guarded(
    server: &TunnelServer,
    token: &str,
    websocket: &str,
) -> (KeywardProcess, TokenIssuer) {
    let issuer = TokenIssuer::new();
    let of_api = format!("websocket: {websocket}");
    let authentication =
        format!("authentication: {{ issuers: [test], audience: {AUDIENCE}{token} }}");
    let configuration = configuration(&server.url(), "[http1, http2]", "", &of_api)
        .replace("authentication: none", &authentication)
        + &format!(
            "\n  - kind: issuer\n    name: test\n    issuer: {ISSUER}\n    jwks: {{ file: jwks.json }}\n"
        );
    let files = [("jwks.json", issuer.key_set())];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let binary = env!("CARGO_BIN_EXE_keyward");
    let node = KeywardProcess::start_configured(binary, &configuration, &[], &files).await;
    (node, issuer)
}

/// A token for so many seconds from now.
fn token_for(issuer: &TokenIssuer, seconds: i64) -> String {
    issuer.token(|claims| claims.with_expiry(seconds_from_now(seconds)))
}

#[tokio::test]
async fn a_tunnel_needs_the_token_that_any_call_needs() {
    let server = TunnelServer::start().await;
    let (node, issuer) = guarded(&server, "", "true").await;
    assert_eq!(answer(&node, &handshake("/open/x", "")).await.status, 401);
    assert!(server.heads().is_empty());
    let token = issuer.token(|claims| claims);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let mut client = open(&node, &handshake("/open/x", &bearer)).await;
    passes(&mut client, b"x").await;
    let head = server.heads().remove(0);
    assert!(!head.contains("authorization"), "{head}");
    assert!(head.contains("\r\nx-keyward-subject: "), "{head}");
}

#[tokio::test]
async fn a_tunnel_ends_with_its_token_unless_told_otherwise() {
    let server = TunnelServer::start().await;
    for (websocket, ends) in [("true", true), ("{ outlives_token: true }", false)] {
        let (node, issuer) = guarded(&server, "", websocket).await;
        let leeway = 30;
        let token = token_for(&issuer, 3 - leeway);
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let mut client = open(&node, &handshake("/open/x", &bearer)).await;
        passes(&mut client, b"x").await;
        assert_eq!(
            client.is_closed_within(Duration::from_secs(6)).await,
            ends,
            "{websocket}"
        );
        if ends {
            let line = logged(&node).await;
            assert_eq!(line["code"], "token_expired");
            assert_eq!(line["status"], 101);
        } else {
            passes(&mut client, b"x").await;
        }
    }
}

#[tokio::test]
async fn a_quiet_tunnel_ends_when_its_token_is_revoked() {
    let server = TunnelServer::start().await;
    let (node, issuer) = guarded(&server, "", "true").await;
    let token = issuer.token(|claims| claims);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let mut client = open(&node, &handshake("/open/x", &bearer)).await;
    passes(&mut client, b"x").await;
    std::fs::write(node.folder().join("token"), &token).unwrap();
    let revoked = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args([
            "revoke",
            "subject",
            "--token",
            "token",
            "--config",
            "keyward.yaml",
        ])
        .current_dir(node.folder())
        .output()
        .unwrap();
    assert!(revoked.status.success(), "{revoked:?}");
    assert!(client.is_closed_within(Duration::from_secs(15)).await);
    let line = logged(&node).await;
    assert_eq!(
        (&line["code"], &line["status"]),
        (&json!("token_revoked"), &json!(101))
    );
}

#[tokio::test]
async fn a_foreign_page_can_not_open_a_tunnel_with_somebodys_cookie() {
    let server = TunnelServer::start().await;
    let (node, issuer) = guarded(
        &server,
        ", token: { cookie: session }",
        "{ origins: [\"https://app.example\"] }",
    )
    .await;
    let cookie = format!("Cookie: session={}\r\n", issuer.token(|claims| claims));
    for (origin, status) in [
        ("", 101),
        ("Origin: https://app.example\r\n", 101),
        ("Origin: http://gateway.test\r\n", 101),
        ("Origin: https://gateway.test\r\n", 101),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: https://app.example.evil.test\r\n", 403),
        ("Origin: null\r\n", 403),
        (
            "Origin: https://app.example\r\nOrigin: https://evil.example\r\n",
            403,
        ),
    ] {
        let mut client = connect(&node).await;
        let request = handshake("/open/x", &format!("{cookie}{origin}"));
        client.send(request).await.unwrap();
        let said = client.answer_to_head().await.unwrap();
        assert_eq!(said.status, status, "{origin}");
    }
    let (node, issuer) = guarded(&server, "", "true").await;
    // Nobody's page sends this header unasked.
    let bearer = format!(
        "Authorization: Bearer {}\r\nOrigin: https://any.example\r\n",
        issuer.token(|claims| claims)
    );
    open(&node, &handshake("/open/x", &bearer)).await;
}
