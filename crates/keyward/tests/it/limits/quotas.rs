//! Quotas: so many requests in a window of the calendar.

use super::{flood, member};
use crate::node::{Node, Plan, check_passed, check_problem};
use keyward_testkit::until;
use std::process::Command;

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

/// How many requests are kept of all quotas.
fn kept(node: &Node) -> u64 {
    const SUM: &str = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1], timeout=5).execute('SELECT coalesce(sum(requests), 0) FROM quota_counts').fetchone()[0])";
    let database = node.process.folder().join("data/keyward.db");
    let output = Command::new("python3")
        .args(["-c", SUM])
        .arg(database)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    told.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test]
async fn a_crash_forgives_only_what_was_not_kept_yet() {
    let mut node = Plan::default()
        .settings("workers: 2")
        .api(
            "api",
            "authentication: none, quotas: [ { name: monthly, by: api, requests: 5, per: month } ]",
        )
        .start()
        .await;
    for _ in 0..3 {
        check_passed(&node.get("/api/x", &[]).await);
    }
    until("they are kept", async || kept(&node) == 3).await;
    node.process.signal("KILL");
    node.process.restart().await;
    for left in [1, 0] {
        let answer = node.get("/api/x", &[]).await;
        check_passed(&answer);
        assert_eq!(member(&answer, "monthly", "r"), Some(left));
    }
    check_problem(&node.get("/api/x", &[]).await, 429, "quota_exceeded");
}

#[tokio::test]
async fn a_quota_whose_subjects_anyone_can_make_up_is_warned_of() {
    let node = Plan::default()
        .api(
            "api",
            "authentication: none, quotas: [ \
               { name: open, by: address, requests: 5, per: month }, \
               { name: claimed, by: [ \"header:x-project\", route ], requests: 5, per: day }, \
               { name: short, by: address, requests: 5, per: hour }, \
               { name: whole, by: api, requests: 5, per: month }, \
               { name: callers, by: [ subject, \"header:x-project\" ], requests: 5, per: month } ]",
        )
        .start()
        .await;
    let checked = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(["check", "--config"])
        .arg(node.process.folder().join("keyward.yaml"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&checked.stdout).into_owned()
        + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{told}");
    for (name, warned) in [
        ("open", true),
        ("claimed", true),
        ("short", false),
        ("whole", false),
        ("callers", false),
    ] {
        let said = told.contains(&format!("the quota `{name}` counts whatever"));
        assert_eq!(said, warned, "{name}: {told}");
    }
}
