//! Tokens that are bound to their holder, shown by a client that others wrote: `oauth4webapi`, with tokens from
//! `keyward jwt sign`.
//!
//! The client is waited for by a thread of its own: upstreams answer meanwhile, which run in the tests' process.

use crate::node::{Node, Plan};
use crate::transport::{Authority, HOUR};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use keyward_testkit::{KeywardProcess, Upstream};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The client, which runs until it is dropped.
struct Client {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Client {
    /// Starts it; what it says of itself.
    fn start(arguments: &[&str]) -> (Self, Value) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(
            root.join("../../node_modules/oauth4webapi").exists(),
            "oauth4webapi is needed: `cargo xtask test` installs it into node_modules"
        );
        let mut child = Command::new("node")
            .arg(root.join("tests/it/bound_tokens/client.mjs"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is needed: `cargo xtask test` installs it");
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut client = Self { child, said };
        let first = client.line();
        (client, first)
    }

    /// What it says next.
    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Has it call with this token.
    fn call(&mut self, token: &str) -> Value {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{token}").unwrap();
        self.line()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The command's output.
fn keyward(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// An issuer that is nothing but a key and a command.
struct Signing {
    folder: tempfile::TempDir,
    public: String,
}

impl Signing {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = keyward(folder.path(), &["jwk", "generate", "--alg", "ES256"]);
        std::fs::write(folder.path().join("key.json"), key).unwrap();
        let public = keyward(folder.path(), &["jwk", "public", "key.json"]);
        Self { folder, public }
    }

    fn resource(&self) -> String {
        format!(
            "- {{ kind: issuer, name: main, issuer: \"https://main.example\", jwks: {{ keys: [ {} ] }} }}",
            self.public
        )
    }

    /// A token of five minutes with these claims besides.
    fn token(&self, confirmation: &Value) -> String {
        let mut claims = json!({ "iss": "https://main.example", "sub": "app", "aud": "test-api" });
        if !confirmation.is_null() {
            claims["cnf"] = confirmation.clone();
        }
        let claims = claims.to_string();
        let arguments = [
            "jwt",
            "sign",
            "--key",
            "key.json",
            "--claims",
            &claims,
            "--expires-in",
            "5m",
            "--typ",
            "at+jwt",
        ];
        keyward(self.folder.path(), &arguments)
    }
}

async fn node(signing: &Signing, dpop: &str) -> Node {
    Plan::default()
        .settings("workers: 1")
        .resource(signing.resource())
        .api(
            "orders",
            &format!("authentication: {{ issuers: [main], audience: test-api, dpop: {dpop} }}"),
        )
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certified_client_proves_its_key() {
    let signing = Signing::new();
    for (dpop, algorithm) in [
        ("required", "ES256"),
        ("accepted", "Ed25519"),
        ("accepted", "PS256"),
        ("{ tokens: required, nonce: always }", "ES256"),
    ] {
        let node = node(&signing, dpop).await;
        let address = format!("http://{}/orders/7?a=b", node.gateway());
        let (mut client, said) = Client::start(&["dpop", &address, algorithm]);
        let bound = signing.token(&json!({ "jkt": said["jkt"] }));
        for call in 0..3 {
            let answer = client.call(&bound);
            assert_eq!(answer["status"], 200, "{dpop} {algorithm} {call}: {answer}");
        }
        let received = node.last_received();
        assert_eq!(received.head.field("x-keyward-subject"), Some("app"));
        assert_eq!(received.head.field("authorization"), None);
        assert_eq!(received.head.field("dpop"), None);

        let stolen = signing.token(&json!({ "jkt": URL_SAFE_NO_PAD.encode([7; 32]) }));
        let answer = client.call(&stolen);
        assert_eq!(answer["status"], 401, "{answer}");
        let challenge = &answer["challenges"][0];
        assert_eq!(challenge["scheme"], "dpop", "{answer}");
        assert_eq!(challenge["error"], "invalid_token", "{answer}");
        let metadata = challenge["resource_metadata"].as_str().unwrap();
        assert!(metadata.ends_with("/.well-known/oauth-protected-resource/orders"));
        let algorithms = challenge["algs"].as_str().unwrap();
        assert!(
            algorithms.split(' ').any(|name| name == algorithm),
            "{answer}"
        );

        let unbound = client.call(&signing.token(&Value::Null));
        assert_eq!(unbound["status"], 401, "{unbound}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certified_client_learns_a_nonce_and_goes_on_with_it() {
    let signing = Signing::new();
    let node = node(&signing, "{ tokens: required, nonce: always }").await;
    let address = format!("http://{}/orders/7", node.gateway());
    let (mut client, said) = Client::start(&["dpop", &address, "ES256"]);
    let token = signing.token(&json!({ "jkt": said["jkt"] }));
    let nonces: Vec<_> = (0..3)
        .map(|_| {
            let answer = client.call(&token);
            assert_eq!(answer["status"], 200, "{answer}");
            answer["nonces"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(nonces, [1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certified_client_shows_the_certificate_that_its_token_is_bound_to() {
    let signing = Signing::new();
    let (authority, clients) = (Authority::new(), Authority::new());
    let api = authority.issue(&["api.example"]);
    let upstream = Upstream::echo().await;
    let configuration = format!(
        r#"
format: 1
gateway_url: https://127.0.0.1:8080
listeners:
  - address: 127.0.0.1:8080
    serves: gateway
    tls:
      certificates: [ {{ certificate: api.pem, key: api.key }} ]
      client_certificates: {{ roots: clients.pem, required: false }}
  - {{ address: 127.0.0.1:9090, serves: operations }}
resources:
  {}
  - {{ kind: upstream, name: echo, targets: [ {{ url: "{}" }} ] }}
  - {{ kind: api, name: orders, version: v1, state: published, base_path: /orders, upstream: echo, authentication: {{ issuers: [main], audience: test-api }} }}
"#,
        signing.resource(),
        upstream.url()
    );
    let files = [
        ("api.pem", api.certificate.as_str()),
        ("api.key", &api.key),
        ("clients.pem", &clients.root),
    ];
    let binary = env!("CARGO_BIN_EXE_keyward");
    let process = KeywardProcess::start_configured(binary, &configuration, &[], &files).await;
    let address = format!("https://{}/orders/7", process.gateway());
    let root = authority.root();
    let certificate = |serial| {
        let issued = clients.issue_client("spiffe://acme.example/app", serial, HOUR);
        let text: String = issued
            .certificate
            .lines()
            .filter(|line| !line.starts_with("--"))
            .collect();
        let der = STANDARD.decode(text).unwrap();
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &der));
        let paths = [
            clients.file(&format!("{serial}.pem"), &issued.certificate),
            clients.file(&format!("{serial}.key"), &issued.key),
        ];
        (thumbprint, paths.map(|path| path.display().to_string()))
    };
    let (thumbprint, [own, key]) = certificate(7);
    let (_, [another, another_key]) = certificate(8);
    let bound = signing.token(&json!({ "x5t#S256": thumbprint }));

    let (mut client, _) = Client::start(&["mtls", &address, &root, &own, &key]);
    for _ in 0..2 {
        let answer = client.call(&bound);
        assert_eq!(answer["status"], 200, "{answer}");
    }
    // The same token, known by now, from somebody else.
    let (mut thief, _) = Client::start(&["mtls", &address, &root, &another, &another_key]);
    let answer = thief.call(&bound);
    assert_eq!(answer["status"], 401, "{answer}");
    assert_eq!(
        answer["challenges"][0]["error"], "invalid_token",
        "{answer}"
    );
    assert_eq!(upstream.received().len(), 2);
}
