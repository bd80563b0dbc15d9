//! The database is taken away and brought back while calls pass.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Clients that call all the while.
const CLIENTS: usize = 4;

#[tokio::test]
async fn no_guarded_call_fails_while_the_database_is_away() {
    let mut deployment = Deployment::new().await;
    let node = deployment.node().await;
    let [alice, bob] = ["alice", "bob"].map(|subject| deployment.token(subject));
    done(&keyward(
        &node,
        &["revoke", "subject", "alice", "--issuer", "main"],
    ));
    becomes(&node, &alice, 401).await;

    let stop = Arc::new(AtomicBool::new(false));
    let passed = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (stop, passed, address) = (Arc::clone(&stop), Arc::clone(&passed), node.gateway());
            let request = request(&bob);
            tokio::spawn(async move {
                let mut others = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let mut client = RawClient::connect(address).await.unwrap();
                    client.send(request.clone()).await.unwrap();
                    let answer = client.answer().await.unwrap();
                    match answer.status {
                        200 => drop(passed.fetch_add(1, Ordering::Relaxed)),
                        // A machine that is busy with other tests: nothing that the database has to do with.
                        503 if answer.text().contains("overloaded") => {}
                        status => others.push(status),
                    }
                }
                others
            })
        })
        .collect();
    let more = async |what: &str| {
        let before = passed.load(Ordering::Relaxed);
        until(what, async || passed.load(Ordering::Relaxed) > before + 100).await;
    };
    more("calls before").await;
    for round in 0..3 {
        if round == 1 {
            deployment.server.stop();
        } else {
            deployment.server.kill();
        }
        until("the node notices", async || {
            metric(&node, "keyward_database_away").await == 1
        })
        .await;
        more("calls while it is away").await;
        // What was revoked before stays so.
        assert_eq!(status(&node, &alice).await, 401);
        assert_eq!(node.operations_get("/readyz").await.unwrap().status, 200);
        let refused = keyward(&node, &["revoke", "subject", "bob", "--issuer", "main"]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains("[store_unreachable]"), "{said}");
        deployment.server.bring_back().await;
        until("the node is back", async || {
            metric(&node, "keyward_database_away").await == 0
        })
        .await;
        more("calls after it").await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let others = client.await.unwrap();
        assert!(others.is_empty(), "{others:?}\n{}", node.log());
    }
    done(&keyward(
        &node,
        &["revoke", "subject", "bob", "--issuer", "main"],
    ));
    becomes(&node, &bob, 401).await;
    let log = node.log();
    assert_eq!(
        log.matches("the database answers again").count(),
        3,
        "{log}"
    );
    assert_eq!(
        log.matches("what is known goes on to hold").count(),
        3,
        "{log}"
    );
}
