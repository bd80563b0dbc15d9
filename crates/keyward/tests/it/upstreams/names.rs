//! Targets that have a name.

use super::{metric, node};
use crate::node::check_passed;
use keyward_testkit::Upstream;

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
