//! The same checks as in other versions: tokens, limits, identity, certificates.

use super::lifecycle::closed_with;
use super::{Http3Node, get, request};
use crate::shell::Shell;
use keyward_testkit::{Http3Client, Http3Connect, Upstream};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use serde_json::json;
use std::time::Duration;

const ISSUER: &str = r#"
  - kind: issuer
    name: shop
    issuer: https://shop.example
    jwks: { file: jwks.json }
    algorithms: [ES256]
"#;

/// A node whose API takes tokens of an issuer, and where that issuer's key is.
async fn guarded(of_api: &str) -> (Http3Node, Shell) {
    let shell = Shell::new();
    let signing = shell.pipe(&["jwk", "generate", "--alg", "ES256"], b"");
    shell.file("signing.jwk", &signing);
    let jwks = shell.pipe(&["jwk", "public", "--set", "signing.jwk"], b"");
    let jwks = String::from_utf8(jwks).unwrap();
    let api = format!(
        "authentication: {{ issuers: [shop], audience: shop-api }}\n    identity_headers: {{ x-caller: subject }}\n    {of_api}"
    );
    let node = Http3Node::serving(
        Upstream::echo().await,
        "",
        "workers: 4",
        &api,
        ISSUER,
        &[("jwks.json", &jwks)],
    )
    .await;
    (node, shell)
}

fn token(shell: &Shell, scope: &str) -> String {
    let claims = json!({
        "iss": "https://shop.example", "sub": "alice", "aud": "shop-api", "scope": scope,
    });
    let claims = claims.to_string();
    let sign = [
        "jwt",
        "sign",
        "--key",
        "signing.jwk",
        "--typ",
        "at+jwt",
        "--claims",
        &claims,
        "--expires-in",
        "10m",
    ];
    let signed = String::from_utf8(shell.pipe(&sign, b"")).unwrap();
    format!("Bearer {}", signed.trim_end())
}

#[tokio::test]
async fn a_token_is_needed_and_identity_is_not_the_callers_to_say() {
    let (node, shell) = guarded("authorization: { scopes: [read] }").await;
    let mut client = node.connect().await;
    for (authorization, status, code) in [
        (None, 401, "token_missing"),
        (Some("Bearer broken".to_owned()), 401, "token_invalid"),
        (Some(token(&shell, "write")), 403, "insufficient_scope"),
    ] {
        let fields: Vec<_> = authorization
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        let reply = client.call(request("GET", "/open/x", &fields), b"").await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.json()["code"], code);
    }
    assert!(node.upstream.received().is_empty());
    let good = token(&shell, "read");
    let fields = [
        ("authorization", good.as_str()),
        ("x-caller", "root"),
        ("x_caller", "root"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
    ];
    let reply = client.call(request("GET", "/open/x", &fields), b"").await;
    assert_eq!(reply.status, 200);
    let head = node.upstream.received().pop().unwrap().head;
    assert_eq!(head.field("x-caller"), Some("alice"));
    assert_eq!(head.field("x_caller"), None);
    assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.field("x-real-ip"), None);
    assert_eq!(head.field("authorization"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_exact_over_workers_and_connections() {
    let (node, shell) = guarded("rate_limits: [ { by: subject, requests: 100, per: 1h } ]").await;
    let good = token(&shell, "read");
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = node.connect().await;
        let good = good.clone();
        clients.spawn(async move {
            let mut passed = 0;
            for _ in 0..50 {
                let fields = [("authorization", good.as_str())];
                let reply = client.call(request("GET", "/open/x", &fields), b"").await;
                match reply.status {
                    200 => passed += 1,
                    429 => assert!(reply.field("retry-after").is_some()),
                    other => panic!("{other}"),
                }
            }
            passed
        });
    }
    let passed: u32 = clients.join_all().await.into_iter().sum();
    assert_eq!(passed, 100);
    assert_eq!(node.upstream.received().len(), 100);
}

/// A certificate authority of clients, and a certificate of one.
fn clients(uri: &str) -> (String, String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "Clients");
    let root = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(vec!["client.internal".to_owned()]).unwrap();
    params
        .subject_alt_names
        .push(SanType::URI(uri.try_into().unwrap()));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    (root, certificate, key.serialize_pem())
}

#[tokio::test]
async fn a_certificates_name_is_the_caller() {
    let (root, certificate, key) = clients("spiffe://acme.example/billing");
    let node = Http3Node::serving(
        Upstream::echo().await,
        "client_certificates: { roots: clients.pem, required: false }",
        "workers: 1",
        "authentication: { mutual_tls: { subject: san_uri, callers: [\"spiffe://acme.example/billing\"] } }\n    identity_headers: { x-caller: subject }",
        "",
        &[("clients.pem", &root)],
    )
    .await;
    let mut nobody = node.connect().await;
    let reply = nobody.call(get("/open/x"), b"").await;
    assert_eq!(reply.status, 401);
    assert_eq!(reply.json()["code"], "certificate_missing");
    let how = |certificate, key| Http3Connect {
        identity: Some((certificate, key)),
        ..node.how()
    };
    let mut billing = Http3Client::connect(how(&certificate, &key)).await.unwrap();
    assert_eq!(billing.call(get("/open/x"), b"").await.status, 200);
    let head = node.upstream.received().pop().unwrap().head;
    assert_eq!(
        head.field("x-caller"),
        Some("spiffe://acme.example/billing")
    );
    // Of another authority: the handshake fails, which a client of TLS 1.3 learns with its first call.
    let (_, foreign, its_key) = clients("spiffe://acme.example/billing");
    let refused = match Http3Client::connect(how(&foreign, &its_key)).await {
        Ok(mut client) => client.try_call(get("/open/x"), b"").await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    assert_eq!(node.upstream.received().len(), 1);
}

#[tokio::test]
async fn a_certificate_that_counts_no_more_ends_its_connection() {
    let (root, certificate, key) = clients("spiffe://acme.example/billing");
    let node = Http3Node::serving(
        Upstream::echo().await,
        "client_certificates: { roots: clients.pem, required: true }",
        "workers: 1",
        "authentication: { mutual_tls: { subject: san_uri, callers: [\"spiffe://acme.example/billing\"] } }",
        "",
        &[("clients.pem", &root)],
    )
    .await;
    let how = Http3Connect {
        identity: Some((&certificate, &key)),
        ..node.how()
    };
    let mut client = Http3Client::connect(how).await.unwrap();
    assert_eq!(client.call(get("/open/x"), b"").await.status, 200);
    // Its root is taken away.
    let (other, ..) = clients("spiffe://acme.example/billing");
    std::fs::write(node.process.folder().join("clients.pem"), other).unwrap();
    let refused = async {
        loop {
            let reply = client.call(get("/open/x"), b"").await;
            if reply.status != 200 {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(20), refused).await;
    assert_eq!(refused.unwrap().status, 401);
    assert_eq!(closed_with(&client.ended().await), Some(0x100));
}
