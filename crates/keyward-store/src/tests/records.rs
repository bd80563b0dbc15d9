use super::*;

on_each_database! {
    what_one_database_would_not_keep_neither_does,
    expired_revocations_are_forgotten,
    a_changed_audit_log_is_noticed,
    the_head_shows_that_the_newest_events_were_cut_off,
    anchors_tell_of_a_chain_that_was_made_anew,
    old_events_are_forgotten_and_the_rest_is_verified,
    resources_of_the_database_are_listed_with_their_team,
    who_asks_behind_its_mark_gets_what_is_new_and_nothing_else,
    revocations_that_come_at_once_are_all_behind_some_mark,
}

async fn expired_revocations_are_forgotten(bench: Bench) {
    let store = bench.open().await;
    let at = |seconds| NOW.plus(Duration::from_secs(seconds));
    let add = async |kind, value, expires, now| {
        store
            .insert_revocation(
                TEAM,
                "https://i.example",
                kind,
                value,
                NOW,
                expires,
                Author::local("test"),
                now,
            )
            .await
            .unwrap()
    };
    for kind in RevocationKind::ALL {
        add(kind, "x", at(10), NOW).await;
    }
    assert_eq!(store.revocations(at(9)).await.unwrap().len(), 5);
    assert_eq!(store.revocation_count(None, at(9)).await.unwrap(), 5);
    assert!(store.revocations(at(10)).await.unwrap().is_empty());
    assert_eq!(store.revocation_count(None, at(10)).await.unwrap(), 0);
    let last = add(RevocationKind::Subject, "y", at(100), at(20)).await;
    let (rows,): (i64,) = sqlx::query_as("SELECT count(*) FROM revocations")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(rows, 1);
    assert_eq!(store.revocations(NOW).await.unwrap(), [last]);
}

async fn check_tampering(bench: &mut Bench, sql: &'static str, sequence: i64) {
    bench.renew();
    let store = bench.open().await;
    for n in 0..3 {
        let action = Action {
            team: TEAM,
            actor: "alice",
            action: "api.publish",
            object: "api echo",
            detail: json!({ "n": n }),
        };
        store.audit(action, NOW).await.unwrap();
    }
    assert_eq!(store.verify_audit_chain().await.unwrap().events, 3);
    execute(&store, sql).await;
    match store.verify_audit_chain().await {
        Err(Error::AuditBroken {
            sequence: found, ..
        }) => assert_eq!(found, sequence, "{sql}"),
        other => panic!("{sql}: {other:?}"),
    }
}

async fn a_changed_audit_log_is_noticed(mut bench: Bench) {
    check_tampering(
        &mut bench,
        "UPDATE audit_events SET actor = 'bob' WHERE sequence = 2",
        2,
    )
    .await;
    check_tampering(
        &mut bench,
        "UPDATE audit_events SET detail = '{}' WHERE sequence = 1",
        1,
    )
    .await;
    check_tampering(
        &mut bench,
        "UPDATE audit_events SET actor = 'a', action = 'lice' WHERE sequence = 3",
        3,
    )
    .await;
    check_tampering(&mut bench, "DELETE FROM audit_events WHERE sequence = 2", 3).await;
    check_tampering(&mut bench, "DELETE FROM audit_events WHERE sequence = 1", 2).await;
    check_tampering(
        &mut bench,
        "UPDATE audit_events SET hash = previous_hash WHERE sequence = 2",
        2,
    )
    .await;
    check_tampering(
        &mut bench,
        "UPDATE audit_events SET previous_hash = '' WHERE sequence = 2",
        2,
    )
    .await;
}

async fn the_head_shows_that_the_newest_events_were_cut_off(bench: Bench) {
    let store = bench.open().await;
    insert(&store, "k1", KeyState::Published).await.unwrap();
    insert(&store, "k2", KeyState::Published).await.unwrap();
    let noted = store.verify_audit_chain().await.unwrap();
    execute(&store, "DELETE FROM audit_events WHERE sequence = 2").await;
    assert_ne!(store.verify_audit_chain().await.unwrap().head, noted.head);
}

