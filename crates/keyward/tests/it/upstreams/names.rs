//! Targets that have a name.

use super::{metric, node};
use crate::node::{check_passed, request};
use keyward_testkit::{KeywardProcess, RawClient, Upstream, until};
use std::net::SocketAddr;

#[tokio::test]
async fn a_name_is_resolved_and_addresses_that_fail_are_passed_over() {
    // The name stands for addresses of both families on many machines, and the target is at one of them.
    let echo = Upstream::echo().await;
    let url = format!("http://localhost:{}", echo.address().port());
    let node = node(
        std::slice::from_ref(&url),
        "resolve_interval: 1s, idle_timeout: 1ms",
    )
    .await;
    for _ in 0..10 {
        check_passed(&node.get("/many/x", &[]).await);
    }
    let received = echo.received();
    let host = format!("localhost:{}", echo.address().port());
    assert!(
        received
            .iter()
            .all(|call| call.head.field("host") == Some(&host))
    );
    assert_eq!(metric(&node.process, "healthy", Some(&url)).await, 1);
}

#[tokio::test]
async fn a_name_that_is_unknown_leaves_calls_to_the_others() {
    let echo = Upstream::echo().await;
    let targets = ["http://nowhere.invalid".to_owned(), echo.url()];
    let node = node(&targets, "").await;
    for _ in 0..10 {
        check_passed(&node.call("POST", "/many/x", &[], "once").await);
    }
    let log = node.process.log();
    assert!(log.contains("nowhere.invalid"), "{log}");
}

#[tokio::test]
async fn a_name_that_changes_while_a_node_runs_is_followed_and_one_that_goes_is_kept() {
    let one = Upstream::echo_at(SocketAddr::from(([127, 0, 0, 2], 0))).await;
    let port = one.address().port();
    let two = Upstream::echo_at(SocketAddr::from(([127, 0, 0, 3], port))).await;
    let resources = format!(
        "- {{ kind: upstream, name: moving, targets: [ {{ url: \"http://moving.test:{port}\" }} ], resolve_interval: 1s }}\n- {{ kind: api, name: moving, version: v1, state: published, base_path: /moving, upstream: moving, authentication: none }}"
    );
    let process = KeywardProcess::start_with_hosts(
        env!("CARGO_BIN_EXE_keyward"),
        "workers: 1",
        &resources,
        "127.0.0.2 moving.test\n",
    )
    .await;
    let call = async || {
        let mut client = RawClient::connect(process.gateway()).await.unwrap();
        let bytes = request("GET", "/moving/x", &[], "");
        client.send(bytes).await.unwrap();
        check_passed(&client.answer().await.unwrap());
    };
    call().await;
    assert_eq!((one.received().len(), two.received().len()), (1, 0));
    let hosts = process.folder().join("hosts");
    // As a deployment that moves does: the old target goes on for those that still know it.
    std::fs::write(&hosts, "127.0.0.3 moving.test\n").unwrap();
    until("calls go to the new address", async || {
        call().await;
        !two.received().is_empty()
    })
    .await;
    let before = one.received().len();
    for _ in 0..5 {
        call().await;
    }
    assert_eq!(one.received().len(), before, "the old address is left");
    // Connections to where the name no longer leads are closed.
    until("old connections end", async || one.open_connections() == 0).await;

    std::fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    until("that the name is gone is told", async || {
        process.log().contains("can't be resolved")
    })
    .await;
    call().await;
}
