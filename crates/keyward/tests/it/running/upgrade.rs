//! Another process takes the sockets over, and no call is lost.

use super::load::Load;
use super::{edit, metric};
use crate::node::{Node, Plan, check_passed, request};
use keyward_testkit::{KeywardProcess, RawClient, Script, Upstream};
use std::process::Command;
use std::time::Duration;

const CLIENTS: usize = 4;
const KEEP: [(&str, &str); 1] = [("Connection", "keep-alive")];

async fn open_node(settings: &str) -> Node {
    Plan::default()
        .settings(settings)
        .settings("access_log: { destination: off }")
        .api("open", "authentication: none")
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_another_process_takes_over() {
    let mut node = open_node("workers: 2").await;
    let load = Load::on(node.gateway(), CLIENTS);
    for _ in 0..2 {
        load.more(200).await;
        let before = node.process.pid();
        let status = node.process.take_over().await;
        assert!(status.success(), "{}", node.process.log());
        assert_ne!(node.process.pid(), before);
        load.more(200).await;
    }
    load.finish().await;
    let (status, log) = node.process.stop().await;
    assert!(status.success(), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_workers_may_change_and_no_queue_is_left() {
    let mut node = open_node("workers: 3").await;
    for (from, to) in [(3, 1), (1, 4)] {
        let load = Load::on(node.gateway(), CLIENTS);
        edit(&node.process, |text| {
            text.replace(&format!("workers: {from}"), &format!("workers: {to}"))
        });
        node.process.take_over().await;
        load.more(100).await;
        // Each lands in the queue of a socket that the kernel chooses: none may be nobody's.
        for _ in 0..50 {
            check_passed(&node.get("/open/x", &[]).await);
        }
        load.finish().await;
    }
}

#[tokio::test]
async fn a_call_under_way_is_finished_by_the_process_it_began_with() {
    let slow = Upstream::scripted(
        Script::new()
            .pause(Duration::from_secs(2))
            .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone"),
    )
    .await;
    let mut node = Plan::default()
        .upstream("slow", &[slow.url()], "")
        .api_at("slow", "/slow", "slow", "authentication: none")
        .api("open", "authentication: none")
        .start()
        .await;
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client
        .send(request("GET", "/slow/x", &KEEP, ""))
        .await
        .unwrap();
    while slow.received().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let taking_over = node.process.take_over();
    let (status, answer) = tokio::join!(taking_over, client.answer());
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
    assert_eq!(answer.head.field("connection"), Some("close"));
    assert!(status.success());
    check_passed(&node.get("/open/x", &[]).await);
}

#[tokio::test]
async fn the_new_process_has_the_keys_and_the_configuration_of_now() {
    let mut node = open_node("workers: 1").await;
    let keys = node.get("/.well-known/jwks.json", &[]).await.text();
    edit(&node.process, |text| {
        text.replace("base_path: /open", "base_path: /new")
    });
    node.process.take_over().await;
    check_passed(&node.get("/new/x", &[]).await);
    assert_eq!(node.get("/.well-known/jwks.json", &[]).await.text(), keys);
    assert_eq!(metric(&node.process, "keyward_revision").await, 1);
}

#[tokio::test]
async fn a_signal_starts_the_new_process() {
    let node = open_node("workers: 2").await;
    let load = Load::on(node.gateway(), 2);
    node.process.signal("USR2");
    let successor = Successor::of(&node.process).await;
    until("the old process ends", || !runs(node.process.pid())).await;
    load.more(50).await;
    load.finish().await;
    assert!(runs(successor.0), "{}", node.process.log());
    let ready = node.process.operations_get("/readyz").await.unwrap();
    assert_eq!(ready.status, 200);
    // It can be upgraded itself, and is asked once only whatever its arguments were.
    let arguments = std::fs::read(format!("/proc/{}/cmdline", successor.0)).unwrap();
    let arguments = String::from_utf8_lossy(&arguments).into_owned();
    assert_eq!(arguments.matches("--take-over").count(), 1, "{arguments}");
}

#[tokio::test]
async fn a_new_process_that_fails_is_told_of_and_the_old_one_goes_on() {
    let node = open_node("workers: 1").await;
    // Found bad by the new process, which reads it first.
    edit(&node.process, |text| text.replace("format: 1", "format: 9"));
    node.process.signal("USR2");
    until("the failure is told", || {
        node.process.log().contains("this process goes on serving")
    })
    .await;
    let log = node.process.log();
    assert!(log.contains("the new process has ended"), "{log}");
    check_passed(&node.get("/open/x", &[]).await);
    // And later it works.
    edit(&node.process, |text| text.replace("format: 9", "format: 1"));
    let mut node = node;
    node.process.take_over().await;
    check_passed(&node.get("/open/x", &[]).await);
}

#[tokio::test]
async fn who_takes_the_sockets_and_never_serves_takes_nothing_over() {
    let node = open_node("workers: 1").await;
    let path = node.process.folder().join("data/handover.sock");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    for said in ["", "hello\n", "keyward-handover 1\n"] {
        let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, said.as_bytes())
            .await
            .unwrap();
        drop(stream);
        check_passed(&node.get("/open/x", &[]).await);
    }
    let mut node = node;
    assert!(node.process.take_over().await.success());
    check_passed(&node.get("/open/x", &[]).await);
}

#[tokio::test]
async fn nobody_to_take_over_from_is_a_failure() {
    let node = open_node("workers: 1").await;
    let folder = node.process.folder();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(
        folder.join("keyward.yaml"),
        elsewhere.path().join("keyward.yaml"),
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(["serve", "--take-over"])
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("start without --take-over"), "{told}");
    assert!(told.contains("[take_over]"), "{told}");
}

/// A process that nobody waits for; killed when dropped.
struct Successor(u32);

impl Successor {
    /// The one that the process says it started.
    async fn of(process: &KeywardProcess) -> Self {
        let started = || {
            let log = process.log();
            let line = log
                .lines()
                .find(|line| line.contains("started a new process"))?
                .to_owned();
            let number = line.split("process=").nth(1)?.split(' ').next()?;
            number.parse().ok()
        };
        until("a new process is started", || started().is_some()).await;
        Self(started().unwrap())
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let kill = format!("kill -KILL {}", self.0);
        let _gone = Command::new("sh").args(["-c", &kill]).status();
    }
}

/// Whether a process runs: one that has ended and that nobody has waited for does not.
fn runs(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("30 s have passed until {what}");
}
