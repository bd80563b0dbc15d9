//! A node with an upstream behind it and an issuer that it trusts.

use keyward_jose::jwt::{self, Claims};
use keyward_jose::key::Part;
use keyward_jose::{Algorithm, JwkSet, Key, LocalSigner, NumericDate, SignatureAlgorithm};
use keyward_model::{Clock, SystemClock};
use keyward_testkit::{Answer, KeywardProcess, RawClient, Upstream};
use std::net::SocketAddr;

/// The `iss` of the tests' tokens.
pub(crate) const ISSUER: &str = "https://issuer.test";
/// The audience of the tests' API.
pub(crate) const AUDIENCE: &str = "test-api";

/// Lines for the top of the configuration of most tests.
pub(crate) const SETTINGS: &str = "workers: 2\negress: { allow: [127.0.0.0/8] }";

/// A node with two APIs on one upstream: `/guarded` wants a token with the scope `read`, `/open` nothing.
pub(crate) struct Node {
    pub(crate) process: KeywardProcess,
    pub(crate) upstream: Upstream,
    pub(crate) issuer: TokenIssuer,
}

impl Node {
    /// A node before an echo.
    pub(crate) async fn start() -> Self {
        Self::before(Upstream::echo().await).await
    }

    /// A node before this upstream.
    pub(crate) async fn before(upstream: Upstream) -> Self {
        Self::with(upstream, SETTINGS, "").await
    }

    /// A node with these settings and these lines added to the API `/guarded`.
    pub(crate) async fn with(upstream: Upstream, settings: &str, guarded: &str) -> Self {
        let issuer = TokenIssuer::new();
        let resources = resources(upstream.address(), "jwks: { file: jwks.json }", guarded);
        let files = [("jwks.json", issuer.key_set())];
        let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
        let process = start(settings, &resources, &files).await;
        Self {
            process,
            upstream,
            issuer,
        }
    }

    /// Sends a request on a connection of its own and reads the answer.
    pub(crate) async fn call(&self, request: impl AsRef<[u8]>) -> Answer {
        call(self.process.gateway(), request).await
    }

    /// A connection to the gateway.
    pub(crate) async fn connect(&self) -> RawClient {
        RawClient::connect(self.process.gateway()).await.unwrap()
    }

    /// GETs a path of `/guarded` with a good token and these header lines, each with its CR LF.
    pub(crate) async fn get_guarded(&self, headers: &str) -> Answer {
        let token = self.issuer.token(|claims| claims);
        self.call(get("/guarded/x", Some(&token), headers)).await
    }
}

/// Starts the binary under test.
pub(crate) async fn start(
    settings: &str,
    resources: &str,
    files: &[(&str, &str)],
) -> KeywardProcess {
    KeywardProcess::start(env!("CARGO_BIN_EXE_keyward"), settings, resources, files).await
}

/// The resources of a [`Node`]: `keys` is the issuer's line about its keys, `guarded` is added to the API.
pub(crate) fn resources(upstream: SocketAddr, keys: &str, guarded: &str) -> String {
    format!(
        r#"
  - kind: issuer
    name: test
    issuer: {ISSUER}
    {keys}
  - kind: upstream
    name: upstream
    targets: [ {{ url: "http://{upstream}" }} ]
  - kind: api
    name: open
    version: v1
    state: published
    base_path: /open
    upstream: upstream
    authentication: none
  - kind: api
    name: guarded
    version: v1
    state: published
    base_path: /guarded
    upstream: upstream
    authentication: {{ issuers: [test], audience: {AUDIENCE} }}
    authorization: {{ scopes: [read] }}
    {guarded}
"#
    )
}

/// Sends a request on a connection of its own and reads the answer.
pub(crate) async fn call(gateway: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut client = RawClient::connect(gateway).await.unwrap();
    client.send(request).await.unwrap();
    client.answer().await.unwrap()
}

/// A GET request with these header lines, each with its CR LF.
pub(crate) fn get(path: &str, token: Option<&str>, headers: &str) -> String {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let token = token.unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nHost: gateway.test\r\n{token}{headers}\r\n")
}

/// The `code` of a refusal, which must be a problem document.
pub(crate) fn code(answer: &Answer) -> String {
    let problem = answer.json().unwrap_or_default();
    assert_eq!(problem["status"], answer.status, "{}", answer.text());
    assert_eq!(
        answer.head.field("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(
        problem["request_id"].as_str(),
        answer.head.field("request-id")
    );
    problem["code"].as_str().unwrap_or_default().to_owned()
}

/// A key that signs tokens.
pub(crate) struct TokenIssuer {
    pub(crate) key: Key,
    signer: LocalSigner,
}

impl TokenIssuer {
    pub(crate) fn new() -> Self {
        let algorithm = SignatureAlgorithm::Es256;
        let key = Key::generate(Algorithm::Signature(algorithm), None).unwrap();
        let signer = LocalSigner::new(&key, algorithm).unwrap();
        Self { key, signer }
    }

    /// Its public keys as a JWK set.
    pub(crate) fn key_set(&self) -> String {
        let set = JwkSet::from_keys([self.key.clone()]).unwrap();
        set.to_json(Part::Public).unwrap().to_string()
    }

    /// A good token with its claims changed.
    pub(crate) fn token(&self, change: impl FnOnce(Claims) -> Claims) -> String {
        jwt::sign(&change(claims()), &self.signer, "at+jwt").unwrap()
    }
}

/// The claims of a good token, an hour long.
pub(crate) fn claims() -> Claims {
    Claims::new()
        .with_issuer(ISSUER)
        .with_subject("alice")
        .with_audience([AUDIENCE])
        .with_issued_at(seconds_from_now(-1))
        .with_expiry(seconds_from_now(3600))
        .with_scopes(["read", "write"])
}

/// A time for a claim.
pub(crate) fn seconds_from_now(seconds: i64) -> NumericDate {
    NumericDate(SystemClock::new().now().as_seconds() + seconds)
}
