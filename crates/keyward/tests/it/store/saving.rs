//! `keyward backup` and `keyward restore`, as they are typed.

use super::*;
use crate::shell::{Shell, json};
use std::os::unix::fs::PermissionsExt;

const NODE: &str = "format: 1\nlisteners: [ { address: \"127.0.0.1:8080\", serves: gateway } ]\ndata_dir: ./data\n";

/// A folder with a node's configuration for a database, and the master key that nodes share in its data
/// directory.
fn folder(configuration: &str) -> Shell {
    let shell = Shell::new();
    shell.file("keyward.yaml", configuration.as_bytes());
    let data = shell.directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o700)).unwrap();
    let key = shell.file("data/master.key", MASTER_KEY.as_bytes());
    std::fs::set_permissions(key, PermissionsExt::from_mode(0o600)).unwrap();
    shell
}

fn on_postgres(url: &str) -> Shell {
    folder(&format!("{NODE}database: {url}\n"))
}

/// Makes the database, with a key of its own that hashes are made under.
#[track_caller]
fn hash(shell: &Shell) -> Vec<u8> {
    let key = b"kw_0123456789abcdefghijklmnopqrstuvwxyz0123456";
    shell.pipe(&["credential", "hash"], key)
}

#[tokio::test]
async fn a_backup_of_either_database_is_restored_into_the_other_and_opens_with_the_master_key() {
    let mut server = PostgresServer::start().await;
    let first = folder(NODE);
    let hashed = hash(&first);
    first.pipe(
        &["revoke", "session", "s-1", "--issuer", "https://i.example"],
        b"",
    );
    let backup = first.pipe(&["backup"], b"");
    let text = String::from_utf8(backup.clone()).unwrap();
    assert!(text.starts_with('{') && !text.contains(MASTER_KEY));

    let second = on_postgres(&server.new_database());
    let said = second.pipe(&["restore"], &backup);
    let said = String::from_utf8(said).unwrap();
    assert!(
        said.starts_with("restored ") && said.contains(" of sqlite at "),
        "{said}"
    );
    assert_eq!(hash(&second), hashed, "the sealed key has come along");
    let third = folder(NODE);
    third.file("b.jsonl", &second.pipe(&["backup"], b""));
    let shown = json(&third.pipe(&["restore", "--json", "b.jsonl"], b""));
    assert_eq!(shown["from"], "postgres");
    assert_eq!(hash(&third), hashed);
    for shell in [&first, &second, &third] {
        let listed = shell.pipe(&["revocation", "list"], b"");
        assert!(String::from_utf8(listed).unwrap().contains(" s-1 "));
    }
}

#[test]
fn a_file_is_the_owners_alone_and_whole_or_not_there() {
    let shell = folder(NODE);
    hash(&shell);
    let said = shell.pipe(&["backup", "b.jsonl"], b"");
    let said = String::from_utf8(said).unwrap();
    let file = shell.directory.path().join("b.jsonl");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let end = json(text.lines().last().unwrap().as_bytes());
    assert!(said.contains(end["sha256"].as_str().unwrap()), "{said}");
    let shown = json(&shell.pipe(&["backup", "--json", "b.jsonl"], b""));
    assert_eq!(shown["rows"], end["rows"]);

    let refused = shell.refusal(&["backup", "nowhere/b.jsonl"], b"");
    assert!(refused.contains("[backup_output]"), "{refused}");
    let left = std::fs::read_dir(shell.directory.path()).unwrap();
    assert_eq!(
        left.count(),
        3,
        "the configuration, the data and the backup"
    );
    // What one that was killed has left stands in no way, whatever number the process had.
    for process in 1..=2 {
        shell.file(&format!("b.jsonl.{process}.new"), b"half of it");
    }
    shell.pipe(&["backup", "b.jsonl"], b"");
}

#[test]
fn what_can_not_be_done_is_said_with_what_to_do() {
    let empty = folder(NODE);
    for command in [&["backup"][..], &["backup", "b.jsonl"]] {
        let refused = empty.refusal(command, b"");
        assert!(refused.contains("[database_missing]"), "{refused}");
    }
    assert!(!empty.directory.path().join("b.jsonl").exists());
    let refused = empty.refusal(&["restore"], b"hello");
    assert!(refused.contains("[backup_unreadable]"), "{refused}");
    assert!(!empty.directory.path().join("data/keyward.db").exists());
    let refused = empty.refusal(&["restore", "none.jsonl"], b"");
    assert!(refused.contains("[backup_input]"), "{refused}");

    let shell = folder(NODE);
    hash(&shell);
    let backup = shell.pipe(&["backup"], b"");
    let refused = shell.refusal(&["restore"], &backup);
    assert!(
        refused.contains("[store_not_empty]") && refused.contains("--replace"),
        "{refused}"
    );
    shell.pipe(&["restore", "--replace"], &backup);
    let refused = empty.refusal(&["restore"], &backup[..backup.len() - 9]);
    assert!(refused.contains("[backup_broken]"), "{refused}");
    empty.file("data/master.key", OTHER_MASTER_KEY.as_bytes());
    let refused = empty.refusal(&["restore"], &backup);
    assert!(refused.contains("[master_key_wrong]"), "{refused}");
    std::fs::remove_file(empty.directory.path().join("data/master.key")).unwrap();
    let output = empty.run(&["restore"], &backup);
    assert!(output.status.success());
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(warned.contains("there is no master key here"), "{warned}");
}

#[tokio::test]
async fn a_restore_beside_running_nodes_is_refused() {
    let deployment = Deployment::new().await;
    let node = deployment.node().await;
    let backup = keyward(&node, &["backup"]);
    assert!(backup.status.success());
    std::fs::write(node.folder().join("b.jsonl"), &backup.stdout).unwrap();
    let refused = keyward(&node, &["restore", "--replace", "b.jsonl"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("[store_in_use]") && said.contains("stop all nodes"),
        "{said}"
    );
    assert_eq!(metric(&node, "keyward_database_away").await, 0);
    node.signal("TERM");
    until("the node has gone", async || {
        RawClient::connect(node.gateway()).await.is_err()
    })
    .await;
    until("its connections have gone", async || {
        keyward(&node, &["restore", "--replace", "b.jsonl"])
            .status
            .success()
    })
    .await;
}
