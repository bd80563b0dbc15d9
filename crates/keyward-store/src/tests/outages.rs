//! PostgreSQL goes away and comes back.

use super::*;
use crate::database::BUSY_TIMEOUT;

/// Long enough for a busy machine, and as long as it takes to see that nobody answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits are as short as the first of a feed that asks so often.
const OFTEN: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_feed_tells_of_an_outage_asks_less_and_less_and_tells_when_it_is_over() {
    let mut bench = Bench::postgres().await;
    bench.patience = PATIENCE;
    let (store, other) = (bench.open().await, bench.open().await);
    revoke(&store, "a").await;
    let mut feed = store.change_feed_asking(OFTEN, true).await.unwrap();
    bench.server().kill();
    let mut waits = Vec::new();
    for failures in 1..=3 {
        let notice = feed.next().await;
        assert!(
            matches!(notice, Notice::Away(Error::Unreachable(_))),
            "{notice:?}"
        );
        assert_eq!(feed.counts().failures, failures);
        waits.push(feed.wait());
    }
    assert_eq!(waits, [OFTEN * 2, OFTEN * 4, OFTEN * 8]);
    assert_eq!(
        feed.seen().revocations.inserted,
        1,
        "what is known goes on to hold"
    );
    bench.server().bring_back().await;
    // Before this node has noticed.
    revoke(&other, "b").await;
    let back = loop {
        match feed.next().await {
            Notice::Away(_) => {}
            Notice::Back(marks) => break marks,
            Notice::Changed(marks) => panic!("{marks:?}"),
        }
    };
    assert_eq!(back.revocations.inserted, 2);
    assert_eq!(feed.wait(), OFTEN);
    revoke(&other, "c").await;
    let Notice::Changed(marks) = feed.next().await else {
        panic!("it is back");
    };
    assert_eq!(marks.revocations.inserted, 3);
    store.verify_audit_chain().await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_of_the_server() {
    let mut bench = Bench::postgres().await;
    bench.patience = PATIENCE;
    let store = bench.open().await;
    for round in 0..3 {
        revoke(&store, &format!("{round}")).await;
        bench.server().kill();
        let refused = store.revocations(NOW).await;
        assert!(matches!(refused, Err(Error::Unreachable(_))), "{refused:?}");
        bench.server().bring_back().await;
        assert_eq!(store.revocations(NOW).await.unwrap().len(), round + 1);
    }
    assert_eq!(store.verify_audit_chain().await.unwrap().events, 3);
}

#[tokio::test]
async fn a_node_that_stops_in_mid_write_holds_the_others_up_for_a_bounded_time() {
    let mut bench = Bench::postgres().await;
    bench.patience = PATIENCE;
    let (store, other) = (bench.open().await, bench.open().await);
    let held = store.begin_write().await.unwrap();
    let until = NOW.plus(Duration::from_secs(100));
    let kind = RevocationKind::Session;
    let refused = other
        .insert_revocation(
            TEAM,
            "https://i",
            kind,
            "x",
            NOW,
            until,
            Author::local("test"),
            NOW,
        )
        .await;
    assert!(matches!(refused, Err(Error::Locked)), "{refused:?}");
    drop(held);
    revoke(&other, "x").await;
}

#[tokio::test]
async fn a_node_that_hangs_in_mid_write_is_cut_off_before_others_give_up() {
    let mut bench = Bench::postgres().await;
    bench.patience = BUSY_TIMEOUT;
    let (store, other) = (bench.open().await, bench.open().await);
    let held = store.begin_write().await.unwrap();
    revoke(&other, "x").await;
    assert!(held.commit().await.is_err());
}

#[tokio::test]
async fn a_server_that_would_acknowledge_too_early_is_told_not_to() {
    let server = keyward_testkit::PostgresServer::start_with("synchronous_commit = off").await;
    let master = MasterKey::generate().unwrap();
    let store = Store::open_at(&bench::at(&server.url("postgres")), &master, NOW)
        .await
        .unwrap();
    let (setting,): (String,) = sqlx::query_as("SELECT current_setting('synchronous_commit')")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(setting, "on");
}
