//! Many calls with many tokens over connections that come and go: nothing fails, and memory stays flat.

use keyward_jose::jwt::{self, Claims};
use keyward_jose::{Key, LocalSigner, NumericDate, SignatureAlgorithm};
use keyward_testkit::{KeywardProcess, RawClient};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SECRET: &str = "a secret of the soak test, with more than 32 bytes";
const CLIENTS: usize = 32;
/// More tokens than any cache may keep for long, each of another subject.
const TOKENS: usize = 20_000;
/// Every token many times on each worker: a cache keeps what came twice, and is full when all has.
const CALLS_BEFORE: usize = 400_000;
const CALLS_AFTER: usize = 400_000;
/// After so many calls a client comes back with a new connection.
const CALLS_A_CONNECTION: usize = 100;
/// What may come on top: the allocator's own slack.
const GROWTH_BYTES: u64 = 16 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat_over_many_calls() {
    let resources = format!(
        "  - kind: issuer\n    name: soak\n    issuer: https://issuer.soak\n    secret: \"{SECRET}\"\n    algorithms: [HS256]\n  - kind: upstream\n    name: echo\n    targets: [ {{ url: \"http://{}\" }} ]\n  - kind: api\n    name: echo\n    version: v1\n    state: published\n    base_path: /echo\n    upstream: echo\n    authentication: {{ issuers: [soak], audience: soak-api }}\n    authorization: {{ scopes: [read] }}\n    rate_limits: [ {{ by: subject, requests: 1000000, per: 1s }} ]\n",
        upstream().await
    );
    let settings = "workers: 2\naccess_log: { format: json, destination: off }";
    let keyward =
        KeywardProcess::start(env!("CARGO_BIN_EXE_keyward"), settings, &resources, &[]).await;
    let tokens = Arc::new(tokens());

    calls(keyward.gateway(), &tokens, CALLS_BEFORE).await;
    let before = keyward.resident_bytes();
    calls(keyward.gateway(), &tokens, CALLS_AFTER).await;
    let after = keyward.resident_bytes();

    assert!(
        after <= before + GROWTH_BYTES,
        "{CALLS_AFTER} calls took memory from {before} to {after} bytes"
    );
    let (status, log) = keyward.stop().await;
    assert!(status.success(), "{log}");
}

fn tokens() -> Vec<String> {
    let key = Key::from_secret(SECRET.as_bytes()).unwrap();
    let signer = LocalSigner::new(&key, SignatureAlgorithm::Hs256).unwrap();
    // The year 2100: these tokens do not expire within the test.
    let claims = Claims::new()
        .with_issuer("https://issuer.soak")
        .with_audience(["soak-api"])
        .with_scopes(["read"])
        .with_expiry(NumericDate(4_102_444_800));
    (0..TOKENS)
        .map(|number| {
            let claims = claims.clone().with_subject(format!("user-{number}"));
            jwt::sign(&claims, &signer, "at+jwt").unwrap()
        })
        .collect()
}

async fn calls(gateway: SocketAddr, tokens: &Arc<Vec<String>>, count: usize) {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let tokens = Arc::clone(tokens);
            tokio::spawn(async move {
                let mut connection = RawClient::connect(gateway).await.unwrap();
                for (made, call) in (client..count).step_by(CLIENTS).enumerate() {
                    if made > 0 && made % CALLS_A_CONNECTION == 0 {
                        connection = RawClient::connect(gateway).await.unwrap();
                    }
                    let token = &tokens[call % tokens.len()];
                    let request = format!(
                        "GET /echo/{call} HTTP/1.1\r\nhost: soak\r\nauthorization: Bearer {token}\r\n\r\n"
                    );
                    connection.send(request).await.unwrap();
                    let answer = connection.answer().await.unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

/// Answers everything and remembers nothing, as the test kit's upstream would.
pub(super) async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}