async fn anchors_tell_of_a_chain_that_was_made_anew(bench: Bench) {
    let store = bench.open().await;
    assert_eq!(store.anchor_audit(NOW).await.unwrap(), None);
    insert(&store, "k1", KeyState::Published).await.unwrap();
    insert(&store, "k2", KeyState::Published).await.unwrap();
    let anchor = store.anchor_audit(NOW).await.unwrap().unwrap();
    assert_eq!(anchor.sequence, 2);
    assert_eq!(store.anchor_audit(NOW).await.unwrap(), None);
    insert(&store, "k3", KeyState::Published).await.unwrap();
    let chain = store.verify_audit_chain().await.unwrap();
    assert_eq!((chain.first, chain.anchored, chain.events), (1, 2, 3));
    // Another's database, with a chain that fits in itself.
    for (sql, why) in [
        (
            "UPDATE audit_anchors SET hash = 'other'",
            "made by somebody else",
        ),
        (
            "UPDATE audit_anchors SET mac = '00'",
            "made by somebody else",
        ),
        (
            "DELETE FROM audit_events WHERE sequence >= 2",
            "not there any more",
        ),
    ] {
        let rows: Vec<(i64, String, String)> =
            sqlx::query_as("SELECT sequence, hash, mac FROM audit_anchors")
                .fetch_all(store.pool())
                .await
                .unwrap();
        execute(&store, sql).await;
        let broken = store.verify_audit_chain().await.unwrap_err().to_string();
        assert!(broken.contains(why), "{sql}: {broken}");
        for (sequence, hash, mac) in rows {
            sqlx::query("UPDATE audit_anchors SET hash = $1, mac = $2 WHERE sequence = $3")
                .bind(hash)
                .bind(mac)
                .bind(sequence)
                .execute(store.pool())
                .await
                .unwrap();
        }
    }
}

async fn old_events_are_forgotten_and_the_rest_is_verified(bench: Bench) {
    let store = bench.open().await;
    let at = |seconds| NOW.plus(Duration::from_secs(seconds));
    for (index, kid) in ["k0", "k1", "k2", "k3"].into_iter().enumerate() {
        let key = key(kid, KeyState::Published);
        let time = at(10 * index as u64);
        store
            .insert_key(TEAM, "self", &key, Author::local("test"), time)
            .await
            .unwrap();
    }
    store.anchor_audit(at(15)).await.unwrap();
    let by = Author::local("node");
    assert_eq!(
        store.forget_audit_events(at(0), by, at(40)).await.unwrap(),
        0
    );
    assert_eq!(
        store.forget_audit_events(at(20), by, at(40)).await.unwrap(),
        2
    );
    let chain = store.verify_audit_chain().await.unwrap();
    assert_eq!((chain.first, chain.events), (3, 5));
    let told = store.audit_events(4, 10).await.unwrap();
    assert_eq!((told.len(), told[0].action.as_str()), (1, "audit.forget"));
    // However old: the newest stays, so that the next has something to follow on.
    assert_eq!(
        store
            .forget_audit_events(at(100), by, at(100))
            .await
            .unwrap(),
        2
    );
    insert(&store, "k9", KeyState::Published).await.unwrap();
    let chain = store.verify_audit_chain().await.unwrap();
    assert_eq!((chain.first, chain.events), (5, 7));
    execute(&store, "DELETE FROM audit_anchors").await;
    let broken = store.verify_audit_chain().await.unwrap_err().to_string();
    assert!(broken.contains("are missing"), "{broken}");
}

async fn resources_of_the_database_are_listed_with_their_team(bench: Bench) {
    let store = bench.open().await;
    assert_eq!(store.revision().await.unwrap(), Revision(0));
    assert!(store.resources().await.unwrap().is_empty());
    execute(
        &store,
        "INSERT INTO revisions (number, created_at, actor, summary) VALUES (1, 0, 'test', 'first');
         INSERT INTO resources (id, team, kind, name, version, origin, revision, body) VALUES
         ('0000000000000000000000000000000a', '00000000000000000000000000000001', 'api', 'echo', 'v1',
          'database', 1, '{}')",
    )
    .await;
    let resources = store.resources().await.unwrap();
    assert_eq!(store.revision().await.unwrap(), Revision(1));
    assert_eq!(resources.len(), 1);
    assert_eq!(resources[0].team_name, Name::default_team());
    assert_eq!(
        (resources[0].origin, resources[0].version.as_str()),
        (Origin::Database, "v1")
    );
    let unknown_team = sqlx::raw_sql(
        "INSERT INTO resources (id, team, kind, name, origin, revision, body)
         VALUES ('b', 'nobody', 'api', 'echo', 'database', 1, '{}')",
    );
    assert!(
        unknown_team.execute(store.pool()).await.is_err(),
        "foreign keys are on"
    );
}

