//! Quotas: so many requests in a window of the calendar.

use super::{flood, member};
use crate::node::{Plan, check_passed, check_problem};

#[tokio::test]
async fn a_quota_is_exact_over_workers_and_names_when_it_begins_anew() {
    let node = Plan::default()
        .settings("workers: 4\naccess_log: { destination: off }")
        .api(
            "api",
            "authentication: none, quotas: [ { by: address, requests: 100, per: month } ]",
        )
        .start()
        .await;
    assert_eq!(flood(&node, "/api/x", &[], 50, 20).await, (100, 900));
    let refused = node.get("/api/x", &[]).await;
    check_problem(&refused, 429, "quota_exceeded");
    assert_eq!(
        refused.head.field("ratelimit-policy"),
        Some("\"address-month-1\";q=100")
    );
    assert_eq!(member(&refused, "address-month-1", "r"), Some(0));
    let after: u64 = refused.head.field("retry-after").unwrap().parse().unwrap();
    assert!(after <= 31 * 86_400, "{after}");
    assert_eq!(member(&refused, "address-month-1", "t"), Some(after));
    let detail = refused.json().unwrap()["detail"].to_string();
    assert!(detail.contains("All 100 requests"), "{detail}");
    assert!(detail.contains("-01T00:00:00"), "{detail}");
    assert_eq!(node.upstream.received().len(), 100);
}

#[tokio::test]
async fn a_restart_forgives_no_quota() {
    let mut node = Plan::default()
        .settings("workers: 2")
        .api(
            "api",
            "authentication: none, quotas: [ { name: monthly, by: api, requests: 5, per: month } ], rate_limits: [ { name: rate, by: api, requests: 9, per: 1h } ]",
        )
        .start()
        .await;
    for _ in 0..3 {
        check_passed(&node.get("/api/x", &[]).await);
    }
    node.process.restart().await;
    for left in [1, 0] {
        let answer = node.get("/api/x", &[]).await;
        check_passed(&answer);
        assert_eq!(member(&answer, "monthly", "r"), Some(left));
        // A rate is a matter of the moment, and begins anew.
        assert_eq!(member(&answer, "rate", "r"), Some(7 + left));
    }
    check_problem(&node.get("/api/x", &[]).await, 429, "quota_exceeded");
}

#[tokio::test]
async fn a_quota_and_a_rate_give_back_to_each_other() {
    let node = Plan::default()
        .settings("workers: 1")
        .api(
            "slow",
            "authentication: none, rate_limits: [ { name: rate, by: api, requests: 2, per: 1h } ], quotas: [ { name: quota, by: api, requests: 5, per: month } ]",
        )
        .api(
            "few",
            "authentication: none, rate_limits: [ { name: rate, by: api, requests: 5, per: 1h } ], quotas: [ { name: quota, by: api, requests: 2, per: month } ]",
        )
        .start()
        .await;
    for (path, code, refusing) in [
        ("/slow/x", "rate_limited", "rate"),
        ("/few/x", "quota_exceeded", "quota"),
    ] {
        for left in [4, 3] {
            let answer = node.get(path, &[]).await;
            check_passed(&answer);
            let other = if refusing == "rate" { "quota" } else { "rate" };
            assert_eq!(member(&answer, other, "r"), Some(left));
        }
        for _ in 0..10 {
            let refused = node.get(path, &[]).await;
            check_problem(&refused, 429, code);
            assert_eq!(member(&refused, refusing, "r"), Some(0));
        }
    }
    assert_eq!(node.upstream.received().len(), 4);
}
