//! Revocations of each kind, taken in while a node runs.

use crate::node::{Node, Plan, check_passed, check_problem};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_jose::jwt::Claims;
use keyward_model::{Clock as _, SystemClock};
use keyward_testkit::until;
use serde_json::json;
use std::process::{Command, Output};

fn claims(issuer: &Issuer, subject: &str) -> Claims {
    issuer
        .claims()
        .with_subject(subject)
        .with("jti", json!(format!("token-of-{subject}")))
        .unwrap()
        .with("sid", json!(format!("session-of-{subject}")))
        .unwrap()
        .with("client_id", json!(format!("client-of-{subject}")))
        .unwrap()
        .with("keyward_family", json!(format!("family-of-{subject}")))
        .unwrap()
}

async fn node(issuer: &Issuer) -> Node {
    Plan::default()
        .settings("workers: 4")
        .resource(issuer.resource(""))
        .api("guarded", &issuer.authentication(""))
        .start()
        .await
}

/// Runs the program with the node's configuration.
fn keyward(node: &Node, arguments: &[&str]) -> Output {
    let folder = node.process.folder();
    Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(arguments)
        .arg("--config")
        .arg("keyward.yaml")
        .current_dir(folder)
        .output()
        .unwrap()
}

#[track_caller]
fn done(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Calls until the answer is another one than before, and then often enough to meet every worker.
async fn becomes(node: &Node, token: &str, status: u16) {
    until(format_args!("an answer of {status}"), async || {
        node.get_with("/guarded/x", token).await.status == status
    })
    .await;
    for _ in 0..32 {
        assert_eq!(node.get_with("/guarded/x", token).await.status, status);
    }
}

#[tokio::test]
async fn what_is_revoked_is_refused_by_every_worker_and_after_a_restart() {
    let issuer = Issuer::new("main", A::Es256);
    let mut node = node(&issuer).await;
    let kinds = ["token", "session", "subject", "client", "family"];
    let tokens = kinds.map(|kind| issuer.sign(&claims(&issuer, kind)));
    let other = issuer.sign(&claims(&issuer, "other"));
    for token in tokens.iter().chain([&other]) {
        // All workers know them all.
        for _ in 0..32 {
            check_passed(&node.get_with("/guarded/x", token).await);
        }
    }
    for (kind, token) in kinds.iter().zip(&tokens) {
        let value = match *kind {
            "subject" => "subject".to_owned(),
            kind => format!("{kind}-of-{kind}"),
        };
        done(&keyward(
            &node,
            &["revoke", kind, &value, "--issuer", "main"],
        ));
        becomes(&node, token, 401).await;
        check_problem(
            &node.get_with("/guarded/x", token).await,
            401,
            "token_revoked",
        );
        check_passed(&node.get_with("/guarded/x", &other).await);
    }
    let metrics = node
        .process
        .operations_get("/metrics")
        .await
        .unwrap()
        .text();
    assert!(metrics.contains("keyward_revocations 5\n"), "{metrics}");
    assert!(
        metrics.contains("keyward_revocation_feed_failures_total 0\n"),
        "{metrics}"
    );
    let listed = done(&keyward(&node, &["revocation", "list", "--json"]));
    assert_eq!(listed.lines().count(), 5, "{listed}");
    node.process.restart().await;
    for token in &tokens {
        check_problem(
            &node.get_with("/guarded/x", token).await,
            401,
            "token_revoked",
        );
    }
    check_passed(&node.get_with("/guarded/x", &other).await);
    let log = node.process.log();
    assert!(log.contains("token_revoked"), "{log}");
}

#[tokio::test]
async fn a_revocation_that_is_taken_back_or_over_holds_no_more() {
    let issuer = Issuer::new("main", A::Es256);
    let node = node(&issuer).await;
    let token = issuer.sign(&claims(&issuer, "alice"));
    check_passed(&node.get_with("/guarded/x", &token).await);
    let row = done(&keyward(
        &node,
        &[
            "revoke",
            "session",
            "session-of-alice",
            "--issuer",
            &issuer.url,
            "--json",
        ],
    ));
    let row: serde_json::Value = serde_json::from_str(&row).unwrap();
    becomes(&node, &token, 401).await;
    // Of another issuer, and of another's value: nobody is touched by them.
    done(&keyward(
        &node,
        &["revoke", "subject", "bob", "--issuer", "main"],
    ));
    done(&keyward(
        &node,
        &[
            "revoke",
            "subject",
            "alice",
            "--issuer",
            "https://other.example",
        ],
    ));
    done(&keyward(
        &node,
        &["revocation", "remove", row["id"].as_str().unwrap()],
    ));
    becomes(&node, &token, 200).await;
    // One that ends by itself.
    done(&keyward(
        &node,
        &[
            "revoke",
            "token",
            "token-of-alice",
            "--issuer",
            "main",
            "--expires",
            "5s",
        ],
    ));
    becomes(&node, &token, 401).await;
    becomes(&node, &token, 200).await;
    let again = keyward(
        &node,
        &["revocation", "remove", row["id"].as_str().unwrap()],
    );
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("[not_found]"));
}

