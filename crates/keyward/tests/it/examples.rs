//! The examples, each as a node that runs: what its comment promises is called.

mod access;
mod ai;
mod authentication;
mod bodies;
mod content;
mod curl;
mod keys;
mod limits;
mod observing;
mod protocols;
mod running;
mod store;
mod traffic;
mod upstreams;

use crate::gateway::node::{call, code, get};
use crate::protocols::client::{Http2Client, request};
use crate::protocols::tunnel_server::TunnelServer;
use crate::protocols::websocket::handshake;
use crate::protocols::websocket_http2::extended;
use crate::shell::Shell;
use keyward_jose::jwt::{self, Claims};
use keyward_jose::{Key, LocalSigner, NumericDate, SignatureAlgorithm};
use keyward_model::{Clock, SystemClock};
use keyward_testkit::{Answer, IssuerServer, KeywardProcess, RawClient, Upstream};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// An example that runs, with an echo behind it and a key that its issuer signs with.
struct Example {
    process: KeywardProcess,
    upstream: Upstream,
    shell: Shell,
}

impl Example {
    async fn run(name: &str) -> Self {
        Self::with(name, &[], &[]).await
    }

    /// `moved` are addresses of the example and where they are in this test.
    async fn with(name: &str, moved: &[(&str, &str)], environment: &[(&str, &str)]) -> Self {
        let shell = Shell::new();
        let signing = shell.pipe(&["jwk", "generate", "--alg", "ES256"], b"");
        shell.file("signing.jwk", &signing);
        let jwks = shell.pipe(&["jwk", "public", "--set", "signing.jwk"], b"");
        shell.file("jwks.json", &jwks);
        Self::in_shell(shell, name, moved, environment).await
    }

    /// With a file that the example names.
    async fn with_file(name: &str, file: (&str, &str)) -> Self {
        let shell = Shell::new();
        shell.file("jwks.json", b"{\"keys\":[]}");
        shell.file(file.0, file.1.as_bytes());
        Self::in_shell(shell, name, &[], &[]).await
    }

