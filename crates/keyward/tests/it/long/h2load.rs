//! A client that others wrote calls on while the process that serves is replaced. Over HTTP/1.1: h2load opens no other
//! connection where one of HTTP/2 is told to go away, and counts the calls that it would have made on it as failed.

use super::soak::upstream;
use crate::protocols::configuration;
use crate::running::edit;
use keyward_testkit::{KeywardProcess, until};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const UPGRADES: usize = 10;
/// Calls and connections of one run: the connections of a run are old ones to an upgrade in its middle, those of the
/// next are new.
const CALLS: usize = 2_000;
const CONNECTIONS: usize = 8;

/// Runs until it is told to stop: how many calls passed. A call that fails panics.
fn call_on(gateway: SocketAddr, stop: &AtomicBool, passed: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let output = Command::new("h2load")
            .args(["--requests", &CALLS.to_string()])
            .args(["--clients", &CONNECTIONS.to_string()])
            .arg("--h1")
            .arg(format!("http://{gateway}/open/x"))
            .output()
            .expect("h2load is needed: `cargo xtask test` installs it");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let whole = format!(
            "requests: {CALLS} total, {CALLS} started, {CALLS} done, {CALLS} succeeded, 0 failed, 0 errored, 0 timeout"
        );
        assert!(told.contains(&whole), "{told}");
        assert!(
            told.contains(&format!("status codes: {CALLS} 2xx")),
            "{told}"
        );
        passed.fetch_add(CALLS, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_upgrades_under_h2load_fail_no_call() {
    let target = format!("http://{}", upstream().await);
    let text = configuration(&target, "[http1, http2]", "", "");
    let binary = env!("CARGO_BIN_EXE_keyward");
    let mut process = KeywardProcess::start_configured(binary, &text, &[], &[]).await;
    let gateway = process.gateway();
    let stop = Arc::new(AtomicBool::new(false));
    let passed = Arc::new(AtomicUsize::new(0));
    let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&passed));
    let run = std::thread::spawn(move || call_on(gateway, &stopped, &counted));
    for upgrade in 0..UPGRADES {
        let before = passed.load(Ordering::Relaxed);
        until("it has called since the last upgrade", async || {
            run.is_finished() || passed.load(Ordering::Relaxed) > before
        })
        .await;
        let workers = |count: usize| format!("workers: {count}");
        edit(&process, |text| {
            text.replace(&workers(1 + upgrade % 2), &workers(1 + (upgrade + 1) % 2))
        });
        assert!(process.take_over().await.success(), "{}", process.log());
    }
    stop.store(true, Ordering::Relaxed);
    run.join().unwrap();
    let passed = passed.load(Ordering::Relaxed);
    println!("{passed} calls passed over {UPGRADES} upgrades");
    let (status, log) = process.stop().await;
    assert!(status.success(), "{log}");
}
