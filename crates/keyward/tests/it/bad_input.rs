//! What is given wrongly gets its own clear error: configuration, keys, data directory, requests.

use crate::node::{Plan, check_passed, check_problem};
use crate::shell::Shell;
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::Upstream;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a start that must fail may take.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Standard error of `keyward serve` with this configuration, which has to end with status 1. Its last
/// line is the failure.
fn refused_start(shell: &Shell, configuration: &str, environment: &[(&str, &str)]) -> String {
    shell.file("keyward.yaml", configuration.as_bytes());
    let errors = std::fs::File::create(shell.directory.path().join("errors")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .arg("serve")
        .current_dir(shell.directory.path())
        .env_remove("KEYWARD_MASTER_KEY")
        .env_remove("KEYWARD_CONFIG")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .unwrap();
    let mut waited = Duration::ZERO;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if waited > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(LOOK_EVERY);
        waited += LOOK_EVERY;
    };
    let text = std::fs::read_to_string(shell.directory.path().join("errors")).unwrap();
    let status = status.unwrap_or_else(|| panic!("it runs with\n{configuration}\n{text}"));
    assert_eq!(status.code(), Some(1), "{text}");
    text
}

/// That a start ends with one line that has these parts, and the code at its end.
#[track_caller]
fn check_start(text: &str, parts: &[&str], code: &str) {
    let line = text.lines().last().unwrap_or_default();
    println!("{line}");
    assert!(line.starts_with("keyward: "), "{text}");
    assert!(line.ends_with(&format!(" [{code}]")), "{text}");
    for part in parts {
        assert!(line.contains(part), "no {part:?} in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

/// A port at which something listens as long as this lives.
struct Taken(std::net::TcpListener);

impl Taken {
    fn new() -> Self {
        Self(std::net::TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }
}

/// Listeners that no test shares: port 0 is whatever is free.
const LISTENERS: &str = "format: 1\nlisteners: [ { address: \"127.0.0.1:0\", serves: gateway } ]\n";

#[test]
fn check_and_serve_say_where_a_configuration_is_wrong() {
    let issuer = |rest: &str| {
        format!(
            "format: 1\nresources:\n  - {{ kind: issuer, name: i, issuer: \"https://i.example\", {rest} }}\n"
        )
    };
    let api = |rest: &str| {
        format!(
            "format: 1\nresources:\n  - {{ kind: upstream, name: echo, targets: [ {{ url: \"http://127.0.0.1:9000\" }} ] }}\n  - {{ kind: api, team: default, name: a, version: v1, state: published, {rest} }}\n"
        )
    };
    for (configuration, place, code) in [
        ("format: 1\nworkers: [".to_owned(), "keyward.yaml", "yaml"),
        (String::new(), "keyward.yaml", ""),
        ("format: 2\n".to_owned(), "keyward.yaml:1:", "bad_value"),
        ("workers: 2\n".to_owned(), "keyward.yaml", "missing_key"),
        (
            "format: 1\nformat: 1\n".to_owned(),
            "keyward.yaml:2:",
            "yaml",
        ),
        (
            "format: 1\nworkers: many\n".to_owned(),
            "keyward.yaml:2:",
            "wrong_type",
        ),
        ("format: 1\nworkers: 0\n".to_owned(), "keyward.yaml:2:", ""),
        (
            "format: 1\nlisteners: [ { address: nowhere, serves: gateway } ]\n".to_owned(),
            "keyward.yaml:2:",
            "",
        ),
        (
            issuer("jwks: { file: none.json }"),
            "keyward.yaml:3:",
            "file",
        ),
        (issuer("jwks: { file: broken.json }"), "keyward.yaml:3:", ""),
        (
            issuer("jwks: { keys: [ { kty: RSA } ] }"),
            "keyward.yaml:3:",
            "",
        ),
        (issuer("secret: short"), "keyward.yaml:3:", "weak_secret"),
        (
            issuer("secret: \"${ENV:KEYWARD_TEST_UNSET}\""),
            "keyward.yaml:3:",
            "",
        ),
        (
            issuer("jwks: { url: \"ftp://x\" }"),
            "keyward.yaml:3:",
            "bad_value",
        ),
        (
            issuer("jwks: { url: \"https://x.example\" }, algorithms: [none]"),
            "keyward.yaml:3:",
            "algorithm_not_allowed",
        ),
        (
            issuer("jwks: { url: \"https://x.example\" }, algorithms: [HS256]"),
            "keyward.yaml:3:",
            "algorithm_not_allowed",
        ),
        (
            api("base_path: /a, upstream: none, authentication: none"),
            "keyward.yaml:4:",
            "",
        ),
        (
            api("base_path: /a, upstream: echo"),
            "keyward.yaml:4:",
            "missing_key",
        ),
        (
            api("base_path: a, upstream: echo, authentication: none"),
            "keyward.yaml:4:",
            "bad_value",
        ),
        (
            api("base_path: /.well-known/jwks.json, upstream: echo, authentication: none"),
            "keyward.yaml:4:",
            "",
        ),
        (
            api("base_path: /a, upstream: echo, authentication: { issuers: [i], audience: x }"),
            "keyward.yaml:4:",
            "",
        ),
        (
            api(
                "base_path: /a, upstream: echo, authentication: none, authorization: { scopes: [read] }",
            ),
            "keyward.yaml:4:",
            "contradiction",
        ),
        (
            api(
                "base_path: /a, upstream: echo, authentication: none, rate_limits: [ { by: moon, requests: 1, per: 1s } ]",
            ),
            "keyward.yaml:4:",
            "",
        ),
        (
            api(
                "base_path: /a, upstream: echo, authentication: none, identity_headers: { host: subject }",
            ),
            "keyward.yaml:4:",
            "bad_value",
        ),
    ] {
        let shell = Shell::new();
        shell.file("keyward.yaml", configuration.as_bytes());
        shell.file("broken.json", b"{\"keys\": [");
        let output = shell.run(&["check"], b"");
        let told = String::from_utf8(output.stderr).unwrap();
        println!("{told}");
        assert_eq!(output.status.code(), Some(1), "{configuration}\n{told}");
        assert_eq!(output.stdout, b"", "{configuration}");
        let mut errors = told.lines().filter(|line| !line.contains(": warning: "));
        let first = errors.next().unwrap_or_default();
        assert!(
            first.starts_with(&format!("keyward: {place}")),
            "{configuration}\n{told}"
        );
        assert!(
            first.ends_with(&format!("{code}]")),
            "{configuration}\n{told}"
        );
        // `serve` tells the same, and does not start.
        let start = refused_start(&shell, &configuration, &[]);
        assert!(start.contains(first), "{configuration}\n{start}");
        check_start(&start, &["keyward.yaml", "keyward check"], "configuration");
        assert!(!shell.directory.path().join("keyward-data").exists());
    }
    let shell = Shell::new();
    let line = shell.refusal(&["check", "--config", "nowhere.yaml"], b"");
    assert!(line.contains("nowhere.yaml"), "{line}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let shell = Shell::new();
    let (gateway, operations) = (Taken::new(), Taken::new());
    let start = refused_start(
        &shell,
        &format!(
            "format: 1\nlisteners: [ {{ address: \"{}\", serves: gateway }} ]\n",
            gateway.address()
        ),
        &[],
    );
    check_start(&start, &[&gateway.address(), "in use"], "listen");
    let start = refused_start(
        &shell,
        &format!(
            "{}  # two\n",
            LISTENERS.replace(
                " ]",
                &format!(
                    ", {{ address: \"{}\", serves: operations }} ]",
                    operations.address()
                )
            )
        ),
        &[],
    );
    check_start(&start, &[&operations.address(), "in use"], "listen");
}

#[tokio::test]
async fn two_nodes_never_share_a_port() {
    let node = Plan::default().settings("workers: 1").start().await;
    let shell = Shell::new();
    let address = node.gateway().to_string();
    let start = tokio::task::spawn_blocking(move || {
        let configuration =
            format!("format: 1\nlisteners: [ {{ address: \"{address}\", serves: gateway }} ]\n");
        let start = refused_start(&shell, &configuration, &[]);
        check_start(&start, &[&address, "in use"], "listen");
    });
    start.await.unwrap();
}

#[test]
fn a_data_directory_that_can_not_be_used_is_named() {
    let shell = Shell::new();
    shell.file("occupied", b"a file, no folder");
    let start = refused_start(
        &shell,
        &format!("{LISTENERS}data_dir: occupied/data\n"),
        &[],
    );
    check_start(&start, &["occupied/data"], "master_key_file");
    // With a master key from outside it is the database that can't be made.
    let key = "00".repeat(32);
    let start = refused_start(
        &shell,
        &format!("{LISTENERS}data_dir: occupied/data\n"),
        &[("KEYWARD_MASTER_KEY", &key)],
    );
    let line = start.lines().last().unwrap();
    assert!(line.contains("occupied/data"), "{start}");
    assert!(!start.contains(&key), "{start}");
}

#[tokio::test]
async fn a_wrong_master_key_opens_nothing() {
    let node = Plan::default().settings("workers: 1").start().await;
    let folder = node.process.folder();
    let shell = Shell::new();
    let (status, log) = {
        let data = shell.directory.path().join("keyward-data");
        std::fs::create_dir(&data).unwrap();
        // A copy, as from a backup: the folder goes with the process.
        node.process.signal("STOP");
        for entry in std::fs::read_dir(folder.join("data")).unwrap() {
            let entry = entry.unwrap();
            // The socket for an upgrade is no data.
            if !entry.file_type().unwrap().is_file() {
                continue;
            }
            std::fs::copy(entry.path(), data.join(entry.file_name())).unwrap();
        }
        node.process.signal("CONT");
        node.process.stop().await
    };
    assert!(status.success(), "{log}");
    let file = shell.directory.path().join("keyward-data/master.key");
    let text = std::fs::read_to_string(&file).unwrap();
    let key = text.trim().to_owned();
    tokio::task::spawn_blocking(move || {
        // Another of the same form.
        let last = if key.ends_with('0') { "1" } else { "0" };
        let mut other = key.clone();
        other.replace_range(key.len() - 1.., last);
        for wrong in [&*other, "nonsense", ""] {
            let start = refused_start(&shell, LISTENERS, &[("KEYWARD_MASTER_KEY", wrong)]);
            let line = start.lines().last().unwrap();
            println!("{line}");
            assert!(
                line.starts_with("keyward: ") && line.ends_with(']'),
                "{start}"
            );
            assert!(
                !start.contains(&key) && (wrong.is_empty() || !start.contains(wrong)),
                "{start}"
            );
        }
        std::fs::remove_file(&file).unwrap();
        let start = refused_start(&shell, LISTENERS, &[]);
        check_start(&start, &["master.key"], "master_key_missing");
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn keys_that_change_and_break_while_a_node_runs() {
    let issuer = Issuer::new("main", A::Es256);
    let next = Issuer {
        url: issuer.url.clone(),
        ..Issuer::new("main", A::Rs256)
    };
    let node = Plan::default()
        .settings("workers: 1\naccess_log: { destination: off }")
        .file("keys.json", issuer.key_set())
        .resource(issuer.resource_with("jwks: { file: keys.json }", ""))
        .api("api", &issuer.authentication(""))
        .start()
        .await;
    let file = node.process.folder().join("keys.json");
    check_passed(&node.get_with("/api/x", &issuer.token()).await);
    check_problem(
        &node.get_with("/api/x", &next.token()).await,
        401,
        "token_invalid",
    );
    // Broken: told of, and the keys before stay.
    for broken in ["{\"keys\": [", "", "nonsense", "{\"keys\": []}"] {
        let before = node.process.log().len();
        std::fs::write(&file, broken).unwrap();
        until(
            || node.process.log()[before..].contains("keys.json"),
            || node.process.log(),
        )
        .await;
        check_passed(&node.get_with("/api/x", &issuer.token()).await);
    }
    let before = node.process.log().len();
    std::fs::remove_file(&file).unwrap();
    until(
        || node.process.log()[before..].contains("keys.json"),
        || node.process.log(),
    )
    .await;
    check_passed(&node.get_with("/api/x", &issuer.token()).await);
    // Others: those count from then on, and those before no more, cached or not.
    let cached = issuer.token();
    check_passed(&node.get_with("/api/x", &cached).await);
    std::fs::write(&file, next.key_set()).unwrap();
    let mut waited = Duration::ZERO;
    while node.get_with("/api/x", &next.token()).await.status != 200 {
        assert!(waited < PATIENCE, "{}", node.process.log());
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
    check_problem(
        &node.get_with("/api/x", &cached).await,
        401,
        "token_invalid",
    );
    check_problem(
        &node.get_with("/api/x", &issuer.token()).await,
        401,
        "token_invalid",
    );
}

async fn until(holds: impl Fn() -> bool, log: impl Fn() -> String) {
    let mut waited = Duration::ZERO;
    while !holds() {
        assert!(waited < PATIENCE, "{}", log());
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
}

#[tokio::test]
async fn an_issuer_that_is_away_is_not_the_callers_fault() {
    let issuer = Issuer::new("main", A::Es256);
    let elsewhere = Upstream::echo().await;
    let node = Plan::default()
        .settings("workers: 1\negress: { allow: [ 127.0.0.1 ] }")
        .resource(issuer.resource_with(
            &format!("jwks: {{ url: \"{}/keys\" }}", elsewhere.url()),
            "",
        ))
        .api("api", &issuer.authentication(""))
        .start()
        .await;
    // What it answers is no key set.
    let answer = node.get_with("/api/x", &issuer.token()).await;
    check_problem(&answer, 503, "issuer_unavailable");
    assert_eq!(answer.head.values("www-authenticate").count(), 0);
    assert_eq!(node.upstream.received(), []);
}

#[test]
fn tokens_and_keys_of_the_wrong_form_are_told_apart() {
    let shell = Shell::new();
    let (private, public) = shell.key("ES256");
    let token = shell.pipe(
        &[
            "jwt",
            "sign",
            "--key",
            &private,
            "--claims",
            "{\"sub\":\"a\"}",
        ],
        b"",
    );
    let mut claims = String::new();
    for bytes in [
        &b""[..],
        b"a",
        b"a.b",
        b"a.b.c",
        b"a.b.c.d.e",
        b"....",
        &[0xff, 0xfe],
        &token[1..],
    ] {
        let line = shell.refusal(&["jwt", "verify", "--key", &public], bytes);
        assert!(line.trim_end().ends_with(']'), "{line}");
        writeln!(claims, "{line}").unwrap();
    }
    for (name, contents) in [
        ("empty", &b""[..]),
        ("text", b"hello"),
        ("json", b"{}"),
        ("half", b"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\"}"),
        (
            "pem",
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ),
        ("bytes", &[0x30, 0x03, 0x02, 0x01]),
    ] {
        shell.file(name, contents);
        let line = shell.refusal(&["jwt", "verify", "--key", name], &token);
        assert!(line.contains(name), "{line}");
    }
    assert!(!claims.contains("panicked"));
}
