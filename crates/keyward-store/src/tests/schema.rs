use super::*;
use crate::schema::{self, MIGRATIONS, Migration};

/// The version after the last: numbers may have gaps where branches met.
fn next_version() -> i64 {
    MIGRATIONS.last().unwrap().version + 1
}

#[tokio::test]
async fn migrations_run_once_and_their_record_stays() {
    let bench = Bench::new();
    let store = bench.open().await;
    schema::migrate(store.pool(), MIGRATIONS, NOW)
        .await
        .unwrap();
    let (rows,): (i64,) = sqlx::query_as("SELECT count(*) FROM schema_record")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(rows, i64::try_from(MIGRATIONS.len()).unwrap());
    let versions: Vec<_> = MIGRATIONS.iter().map(|one| one.version).collect();
    assert!(versions.is_sorted() && MIGRATIONS.iter().all(|one| one.serves_from <= one.version));
}

#[tokio::test]
async fn a_newer_schema_serves_older_binaries_until_it_says_otherwise() {
    let first = |serves_from| Migration {
        version: next_version(),
        serves_from,
        sql: "CREATE TABLE later (id TEXT PRIMARY KEY)",
    };
    for (serves_from, served) in [(1, true), (next_version(), false)] {
        let bench = Bench::new();
        let store = bench.open().await;
        let mut newer: Vec<_> = MIGRATIONS.iter().map(|one| Migration { ..*one }).collect();
        newer.push(first(serves_from));
        schema::migrate(store.pool(), &newer, NOW).await.unwrap();
        store.close().await;
        let reopened = bench.try_open().await;
        match reopened {
            Ok(_) => assert!(served),
            Err(Error::SchemaTooNew { .. }) => assert!(!served),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_migration_that_fails_leaves_the_schema_as_it_was() {
    let bench = Bench::new();
    let store = bench.open().await;
    let broken = |sql| {
        let mut all: Vec<_> = MIGRATIONS.iter().map(|one| Migration { ..*one }).collect();
        all.push(Migration {
            version: next_version(),
            serves_from: 1,
            sql,
        });
        all
    };
    let failing =
        broken("CREATE TABLE later (id TEXT PRIMARY KEY); INSERT INTO nowhere VALUES (1)");
    assert!(schema::migrate(store.pool(), &failing, NOW).await.is_err());
    let fixed = broken("CREATE TABLE later (id TEXT PRIMARY KEY)");
    schema::migrate(store.pool(), &fixed, NOW).await.unwrap();
    let edited = broken("CREATE TABLE later (id TEXT PRIMARY KEY, more TEXT)");
    let refused = schema::migrate(store.pool(), &edited, NOW).await;
    assert!(matches!(refused, Err(Error::MigrationChanged { .. })));
}
