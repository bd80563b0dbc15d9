mod acme;
mod encryption;
mod failures;
mod keys;
mod management;
mod quota;
mod records;
mod schema;

use crate::*;
use keyward_model::id::{KeyId, TeamId};
use keyward_model::revocation::RevocationKind;
use keyward_model::{Name, Origin, Revision, Secret, Timestamp};
use serde_json::json;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const TEAM: TeamId = TeamId::DEFAULT;
const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
const SHORT: Duration = Duration::from_millis(200);
const PRIVATE: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"a-private-part-nobody-may-see"}"#;

struct Bench {
    folder: TempDir,
    master: MasterKey,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            master: MasterKey::generate().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data").join("keyward.db")
    }

    async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    async fn try_open(&self) -> Result<Store, Error> {
        Store::open_within(&self.path(), &self.master, NOW, SHORT).await
    }
}

fn key(kid: &str, state: KeyState) -> NewKey {
    NewKey {
        kid: kid.to_owned(),
        purpose: KeyPurpose::Sign,
        algorithm: "ES256".to_owned(),
        state,
        times: KeyTimes {
            published: NOW,
            ..KeyTimes::default()
        },
        public_jwk: format!(r#"{{"kid":"{kid}"}}"#),
        private_jwk: Secret::new(PRIVATE.to_owned()),
    }
}

async fn insert(store: &Store, kid: &str, state: KeyState) -> Result<KeyId, Error> {
    store
        .insert_key(TEAM, "self", &key(kid, state), "test", NOW)
        .await
}

async fn private(store: &Store, kid: &str) -> Result<Option<String>, Error> {
    let keys = store.keys(TEAM, "self").await.unwrap();
    let key = keys.iter().find(|key| key.kid == kid).unwrap();
    let opened = store.private_jwk(key).await?;
    Ok(opened.map(|text| text.reveal().clone()))
}

async fn execute(store: &Store, sql: &'static str) {
    sqlx::raw_sql(sql).execute(store.pool()).await.unwrap();
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_was_stored_is_there_after_reopening() {
    let bench = Bench::new();
    let store = bench.open().await;
    insert(&store, "k1", KeyState::Active).await.unwrap();
    let later = Timestamp::from_seconds(1_795_000_100);
    let revocation = store
        .insert_revocation(
            TEAM,
            "https://i.example",
            RevocationKind::Subject,
            "eve",
            NOW,
            later,
            "test",
            NOW,
        )
        .await
        .unwrap();
    let keys = store.keys(TEAM, "self").await.unwrap();
    let chain = store.verify_audit_chain().await.unwrap();
    assert_eq!(chain.events, 2);
    let first = store.node();
    store.close().await;

    let store = bench.open().await;
    assert_ne!(store.node(), first);
    assert_eq!(store.keys(TEAM, "self").await.unwrap(), keys);
    assert_eq!(keys[0].version, 1);
    assert_eq!(keys[0].times.published, NOW);
    assert_eq!(
        private(&store, "k1").await.unwrap().as_deref(),
        Some(PRIVATE)
    );
    assert_eq!(store.revocations(NOW).await.unwrap(), [revocation]);
    assert_eq!(store.verify_audit_chain().await.unwrap(), chain);
    store.ping().await.unwrap();
}

#[tokio::test]
async fn files_and_folder_are_the_owners_alone() {
    let bench = Bench::new();
    let store = bench.open().await;
    insert(&store, "k1", KeyState::Active).await.unwrap();
    let path = bench.path();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let files: Vec<_> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.len() >= 3, "the write-ahead log is one of {files:?}");
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn what_others_can_read_or_replace_is_refused() {
    for (of_folder, mode) in [(false, 0o644), (false, 0o660), (true, 0o720), (true, 0o777)] {
        let bench = Bench::new();
        bench.open().await.close().await;
        let path = bench.path();
        let exposed = if of_folder {
            path.parent().unwrap()
        } else {
            &path
        };
        std::fs::set_permissions(exposed, PermissionsExt::from_mode(mode)).unwrap();
        let error = bench.try_open().await.unwrap_err();
        assert!(matches!(error, Error::Exposed { .. }), "{mode:o}: {error}");
        assert!(error.to_string().contains("chmod"), "{error}");
    }
}

#[tokio::test]
async fn private_parts_are_nowhere_in_the_files() {
    let bench = Bench::new();
    let store = bench.open().await;
    insert(&store, "k1", KeyState::Active).await.unwrap();
    let seen = |needle: &str| {
        std::fs::read_dir(bench.path().parent().unwrap())
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .any(|bytes| {
                bytes
                    .windows(needle.len())
                    .any(|window| window == needle.as_bytes())
            })
    };
    for closed in [false, true] {
        if closed {
            store.close().await;
        }
        assert!(
            seen(r#"{"kid":"k1"}"#),
            "the public part is there to be seen"
        );
        assert!(!seen("nobody-may-see"));
        assert!(!seen(bench.master.to_text().reveal()));
    }
}