async fn who_asks_behind_its_mark_gets_what_is_new_and_nothing_else(bench: Bench) {
    let store = bench.open().await;
    let add = async |value: &str| {
        let until = NOW.plus(Duration::from_secs(100));
        let kind = RevocationKind::Session;
        let issuer = "https://i.example";
        store
            .insert_revocation(
                TEAM,
                issuer,
                kind,
                value,
                NOW,
                until,
                Author::local("test"),
                NOW,
            )
            .await
            .unwrap()
    };
    let none = store.revocation_mark().await.unwrap();
    let first = add("a").await;
    let after_one = store.revocation_mark().await.unwrap();
    assert_ne!(none, after_one);
    let second = add("b").await;
    let new = store.revocations_after(after_one, NOW).await.unwrap();
    assert_eq!(new, std::slice::from_ref(&second));
    let all = store.revocations_after(none, NOW).await.unwrap();
    assert_eq!(all, [first.clone(), second.clone()]);
    let latest = store.revocation_mark().await.unwrap();
    assert!(
        store
            .revocations_after(latest, NOW)
            .await
            .unwrap()
            .is_empty()
    );
    // One that is taken back is told by the other counter.
    assert!(
        store
            .remove_revocation(first.id, None, Author::local("test"), NOW)
            .await
            .unwrap()
    );
    assert!(
        !store
            .remove_revocation(first.id, None, Author::local("test"), NOW)
            .await
            .unwrap()
    );
    let removed = store.revocation_mark().await.unwrap();
    assert_eq!(
        (removed.inserted, removed.removed),
        (latest.inserted, latest.removed + 1)
    );
    assert_eq!(store.revocations(NOW).await.unwrap(), [second]);
    let over = NOW.plus(Duration::from_secs(100));
    assert_eq!(store.sweep_revocations(over).await.unwrap(), 1);
    assert_eq!(store.verify_audit_chain().await.unwrap().events, 3);
}

async fn revocations_that_come_at_once_are_all_behind_some_mark(bench: Bench) {
    let store = bench.open().await;
    let mut mark = store.revocation_mark().await.unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let until = NOW.plus(Duration::from_secs(100));
                let kind = RevocationKind::TokenId;
                let value = format!("t-{number}");
                store
                    .insert_revocation(
                        TEAM,
                        "https://i.example",
                        kind,
                        &value,
                        NOW,
                        until,
                        Author::local("test"),
                        NOW,
                    )
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut seen = BTreeSet::new();
    for task in tasks {
        let _row = task.await.unwrap();
        let next = store.revocation_mark().await.unwrap();
        for row in store.revocations_after(mark, NOW).await.unwrap() {
            seen.insert(row.value);
        }
        mark = next;
    }
    assert_eq!(seen.len(), 16);
}

async fn what_one_database_would_not_keep_neither_does(bench: Bench) {
    let store = bench.open().await;
    let until = NOW.plus(Duration::from_secs(100));
    let kind = RevocationKind::Subject;
    for (issuer, value, what) in [("https://i", "a\0b", "value"), ("i\0", "a", "issuer")] {
        let refused = store
            .insert_revocation(
                TEAM,
                issuer,
                kind,
                value,
                NOW,
                until,
                Author::local("test"),
                NOW,
            )
            .await
            .unwrap_err();
        assert_eq!(refused.code(), "store_nul");
        assert!(refused.to_string().contains(what), "{refused}");
    }
    assert_eq!(store.verify_audit_chain().await.unwrap().events, 0);
}
