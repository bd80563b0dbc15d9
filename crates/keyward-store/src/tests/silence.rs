//! The network swallows what is sent, and nobody is told.

use super::*;
use keyward_model::limit::Period;
use keyward_testkit::{ChaosProxy, Weather, until};

/// As long as a ping may take and more, and as short as a test can wait for several times.
const PATIENCE: Duration = Duration::from_secs(2);

/// More than anything here may take.
const FOREVER: Duration = Duration::from_secs(50);

const NEVER: Duration = Duration::from_secs(3600);
const OFTEN: Duration = Duration::from_millis(20);

/// A store that reaches the server through a proxy, and one that reaches it without.
async fn through_a_proxy(bench: &mut Bench) -> (ChaosProxy, Store, Store) {
    let other = bench.open().await;
    let proxy = ChaosProxy::before(bench.server().address()).await;
    let url = format!("postgres://keyward@{}/test1", proxy.address());
    bench.patience = PATIENCE;
    bench.location = bench::at(&url);
    let store = bench.open().await;
    (proxy, store, other)
}

async fn ends<T>(what: &str, asked: impl Future<Output = Result<T, Error>>) {
    match tokio::time::timeout(FOREVER, asked).await {
        Ok(Err(Error::Unreachable(_))) => {}
        Ok(Err(error)) => panic!("{what}: {error}"),
        Ok(Ok(_)) => panic!("{what}: it was answered"),
        Err(_) => panic!("{what}: it never ends"),
    }
}

#[tokio::test]
async fn whatever_is_asked_ends_when_nobody_answers() {
    let mut bench = Bench::postgres().await;
    let (proxy, store, _other) = through_a_proxy(&mut bench).await;
    let held = store.begin_write().await.unwrap();
    proxy.set(Weather {
        black_hole: true,
        ..Weather::default()
    });
    let window = Period::Month.window(NOW);
    let counts = [QuotaCount {
        digest: 1,
        period: Period::Month,
        window: window.number,
        ends: window.ends,
        requests: 1,
    }];
    // In the middle of a transaction, too.
    ends("commit", async { Ok(held.commit().await?) }).await;
    ends("read", store.revocations(NOW)).await;
    ends("sweep", store.sweep_revocations(NOW)).await;
    ends(
        "quotas",
        store.add_quota_counts(&counts, &mut Vec::new(), NOW),
    )
    .await;
    let private = Secret::new("x".to_owned());
    ends("write", store.put_acme_account("https://a", &private, NOW)).await;
    let closed = tokio::time::timeout(FOREVER, store.close()).await;
    assert!(closed.is_ok(), "the process would never end");
}

#[tokio::test]
async fn a_server_that_another_replaces_without_a_word_is_asked_and_heard_again() {
    let mut bench = Bench::postgres().await;
    let (proxy, store, other) = through_a_proxy(&mut bench).await;
    // Connections that lie in the pool.
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(store.pool().acquire().await.unwrap());
    }
    drop(held);
    let mut feed = store.change_feed_asking(OFTEN, true).await.unwrap();
    proxy.abandon_open();
    revoke(&other, "a").await;
    let found = async {
        loop {
            match feed.next().await {
                Notice::Away(_) => {}
                Notice::Changed(marks) | Notice::Back(marks) => break marks,
            }
        }
    };
    let marks = tokio::time::timeout(FOREVER, found).await.unwrap();
    assert_eq!((marks.revocations.inserted, marks.history), (1, 0));
    assert_eq!(store.revocations(NOW).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_listener_that_hears_nothing_any_more_listens_again_when_the_database_is_back() {
    let mut bench = Bench::postgres().await;
    let (proxy, store, other) = through_a_proxy(&mut bench).await;
    let mut feed = store.change_feed_asking(OFTEN, true).await.unwrap();
    let black_hole = Weather {
        black_hole: true,
        ..Weather::default()
    };
    proxy.set(black_hole);
    assert!(matches!(feed.next().await, Notice::Away(_)));
    // What was open stays silent; the server knows of none of it.
    proxy.abandon_open();
    proxy.set(Weather::default());
    while !matches!(feed.next().await, Notice::Back(_)) {}
    feed.ask_every(NEVER);
    let listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
    until("it listens on another connection", async || {
        count(&other, listening).await == 2
    })
    .await;
    revoke(&other, "a").await;
    let told = async {
        // What woke it on its way back may have no change behind it.
        while feed.seen().revocations.inserted == 0 {
            let notice = feed.next().await;
            assert!(matches!(notice, Notice::Changed(_)), "{notice:?}");
        }
    };
    tokio::time::timeout(FOREVER, told).await.unwrap();
}
