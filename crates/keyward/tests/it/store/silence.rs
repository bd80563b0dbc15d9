//! The server is gone without a word, and another has its address.

use super::*;
use keyward_testkit::{ChaosProxy, Weather};
use std::process::Stdio;

/// Revokes through the database itself, not through the address that the node has: the proxy there runs in this process,
/// which waits for the command.
fn revoke_beside(deployment: &Deployment, subject: &str) {
    let folder = tempfile::tempdir().unwrap();
    let configuration = deployment.configuration();
    std::fs::write(folder.path().join("keyward.yaml"), configuration).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
    command
        .args(["revoke", "subject", subject, "--issuer", "main"])
        .args(["--config", "keyward.yaml"])
        .env("KEYWARD_MASTER_KEY", MASTER_KEY)
        .current_dir(folder.path())
        .stdin(Stdio::null());
    done(&command.output().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_after_a_failover_that_lost_something_is_refused() {
    let deployment = Deployment::new().await;
    let proxy = ChaosProxy::before(deployment.server.address()).await;
    let url = format!("postgres://keyward@{}/test1", proxy.address());
    let node = deployment.node_with(&url).await;
    let [alice, bob] = ["alice", "bob"].map(|subject| deployment.token(subject));
    revoke_beside(&deployment, "alice");
    becomes(&node, &alice, 401).await;

    proxy.abandon_open();
    proxy.set(Weather {
        refuse: true,
        ..Weather::default()
    });
    // The standby had not got the last, and counts by the same numbers.
    deployment.server.sql(
        "test1",
        "DELETE FROM revocations;
         DELETE FROM audit_events WHERE action = 'revocation.create';
         UPDATE change_counters SET counter = 0 WHERE subject = 'revocations'",
    );
    revoke_beside(&deployment, "bob");
    proxy.set(Weather::default());
    becomes(&node, &bob, 401).await;
    becomes(&node, &alice, 200).await;
    let log = node.log();
    assert!(log.contains("has lost what was committed last"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_database_is_silent_serves_on_and_ends_when_told_to() {
    let deployment = Deployment::new().await;
    let proxy = ChaosProxy::before(deployment.server.address()).await;
    let url = format!("postgres://keyward@{}/test1", proxy.address());
    let node = deployment.node_with(&url).await;
    let [alice, bob] = ["alice", "bob"].map(|subject| deployment.token(subject));
    assert_eq!(status(&node, &alice).await, 200);
    proxy.set(Weather {
        black_hole: true,
        ..Weather::default()
    });
    until("the node notices", async || {
        metric(&node, "keyward_database_away").await == 1
    })
    .await;
    revoke_beside(&deployment, "alice");
    assert_eq!(status(&node, &bob).await, 200);
    // What was open stays silent for good.
    proxy.abandon_open();
    proxy.set(Weather::default());
    becomes(&node, &alice, 401).await;

    proxy.set(Weather {
        black_hole: true,
        ..Weather::default()
    });
    node.signal("TERM");
    until("it has ended", async || {
        RawClient::connect(node.gateway()).await.is_err()
            && node.operations_get("/healthz").await.is_err()
    })
    .await;
}
