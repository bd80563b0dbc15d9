use super::*;

on_each_database! {
    what_one_database_would_not_keep_neither_does,
    expired_revocations_are_forgotten,
    a_changed_audit_log_is_noticed,
    the_head_shows_that_the_newest_events_were_cut_off,
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
                "test",
                now,
            )
            .await
            .unwrap()
    };
    for kind in RevocationKind::ALL {
        add(kind, "x", at(10), NOW).await;
    }
    assert_eq!(store.revocations(at(9)).await.unwrap().len(), 5);
    assert_eq!(store.revocation_count(at(9)).await.unwrap(), 5);
    assert!(store.revocations(at(10)).await.unwrap().is_empty());
    assert_eq!(store.revocation_count(at(10)).await.unwrap(), 0);
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
            .insert_revocation(TEAM, issuer, kind, value, NOW, until, "test", NOW)
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
            .remove_revocation(first.id, "test", NOW)
            .await
            .unwrap()
    );
    assert!(
        !store
            .remove_revocation(first.id, "test", NOW)
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
                        "test",
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
            .insert_revocation(TEAM, issuer, kind, value, NOW, until, "test", NOW)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), "store_nul");
        assert!(refused.to_string().contains(what), "{refused}");
    }
    assert_eq!(store.verify_audit_chain().await.unwrap().events, 0);
}
