//! The examples of authentication.

use super::{Example, assert_refused, text};
use crate::policies::{Holder, until_believed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_testkit::{Script, Upstream};
use serde_json::json;

const PASSWORD: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

#[tokio::test]
async fn several_methods() {
    let shell = crate::shell::Shell::new();
    let key = text(shell.pipe(&["credential", "generate"], b""));
    let environment = [("REPORTS_KEY", key.as_str()), ("BATCH_PASSWORD", PASSWORD)];
    let example = Example::with("several-methods.yaml", &[], &environment).await;
    let told = || {
        let head = example.upstream.received().pop().unwrap().head;
        ["x-user", "x-vouched-by"].map(|name| head.field(name).map(str::to_owned))
    };
    let told = || told().map(|value| value.unwrap_or_default());
    let token = example.token(&json!({ "iss": "https://login.example", "sub": "alice", "aud": "reports-api", "scope": "reports.read" }));
    let ours = "urn:keyward:credentials".to_owned();
    let key_header = format!("X-API-Key: {key}\r\n");
    let basic = STANDARD.encode(format!("batch:{PASSWORD}"));
    let basic = format!("Authorization: Basic {basic}\r\n");
    for (token, headers, expected) in [
        (
            Some(&*token),
            "",
            ["alice".to_owned(), "https://login.example".to_owned()],
        ),
        (None, &*key_header, ["reporting".to_owned(), ours.clone()]),
        (None, &*basic, ["nightly-batch".to_owned(), ours]),
        (None, "", [String::new(), String::new()]),
    ] {
        let answer = example.get("/reports/7", token, headers).await;
        assert_eq!(answer.status, 200, "{headers} {}", answer.text());
        assert_eq!(told(), expected, "{headers}");
    }
    let all = example.get("/reports/all/7", None, &key_header).await;
    assert_eq!(all.status, 200, "{}", all.text());
    let roles = example.upstream.received().pop().unwrap();
    assert_eq!(roles.head.field("x-roles"), Some("[\"auditor\"]"));
    let nameless = example.get("/reports/all/7", None, "").await;
    assert_refused(&nameless, 401, "credential_missing");
    let challenges: Vec<_> = nameless.head.values("www-authenticate").collect();
    let schemes: Vec<_> = challenges
        .iter()
        .filter_map(|challenge| challenge.split(' ').next())
        .collect();
    assert_eq!(schemes, ["Bearer", "DPoP", "ApiKey", "Basic"]);
    let unscoped = example.get("/reports/all/7", None, &basic).await;
    assert_refused(&unscoped, 403, "insufficient_scope");
}

#[tokio::test]
async fn dpop() {
    let example = Example::run("dpop.yaml").await;
    until_believed().await;
    let holder = Holder::new();
    let jkt = holder.key.thumbprint_base64url();
    let token = example.token(&json!({ "iss": "https://login.example", "sub": "alice", "aud": "bank", "cnf": { "jkt": jkt } }));
    let gateway = format!("http://{}", example.process.gateway());
    let shown = |proof: &str| format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n");
    let proof = holder.proof("GET", &format!("{gateway}/accounts/7"), &token);
    let answer = example.get("/accounts/7", None, &shown(&proof)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let again = example.get("/accounts/7", None, &shown(&proof)).await;
    assert_refused(&again, 401, "proof_replayed");
    let stolen = example.get("/accounts/7", Some(&token), "").await;
    assert_refused(&stolen, 401, "proof_missing");

    let address = format!("{gateway}/transfers/7");
    let proof = holder.proof("GET", &address, &token);
    let told = example.get("/transfers/7", None, &shown(&proof)).await;
    assert_refused(&told, 401, "nonce_needed");
    let mut claims = Holder::claims("GET", &address, &token);
    let nonce = told.head.field("dpop-nonce").unwrap();
    claims.insert("nonce".to_owned(), json!(nonce));
    let answer = example
        .get("/transfers/7", None, &shown(&holder.sign(&claims)))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    let metadata = "/.well-known/oauth-protected-resource/accounts";
    let metadata = example.get(metadata, None, "").await.json().unwrap();
    assert_eq!(metadata["resource"], format!("{gateway}/accounts"));
    assert_eq!(
        metadata["authorization_servers"],
        json!(["https://login.example"])
    );
    assert_eq!(metadata["dpop_bound_access_tokens_required"], true);
}

#[tokio::test]
async fn introspection() {
    let headers = [("content-type", "application/json")];
    let good = json!({
        "active": true, "sub": "alice", "aud": "orders-api", "scope": "orders.read",
        "exp": crate::token::now().0 + 600,
    });
    let issuer = Upstream::scripts(vec![
        Script::answer("200 OK", &headers, good.to_string()),
        Script::answer("200 OK", &headers, r#"{"active":false}"#),
    ])
    .await;
    let address = issuer.address().to_string();
    let moved = [("127.0.0.1:9100", address.as_str())];
    let environment = [("INTROSPECTION_SECRET", "a-secret-of-the-gateway")];
    let example = Example::with("introspection.yaml", &moved, &environment).await;
    for _ in 0..3 {
        let answer = example
            .get("/orders/7", Some("2YotnFZFEjr1zCsicMWpAA"), "")
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let other = example.get("/orders/7", Some("another"), "").await;
    assert_refused(&other, 401, "token_invalid");
    let asked = issuer.received();
    let targets: Vec<_> = asked.iter().map(|question| question.target()).collect();
    assert_eq!(targets, ["/oauth2/introspect"; 2]);
}

#[tokio::test]
async fn proxied_certificates() {
    let example = Example::run("proxied-certificates.yaml").await;
    let authority = crate::transport::Authority::new();
    let uri = "spiffe://acme.example/billing";
    let issued = authority.issue_client(uri, 7, crate::transport::HOUR);
    let certificate: String = issued
        .certificate
        .lines()
        .filter(|line| !line.starts_with("--"))
        .collect();
    let header = format!("Client-Cert: :{certificate}:\r\n");
    let answer = example.get("/ledger/7", None, &header).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = example.upstream.received().pop().unwrap();
    assert_eq!(received.head.field("x-keyward-subject"), Some(uri));
    assert_eq!(received.head.field("client-cert"), None);
    let missing = example.get("/ledger/7", None, "").await;
    assert_refused(&missing, 401, "certificate_missing");
    let claims = json!({ "iss": "https://login.example", "sub": "a", "aud": "bank", "cnf": { "x5t#S256": "A".repeat(43) } });
    let bound = example.token(&claims);
    let other = example.get("/payments/7", Some(&bound), &header).await;
    assert_refused(&other, 401, "binding_mismatch");
}
