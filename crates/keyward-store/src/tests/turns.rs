//! One writes at a time, and who waits for their turn holds up nobody else.

use super::*;
use crate::schema::{self, MIGRATIONS, Migration};
use keyward_testkit::{PostgresServer, until};

on_each_database! {
    those_who_wait_to_write_leave_connections_to_those_who_ask,
    forgetting_what_is_over_waits_its_turn,
    a_start_with_nothing_to_migrate_waits_for_nobody,
}

async fn those_who_wait_to_write_leave_connections_to_those_who_ask(bench: Bench) {
    let store = bench.open().await;
    let held = store.begin_write().await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = store.clone();
        writers.spawn(async move { revoke(&store, &format!("{number}")).await });
    }
    until("all turns are taken", async || {
        store.database().turns() == 0
    })
    .await;
    for _ in 0..20 {
        let asked = tokio::time::timeout(Duration::from_secs(10), store.marks()).await;
        asked.expect("it would be taken for an outage").unwrap();
    }
    held.rollback().await.unwrap();
    writers.join_all().await;
    assert_eq!(store.marks().await.unwrap().revocations.inserted, 20);
}

async fn forgetting_what_is_over_waits_its_turn(mut bench: Bench) {
    let store = bench.open().await;
    bench.patience = SHORT;
    let other = bench.open().await;
    revoke(&store, "a").await;
    let held = store.begin_write().await.unwrap();
    let later = NOW.plus(Duration::from_secs(1000));
    let refused = other.sweep_revocations(later).await;
    assert!(matches!(refused, Err(Error::Locked)), "{refused:?}");
    held.rollback().await.unwrap();
    assert_eq!(other.sweep_revocations(later).await.unwrap(), 1);
}

async fn a_start_with_nothing_to_migrate_waits_for_nobody(bench: Bench) {
    let store = bench.open().await;
    let other = bench.database().await;
    let held = store.database().begin_migration().await.unwrap();
    let migrated = schema::migrate(&other, MIGRATIONS, NOW);
    let migrated = tokio::time::timeout(Duration::from_secs(10), migrated).await;
    migrated.expect("it waits for the lock").unwrap();
    held.rollback().await.unwrap();
}

#[tokio::test]
async fn a_machine_that_dies_while_it_migrates_is_cut_off() {
    let bench = Bench::postgres().await;
    let store = bench.open().await;
    let mut held = store.database().begin_migration().await.unwrap();
    for (setting, most) in [
        ("idle_in_transaction_session_timeout", 30_000),
        ("tcp_keepalives_idle", 60),
        ("tcp_keepalives_interval", 60),
        ("tcp_keepalives_count", 10),
        ("lock_timeout", 3_000),
    ] {
        let (value,): (i64,) =
            sqlx::query_as("SELECT setting::bigint FROM pg_settings WHERE name = $1")
                .bind(setting)
                .fetch_one(&mut *held)
                .await
                .unwrap();
        assert!((1..=most).contains(&value), "{setting} is {value}");
    }
}

#[tokio::test]
async fn a_migration_that_waits_for_a_backup_holds_up_nobody() {
    let bench = Bench::postgres().await;
    let (store, other) = (bench.open().await, bench.open().await);
    let mut backup = store.database().begin_read().await.unwrap();
    sqlx::query("SELECT count(*) FROM revocations")
        .execute(&mut *backup)
        .await
        .unwrap();
    let mut later: Vec<_> = MIGRATIONS.iter().map(|one| Migration { ..*one }).collect();
    later.push(Migration {
        version: MIGRATIONS.last().unwrap().version + 1,
        serves_from: 1,
        sql: "ALTER TABLE revocations ADD COLUMN later TEXT",
    });
    let database = bench.database().await;
    let migrating = tokio::spawn(async move { schema::migrate(&database, &later, NOW).await });
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IS NOT NULL";
    for value in ["a", "b"] {
        until("the migration waits", async || {
            count(&other, waiting).await > 0
        })
        .await;
        // For the table and for the right to write, which both go to us first.
        revoke(&other, value).await;
    }
    assert!(!migrating.is_finished());
    backup.rollback().await.unwrap();
    migrating.await.unwrap().unwrap();
    let columns = "SELECT count(*) FROM pg_attribute WHERE attname = 'later'";
    assert_eq!(count(&store, columns).await, 1);
}

#[tokio::test]
async fn a_standby_is_told_to_be_one_and_can_be_saved() {
    let mut server = PostgresServer::start().await;
    let url = server.new_database();
    let master = MasterKey::generate().unwrap();
    let store = Store::open_at(&bench::at(&url), &master, NOW)
        .await
        .unwrap();
    revoke(&store, "a").await;
    store.close().await;
    server.stop();
    let standby = PostgresServer::standby_of(&server).await;
    let location = bench::at(&standby.url("test1"));
    let refused = Store::open_at(&location, &master, NOW).await.unwrap_err();
    assert_eq!(refused.code(), "store_standby", "{refused}");
    assert!(Store::is_begun(&location).await.unwrap());
    let mut bytes = Vec::new();
    crate::backup::save(&location, NOW, &mut bytes)
        .await
        .unwrap();
    assert!(String::from_utf8(bytes).unwrap().contains("\"a\""));
}
