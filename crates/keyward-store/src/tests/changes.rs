//! What a feed tells, counted: how often the database was asked, and why.

use super::*;
use keyward_testkit::until;

on_each_database! {
    every_kind_of_change_has_its_mark,
    a_change_of_this_process_is_told_without_waiting,
    a_change_of_another_is_found_by_the_first_question_after_it,
    what_was_rolled_back_is_told_by_nobody,
    changes_that_come_at_once_are_all_in_the_marks,
    a_history_that_lacks_what_was_seen_is_told_as_another,
}

/// So seldom that a test is over before.
const NEVER: Duration = Duration::from_secs(3600);
const OFTEN: Duration = Duration::from_millis(20);

async fn raise_revision(store: &Store, number: i64) {
    sqlx::query(
        "INSERT INTO revisions (number, created_at, actor, summary) VALUES ($1, 0, 'test', '')",
    )
    .bind(number)
    .execute(store.pool())
    .await
    .unwrap();
}

#[track_caller]
fn changed(notice: Notice) -> Marks {
    match notice {
        Notice::Changed(marks) => marks,
        Notice::Away(error) => panic!("{error}"),
        Notice::Back(marks) => panic!("it was not away: {marks:?}"),
    }
}

async fn every_kind_of_change_has_its_mark(bench: Bench) {
    let store = bench.open().await;
    assert_eq!(store.marks().await.unwrap(), Marks::default());
    let mut feed = store.change_feed_asking(OFTEN, true).await.unwrap();
    let revocation = revoke(&store, "a").await;
    let mut expected = Marks::default();
    expected.revocations.inserted = 1;
    assert_eq!(changed(feed.next().await), expected);
    assert!(
        store
            .remove_revocation(revocation.id, None, Author::local("test"), NOW)
            .await
            .unwrap()
    );
    expected.revocations.removed = 1;
    assert_eq!(changed(feed.next().await), expected);
    insert(&store, "k1", KeyState::Active).await.unwrap();
    expected.keys = 1;
    assert_eq!(changed(feed.next().await), expected);
    raise_revision(&store, 1).await;
    expected.revision = Revision(1);
    assert_eq!(changed(feed.next().await), expected);
    assert_eq!(feed.seen(), expected);
}

async fn a_change_of_this_process_is_told_without_waiting(bench: Bench) {
    let store = bench.open().await;
    // Deaf to the database, and never asking by itself.
    let mut feed = store.change_feed_asking(NEVER, false).await.unwrap();
    for number in 1..=3 {
        revoke(&store, "a").await;
        assert_eq!(changed(feed.next().await).revocations.inserted, number);
    }
    let counts = feed.counts();
    assert_eq!((counts.asked, counts.told, counts.failures), (3, 3, 0));
}

async fn a_change_of_another_is_found_by_the_first_question_after_it(bench: Bench) {
    let (store, other) = (bench.open().await, bench.open().await);
    let mut feed = store.change_feed_asking(OFTEN, false).await.unwrap();
    for number in 1..=3 {
        revoke(&other, "a").await;
        let before = feed.counts();
        assert_eq!(changed(feed.next().await).revocations.inserted, number);
        let after = feed.counts();
        assert_eq!((after.asked - before.asked, after.told), (1, 0));
    }
}

async fn what_was_rolled_back_is_told_by_nobody(bench: Bench) {
    let (store, other) = (bench.open().await, bench.open().await);
    let mut feed = store.change_feed_asking(OFTEN, true).await.unwrap();
    insert(&other, "k1", KeyState::Active).await.unwrap();
    assert_eq!(changed(feed.next().await).keys, 1);
    // Fails after its first row.
    let first = [
        key("k2", KeyState::Published),
        key("k2", KeyState::Published),
    ];
    let refused = other
        .keys_or_first(TEAM, "another", &first, Author::local("test"), NOW)
        .await;
    assert!(matches!(refused, Err(Error::Exists { .. })), "{refused:?}");
    insert(&other, "k3", KeyState::Published).await.unwrap();
    assert_eq!(changed(feed.next().await).keys, 2);
}

