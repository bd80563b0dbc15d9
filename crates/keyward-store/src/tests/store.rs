use super::*;

on_each_database! {
    what_was_stored_is_there_after_reopening,
    private_parts_are_nowhere_in_the_files,
}

async fn what_was_stored_is_there_after_reopening(bench: Bench) {
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
            Author::local("test"),
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
    let bench = Bench::sqlite();
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
        let bench = Bench::sqlite();
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

async fn private_parts_are_nowhere_in_the_files(bench: Bench) {
    let store = bench.open().await;
    insert(&store, "k1", KeyState::Active).await.unwrap();
    let seen = |needle: &str| {
        bench.files().iter().any(|bytes| {
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
