//! The configuration changes, by signal and by file, and calls go on.

use super::{edit, metric, until_metric};
use crate::node::{Node, Plan, check_passed, check_problem, request};
use crate::token::Issuer;
use keyward_testkit::{RawClient, Script, Upstream};
use std::time::Duration;

const DONE: &str = "keyward_configuration_reloads_total";
const FAILED: &str = "keyward_configuration_reload_failures_total";
const REFUSED: &str = "keyward_configuration_refused";
const REVISION: &str = "keyward_revision";

async fn open_node() -> Node {
    Plan::default()
        .settings("workers: 2")
        .api("old", "authentication: none")
        .start()
        .await
}

#[tokio::test]
async fn a_change_of_the_file_is_served_without_being_asked_for() {
    let node = open_node().await;
    let mut kept = RawClient::connect(node.gateway()).await.unwrap();
    let keep = [("Connection", "keep-alive")];
    kept.send(request("GET", "/old/x", &keep, ""))
        .await
        .unwrap();
    assert_eq!(kept.answer().await.unwrap().status, 200);

    edit(&node.process, |text| text.replace("/old", "/new"));
    until_metric(&node.process, REVISION, 2).await;

    check_passed(&node.get("/new/x", &[]).await);
    check_problem(&node.get("/old/x", &[]).await, 404, "not_found");
    // The connection from before is served on, with what holds now.
    kept.send(request("GET", "/new/x", &keep, ""))
        .await
        .unwrap();
    assert_eq!(kept.answer().await.unwrap().status, 200);
    assert_eq!(metric(&node.process, DONE).await, 1);
    assert_eq!(metric(&node.process, FAILED).await, 0);
}

#[tokio::test]
async fn a_hangup_reads_the_configuration_anew() {
    let node = open_node().await;
    node.process.signal("HUP");
    until_metric(&node.process, REVISION, 2).await;
    check_passed(&node.get("/old/x", &[]).await);
}

#[tokio::test]
async fn a_bad_configuration_is_told_and_the_one_before_stays() {
    let node = open_node().await;
    edit(&node.process, |text| {
        text.replace("upstream: echo", "upstream: ecko")
    });
    until_metric(&node.process, FAILED, 1).await;

    assert_eq!(metric(&node.process, REFUSED).await, 1);
    assert_eq!(metric(&node.process, REVISION).await, 1);
    check_passed(&node.get("/old/x", &[]).await);
    let ready = node.process.operations_get("/readyz").await.unwrap();
    assert_eq!(ready.status, 200);
    let log = node.process.log();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("not reloaded"))
        .collect();
    assert_eq!(told.len(), 1, "{log}");
    for part in ["revision 1", "keyward.yaml:", "ecko", "[unknown_reference]"] {
        assert!(told[0].contains(part), "no {part} in {}", told[0]);
    }

    // It is read once, not again and again.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(metric(&node.process, FAILED).await, 1);
    edit(&node.process, |text| {
        text.replace("upstream: ecko", "upstream: echo")
    });
    until_metric(&node.process, REVISION, 2).await;
    assert_eq!(metric(&node.process, REFUSED).await, 0);
}

#[tokio::test]
async fn a_file_that_is_gone_leaves_what_was_served() {
    let node = open_node().await;
    let path = node.process.folder().join("keyward.yaml");
    std::fs::rename(&path, path.with_extension("away")).unwrap();
    until_metric(&node.process, FAILED, 1).await;
    assert!(node.process.log().contains("there is no file"));
    check_passed(&node.get("/old/x", &[]).await);
    std::fs::rename(path.with_extension("away"), &path).unwrap();
    until_metric(&node.process, REVISION, 2).await;
}

#[tokio::test]
async fn a_secret_in_a_file_of_its_own_is_watched_too() {
    const SECRET: &str = "a secret of more than thirty-two bytes";
    let issuer = Issuer::with_secret("main", SECRET.as_bytes());
    let node = Plan::default()
        .resource(issuer.resource_with("secret: \"${FILE:secret.txt}\", algorithms: [HS256]", ""))
        .file("secret.txt", "another secret, as long as that one is")
        .api("guarded", &issuer.authentication(""))
        .start()
        .await;
    let token = issuer.token();
    assert_eq!(node.get_with("/guarded/x", &token).await.status, 401);
    std::fs::write(node.process.folder().join("secret.txt"), SECRET).unwrap();
    until_metric(&node.process, REVISION, 2).await;
    check_passed(&node.get_with("/guarded/x", &token).await);
}

#[tokio::test]
async fn what_needs_a_new_process_is_said_and_the_rest_applied() {
    let node = open_node().await;
    edit(&node.process, |text| {
        text.replace("workers: 2", "workers: 3")
            .replace("/old", "/new")
    });
    until_metric(&node.process, REVISION, 2).await;
    check_passed(&node.get("/new/x", &[]).await);
    let log = node.process.log();
    assert!(
        log.contains("workers can't change in a running process"),
        "{log}"
    );
    assert!(log.contains("restart (or upgrade in place)"), "{log}");
}

#[tokio::test]
async fn a_call_under_way_keeps_the_configuration_it_began_with() {
    let slow = Upstream::scripted(
        Script::new()
            .pause(Duration::from_secs(2))
            .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone"),
    )
    .await;
    let node = Plan::default()
        .upstream("slow", &[slow.url()], "")
        .api_at("slow", "/slow", "slow", "authentication: none")
        .start()
        .await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client
        .send(request("GET", "/slow/x", &[], ""))
        .await
        .unwrap();
    edit(&node.process, |text| text.replace("/slow", "/elsewhere"));
    until_metric(&node.process, REVISION, 2).await;
    check_problem(&node.get("/slow/x", &[]).await, 404, "not_found");
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
}

#[tokio::test]
async fn the_access_log_is_opened_anew_so_that_it_can_be_rotated() {
    let node = Plan::default()
        .settings("access_log: { format: json, destination: { file: access.log } }")
        .api("open", "authentication: none")
        .start()
        .await;
    let log = node.process.folder().join("access.log");
    check_passed(&node.get("/open/before", &[]).await);
    until_contains(&log, "/open/before").await;
    std::fs::rename(&log, log.with_extension("1")).unwrap();
    node.process.signal("HUP");
    until_metric(&node.process, REVISION, 2).await;
    check_passed(&node.get("/open/after", &[]).await);
    until_contains(&log, "/open/after").await;
    let rotated = std::fs::read_to_string(log.with_extension("1")).unwrap();
    assert!(rotated.contains("/open/before") && !rotated.contains("/open/after"));
}

async fn until_contains(path: &std::path::Path, text: &str) {
    for _ in 0..500 {
        if std::fs::read_to_string(path).is_ok_and(|found| found.contains(text)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no {text} in {}", path.display());
}
