//! `keyward keys rotate-master` and `keyward audit`, while the node runs and after it starts anew.

use super::{Managed, expect};
use crate::node::Plan;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Output};

fn run(folder: &PathBuf, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

#[track_caller]
fn good(folder: &PathBuf, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

async fn credential(managed: &Managed) -> String {
    let key = good(&managed.node.process.folder(), &["credential", "generate"]);
    let key = key.trim().to_owned();
    managed
        .declare("credentials", json!({ "name": "partner", "api_key": key }))
        .await;
    key
}

#[tokio::test]
async fn another_master_key_breaks_nothing_and_the_old_one_opens_nothing_any_more() {
    let mut managed = Managed::start(Plan::default()).await;
    let folder = managed.node.process.folder();
    managed.declare("upstreams", super::back(&managed)).await;
    let key = credential(&managed).await;
    let api = json!({
        "name": "keyed", "version": "v1", "state": "published", "base_path": "/keyed", "upstream": "back",
        "authentication": { "api_key": { "header": "x-api-key" } },
    });
    managed.declare("apis", api).await;
    let secret = "a-secret-that-was-sealed-before-the-rotation";
    let issuer = json!({ "name": "shared", "issuer": "https://shared.example", "secret": secret });
    managed.declare("issuers", issuer).await;
    let passes = async |managed: &Managed| {
        let headers = [("x-api-key", key.as_str())];
        let answer = managed.node.get("/keyed/x", &headers).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(managed.get("/me").await["name"], "root");
    };
    passes(&managed).await;

    let file = folder.join("data/master.key");
    let old = std::fs::read_to_string(&file).unwrap();
    let said = good(&folder, &["keys", "rotate-master"]);
    assert!(
        said.starts_with("done: the new master key is in "),
        "{said}"
    );
    let new = std::fs::read_to_string(&file).unwrap();
    assert_ne!(old, new);
    let kept = std::fs::read_dir(folder.join("data"))
        .unwrap()
        .find_map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            name.starts_with("master.key.until-").then(|| entry.path())
        });
    assert_eq!(std::fs::read_to_string(kept.unwrap()).unwrap(), old);
    assert!(!folder.join("data/master.key.next").exists());
    // The node that runs goes on, and starts anew under the new key.
    passes(&managed).await;
    managed.node.process.restart().await;
    passes(&managed).await;
    let audit = managed.get("/audit?limit=500").await;
    let mut events = audit["items"].as_array().unwrap().iter();
    assert!(events.any(|event| event["action"] == "master_key.replace"));
    assert_eq!(managed.get("/audit/verify").await["intact"], true);

    // A rotation that was cut off between the database and the file is brought to its end by the next start.
    std::fs::rename(&file, folder.join("data/master.key.next")).unwrap();
    std::fs::write(&file, &old).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    managed.node.process.restart().await;
    passes(&managed).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), new);

    // The old one alone opens nothing.
    std::fs::write(&file, &old).unwrap();
    let refused = run(&folder, &["audit", "verify"]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(error.contains("[master_key_wrong]"), "{error}");
}

#[tokio::test]
async fn the_audit_log_is_verified_and_exported_from_the_command_line() {
    let managed = Managed::start(Plan::default()).await;
    managed.team("acme").await;
    let folder = managed.node.process.folder();
    let said = good(&folder, &["audit", "verify"]);
    assert!(said.starts_with("intact: events 1 to "), "{said}");
    let found: Value =
        serde_json::from_str(&good(&folder, &["audit", "verify", "--json"])).unwrap();
    let lines = good(&folder, &["audit", "export"]);
    let events: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(found["last"], events.len());
    assert_eq!(found["head"], events.last().unwrap()["hash"]);
    let made = events
        .iter()
        .find(|event| event["action"] == "team.create")
        .unwrap();
    assert_eq!(made["actor"], "root");
    let after = (events.len() - 1).to_string();
    let last = good(&folder, &["audit", "export", "--after", &after]);
    assert_eq!(last.lines().count(), 1);
    let refused = run(&folder, &["audit", "export", "--after", "-1"]);
    assert_eq!(refused.status.code(), Some(2));
    let told = managed.call("GET", "/audit/verify", None).await;
    assert_eq!(expect(&told, 200)["events"], found["last"]);
}