#[tokio::test]
async fn a_token_can_be_named_by_itself() {
    let issuer = Issuer::new("main", A::Es256);
    let node = node(&issuer).await;
    let token = issuer.sign(&claims(&issuer, "alice"));
    check_passed(&node.get_with("/guarded/x", &token).await);
    std::fs::write(node.process.folder().join("token"), &token).unwrap();
    let told = done(&keyward(&node, &["revoke", "token", "--token", "token"]));
    assert!(
        told.contains("revoked token_id token-of-alice of https://main.example until"),
        "{told}"
    );
    becomes(&node, &token, 401).await;
    let bare = issuer.sign(&issuer.claims());
    std::fs::write(node.process.folder().join("bare"), &bare).unwrap();
    let short = keyward(
        &node,
        &["revoke", "token", "--token", "token", "--expires", "60s"],
    );
    done(&short);
    let told = String::from_utf8_lossy(&short.stderr);
    assert!(told.contains("it will be good again"), "{told}");
    let refused = keyward(&node, &["revoke", "token", "--token", "bare"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no `jti`"));
    for wrong in [
        &["revoke", "token", "x"][..],
        &["revoke", "token", "", "--issuer", "main"],
        &["revoke", "user", "x", "--issuer", "main"],
    ] {
        assert_eq!(keyward(&node, wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[tokio::test]
async fn an_issuer_that_nobody_knows_is_told() {
    let issuer = Issuer::new("main", A::Es256);
    let node = node(&issuer).await;
    let revoke = |of: &str| keyward(&node, &["revoke", "subject", "alice", "--issuer", of]);
    for (of, told) in [
        ("mian", "there is no issuer `mian`: did you mean `main`?"),
        ("Main", "[unknown_issuer]"),
        ("somebody", "name one of the configuration"),
    ] {
        let refused = revoke(of);
        let text = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{text}");
        assert!(text.contains(told), "{text}");
    }
    assert_eq!(done(&keyward(&node, &["revocation", "list"])), "");
    for (of, warns) in [
        ("main", false),
        ("self", false),
        (&issuer.url, false),
        ("urn:keyward:credentials", false),
        ("https://other.example", true),
        ("CN=Other", true),
    ] {
        let taken = revoke(of);
        done(&taken);
        let text = String::from_utf8_lossy(&taken.stderr);
        assert_eq!(
            text.contains("no issuer of the configuration"),
            warns,
            "{of}: {text}"
        );
    }
    let foreign = Issuer::new("foreign", A::Es256);
    let token = foreign.sign(&claims(&foreign, "alice"));
    std::fs::write(node.process.folder().join("foreign"), &token).unwrap();
    let taken = keyward(&node, &["revoke", "token", "--token", "foreign"]);
    done(&taken);
    let text = String::from_utf8_lossy(&taken.stderr);
    assert!(text.contains("no issuer of the configuration"), "{text}");
}

#[tokio::test]
async fn a_token_of_an_issuer_whose_clock_is_ahead_is_revoked_with_its_subject() {
    let issuer = Issuer::new("main", A::Es256);
    let node = node(&issuer).await;
    let ahead = |seconds: i64| {
        let now = SystemClock::new().now().as_seconds();
        let claims = claims(&issuer, "alice").with("iat", json!(now + seconds));
        issuer.sign(&claims.unwrap())
    };
    // Issued before, by a clock that is within the leeway.
    let stolen = ahead(10);
    check_passed(&node.get_with("/guarded/x", &stolen).await);
    done(&keyward(
        &node,
        &["revoke", "subject", "alice", "--issuer", "main"],
    ));
    becomes(&node, &stolen, 401).await;
}

/// Changes the node's database behind its back.
fn change_database(node: &Node, statement: &str) {
    let program = "import pathlib, sqlite3, sys\n\
        [path] = pathlib.Path('.').rglob('keyward.db')\n\
        database = sqlite3.connect(path, timeout=30)\n\
        database.execute(sys.argv[1])\n\
        database.commit()";
    let output = Command::new("python3")
        .args(["-c", program, statement])
        .current_dir(node.process.folder())
        .output()
        .unwrap();
    done(&output);
}

#[tokio::test]
async fn while_the_database_can_not_be_asked_what_is_known_holds_and_what_is_new_comes_later() {
    let issuer = Issuer::new("main", A::Es256);
    let node = node(&issuer).await;
    let [alice, bob] = ["alice", "bob"].map(|subject| issuer.sign(&claims(&issuer, subject)));
    let revoke = |subject: &str| {
        done(&keyward(
            &node,
            &["revoke", "subject", subject, "--issuer", "main"],
        ))
    };
    revoke("alice");
    becomes(&node, &alice, 401).await;
    check_passed(&node.get_with("/guarded/x", &bob).await);
    change_database(&node, "ALTER TABLE change_counters RENAME TO away");
    until("a failure of the feed", async || {
        let metrics = node.process.operations_get("/metrics").await.unwrap();
        !metrics
            .text()
            .contains("keyward_revocation_feed_failures_total 0\n")
    })
    .await;
    becomes(&node, &alice, 401).await;
    becomes(&node, &bob, 200).await;
    change_database(&node, "ALTER TABLE away RENAME TO change_counters");
    revoke("bob");
    becomes(&node, &bob, 401).await;
    let log = node.process.log();
    assert!(log.contains("the database answers again"), "{log}");
}

#[tokio::test]
async fn where_no_node_has_run_nothing_is_written() {
    let shell = crate::shell::Shell::new();
    shell.file("keyward.yaml", b"format: 1\nlisteners: [ { address: \"127.0.0.1:8080\", serves: gateway } ]\ndata_dir: ./none\n");
    let output = shell.run(
        &[
            "revoke",
            "token",
            "x",
            "--issuer",
            "https://a.example",
            "--config",
            "keyward.yaml",
        ],
        b"",
    );
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && told.contains("[database_missing]"),
        "{told}"
    );
    assert!(!shell.directory.path().join("none").exists());
}