    async fn in_shell(
        shell: Shell,
        name: &str,
        moved: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let text = std::fs::read_to_string(path.join(name)).unwrap();
        assert!(text.starts_with("# "), "{name} says first what it shows");
        // As it stands.
        let file = shell.file(name, text.as_bytes());
        let check = Command::new(env!("CARGO_BIN_EXE_keyward"))
            .arg("check")
            .arg("--config")
            .arg(file)
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success() && told.is_empty(), "{name}: {told}");
        let upstream = Upstream::echo().await;
        let own = upstream.address().to_string();
        let text = moved
            .iter()
            .chain(&[("127.0.0.1:9000", own.as_str())])
            .fold(text, |text, (from, to)| text.replace(from, to));
        // What the example names stands beside it.
        let mut beside = Vec::new();
        for entry in std::fs::read_dir(shell.directory.path()).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            if [".json", ".txt"].iter().any(|end| file.ends_with(end)) {
                beside.push((file, std::fs::read_to_string(&path).unwrap()));
            }
        }
        let beside: Vec<_> = beside
            .iter()
            .map(|(file, text)| (&**file, &**text))
            .collect();
        let binary = env!("CARGO_BIN_EXE_keyward");
        let process = KeywardProcess::start_configured(binary, &text, environment, &beside).await;
        Self {
            process,
            upstream,
            shell,
        }
    }

    /// A token with these claims, as `keyward jwt sign` makes it.
    fn token(&self, claims: &Value) -> String {
        self.token_of_type("at+jwt", claims)
    }

    fn token_of_type(&self, typ: &str, claims: &Value) -> String {
        let claims = claims.to_string();
        let sign = [
            "jwt",
            "sign",
            "--key",
            "signing.jwk",
            "--typ",
            typ,
            "--claims",
            &claims,
        ];
        text(self.shell.pipe(&sign, b""))
    }

    async fn get(&self, path: &str, token: Option<&str>, headers: &str) -> Answer {
        call(self.process.gateway(), get(path, token, headers)).await
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap().trim_end().to_owned()
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, with: &str) {
    assert_eq!(
        (answer.status, code(answer).as_str()),
        (status, with),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn guarded_api() {
    let example = Example::run("guarded-api.yaml").await;
    let claims = json!({ "iss": "https://issuer.bench", "sub": "alice", "aud": "bench-api", "scope": "read" });
    let token = example.token(&claims);
    let answer = example.get("/echo/7?x=y", Some(&token), "").await;
    assert_eq!(answer.status, 200, "{}", example.process.log());
    assert_eq!(answer.json().unwrap()["target"], "/7?x=y");
    assert_refused(
        &example.get("/echo/7", None, "").await,
        401,
        "token_missing",
    );
    for (claim, other, status, with) in [
        ("aud", "another-api", 401, "token_invalid"),
        ("iss", "https://another.bench", 401, "token_invalid"),
        ("scope", "write", 403, "insufficient_scope"),
    ] {
        let mut claims = claims.clone();
        claims[claim] = json!(other);
        let token = example.token(&claims);
        let answer = example.get("/echo/7", Some(&token), "").await;
        assert_refused(&answer, status, with);
    }
    assert_eq!(example.upstream.received().len(), 1);
}

#[tokio::test]
async fn open_api() {
    let second = Upstream::echo().await;
    let address = second.address().to_string();
    let moved = [("127.0.0.1:9001", address.as_str())];
    let example = Example::with("open-api.yaml", &moved, &[]).await;
    let mut client = RawClient::connect(example.process.gateway()).await.unwrap();
    let forged = "X-Keyward-Subject: admin\r\nX_Keyward_Subject: admin\r\n";
    let mut passed = 0;
    let refused = loop {
        client
            .send(get("/catalogue/7", None, forged))
            .await
            .unwrap();
        let answer = client.answer().await.unwrap();
        if answer.status != 200 {
            break answer;
        }
        passed += 1;
        let echo = answer.json().unwrap();
        assert_eq!(echo["path"], "/catalogue/7");
        assert!(!echo["headers"].to_string().contains("admin"), "{echo}");
    };
    assert_refused(&refused, 429, "rate_limited");
    // While a hundred calls are made, another one or two may come back.
    assert!((100..150).contains(&passed), "{passed}");
    let [first, second] = [&example.upstream, &second].map(|upstream| upstream.received().len());
    assert_eq!(first + second, passed);
    let share = first * 100 / passed;
    assert!((70..=80).contains(&share), "{share} %");
    let large = "POST /catalogue/7 HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n";
    let answer = call(example.process.gateway(), large).await;
    assert_refused(&answer, 413, "body_too_large");
}

#[tokio::test]
async fn hmac() {
    let secret = "0123456789abcdef0123456789abcdef0123456789abcdef";
    let example = Example::with("hmac.yaml", &[], &[("ORDERS_SECRET", secret)]).await;
    let now = SystemClock::new().now().as_seconds();
    let token = |secret: &str, issued: i64| {
        let key = Key::from_secret(secret.as_bytes()).unwrap();
        let signer = LocalSigner::new(&key, SignatureAlgorithm::Hs256).unwrap();
        let claims = Claims::new()
            .with_issuer("https://back-office.example")
            .with_subject("alice")
            .with_audience(["orders-api"])
            .with_issued_at(NumericDate(issued))
            .with_expiry(NumericDate(now + 60));
        jwt::sign(&claims, &signer, "at+jwt").unwrap()
    };
    let answer = example
        .get("/orders/7", Some(&token(secret, now)), "")
        .await;
    assert_eq!(answer.status, 200, "{}", example.process.log());
    assert_eq!(answer.json().unwrap()["path"], "/internal/7");
    let other = secret.replace('0', "1");
    let answer = example
        .get("/orders/7", Some(&token(&other, now)), "")
        .await;
    assert_refused(&answer, 401, "token_invalid");
    let old = token(secret, now - 2 * 3600);
    assert_eq!(example.get("/orders/7", Some(&old), "").await.status, 401);
    // The secret is written nowhere.
    assert!(!example.process.log().contains(secret));
}

#[tokio::test]
async fn url_issuer() {
    let shell = Shell::new();
    let signing = shell.pipe(&["jwk", "generate", "--alg", "ES256"], b"");
    shell.file("signing.jwk", &signing);
    let jwks = shell.pipe(&["jwk", "public", "--set", "signing.jwk"], b"");
    let jwks = shell.file("jwks.json", &jwks);
    let server = IssuerServer::start(std::fs::read_to_string(jwks).unwrap()).await;
    let issuer = server.url("");
    server.set_metadata("/.well-known/openid-configuration", &issuer);
    let address = server.address().to_string();
    let moved = [("127.0.0.1:9100", address.as_str())];
    let example = Example::in_shell(shell, "url-issuer.yaml", &moved, &[]).await;
    let claims = json!({
        "iss": issuer, "sub": "alice", "aud": "orders-api", "scope": "orders.read openid", "tenant": "acme",
    });
    let token = example.token(&claims);
    let answer = example
        .get("/orders/7", Some(&token), "X-User: admin\r\n")
        .await;
    assert_eq!(answer.status, 200, "{}", example.process.log());
    let received = &example.upstream.received()[0].head;
    assert_eq!(received.field("x-user"), Some("alice"));
    assert_eq!(received.field("x-tenant"), Some("acme"));
    assert_eq!(received.field("authorization"), None);
    let id_token = example.token_of_type("JWT", &claims);
    let answer = example.get("/orders/7", Some(&id_token), "").await;
    assert_refused(&answer, 401, "token_invalid");
    assert_eq!(server.key_requests(), 1);
}

#[tokio::test]
async fn cookie_token() {
    let example = Example::run("cookie-token.yaml").await;
    let claims = json!({ "iss": "https://shop.example", "sub": "alice", "aud": "shop-web" });
    let token = example.token(&claims);
    let cookies = format!("Cookie: theme=dark; session={token}; lang=en\r\n");
    let answer = example.get("/basket/7", None, &cookies).await;
    assert_eq!(answer.status, 200, "{}", example.process.log());
    let received = &example.upstream.received()[0].head;
    assert_eq!(received.field("cookie"), Some("theme=dark; lang=en"));
    assert_eq!(received.field("x-keyward-subject"), Some("alice"));
    let in_header = example.get("/basket/7", Some(&token), "").await;
    assert_refused(&in_header, 401, "token_missing");
}

#[tokio::test]
async fn several_limits() {
    let example = Example::run("several-limits.yaml").await;
    let token = |subject: &str| {
        example
            .token(&json!({ "iss": "https://issuer.bench", "sub": subject, "aud": "search-api" }))
    };
    let [alice, bob] = ["alice", "bob"].map(token);
    // Alice's four too many use nothing of what all have together.
    for (who, calls, passed, limit) in [(&alice, 9, 5, "per-user"), (&bob, 5, 3, "in-all")] {
        for number in 0..calls {
            let answer = example.get("/search", Some(who), "").await;
            if number < passed {
                assert_eq!(answer.status, 200, "{limit} {number}");
                continue;
            }
            assert_refused(&answer, 429, "rate_limited");
            assert!(answer.text().contains(limit), "{}", answer.text());
            let wait = answer.head.field("retry-after").unwrap();
            assert!(wait.parse::<u64>().unwrap() > 0, "{wait}");
        }
    }
    assert_eq!(example.upstream.received().len(), 8);
}

#[tokio::test]
async fn encrypted_tokens() {
    let example = Example::run("encrypted-tokens.yaml").await;
    let published = example.get("/.well-known/jwks.json", None, "").await;
    let published = published.json().unwrap();
    let keys = published["keys"].as_array().unwrap();
    let for_encryption = keys.iter().find(|key| key["use"] == "enc").unwrap();
    example
        .shell
        .file("node.jwk", for_encryption.to_string().as_bytes());
    let signed = example
        .token(&json!({ "iss": "https://clinic.example", "sub": "alice", "aud": "records-api" }));
    let encrypt = [
        "jwe",
        "encrypt",
        "--key",
        "node.jwk",
        "--alg",
        "ECDH-ES+A256KW",
        "--enc",
        "A256GCM",
        "--header",
        r#"{"cty":"JWT"}"#,
    ];
    let encrypted = text(example.shell.pipe(&encrypt, signed.as_bytes()));
    let answer = example.get("/records/7", Some(&encrypted), "").await;
    assert_eq!(answer.status, 200, "{}", example.process.log());
    let received = &example.upstream.received()[0].head;
    assert_eq!(received.field("x-keyward-subject"), Some("alice"));
    let answer = example.get("/records/7", Some(&signed), "").await;
    assert_refused(&answer, 401, "token_invalid");
}

#[tokio::test]
async fn routing() {
    let search = Upstream::echo().await;
    let address = search.address().to_string();
    let moved = [("127.0.0.1:9001", address.as_str())];
    let example = Example::with("routing.yaml", &moved, &[]).await;
    let call = async |method: &str, host: &str, target: &str, headers: &str| {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        call(example.process.gateway(), request).await
    };
    let shop = "shop.example.com";
    let answer = call("GET", shop, "/shop/orders/7?debug=1&a=b", "X-Debug: 1\r\n").await;
    assert_eq!(answer.status, 200, "{}", example.process.log());
    assert_eq!(answer.head.field("cache-control"), Some("no-store"));
    let received = example.upstream.received()[0].clone();
    assert_eq!(received.target(), "/internal/orders/7?a=b&view=full");
    assert_eq!(received.head.field("x-source"), Some("gateway"));
    assert_eq!(received.head.field("x-debug"), None);
    for (method, host, target, headers, expected) in [
        ("POST", shop, "/shop/orders", "", "/orders"),
        (
            "GET",
            "EU.Shop.Example.Com:8080",
            "/shop/orders?format=csv",
            "",
            "/export/orders.csv?format=csv",
        ),
        (
            "GET",
            "eu.shop.example.com.",
            "/shop/search/shoes?a",
            "",
            "/shoes?a",
        ),
        (
            "GET",
            shop,
            "/shop/search/shoes",
            "X-Preview: 1\r\n",
            "/preview/shoes",
        ),
        (
            "GET",
            "elsewhere.example",
            &format!("http://{shop}/shop/search"),
            "",
            "/",
        ),
    ] {
        let answer = call(method, host, target, headers).await;
        assert_eq!(answer.status, 200, "{target} {}", answer.text());
        assert_eq!(answer.json().unwrap()["target"], expected, "{target}");
    }
    assert_eq!(search.received().len(), 3);
    let answer = call("DELETE", shop, "/shop/orders/7", "").await;
    assert_refused(&answer, 405, "method_not_allowed");
    assert_eq!(answer.head.field("allow"), Some("GET, HEAD"));
    for (host, target) in [
        ("localhost:8080", "/shop/orders/7"),
        ("example.com", "/shop/orders/7"),
        (shop, "/shop/orders/7/lines"),
        (shop, "/shop"),
        // The target's authority is what is called.
        (shop, "http://elsewhere.example/shop/orders/7"),
    ] {
        assert_refused(&call("GET", host, target, "").await, 404, "not_found");
    }
}

#[tokio::test]
async fn redirects() {
    let example = Example::run("redirects.yaml").await;
    for (target, status, location) in [
        ("/old/7?x=y", 308, "/orders/7?x=y"),
        ("/old", 308, "/orders"),
        ("/plain/a", 301, "https://gateway.test/plain/a"),
        ("/docs/intro", 302, "//docs.example.com/v2/intro"),
    ] {
        let answer = example.get(target, None, "").await;
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.head.field("location"), Some(location), "{target}");
        assert_eq!(answer.text(), "", "{target}");
        assert!(answer.head.field("request-id").is_some());
    }
    let closed = example.get("/orders/closed/7", None, "").await;
    assert_eq!(closed.status, 503);
    assert_eq!(closed.head.field("retry-after"), Some("3600"));
    assert_eq!(closed.head.field("content-type"), Some("text/plain"));
    assert_eq!(closed.text(), "Closed for an hour; come back later.\n");
    assert_refused(&example.get("/orders", None, "").await, 404, "not_found");
    assert_eq!(example.upstream.received(), []);
}

#[tokio::test]
async fn http2() {
    let example = Example::run("http2.yaml").await;
    let gateway = example.process.gateway();
    let mut client = Http2Client::connect(gateway).await;
    let reply = client.call(request("GET", "/orders/7?x=y", &[]), b"").await;
    assert_eq!(reply.json()["target"], "/7?x=y");
    assert_eq!(client.streams(), 50);
    assert_eq!(example.get("/orders/7", None, "").await.status, 200);
    let received = example.upstream.received();
    let came_by = received.iter().map(|received| received.head.field("via"));
    assert!(came_by.eq([Some("2.0 keyward"), Some("1.1 keyward")]));
}

#[tokio::test]
async fn websocket() {
    let feed = TunnelServer::start().await;
    let address = feed.address().to_string();
    let moved = [("127.0.0.1:9000", address.as_str())];
    let example = Example::with("websocket.yaml", &moved, &[]).await;
    let claims = json!({ "iss": "https://shop.example", "sub": "alice", "aud": "shop-web" });
    let cookie = format!("Cookie: session={}\r\n", example.token(&claims));
    let open = async |origin: &str| {
        let headers = format!("{cookie}Origin: {origin}\r\n");
        let mut client = RawClient::connect(example.process.gateway()).await.unwrap();
        client
            .send(handshake("/feed/prices", &headers))
            .await
            .unwrap();
        (client.answer_to_head().await.unwrap().status, client)
    };
    let (status, mut client) = open("https://shop.example").await;
    assert_eq!(status, 101, "{}", example.process.log());
    client.send("hello").await.unwrap();
    assert_eq!(client.bytes(5).await.unwrap(), b"hello");
    assert_eq!(open("https://gateway.test").await.0, 101);
    assert_eq!(open("https://evil.example").await.0, 403);
    // In a stream of HTTP/2 it is the same (RFC 8441).
    let mut over_http2 = Http2Client::connect(example.process.gateway()).await;
    over_http2.until_extended_connect().await;
    for (origin, status) in [("https://shop.example", 200), ("https://evil.example", 403)] {
        let session = cookie.trim_end().trim_start_matches("Cookie: ");
        let fields = [
            ("sec-websocket-version", "13"),
            ("origin", origin),
            ("cookie", session),
        ];
        let asked = extended("websocket", "/feed/prices", &fields);
        let (answer, _stream) = over_http2.send(asked, false).await;
        assert_eq!(answer.await.unwrap().status(), status, "{origin}");
    }
    assert!(feed.heads()[0].starts_with("get /prices http/1.1\r\n"));
    assert!(!feed.heads()[0].contains("session="));
    let refused = example.get("/feed/prices", None, "").await;
    assert_refused(&refused, 401, "token_missing");
    // Three tunnels were opened; seven more calls pass.
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(open("https://shop.example").await.0);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}
