//! What is known of targets while configurations come and go.

use super::{dead, metric, node};
use crate::node::check_passed;
use crate::running::{edit, until_metric};
use keyward_testkit::Upstream;

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
