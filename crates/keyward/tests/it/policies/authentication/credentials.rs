//! API keys, names and passwords.

use super::super::{Call, Table};
use super::page_table;
use crate::node::Plan;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_model::ApiKey;

const FOREIGN: &str = "a-key-that-was-made-elsewhere";
const PASSWORD: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

fn key(fill: u8) -> String {
    ApiKey::from_random(&[fill; 32]).reveal().to_owned()
}

#[tokio::test]
async fn api_keys_by_header_and_query() {
    let [good, off, over, unknown] = [1, 2, 3, 4].map(key);
    let node = Plan::default()
        .settings("workers: 1")
        .resource(format!("- {{ kind: credential, name: billing, api_key: {good}, scopes: [read], roles: [auditor] }}"))
        .resource(format!("- {{ kind: credential, name: elsewhere, api_key: {FOREIGN}, subject: partner, scopes: [read] }}"))
        .resource(format!("- {{ kind: credential, name: off, api_key: {off}, enabled: false }}"))
        .resource(format!("- {{ kind: credential, name: over, api_key: {over}, expires: \"2026-01-01T00:00:00Z\" }}"))
        .api(
            "reports",
            "authentication: { api_key: { header: X-API-Key, query: api_key } }, identity_headers: { x-user: subject, x-roles: \"claim:roles\" }",
        )
        .api(
            "write",
            "authentication: { api_key: { header: X-API-Key } }, authorization: { scopes: [write] }",
        )
        .start()
        .await;
    let last = if good.ends_with('x') { 'y' } else { 'x' };
    let mistyped = format!("{}{last}", &good[..good.len() - 1]);
    let cut = good[..40].to_owned();
    let mut table = page_table(Table::new("authentication", "api-keys"))
        .upstream_headers(&["x-api-key", "x-user", "x-roles"])
        .naming(&good, "KEY")
        .naming(&off, "KEY-OFF")
        .naming(&over, "KEY-OVER")
        .naming(&unknown, "KEY-OF-NOBODY")
        .naming(&mistyped, "KEY-MISTYPED")
        .naming(&cut, "KEY-CUT");
    let reports = || Call::get("/reports/7");
    for (case, call) in [
        ("in the header", reports().header("X-API-Key", &good)),
        (
            "in the query",
            Call::get(&format!("/reports/7?a=b&api_key={good}&c=d")),
        ),
        (
            "in the query alone",
            Call::get(&format!("/reports/7?api_key={good}")),
        ),
        (
            "under an escaped name",
            Call::get(&format!("/reports/7?%61pi_key={good}")),
        ),
        (
            "a key that was made elsewhere",
            reports().header("X-API-Key", FOREIGN),
        ),
        ("nothing", reports()),
        ("an empty header", reports().header("X-API-Key", "")),
        (
            "in both places",
            Call::get(&format!("/reports/7?api_key={good}")).header("X-API-Key", &good),
        ),
        (
            "twice",
            reports()
                .header("X-API-Key", &good)
                .header("X-API-Key", &good),
        ),
        (
            "cut, refused without a look-up",
            reports().header("X-API-Key", &cut),
        ),
        (
            "mistyped, refused without a look-up",
            reports().header("X-API-Key", &mistyped),
        ),
        ("nobody's", reports().header("X-API-Key", &unknown)),
        (
            "too short for any key",
            reports().header("X-API-Key", "secret"),
        ),
        ("switched off", reports().header("X-API-Key", &off)),
        ("expired", reports().header("X-API-Key", &over)),
        ("in `Authorization`", reports().bearer(&good)),
        (
            "without the scope",
            Call::get("/write/7").header("X-API-Key", &good),
        ),
        (
            "in the query of an API that takes it in the header",
            Call::get(&format!("/write/7?api_key={good}")),
        ),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();
    for request in node.upstream.received() {
        let text = format!("{:?}", request.head);
        assert!(
            !text.contains(&good) || request.target().starts_with("/7?api_key"),
            "{text}"
        );
        assert!(!request.target().contains("pi_key"), "{text}");
    }
    let log = node.process.log();
    for secret in [&good, &off, &over, &unknown] {
        assert!(!log.contains(&**secret), "{log}");
    }
}

#[tokio::test]
async fn names_and_passwords() {
    let argon2 = argon2_hash();
    let node = Plan::default()
        .settings("workers: 1")
        .resource(format!("- {{ kind: credential, name: batch, password: {PASSWORD}, scopes: [read] }}"))
        .resource(format!("- {{ kind: credential, name: alice, username: \"alice@example.com\", password: {{ argon2: \"{argon2}\" }} }}"))
        .resource(format!("- {{ kind: credential, name: over, password: {PASSWORD}, expires: \"2026-01-01T00:00:00Z\" }}"))
        .api("jobs", "authentication: { basic: { realm: jobs } }")
        .start()
        .await;
    let mut table = page_table(Table::new("authentication", "basic"))
        .upstream_headers(&["authorization", "x-keyward-subject"]);
    let shown = |text: &str| {
        Call::get("/jobs/7").header("Authorization", &format!("Basic {}", STANDARD.encode(text)))
    };
    let good = format!("batch:{PASSWORD}");
    for (case, call) in [
        ("a machine's name and password", shown(&good)),
        (
            "the scheme in another case",
            Call::get("/jobs/7").header(
                "Authorization",
                &format!("bASIC {}", STANDARD.encode(&good)),
            ),
        ),
        (
            "a person's password, by argon2id",
            shown("alice@example.com:correct horse battery staple"),
        ),
        (
            "the same again, known by now",
            shown("alice@example.com:correct horse battery staple"),
        ),
        ("nothing", Call::get("/jobs/7")),
        ("another scheme", Call::get("/jobs/7").bearer("abc")),
        ("another password", shown("batch:wrong")),
        (
            "another person's password",
            shown("alice@example.com:wrong horse"),
        ),
        ("a name that nobody has", shown("mallory:wrong")),
        (
            "another's name with a good password",
            shown(&format!("alice@example.com:{PASSWORD}")),
        ),
        ("no colon", shown("batch")),
        (
            "no base64",
            Call::get("/jobs/7").header("Authorization", "Basic ???"),
        ),
        (
            "nothing behind the scheme",
            Call::get("/jobs/7").header("Authorization", "Basic"),
        ),
        ("expired", shown(&format!("over:{PASSWORD}"))),
        ("twice", shown(&good).header("Authorization", "Basic YTpi")),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();
    assert!(!node.process.log().contains(PASSWORD));
}

/// As `keyward credential hash --argon2` prints it.
pub(super) fn argon2_hash() -> String {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(["credential", "hash", "--argon2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"correct horse battery staple\n").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("$argon2id$v=19$"), "{text}");
    text.trim_end().to_owned()
}
