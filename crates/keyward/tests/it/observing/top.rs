//! `keyward top`: on a terminal, into a pipe, for programs.

use crate::node::{Node, Plan, check_passed};
use crate::shell::Shell;
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::free_addresses;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

async fn node() -> (Node, Issuer) {
    let issuer = Issuer::new("main", A::Es256);
    let node = Plan::default()
        .settings("workers: 2\naccess_log: { destination: off }")
        .resource(issuer.resource(""))
        .api("guarded", &issuer.authentication(""))
        .api("open", "authentication: none")
        .start()
        .await;
    (node, issuer)
}

fn url(node: &Node) -> String {
    format!("http://{}", node.process.operations())
}

/// Runs a command while the test's servers go on.
async fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    output.await.unwrap().unwrap()
}

/// Runs `keyward top` while calls go on.
async fn top_of_calls(node: &Node, issuer: &Issuer, arguments: &[&str]) -> Output {
    let ended = AtomicBool::new(false);
    let top = async {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
        command.args(["top", "--url", &url(node)]).args(arguments);
        let output = run(command).await;
        ended.store(true, Ordering::Relaxed);
        output
    };
    let calls = async {
        while !ended.load(Ordering::Relaxed) {
            check_passed(&node.get_with("/guarded/x", &issuer.token_of("alice")).await);
            node.get("/guarded/x", &[]).await;
            check_passed(&node.get("/open/x", &[]).await);
        }
    };
    tokio::join!(top, calls).0
}

#[tokio::test]
async fn one_picture_for_programs_has_rates_latencies_and_callers() {
    let (node, issuer) = node().await;
    let output = top_of_calls(&node, &issuer, &["--once", "--json", "--interval", "1s"]).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        output.stdout.iter().filter(|byte| **byte == b'\n').count(),
        1
    );
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let calls = told["calls"].as_array().unwrap();
    let named = |list: &[Value], name: &str| -> Value {
        let found = list.iter().find(|row| row["name"] == name).cloned();
        found.unwrap_or_else(|| panic!("{name} is not in {told:#}"))
    };
    let guarded = named(calls, "guarded/v1");
    let rate = |row: &Value, name: &str| row[name].as_f64().unwrap();
    assert!(rate(&guarded, "calls") > 0.0);
    // Every other call has no token.
    assert!((0.2..=0.8).contains(&rate(&guarded, "refused")), "{told:#}");
    assert_eq!(rate(&guarded, "failed"), 0.0);
    assert!(rate(&guarded, "p50_ms") > 0.0 && rate(&guarded, "p50_ms") <= rate(&guarded, "p99_ms"));
    assert!(rate(&told["all"], "calls") > rate(&named(calls, "open/v1"), "calls"));
    let callers = told["callers"].as_array().unwrap();
    let alice = named(callers, "alice");
    assert!(rate(&alice, "calls") > 0.0 && rate(&alice, "failed") == 0.0);
    // Calls without a token count for where they come from.
    assert!(rate(&named(callers, "127.0.0.1"), "failed") > 0.0);
}

#[tokio::test]
async fn pictures_go_into_a_pipe_for_as_long_as_anyone_reads() {
    let (node, issuer) = node().await;
    let by_route = top_of_calls(
        &node,
        &issuer,
        &["--once", "--by", "route", "--interval", "500ms"],
    )
    .await;
    let picture = String::from_utf8(by_route.stdout).unwrap();
    assert!(
        picture.contains("guarded/v1 /guarded") && picture.contains("alice"),
        "{picture}"
    );
    assert!(!picture.contains('\u{1b}'), "{picture}");

    let command = format!(
        "{} top --url {} --interval 100ms | head -n 30",
        env!("CARGO_BIN_EXE_keyward"),
        url(&node)
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]);
    let output = run(shell).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 30, "{text}");
    assert!(text.matches("CALLED").count() >= 2, "{text}");
    assert_eq!(output.stderr, b"");
}

#[tokio::test]
async fn on_a_terminal_it_draws_until_a_key_and_leaves_it_as_it_was() {
    let (node, issuer) = node().await;
    check_passed(&node.get_with("/guarded/x", &issuer.token()).await);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/observing/terminal.py");
    for (keys, size) in [("q", ("80", "24")), ("\u{3}", ("40", "12"))] {
        let mut command = Command::new("python3");
        command
            .arg(&script)
            .args([
                size.0,
                size.1,
                "CALLER",
                keys,
                env!("CARGO_BIN_EXE_keyward"),
            ])
            .args(["top", "--url", &url(&node), "--interval", "200ms"]);
        let output = run(command).await;
        let end: Value = serde_json::from_slice(&output.stderr)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(
            (&end["ended"], &end["same"]),
            (&0.into(), &true.into()),
            "{keys:?}"
        );
        let drawn = String::from_utf8(output.stdout).unwrap();
        assert!(
            drawn.contains("\u{1b}[?1049h") && drawn.ends_with("\u{1b}[?25h\u{1b}[?1049l"),
            "{drawn:?}"
        );
        assert!(
            drawn.contains("keyward ") && drawn.contains("CALLED"),
            "{drawn:?}"
        );
    }
}

#[test]
fn a_node_that_is_not_there_is_told_clearly() {
    let [nobody] = free_addresses();
    let shell = Shell::new();
    let refusal = shell.refusal(
        &["top", "--once", "--url", &format!("http://{nobody}")],
        b"",
    );
    assert!(
        refusal.contains("can't be reached") && refusal.contains("`--url` names another"),
        "{refusal}"
    );
    assert!(refusal.ends_with("[unreachable]\n"), "{refusal}");
    let status = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(["top", "--interval", "1ms"])
        .output()
        .unwrap();
    assert_eq!(status.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&status.stderr).contains("less than 100ms says nothing"));
}

#[tokio::test]
async fn what_is_no_node_is_told_apart_from_one() {
    let (node, _) = node().await;
    let gateway = format!("http://{}", node.gateway());
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
    command.args(["top", "--once", "--url", &gateway]);
    let output = run(command).await;
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("answered with status 404") && told.contains("[not_a_node]"),
        "{told}"
    );
    let answer = node.process.operations_get("/top?by=caller").await.unwrap();
    assert_eq!(answer.status, 400);
}
