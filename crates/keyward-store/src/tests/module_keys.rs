use super::*;

on_each_database! {
    a_key_in_a_module_is_announced_first_and_destroyed_last,
    what_came_to_nothing_is_found_and_nothing_that_has_a_row,
    a_key_that_gets_its_row_is_not_destroyed_and_one_that_is_to_be_destroyed_gets_none,
    what_may_still_be_made_stays_on_the_list_and_what_never_was_is_no_event,
    the_remains_of_a_module_come_page_by_page_and_without_those_of_others,
}

const BY: Author<'static> = Author::local("test");
const LATER: Duration = Duration::from_secs(3600);

fn in_module(kid: &str, reference: &str, state: KeyState) -> NewKey {
    NewKey {
        private: PrivatePart::InModule(reference.to_owned()),
        ..key(kid, state)
    }
}

async fn announce(store: &Store, references: &[&str]) {
    let references: Vec<String> = references.iter().map(|one| (*one).to_owned()).collect();
    store.announce_module_keys(&references, NOW).await.unwrap();
}

async fn listed(store: &Store, now: Timestamp) -> Vec<ModuleKeyRemains> {
    store.module_key_remains("m:", "", now).await.unwrap()
}

async fn remains(store: &Store, now: Timestamp) -> BTreeSet<String> {
    let remains = listed(store, now).await;
    remains.into_iter().map(|one| one.reference).collect()
}

async fn forget_all(store: &Store, now: Timestamp) {
    for one in listed(store, now).await {
        store.forget_module_key(&one, true, BY, now).await.unwrap();
        // Another node comes second.
        store.forget_module_key(&one, false, BY, now).await.unwrap();
    }
}

async fn a_key_in_a_module_is_announced_first_and_destroyed_last(bench: Bench) {
    let store = bench.open().await;
    let new = in_module("k1", "m:1", KeyState::Active);
    let unannounced = store.insert_key(TEAM, "self", &new, BY, NOW).await;
    assert!(matches!(unannounced, Err(Error::Conflict { .. })));
    announce(&store, &["m:1"]).await;
    store.insert_key(TEAM, "self", &new, BY, NOW).await.unwrap();
    let keys = store.keys(TEAM, "self").await.unwrap();
    assert_eq!(keys[0].module_key.as_deref(), Some("m:1"));
    assert_eq!(store.private_jwk(&keys[0]).await.unwrap(), None);
    assert!(remains(&store, NOW.plus(LATER)).await.is_empty());

    let withdrawn = KeyChange {
        id: keys[0].id,
        version: keys[0].version,
        state: KeyState::Withdrawn,
        times: keys[0].times,
    };
    store.change_keys(&[withdrawn], BY, NOW).await.unwrap();
    assert_eq!(
        remains(&store, NOW).await,
        BTreeSet::from(["m:1".to_owned()])
    );
    forget_all(&store, NOW).await;
    assert!(remains(&store, NOW).await.is_empty());
    let keys = store.keys(TEAM, "self").await.unwrap();
    assert_eq!(keys[0].module_key, None);
    let events = store.audit_events(0, 100).await.unwrap();
    let told: Vec<&str> = events.iter().map(|event| &*event.action).collect();
    assert_eq!(told, ["key.create", "key.change", "key.destroy"]);
    store.verify_audit_chain().await.unwrap();
}

