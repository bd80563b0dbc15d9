//! What a stranger tries first: the demo, and the commands of the README.

use crate::shell::Shell;
use keyward_testkit::KeywardProcess;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The status of the answer that a printed call gets, run as it stands.
fn run(line: &str) -> u16 {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "`cargo xtask test` installs curl: {line}: {told}"
    );
    let answer = String::from_utf8(output.stdout).unwrap();
    answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("{line}: {answer}"))
}

#[tokio::test]
async fn the_calls_that_the_demo_prints_work_as_printed() {
    let demo = KeywardProcess::start_demo(env!("CARGO_BIN_EXE_keyward")).await;
    let mut lines = Vec::new();
    for _ in 0..100 {
        let log = demo.log();
        lines = log
            .lines()
            .filter(|line| line.starts_with("curl "))
            .map(str::to_owned)
            .collect();
        if lines.len() >= 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let statuses: Vec<u16> = lines.iter().map(|line| run(line)).collect();
    assert_eq!(statuses, [200, 401, 401, 200, 200], "{lines:#?}");
    let (status, log) = demo.stop().await;
    assert!(status.success(), "{log}");
}

/// The README's blocks that are marked as `sh`, one after the other in one shell.
#[test]
fn the_commands_of_the_readme_work_as_they_stand() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let script: String = readme
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert!(script.contains("keyward "), "the README shows a command");
    let shell = Shell::new();
    let binary = Path::new(env!("CARGO_BIN_EXE_keyward")).parent().unwrap();
    let output = Command::new("sh")
        .args(["-eu", "-c", &script])
        .current_dir(shell.directory.path())
        .env("PATH", format!("{}:/usr/bin:/bin", binary.display()))
        .env_remove("KEYWARD_CONFIG")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
