//! Completions, manual pages, `check`, and the guide.

use crate::shell::{Shell, json};
use std::path::Path;
use std::process::Command;

#[test]
fn completions_and_manual_pages_tell_of_every_command() {
    let shell = Shell::new();
    for name in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = String::from_utf8(shell.pipe(&["completions", name], b"")).unwrap();
        for word in ["thumbprint", "self-sign", "expires-in"] {
            assert!(script.contains(word), "{name} {word}");
        }
    }
    let page = String::from_utf8(shell.pipe(&["man", "jwt", "sign"], b"")).unwrap();
    assert!(page.contains("expires\\-in"), "{page}");
    shell.pipe(&["man", "--out", "pages"], b"");
    for name in [
        "keyward.1",
        "keyward-check.1",
        "keyward-jwk-generate.1",
        "keyward-jwt-verify.1",
    ] {
        assert!(
            shell.directory.path().join("pages").join(name).is_file(),
            "{name}"
        );
    }
}

#[test]
fn check_tells_where_and_what_and_how_it_ends() {
    let shell = Shell::new();
    shell.file("keyward.yaml", b"format: 1\nresources:\n  - kind: upstream\n    name: echo\n    targets: [ { url: \"http://127.0.0.1:9000\" } ]\n");
    let good = shell.run(&["check"], b"");
    assert_eq!(good.status.code(), Some(0));
    assert_eq!(good.stdout, b"good: 0 issuers, 1 upstream, 0 apis\n");
    shell.file("bad.yaml", b"format: 1\nworkes: 2\n");
    let line = shell.refusal(&["check", "--config", "bad.yaml"], b"");
    assert_eq!(
        line,
        "keyward: bad.yaml:2:1: unknown key `workes`: did you mean `workers`? [unknown_key]\n"
    );
    let output = shell.run(&["check", "--config", "bad.yaml", "--json"], b"");
    assert_eq!(output.status.code(), Some(1));
    let problem = &json(&output.stdout)["problems"][0];
    assert_eq!(
        (&problem["line"], &problem["code"]),
        (&serde_json::json!(2), &serde_json::json!("unknown_key"))
    );
    let output = shell.run(&["check", "--json"], b"");
    assert_eq!(json(&output.stdout)["node"]["limits"]["head_bytes"], 65_536);
}

/// The commands of the guide, as they stand there.
#[test]
fn the_commands_of_the_guide_work_as_they_stand() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/keys-and-tokens.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let script: String = guide
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert!(script.lines().count() > 20);
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
