//! `kill -9` at any moment: what was published stays, and the next start finds it.

use keyward_testkit::{RawClient, free_addresses};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ROUNDS: u64 = 60;

/// A node over a data folder that outlives it. Killed when dropped, as by `kill -9`.
struct Node {
    child: Child,
    gateway: SocketAddr,
}

impl Node {
    fn start(folder: &Path) -> Self {
        let [gateway, operations] = free_addresses();
        let configuration = format!(
            "format: 1\nlisteners:\n  - {{ address: \"{gateway}\", serves: gateway }}\n  - {{ address: \"{operations}\", serves: operations }}\ndata_dir: ./data\n"
        );
        std::fs::write(folder.join("keyward.yaml"), configuration).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(["serve", "--config", "keyward.yaml"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, gateway }
    }

    /// The kids of the published keys, as soon as they are published.
    async fn kids(&mut self, folder: &Path) -> BTreeSet<String> {
        for _ in 0..600 {
            let ended = self.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(folder.join("log")).unwrap();
            assert!(ended.is_none(), "the node ended: {}", log());
            if let Ok(mut client) = RawClient::connect(self.gateway).await {
                let host = self.gateway;
                let request =
                    format!("GET /.well-known/jwks.json HTTP/1.1\r\nhost: {host}\r\n\r\n");
                client.send(request).await.unwrap();
                let set = client.answer().await.unwrap().json().unwrap();
                let keys = set["keys"].as_array().unwrap();
                return keys
                    .iter()
                    .map(|key| key["kid"].as_str().unwrap().to_owned())
                    .collect();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the node did not listen within 30 s");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test]
async fn published_keys_survive_kills_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut published = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut node = Node::start(folder.path());
        if round % 3 == 2 {
            let kids = node.kids(folder.path()).await;
            assert!(!kids.is_empty());
            assert!(
                published.is_empty() || published == kids,
                "round {round}: {published:?} became {kids:?}"
            );
            published = kids;
        } else {
            // Into the midst of a start: the master key, the schema, the first keys.
            tokio::time::sleep(Duration::from_millis(round * 37 % 160)).await;
        }
    }
    assert!(!published.is_empty());
}
