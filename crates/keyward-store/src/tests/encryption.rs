use super::*;

on_each_database! {
    a_wrong_master_key_is_refused,
    a_sealed_field_opens_in_no_other_row_column_or_team,
    a_data_key_of_another_purpose_does_not_open_secrets,
    only_the_data_keys_that_were_needed_are_there,
    changing_the_master_key_wraps_anew_and_touches_no_field,
    mac_keys_stay_the_same_when_the_master_key_is_replaced,
}

async fn a_wrong_master_key_is_refused(bench: Bench) {
    bench.open().await.close().await;
    let other = MasterKey::generate().unwrap();
    let refused = Store::open_within(&bench.location, &other, NOW, SHORT).await;
    assert!(matches!(refused, Err(Error::WrongMasterKey)));
    bench.open().await;
}

async fn a_sealed_field_opens_in_no_other_row_column_or_team(bench: Bench) {
    let store = bench.open().await;
    for kid in ["k1", "k2"] {
        insert(&store, kid, KeyState::Published).await.unwrap();
    }
    assert!(private(&store, "k2").await.unwrap().is_some());

    execute(&store, "UPDATE keys SET private_sealed = (SELECT private_sealed FROM keys WHERE kid = 'k1') WHERE kid = 'k2'").await;
    assert!(matches!(
        private(&store, "k2").await,
        Err(Error::Sealed { .. })
    ));
    assert!(private(&store, "k1").await.unwrap().is_some());

    execute(&store, "INSERT INTO teams (id, name, created_at) VALUES ('00000000000000000000000000000002', 'other', 0)").await;
    execute(
        &store,
        "UPDATE keys SET team = '00000000000000000000000000000002' WHERE kid = 'k1'",
    )
    .await;
    let moved = store.keys(TeamId::from_u128(2), "self").await.unwrap();
    assert!(matches!(
        store.private_jwk(&moved[0]).await,
        Err(Error::Sealed { .. })
    ));

    // A data key's own text in the place of a field: another table and column.
    execute(
        &store,
        "UPDATE keys SET private_sealed = (SELECT wrapped FROM data_keys) WHERE kid = 'k2'",
    )
    .await;
    assert!(matches!(
        private(&store, "k2").await,
        Err(Error::Sealed { .. })
    ));
}

async fn a_data_key_of_another_purpose_does_not_open_secrets(bench: Bench) {
    let store = bench.open().await;
    insert(&store, "k1", KeyState::Active).await.unwrap();
    store.close().await;
    let store = bench.open().await;
    execute(&store, "UPDATE data_keys SET purpose = 'webhooks'").await;
    assert!(matches!(
        private(&store, "k1").await,
        Err(Error::Sealed { .. })
    ));
}

async fn only_the_data_keys_that_were_needed_are_there(bench: Bench) {
    let store = bench.open().await;
    let count = async || {
        let rows: Vec<(String,)> = sqlx::query_as("SELECT purpose FROM data_keys")
            .fetch_all(store.pool())
            .await
            .unwrap();
        rows.into_iter()
            .map(|(purpose,)| purpose)
            .collect::<Vec<_>>()
    };
    assert!(count().await.is_empty());
    for kid in ["k1", "k2"] {
        insert(&store, kid, KeyState::Published).await.unwrap();
    }
    assert_eq!(count().await, ["secrets"]);
}

async fn changing_the_master_key_wraps_anew_and_touches_no_field(bench: Bench) {
    let store = bench.open().await;
    insert(&store, "k1", KeyState::Published).await.unwrap();
    let sealed = async |store: &Store| {
        let row: (String,) = sqlx::query_as("SELECT private_sealed FROM keys")
            .fetch_one(store.pool())
            .await
            .unwrap();
        row.0
    };
    let before = sealed(&store).await;
    let beside = bench.open().await;
    let new = MasterKey::generate().unwrap();
    let stranger = MasterKey::generate().unwrap();
    let refused = store.rotate_master(&stranger, &new, "test", NOW).await;
    assert!(matches!(refused, Err(Error::WrongMasterKey)));

    store
        .rotate_master(&bench.master, &new, "test", NOW)
        .await
        .unwrap();
    assert_eq!(sealed(&store).await, before);
    assert!(private(&store, "k1").await.unwrap().is_some());
    insert(&store, "k2", KeyState::Published).await.unwrap();
    assert!(private(&store, "k2").await.unwrap().is_some());
    // A process that holds the old one is told, before it makes anything under it.
    let behind = insert(&beside, "k3", KeyState::Published).await;
    assert!(
        matches!(behind, Err(Error::MasterKeyReplaced)),
        "{behind:?}"
    );
    store.close().await;

    assert!(matches!(bench.try_open().await, Err(Error::WrongMasterKey)));
    let store = Store::open_within(&bench.location, &new, NOW, SHORT)
        .await
        .unwrap();
    for kid in ["k1", "k2"] {
        assert_eq!(
            private(&store, kid).await.unwrap().as_deref(),
            Some(PRIVATE)
        );
    }
    store.verify_audit_chain().await.unwrap();
}

async fn mac_keys_stay_the_same_when_the_master_key_is_replaced(bench: Bench) {
    let store = bench.open().await;
    let keys = async |purpose| {
        let keys = store.mac_keys(purpose, NOW).await.unwrap();
        keys.into_iter()
            .map(|key| (key.id, *key.key.reveal()))
            .collect::<Vec<_>>()
    };
    let first = keys(Purpose::ApiKeyHashing).await;
    assert_eq!(first.len(), 1);
    let new = MasterKey::generate().unwrap();
    store
        .rotate_master(&bench.master, &new, "test", NOW)
        .await
        .unwrap();
    assert_eq!(keys(Purpose::ApiKeyHashing).await, first);
    assert_ne!(keys(Purpose::Nonces).await[0].1, first[0].1);
    // An older one stays behind the current one.
    execute(
        &store,
        "UPDATE data_keys SET current = NULL WHERE purpose = 'nonces'",
    )
    .await;
    execute(&store, "INSERT INTO data_keys (id, purpose, current, wrapped, created_at) SELECT id, purpose, current, wrapped, created_at FROM data_keys WHERE 1 = 0").await;
    assert_eq!(keys(Purpose::Nonces).await.len(), 1);
}
