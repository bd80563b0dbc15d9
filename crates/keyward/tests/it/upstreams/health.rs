//! Targets that are asked whether they are well.

use super::{breaking, metric, node, until};
use crate::gateway::open_node::until as logged;
use crate::node::check_passed;
use keyward_testkit::{ChaosProxy, Script, Upstream, Weather};

#[tokio::test]
async fn a_target_that_answers_badly_is_left_out_until_it_is_well_again() {
    let sick = Upstream::scripts(vec![
        Script::answer("500 Internal Server Error", &[], ""),
        Script::answer("500 Internal Server Error", &[], ""),
        Script::answer("200 OK", &[], ""),
    ])
    .await;
    let echo = Upstream::echo().await;
    let rest = "health_check: { http: { path: /up?x, host: well.test }, interval: 300ms, unhealthy: 2, healthy: 3 }";
    let node = node(&[sick.url(), echo.url()], rest).await;
    until(&node.process, "healthy", &sick.url(), 0).await;
    for _ in 0..4 {
        check_passed(&node.get("/many/x", &[]).await);
    }
    assert_eq!(metric(&node.process, "ejected", Some(&sick.url())).await, 0);
    until(&node.process, "healthy", &sick.url(), 1).await;
    let received = sick.received();
    assert!(received.len() >= 5);
    // Nothing but questions, while it was out.
    for question in &received[..5] {
        assert_eq!(question.target(), "/up?x");
        assert_eq!(question.head.field("host"), Some("well.test"));
    }
    for told in [
        "taken out by its health check: it answered 500",
        "a target is well again",
    ] {
        // What holds is told in the log a moment later.
        logged(told, || node.process.log().contains(told)).await;
    }
}

#[tokio::test]
async fn a_target_that_takes_no_connection_is_left_out() {
    let echo = Upstream::echo().await;
    let rest = "health_check: { tcp: true, interval: 100ms, unhealthy: 1, healthy: 1 }";
    let gone = super::dead();
    let node = node(&[gone.clone(), echo.url()], rest).await;
    until(&node.process, "healthy", &gone, 0).await;
    assert_eq!(metric(&node.process, "healthy", Some(&echo.url())).await, 1);
    for _ in 0..4 {
        check_passed(&node.get("/many/x", &[]).await);
    }
    assert_eq!(metric(&node.process, "retries_total", None).await, 0);
}

#[tokio::test]
async fn when_all_are_ill_calls_are_tried_all_the_same() {
    let echo = Upstream::echo().await;
    let (one, two) = (breaking(&echo).await, breaking(&echo).await);
    let rest = "health_check: { http: { path: / }, interval: 30s, timeout: 300ms, unhealthy: 1 }, ejection: none";
    let rest = rest
        .replace("30s", "100ms")
        .replace("unhealthy: 1", "unhealthy: 1, healthy: 1000");
    let node = node(&[one.url(), two.url()], &rest).await;
    until(&node.process, "healthy", &one.url(), 0).await;
    until(&node.process, "healthy", &two.url(), 0).await;
    let fair = |proxy: &ChaosProxy| proxy.set(Weather::default());
    fair(&one);
    fair(&two);
    check_passed(&node.get("/many/x", &[]).await);
}
