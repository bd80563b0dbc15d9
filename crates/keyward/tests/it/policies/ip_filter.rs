//! Which addresses may call.

use super::{Call, Table};
use crate::node::{Plan, check_problem};
use crate::running::{metric, until_metric};

fn from(address: &str) -> Call {
    Call::get("/open/x").header("X-Forwarded-For", address)
}

#[tokio::test]
async fn lists() {
    let node = Plan::default()
        .settings("workers: 1\ntrusted_proxies: [ 127.0.0.0/8 ]")
        .file(
            "bad.txt",
            "# who did harm\n10.1.2.0/24\n2001:db8:bad::/48 ; all of it\n",
        )
        .api(
            "open",
            "authentication: none, ip_filter: { allow: [ 10.0.0.0/8, 192.0.2.7, \"2001:db8::/32\" ], deny: [ 10.9.0.0/16 ], deny_files: [ bad.txt ] }, routes: [ { name: all, match: { prefix: / } }, { name: status, match: { path: /status }, ip_filter: none }, { name: local, match: { prefix: /local }, ip_filter: { allow: [ 127.0.0.1 ] } } ]",
        )
        .start()
        .await;
    let mut table = Table::new("ip-filter", "lists");
    for (case, call) in [
        ("an address in a range", from("10.200.0.1")),
        ("an address by itself", from("192.0.2.7")),
        ("its neighbour", from("192.0.2.8")),
        ("an address in no range", from("198.51.100.1")),
        ("IPv6", from("2001:db8::1")),
        ("IPv6 in no range", from("2001:db9::1")),
        (
            "IPv4 written as IPv6 is the IPv4 address that it is",
            from("::ffff:10.0.0.1"),
        ),
        ("the same of one that is denied", from("::ffff:10.9.0.1")),
        ("allowed, and denied within", from("10.9.1.1")),
        ("denied by a file", from("10.1.2.3")),
        ("the first address behind that range", from("10.1.3.0")),
        ("IPv6 denied by a file", from("2001:db8:bad:1::1")),
        (
            "what stands left of the last stranger was written by strangers",
            from("10.0.0.1, 198.51.100.1"),
        ),
        (
            "further trusted proxies are looked through",
            from("10.0.0.1, 127.0.0.9"),
        ),
        (
            "what is no address ends the chain: the proxy itself calls",
            from("10.0.0.1, unknown"),
        ),
        (
            "no proxy in front: the connection's own address",
            Call::get("/open/x"),
        ),
        (
            "a route without the filter",
            Call::get("/open/status").header("X-Forwarded-For", "198.51.100.1"),
        ),
        (
            "a route with its own, which takes the place of the API's",
            Call::get("/open/local/x"),
        ),
        (
            "the same from an address that the API takes",
            Call::get("/open/local/x").header("X-Forwarded-For", "10.0.0.1"),
        ),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();
    let page = node
        .process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text();
    let counted = "keyward_policy_decisions_total{policy=\"ip_filter\",decision=\"refused\"} 11";
    assert!(page.contains(counted), "{page}");
}

#[tokio::test]
async fn strangers_do_not_choose_their_address() {
    let node = Plan::default()
        .settings("workers: 1")
        .api(
            "open",
            "authentication: { issuers: [self], audience: x }, ip_filter: { allow: [ 10.0.0.0/8 ] }",
        )
        .api(
            "others",
            "authentication: none, ip_filter: { deny: [ 127.0.0.1 ] }",
        )
        .start()
        .await;
    let mut table = Table::new("ip-filter", "strangers");
    for (case, call) in [
        (
            "no trusted proxy: what the client says of itself does not count",
            from("10.0.0.1"),
        ),
        (
            "nor by other headers",
            Call::get("/open/x")
                .header("X-Real-IP", "10.0.0.1")
                .header("Forwarded", "for=10.0.0.1"),
        ),
        (
            "a barred address with a token is refused before the token is looked at",
            Call::get("/open/x").bearer("a.b.c"),
        ),
        ("a list of those who may not call", Call::get("/others/x")),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes_and_a_broken_one_changes_nothing() {
    const FAILED: &str = "keyward_configuration_reload_failures_total";
    let node = Plan::default()
        .settings("workers: 2")
        .file("bad.txt", "192.0.2.0/24\n")
        .api(
            "open",
            "authentication: none, ip_filter: { deny_files: [ bad.txt ] }",
        )
        .start()
        .await;
    let path = node.process.folder().join("bad.txt");
    assert_eq!(node.get("/open/x", &[]).await.status, 200);
    std::fs::write(&path, "127.0.0.0/8\n").unwrap();
    until_metric(&node.process, "keyward_revision", 2).await;
    check_problem(&node.get("/open/x", &[]).await, 403, "address_refused");
    std::fs::write(&path, "127.0.0.0/8\n192.0.2.300\n").unwrap();
    until_metric(&node.process, FAILED, 1).await;
    check_problem(&node.get("/open/x", &[]).await, 403, "address_refused");
    assert!(
        node.process.log().contains("line 2"),
        "{}",
        node.process.log()
    );
    std::fs::remove_file(&path).unwrap();
    until_metric(&node.process, FAILED, 2).await;
    check_problem(&node.get("/open/x", &[]).await, 403, "address_refused");
    std::fs::write(&path, "").unwrap();
    until_metric(&node.process, "keyward_revision", 3).await;
    assert_eq!(node.get("/open/x", &[]).await.status, 200);
    assert_eq!(metric(&node.process, FAILED).await, 2);
}

#[tokio::test]
async fn a_hundred_thousand_ranges_are_served() {
    let mut list = String::new();
    for number in 0_u32..100_000 {
        let [_, a, b, c] = (number * 2).to_be_bytes();
        list.push_str(&format!("11.{a}.{b}.{c}\n"));
    }
    let node = Plan::default()
        .settings("workers: 1\ntrusted_proxies: [ 127.0.0.1 ]")
        .file("list.txt", list)
        .api(
            "open",
            "authentication: none, ip_filter: { deny_files: [ list.txt ] }",
        )
        .start()
        .await;
    for (address, status) in [
        ("11.0.0.0", 403),
        ("11.0.0.1", 200),
        ("11.3.13.62", 403),
        ("11.3.13.63", 200),
        ("11.3.13.64", 200),
    ] {
        let answer = node.get("/open/x", &[("X-Forwarded-For", address)]).await;
        assert_eq!(answer.status, status, "{address}");
    }
}
