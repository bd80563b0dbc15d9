//! Two nodes on one PostgreSQL.

use super::*;
use std::process::Stdio;

#[tokio::test]
async fn what_is_revoked_through_one_node_is_refused_by_the_other() {
    let deployment = Deployment::new().await;
    let (one, other) = (deployment.node().await, deployment.node().await);
    let [alice, bob] = ["alice", "bob"].map(|subject| deployment.token(subject));
    for node in [&one, &other] {
        assert_eq!(status(node, &alice).await, 200);
    }
    done(&keyward(
        &one,
        &["revoke", "subject", "alice", "--issuer", "main"],
    ));
    for node in [&one, &other] {
        becomes(node, &alice, 401).await;
        assert_eq!(status(node, &bob).await, 200);
        assert_eq!(metric(node, "keyward_revocations").await, 1);
    }
    let listed = done(&keyward(&other, &["revocation", "list"]));
    assert!(listed.contains("alice"), "{listed}");
    let id = listed.split(' ').next().unwrap();
    done(&keyward(&other, &["revocation", "remove", id]));
    for node in [&one, &other] {
        becomes(node, &alice, 200).await;
    }
}

#[tokio::test]
async fn nodes_that_start_at_once_share_the_keys_that_one_of_them_made() {
    let deployment = Deployment::new().await;
    let (one, other) = tokio::join!(deployment.node(), deployment.node());
    let mut sets = Vec::new();
    for node in [&one, &other] {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        let request = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        client.send(request).await.unwrap();
        sets.push(client.answer().await.unwrap().json().unwrap());
    }
    assert_eq!(sets[0], sets[1]);
    assert_eq!(sets[0]["keys"].as_array().unwrap().len(), 6);
    let nodes = deployment.server.sql("test1", "SELECT count(*) FROM nodes");
    assert_eq!(nodes, "2");
}

/// What a node says that does not start.
fn refusal(deployment: &Deployment, master_key: Option<&str>) -> (String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("keyward.yaml"),
        deployment.configuration(),
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
    command
        .args(["serve", "--config", "keyward.yaml"])
        .current_dir(folder.path());
    if let Some(key) = master_key {
        command.env("KEYWARD_MASTER_KEY", key);
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    (String::from_utf8(output.stderr).unwrap(), folder)
}

#[tokio::test]
async fn a_node_that_has_another_master_key_or_none_does_not_start() {
    let deployment = Deployment::new().await;
    let _one = deployment.node().await;
    let (other, _) = refusal(&deployment, Some(OTHER_MASTER_KEY));
    assert!(other.contains("[master_key_wrong]"), "{other}");
    let (none, folder) = refusal(&deployment, None);
    assert!(
        none.contains("[master_key_missing]") && none.contains("KEYWARD_MASTER_KEY"),
        "{none}"
    );
    assert!(!folder.path().join("data/master.key").exists());
}

#[tokio::test]
async fn of_two_that_start_at_once_without_a_key_one_begins_and_the_other_leaves_none_behind() {
    let mut server = PostgresServer::start().await;
    for round in 0..3 {
        let url = server.new_database();
        let configuration = format!(
            "format: 1\nlisteners: [ {{ address: \"127.0.0.1:8080\", serves: gateway }} ]\ndata_dir: ./data\ndatabase: {url}\n"
        );
        let begin = || {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("keyward.yaml"), &configuration).unwrap();
            let child = Command::new(env!("CARGO_BIN_EXE_keyward"))
                .args(["credential", "hash", "--config", "keyward.yaml"])
                .env_remove("KEYWARD_MASTER_KEY")
                .current_dir(folder.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            (folder, child)
        };
        let mut begun = [begin(), begin()].map(|(folder, mut child)| {
            let mut input = child.stdin.take().unwrap();
            let key = b"kw_0123456789abcdefghijklmnopqrstuvwxyz0123456";
            std::io::Write::write_all(&mut input, key).unwrap();
            drop(input);
            let output = child.wait_with_output().unwrap();
            let has_key = folder.path().join("data/master.key").exists();
            assert_eq!(output.status.success(), has_key, "round {round}");
            (
                output.status.success(),
                String::from_utf8(output.stderr).unwrap(),
            )
        });
        begun.sort();
        let [(other, said), (one, _)] = begun;
        assert!(one && !other, "round {round}: {said}");
        let told = ["[master_key_wrong]", "[master_key_missing]"];
        assert!(told.iter().any(|code| said.contains(code)), "{said}");
    }
}

#[tokio::test]
async fn a_node_whose_database_is_not_there_says_so_and_ends() {
    let mut deployment = Deployment::new().await;
    deployment.server.stop();
    let (said, _) = refusal(&deployment, Some(MASTER_KEY));
    assert!(
        said.contains("[store_unreachable]") && said.contains("/test1: "),
        "{said}"
    );
    assert_eq!(
        said.lines().last().unwrap().matches("keyward: ").count(),
        1,
        "{said}"
    );
}