async fn what_came_to_nothing_is_found_and_nothing_that_has_a_row(bench: Bench) {
    let store = bench.open().await;
    announce(&store, &["m:1", "m:2", "m:3"]).await;
    let first = [in_module("k1", "m:1", KeyState::Active)];
    store
        .keys_or_first(TEAM, "self", &first, BY, NOW)
        .await
        .unwrap();
    // Somebody else was faster: what was made for nothing has no row.
    let second = [in_module("k2", "m:2", KeyState::Active)];
    store
        .keys_or_first(TEAM, "self", &second, BY, NOW)
        .await
        .unwrap();
    assert!(remains(&store, NOW).await.is_empty(), "it may be under way");
    store
        .give_up_module_keys(&["m:1".to_owned(), "m:2".to_owned()])
        .await
        .unwrap();
    assert_eq!(
        remains(&store, NOW).await,
        BTreeSet::from(["m:2".to_owned()])
    );
    let late = in_module("k2", "m:2", KeyState::Published);
    let late = store.insert_key(TEAM, "self", &late, BY, NOW).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    let both = ["m:2", "m:3"].map(str::to_owned);
    assert_eq!(remains(&store, NOW.plus(LATER)).await, BTreeSet::from(both));
    forget_all(&store, NOW.plus(LATER)).await;
    assert!(remains(&store, NOW.plus(LATER)).await.is_empty());
    let keys = store.keys(TEAM, "self").await.unwrap();
    assert_eq!(keys[0].module_key.as_deref(), Some("m:1"));
}

async fn a_key_that_gets_its_row_is_not_destroyed_and_one_that_is_to_be_destroyed_gets_none(
    bench: Bench,
) {
    let store = bench.open().await;
    let late = NOW.plus(LATER);
    announce(&store, &["m:1", "m:2"]).await;
    let (first, second) = match <[_; 2]>::try_from(listed(&store, late).await) {
        Ok([first, second]) => (first, second),
        Err(other) => panic!("{other:?}"),
    };
    // Its maker was slow, and comes between the list and the destroyer.
    let new = in_module("k1", "m:1", KeyState::Active);
    store
        .insert_key(TEAM, "self", &new, BY, late)
        .await
        .unwrap();
    assert!(!store.claim_module_key(&first, late).await.unwrap());
    assert!(store.claim_module_key(&second, late).await.unwrap());
    let new = in_module("k2", "m:2", KeyState::Published);
    let refused = store.insert_key(TEAM, "self", &new, BY, late).await;
    assert!(
        matches!(refused, Err(Error::Conflict { .. })),
        "{refused:?}"
    );
    // Who was stopped after that comes again.
    assert!(store.claim_module_key(&second, late).await.unwrap());
}

async fn what_may_still_be_made_stays_on_the_list_and_what_never_was_is_no_event(bench: Bench) {
    let store = bench.open().await;
    announce(&store, &["m:1"]).await;
    store
        .give_up_module_keys(&["m:1".to_owned()])
        .await
        .unwrap();
    let given_up = BTreeSet::from(["m:1".to_owned()]);
    for found in [false, true] {
        let one = &listed(&store, NOW).await[0];
        store.forget_module_key(one, found, BY, NOW).await.unwrap();
        assert_eq!(remains(&store, NOW).await, given_up, "it may come yet");
    }
    let late = NOW.plus(LATER);
    let one = &listed(&store, late).await[0];
    store.forget_module_key(one, false, BY, late).await.unwrap();
    assert!(remains(&store, late).await.is_empty());
    let events = store.audit_events(0, 100).await.unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
}

async fn the_remains_of_a_module_come_page_by_page_and_without_those_of_others(bench: Bench) {
    let store = bench.open().await;
    let mine: BTreeSet<String> = (0..150).map(|number| format!("m:{number:03}")).collect();
    let others: Vec<String> = (0..150).map(|number| format!("a:{number:03}")).collect();
    store.announce_module_keys(&others, NOW).await.unwrap();
    let references: Vec<String> = mine.iter().cloned().collect();
    store.announce_module_keys(&references, NOW).await.unwrap();
    let late = NOW.plus(LATER);
    let mut found = BTreeSet::new();
    let mut after = String::new();
    loop {
        let page = store.module_key_remains("m:", &after, late).await.unwrap();
        let Some(last) = page.last() else { break };
        after.clone_from(&last.reference);
        found.extend(page.into_iter().map(|one| one.reference));
    }
    assert_eq!(found, mine);
}
