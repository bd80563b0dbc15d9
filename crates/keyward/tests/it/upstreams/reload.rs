//! What is known of targets while configurations come and go.

use super::{answering, dead, metric, node, until};
use crate::node::{check_passed, check_problem, request};
use crate::running::{edit, until_metric};
use keyward_testkit::{RawClient, Script, Upstream};

#[tokio::test]
async fn what_is_known_of_a_target_survives_a_reload() {
    let echo = Upstream::echo().await;
    let gone = dead();
    let node = node(
        &[gone.clone(), echo.url()],
        "ejection: { time: 1h, max_time: 1h }",
    )
    .await;
    for _ in 0..20 {
        check_passed(&node.get("/many/x", &[]).await);
    }
    assert_eq!(metric(&node.process, "ejected", Some(&gone)).await, 1);
    let retries = metric(&node.process, "retries_total", None).await;
    // The upstream itself is another one, its target is not.
    edit(&node.process, |text| {
        text.replace("time: 1h, ", "time: 59m, ")
    });
    until_metric(&node.process, "keyward_revision", 2).await;
    for _ in 0..10 {
        check_passed(&node.get("/many/x", &[]).await);
    }
    assert_eq!(metric(&node.process, "ejected", Some(&gone)).await, 1);
    assert_eq!(
        metric(&node.process, "ejections_total", Some(&gone)).await,
        1
    );
    assert_eq!(metric(&node.process, "retries_total", None).await, retries);
}

#[tokio::test]
async fn a_pooled_connection_survives_a_change_of_its_upstream() {
    let echo = Upstream::echo().await;
    let node = super::plan(&[echo.url()], "response_timeout: 9s")
        .start()
        .await;
    // Both workers have one.
    while echo.connections() < 2 {
        check_passed(&node.get("/many/x", &[]).await);
    }
    edit(&node.process, |text| text.replace("9s", "8s"));
    until_metric(&node.process, "keyward_revision", 2).await;
    for _ in 0..10 {
        check_passed(&node.get("/many/x", &[]).await);
    }
    assert_eq!(echo.connections(), 2);
    let url = echo.url();
    assert_eq!(metric(&node.process, "connections", Some(&url)).await, 2);
}

#[tokio::test]
async fn an_open_breaker_stays_open_over_a_reload() {
    let busy = answering("503 Service Unavailable").await;
    let rest = "response_timeout: 9s, breaker: { calls: 2, percent: 100, open: 1h }";
    let node = node(&[busy.url()], rest).await;
    for _ in 0..2 {
        assert_eq!(node.get("/many/x", &[]).await.text(), "no");
    }
    let url = busy.url();
    assert_eq!(metric(&node.process, "breaker_open", Some(&url)).await, 1);
    edit(&node.process, |text| text.replace("9s", "8s"));
    until_metric(&node.process, "keyward_revision", 2).await;
    assert_eq!(metric(&node.process, "breaker_open", Some(&url)).await, 1);
    check_problem(&node.get("/many/x", &[]).await, 503, "upstream_spared");
    assert_eq!(busy.received().len(), 2);
}

#[tokio::test]
async fn a_call_under_way_is_counted_over_a_reload() {
    let upstream = Upstream::scripted(Script::new().wait_until_closed()).await;
    let rest = "response_timeout: 90s, max_connections: 1, connect_timeout: 300ms";
    let node = node(&[upstream.url()], rest).await;
    let mut first = RawClient::connect(node.gateway()).await.unwrap();
    first
        .send(request("GET", "/many/x", &[], ""))
        .await
        .unwrap();
    let url = upstream.url();
    until(&node.process, "in_flight", &url, 1).await;
    edit(&node.process, |text| text.replace("90s", "80s"));
    until_metric(&node.process, "keyward_revision", 2).await;
    assert_eq!(metric(&node.process, "in_flight", Some(&url)).await, 1);
    // The only connection there may be is that call's, also for what was configured since.
    check_problem(&node.get("/many/x", &[]).await, 503, "upstream_busy");
    drop(first);
    until(&node.process, "in_flight", &url, 0).await;
}