async fn changes_that_come_at_once_are_all_in_the_marks(bench: Bench) {
    let (store, other) = (bench.open().await, bench.open().await);
    let mut feed = store.change_feed_asking(OFTEN, true).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..40 {
        let store = if number % 2 == 0 {
            store.clone()
        } else {
            other.clone()
        };
        writers.spawn(async move { revoke(&store, &format!("{number}")).await });
    }
    while feed.seen().revocations.inserted < 40 {
        changed(feed.next().await);
    }
    writers.join_all().await;
    let mark = RevocationMark::default();
    assert_eq!(store.revocations_after(mark, NOW).await.unwrap().len(), 40);
}

async fn a_history_that_lacks_what_was_seen_is_told_as_another(bench: Bench) {
    let (store, other) = (bench.open().await, bench.open().await);
    revoke(&other, "before").await;
    let mut feed = store.change_feed_asking(OFTEN, false).await.unwrap();
    revoke(&other, "lost").await;
    assert_eq!(changed(feed.next().await).revocations.inserted, 2);
    // What a standby that is promoted has not got, and what comes there in its place, under the same numbers.
    let lost = "DELETE FROM revocations WHERE value = 'lost';
        DELETE FROM audit_events WHERE sequence = 2;
        UPDATE change_counters SET counter = 1 WHERE subject = 'revocations'";
    feed.ask_every(NEVER);
    execute(&other, lost).await;
    revoke(&other, "instead").await;
    store.tell_of_change();
    let marks = changed(feed.next().await);
    assert_eq!((marks.revocations.inserted, marks.history), (2, 1));
    // It goes on from there.
    feed.ask_every(OFTEN);
    revoke(&other, "more").await;
    let marks = changed(feed.next().await);
    assert_eq!((marks.revocations.inserted, marks.history), (3, 1));
    // One that has lost everything is another as well.
    feed.ask_every(NEVER);
    execute(&other, "DELETE FROM audit_events").await;
    store.tell_of_change();
    assert_eq!(changed(feed.next().await).history, 2);
}

#[tokio::test]
async fn notices_of_another_schema_wake_nobody() {
    let bench = Bench::postgres().await;
    let (store, other) = (bench.open().await, bench.open().await);
    let mut feed = store.change_feed_asking(NEVER, true).await.unwrap();
    execute(&other, "SELECT pg_notify('keyward_changes', 'theirs')").await;
    revoke(&other, "a").await;
    assert_eq!(changed(feed.next().await).revocations.inserted, 1);
    // As binaries and schemas of before told it.
    execute(&other, "SELECT pg_notify('keyward_changes', '')").await;
    execute(
        &other,
        "UPDATE change_counters SET counter = 7 WHERE subject = 'keys'",
    )
    .await;
    assert_eq!(changed(feed.next().await).keys, 7);
    assert!(feed.counts().told <= 4, "{:?}", feed.counts());
}

#[tokio::test]
async fn postgres_tells_other_nodes_so_that_none_has_to_ask() {
    let bench = Bench::postgres().await;
    let (store, other) = (bench.open().await, bench.open().await);
    let mut feed = store.change_feed_asking(NEVER, true).await.unwrap();
    for number in 1..=3 {
        revoke(&other, "a").await;
        assert_eq!(changed(feed.next().await).revocations.inserted, number);
    }
    raise_revision(&other, 1).await;
    assert_eq!(changed(feed.next().await).revision, Revision(1));
    insert(&other, "k1", KeyState::Active).await.unwrap();
    assert_eq!(changed(feed.next().await).keys, 1);
    let counts = feed.counts();
    assert_eq!(
        counts.asked, counts.told,
        "each question had a notice as its reason"
    );
    // One for each change; several for one where its transaction told of two counters.
    assert!((5..=10).contains(&counts.asked), "{counts:?}");
}

#[tokio::test]
async fn a_listener_that_is_cut_off_is_made_good_by_questions_and_listens_again() {
    let bench = Bench::postgres().await;
    let (store, other) = (bench.open().await, bench.open().await);
    let listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
    let mut feed = store.change_feed_asking(OFTEN, true).await.unwrap();
    assert_eq!(count(&other, listening).await, 1);
    let ended = count(
        &other,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'",
    );
    assert_eq!(ended.await, 1);
    revoke(&other, "a").await;
    assert_eq!(changed(feed.next().await).revocations.inserted, 1);
    until("it listens again", async || {
        count(&other, listening).await == 1
    })
    .await;
    feed.ask_every(NEVER);
    revoke(&other, "b").await;
    // What woke it on its way back may have no change behind it.
    assert_eq!(changed(feed.next().await).revocations.inserted, 2);
    assert_eq!(feed.counts().failures, 0);
}
