use super::*;

#[tokio::test]
async fn expired_revocations_are_forgotten() {
    let bench = Bench::new();
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
    assert!(store.revocations(at(10)).await.unwrap().is_empty());
    let last = add(RevocationKind::Subject, "y", at(100), at(20)).await;
    let (rows,): (i64,) = sqlx::query_as("SELECT count(*) FROM revocations")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(rows, 1);
    assert_eq!(store.revocations(NOW).await.unwrap(), [last]);
}

async fn check_tampering(sql: &'static str, sequence: i64) {
    let bench = Bench::new();
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

#[tokio::test]
async fn a_changed_audit_log_is_noticed() {
    check_tampering(
        "UPDATE audit_events SET actor = 'bob' WHERE sequence = 2",
        2,
    )
    .await;
    check_tampering(
        "UPDATE audit_events SET detail = '{}' WHERE sequence = 1",
        1,
    )
    .await;
    check_tampering(
        "UPDATE audit_events SET actor = 'a', action = 'lice' WHERE sequence = 3",
        3,
    )
    .await;
    check_tampering("DELETE FROM audit_events WHERE sequence = 2", 3).await;
    check_tampering("DELETE FROM audit_events WHERE sequence = 1", 2).await;
    check_tampering(
        "UPDATE audit_events SET hash = previous_hash WHERE sequence = 2",
        2,
    )
    .await;
    check_tampering(
        "UPDATE audit_events SET previous_hash = '' WHERE sequence = 2",
        2,
    )
    .await;
}

#[tokio::test]
async fn the_head_shows_that_the_newest_events_were_cut_off() {
    let bench = Bench::new();
    let store = bench.open().await;
    insert(&store, "k1", KeyState::Published).await.unwrap();
    insert(&store, "k2", KeyState::Published).await.unwrap();
    let noted = store.verify_audit_chain().await.unwrap();
    execute(&store, "DELETE FROM audit_events WHERE sequence = 2").await;
    assert_ne!(store.verify_audit_chain().await.unwrap().head, noted.head);
}

#[tokio::test]
async fn resources_of_the_database_are_listed_with_their_team() {
    let bench = Bench::new();
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
