use super::*;

on_each_database! {
    of_those_that_start_at_once_all_see_the_same_first_keys,
    a_set_has_a_kid_once_and_one_active_key_an_algorithm,
    states_change_together_or_not_at_all,
    the_private_part_is_wiped_when_it_is_of_no_more_use,
}

async fn of_those_that_start_at_once_all_see_the_same_first_keys(bench: Bench) {
    let mut starts = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (location, master) = (bench.location.clone(), bench.master.clone());
        starts.spawn(async move {
            let store = Store::open_at(&location, &master, NOW).await.unwrap();
            let first = [key(&format!("k{n}"), KeyState::Active)];
            let keys = store
                .keys_or_first(TEAM, "self", &first, Author::local("node"), NOW)
                .await
                .unwrap();
            let opened = store.private_jwk(&keys[0]).await.unwrap();
            assert_eq!(opened.unwrap().reveal(), PRIVATE);
            keys.into_iter().map(|key| key.kid).collect::<Vec<_>>()
        });
    }
    let seen: BTreeSet<_> = starts.join_all().await.into_iter().collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let store = bench.open().await;
    assert_eq!(store.verify_audit_chain().await.unwrap().events, 1);
    let (masters,): (i64,) = sqlx::query_as("SELECT count(*) FROM master_keys")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(masters, 1);
}

async fn a_set_has_a_kid_once_and_one_active_key_an_algorithm(bench: Bench) {
    let store = bench.open().await;
    insert(&store, "k1", KeyState::Active).await.unwrap();
    for (kid, state) in [("k1", KeyState::Published), ("k2", KeyState::Active)] {
        let refused = insert(&store, kid, state).await;
        assert!(matches!(refused, Err(Error::Exists { .. })), "{kid}");
    }
    insert(&store, "k2", KeyState::Published).await.unwrap();
    let elsewhere = key("k1", KeyState::Active);
    store
        .insert_key(TEAM, "another", &elsewhere, Author::local("test"), NOW)
        .await
        .unwrap();
    assert_eq!(store.keys(TEAM, "self").await.unwrap().len(), 2);
    assert_eq!(store.verify_audit_chain().await.unwrap().events, 3);
}

fn change(key: &StoredKey, state: KeyState) -> KeyChange {
    KeyChange {
        id: key.id,
        version: key.version,
        state,
        times: KeyTimes {
            activated: Some(NOW),
            ..key.times
        },
    }
}

async fn states_change_together_or_not_at_all(bench: Bench) {
    let store = bench.open().await;
    insert(&store, "old", KeyState::Active).await.unwrap();
    insert(&store, "new", KeyState::Published).await.unwrap();
    let keys = store.keys(TEAM, "self").await.unwrap();
    let by_kid = |kid: &str| keys.iter().find(|key| key.kid == kid).unwrap();
    let (old, new) = (by_kid("old"), by_kid("new"));

    let both_active = [change(new, KeyState::Active)];
    let refused = store
        .change_keys(&both_active, Author::local("test"), NOW)
        .await;
    assert!(matches!(refused, Err(Error::Exists { .. })));

    let stale = KeyChange {
        version: 7,
        ..change(new, KeyState::Active)
    };
    let half = [change(old, KeyState::Retiring), stale];
    let refused = store.change_keys(&half, Author::local("test"), NOW).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })));
    assert_eq!(store.keys(TEAM, "self").await.unwrap(), keys);
    assert_eq!(store.verify_audit_chain().await.unwrap().events, 2);

    let whole = [
        change(old, KeyState::Retiring),
        change(new, KeyState::Active),
    ];
    store
        .change_keys(&whole, Author::local("test"), NOW)
        .await
        .unwrap();
    let again = store.change_keys(&whole, Author::local("test"), NOW).await;
    assert!(
        matches!(again, Err(Error::Conflict { .. })),
        "decided on what has changed since"
    );
    let states: Vec<_> = store
        .keys(TEAM, "self")
        .await
        .unwrap()
        .into_iter()
        .map(|key| (key.kid, key.state, key.version, key.times.activated))
        .collect();
    assert!(states.contains(&("old".to_owned(), KeyState::Retiring, 2, Some(NOW))));
    assert!(states.contains(&("new".to_owned(), KeyState::Active, 2, Some(NOW))));
    assert_eq!(store.verify_audit_chain().await.unwrap().events, 4);
}

async fn the_private_part_is_wiped_when_it_is_of_no_more_use(mut bench: Bench) {
    for (state, kept) in [
        (KeyState::Retiring, true),
        (KeyState::Retired, false),
        (KeyState::Withdrawn, false),
    ] {
        bench.renew();
        let store = bench.open().await;
        insert(&store, "k1", KeyState::Active).await.unwrap();
        let keys = store.keys(TEAM, "self").await.unwrap();
        store
            .change_keys(&[change(&keys[0], state)], Author::local("test"), NOW)
            .await
            .unwrap();
        assert_eq!(
            private(&store, "k1").await.unwrap().is_some(),
            kept,
            "{state:?}"
        );
    }
}
