//! Issuers that publish their keys at an address, rotate them, and go away.

use super::node::{SETTINGS, TokenIssuer, call, code, get, resources, start};
use keyward_jose::key::Part;
use keyward_jose::{JwkSet, Key};
use keyward_testkit::{Failure, IssuerServer, KeywardProcess, Upstream};

/// A node that fetches its issuer's keys.
struct Fetching {
    process: KeywardProcess,
    server: IssuerServer,
    upstream: Upstream,
}

impl Fetching {
    async fn start(keys: &[&Key], settings: &str) -> Self {
        let server = IssuerServer::start(key_set(keys)).await;
        Self::from(server, settings).await
    }

    async fn from(server: IssuerServer, settings: &str) -> Self {
        let upstream = Upstream::echo().await;
        let keys = format!("jwks: {{ url: \"{}\" }}", server.jwks_url());
        let resources = resources(upstream.address(), &keys, "");
        let process = start(settings, &resources, &[]).await;
        Self {
            process,
            server,
            upstream,
        }
    }

    async fn call(&self, token: &str) -> (u16, String) {
        let answer = call(self.process.gateway(), get("/guarded/x", Some(token), "")).await;
        let code = if answer.status == 200 {
            String::new()
        } else {
            code(&answer)
        };
        (answer.status, code)
    }
}

fn key_set(keys: &[&Key]) -> String {
    let set = JwkSet::from_keys(keys.iter().map(|key| (*key).clone())).unwrap();
    set.to_json(Part::Public).unwrap().to_string()
}

#[tokio::test]
async fn the_first_token_of_a_rotated_key_passes_and_those_of_a_withdrawn_one_no_longer() {
    let (old, new) = (TokenIssuer::new(), TokenIssuer::new());
    let node = Fetching::start(&[&old.key], SETTINGS).await;
    let old_token = old.token(|claims| claims);
    // Twice on each worker at least, so that it is remembered as verified.
    for _ in 0..8 {
        assert_eq!(node.call(&old_token).await.0, 200);
    }
    node.server.set_keys(key_set(&[&new.key]));
    assert_eq!(node.call(&new.token(|claims| claims)).await.0, 200);
    for _ in 0..8 {
        assert_eq!(
            node.call(&old_token).await,
            (401, "token_invalid".to_owned())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_with_random_kids_hardly_reach_the_issuer() {
    let issuer = TokenIssuer::new();
    let node = Fetching::start(&[&issuer.key], SETTINGS).await;
    let good = issuer.token(|claims| claims);
    assert_eq!(node.call(&good).await.0, 200);
    let begun = node.server.key_requests();
    let gateway = node.process.gateway();
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..20 {
        flood.spawn(async move {
            let mut refused = 0;
            for _ in 0..10 {
                // Each is signed by a key of its own, with that key's kid.
                let token = TokenIssuer::new().token(|claims| claims);
                let answer = call(gateway, get("/guarded/x", Some(&token), "")).await;
                assert_eq!(code(&answer), "token_invalid");
                refused += 1;
            }
            refused
        });
    }
    let refused: u32 = flood.join_all().await.into_iter().sum();
    assert_eq!(refused, 200);
    let asked = node.server.key_requests() - begun;
    assert!((1..=4).contains(&asked), "{asked}");
    assert_eq!(node.server.most_in_flight(), 1);
    assert_eq!(node.call(&good).await.0, 200);
    assert_eq!(node.upstream.received().len(), 2);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_believed_by_its_last_keys() {
    let issuer = TokenIssuer::new();
    let node = Fetching::start(&[&issuer.key], SETTINGS).await;
    assert_eq!(node.call(&issuer.token(|claims| claims)).await.0, 200);
    node.server.set_failure(Some(Failure::Close));
    let stranger = TokenIssuer::new().token(|claims| claims);
    assert_eq!(
        node.call(&stranger).await,
        (401, "token_invalid".to_owned())
    );
    let another = issuer.token(|claims| claims.with_subject("bob"));
    assert_eq!(node.call(&another).await.0, 200);
}

#[tokio::test]
async fn without_keys_the_issuer_is_said_to_be_unavailable() {
    let issuer = TokenIssuer::new();
    let token = issuer.token(|claims| claims);
    let server = IssuerServer::start(issuer.key_set()).await;
    server.set_failure(Some(Failure::Status(500)));
    let node = Fetching::from(server, SETTINGS).await;
    assert_eq!(
        node.call(&token).await,
        (503, "issuer_unavailable".to_owned())
    );
    node.server.set_failure(None);
    let mut tries = 0;
    while node.call(&token).await.0 != 200 {
        tries += 1;
        assert!(tries < 100, "the keys are not fetched again");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn keys_inside_are_not_fetched_unless_the_operator_allows_it() {
    let issuer = TokenIssuer::new();
    let node = Fetching::start(&[&issuer.key], "workers: 1").await;
    let token = issuer.token(|claims| claims);
    assert_eq!(
        node.call(&token).await,
        (503, "issuer_unavailable".to_owned())
    );
    assert_eq!(node.server.requests(), 0);
}
