//! Keys that change under a running node, and tokens that name keys which never were.

use super::node::{Node, TokenIssuer, call, code, get, resources, start};
use super::open_node::until;
use keyward_jose::jwt;
use keyward_jose::{LocalSigner, SignatureAlgorithm};
use keyward_testkit::{IssuerServer, RawClient, Upstream};
use std::time::{Duration, Instant};

const TOKENS: usize = 10_000;
const CONNECTIONS: usize = 20;
/// What made-up kids may cost the issuer: so many requests at once, and then one in this time.
const REQUESTS_AT_ONCE: u64 = 2;
const REQUEST_EVERY: Duration = Duration::from_secs(10);

/// A token signed by this issuer's key under another name.
fn token_with_kid(issuer: &TokenIssuer, kid: String) -> String {
    let key = issuer.key.clone().with_kid(Some(kid)).unwrap();
    let signer = LocalSigner::new(&key, SignatureAlgorithm::Es256).unwrap();
    jwt::sign(&super::node::claims(), &signer, "at+jwt").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "the bound is one of requests in a time"
)]
async fn ten_thousand_made_up_kids_cost_the_issuer_a_handful_of_requests() {
    let issuer = TokenIssuer::new();
    let server = IssuerServer::start(issuer.key_set()).await;
    let upstream = Upstream::echo().await;
    let keys = format!("jwks: {{ url: \"{}\" }}", server.jwks_url());
    let declared = resources(upstream.address(), &keys, "");
    // One address may fail so often here, that each of the tokens is looked at.
    let settings = "workers: 2\negress: { allow: [127.0.0.0/8] }\naccess_log: { destination: off }\nfailed_attempts: { attempts: 20000, per: 1m }";
    let process = start(settings, &declared, &[]).await;
    let gateway = process.gateway();
    let good = issuer.token(|claims| claims);
    assert_eq!(
        call(gateway, get("/guarded/x", Some(&good), ""))
            .await
            .status,
        200
    );
    let (asked_before, begun) = (server.key_requests(), Instant::now());
    let mut flood = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let tokens: Vec<String> = (0..TOKENS / CONNECTIONS)
            .map(|number| token_with_kid(&issuer, format!("made-up-{connection}-{number}")))
            .collect();
        flood.spawn(async move {
            let mut client = RawClient::connect(gateway).await.unwrap();
            for token in &tokens {
                client
                    .send(get("/guarded/x", Some(token), ""))
                    .await
                    .unwrap();
                let answer = client.answer().await.unwrap();
                assert_eq!(
                    (answer.status, code(&answer).as_str()),
                    (401, "token_invalid")
                );
            }
            tokens.len()
        });
    }
    assert_eq!(flood.join_all().await.into_iter().sum::<usize>(), TOKENS);
    let asked = server.key_requests() - asked_before;
    let bound = REQUESTS_AT_ONCE + begun.elapsed().as_secs() / REQUEST_EVERY.as_secs() + 1;
    assert!((1..=bound).contains(&asked), "{asked} of {bound}");
    assert_eq!(server.most_in_flight(), 1);
    // Those who come with a good one notice nothing.
    assert_eq!(
        call(gateway, get("/guarded/x", Some(&good), ""))
            .await
            .status,
        200
    );
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn a_changed_key_file_counts_at_once_and_a_broken_one_not_at_all() {
    let node = Node::start().await;
    let file = node.process.folder().join("jwks.json");
    let status = async |token: &str| node.call(get("/guarded/x", Some(token), "")).await.status;
    let old = node.issuer.token(|claims| claims);
    // Often enough that each worker remembers it as verified.
    for _ in 0..8 {
        assert_eq!(status(&old).await, 200);
    }
    let successor = TokenIssuer::new();
    let new = successor.token(|claims| claims);
    assert_eq!(status(&new).await, 401);
    std::fs::write(&file, successor.key_set()).unwrap();
    let mut looks = 0;
    while status(&new).await != 200 {
        looks += 1;
        assert!(looks < 100, "the new key is not taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for _ in 0..8 {
        assert_eq!(status(&old).await, 401);
    }
    // A file that is broken, or gone, is told of, and the keys stay.
    std::fs::write(&file, "{ \"keys\": [").unwrap();
    until("the broken file is told of", || {
        node.process.log().contains("jwks.json")
    })
    .await;
    assert_eq!(status(&new).await, 200);
    std::fs::remove_file(&file).unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(status(&new).await, 200);
    assert_eq!(status(&old).await, 401);
    // And one that is whole again counts again.
    std::fs::write(&file, node.issuer.key_set()).unwrap();
    let mut looks = 0;
    while status(&old).await != 200 {
        looks += 1;
        assert!(looks < 100, "the old key is not taken back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status(&new).await, 401);
}
