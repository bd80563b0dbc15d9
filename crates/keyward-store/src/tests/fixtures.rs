//! Each migration on a fixture of the version before, and each version's statements on the schemas after it.

use super::*;
use crate::database::catalogue::{self, ColumnKind, Table};
use crate::schema::{self, MIGRATIONS, Migration};
use sqlx::Row as _;
use std::collections::BTreeMap;

on_each_database! {
    each_migration_keeps_what_the_version_before_has_written,
    each_schema_serves_the_binaries_that_it_says_it_does,
    what_the_first_version_has_written_is_read_by_this_one,
    the_schema_knows_two_types_and_an_order_of_its_tables,
}

/// What came or changed with each migration.
const FIXTURES: &[(i64, &str)] = &[
    (1, include_str!("../../migrations/fixtures/0001.sql")),
    (2, include_str!("../../migrations/fixtures/0002.sql")),
    (3, include_str!("../../migrations/fixtures/0003.sql")),
    (4, include_str!("../../migrations/fixtures/0004.sql")),
    (5, include_str!("../../migrations/fixtures/0005.sql")),
    (6, include_str!("../../migrations/fixtures/0006.sql")),
    (7, include_str!("../../migrations/fixtures/0007.sql")),
    (8, include_str!("../../migrations/fixtures/0008.sql")),
    (10, include_str!("../../migrations/fixtures/0010.sql")),
    (11, include_str!("../../migrations/fixtures/0011.sql")),
    (12, include_str!("../../migrations/fixtures/0012.sql")),
    (13, include_str!("../../migrations/fixtures/0013.sql")),
];

fn up_to(version: i64) -> Vec<Migration> {
    let known = MIGRATIONS.iter().filter(|one| one.version <= version);
    known.map(|one| Migration { ..*one }).collect()
}

async fn write_fixtures(database: &Database, version: i64) {
    for (of, sql) in FIXTURES.iter().filter(|(of, _)| *of <= version) {
        let written = sqlx::raw_sql(*sql).execute(database.pool()).await;
        written.unwrap_or_else(|error| panic!("fixture {of} of version {version}: {error}"));
    }
}

/// A table's rows, each a value by column.
type Rows = Vec<BTreeMap<String, String>>;

async fn rows(database: &Database) -> BTreeMap<String, Rows> {
    let mut connection = database.pool().acquire().await.unwrap();
    let tables = catalogue::tables(&mut connection, database.engine())
        .await
        .unwrap();
    let mut all = BTreeMap::new();
    for Table { name, columns } in tables
        .into_iter()
        .filter(|table| table.name != "schema_record")
    {
        let list: Vec<_> = columns
            .iter()
            .map(|column| format!("\"{}\"", column.name))
            .collect();
        let sql = format!("SELECT {} FROM \"{name}\"", list.join(", "));
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .persistent(false)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let rows = rows.iter().map(|row| {
            let value = |(index, column): (usize, &catalogue::Column)| {
                let value = match column.kind {
                    ColumnKind::Number => format!("{:?}", row.get::<Option<i64>, _>(index)),
                    ColumnKind::Text => format!("{:?}", row.get::<Option<String>, _>(index)),
                };
                (column.name.clone(), value)
            };
            columns.iter().enumerate().map(value).collect()
        });
        all.insert(name, rows.collect());
    }
    all
}

async fn each_migration_keeps_what_the_version_before_has_written(mut bench: Bench) {
    let versions: Vec<i64> = MIGRATIONS.iter().map(|one| one.version).collect();
    let fixtures: Vec<i64> = FIXTURES.iter().map(|(version, _)| *version).collect();
    assert_eq!(
        versions, fixtures,
        "every migration has its fixture in migrations/fixtures"
    );
    for pair in versions.windows(2) {
        bench.renew();
        let database = bench.database().await;
        schema::migrate(&database, &up_to(pair[0]), NOW)
            .await
            .unwrap();
        write_fixtures(&database, pair[0]).await;
        let before = rows(&database).await;
        assert!(before.values().all(|rows| !rows.is_empty()), "{before:?}");
        schema::migrate(&database, &up_to(pair[1]), NOW)
            .await
            .unwrap();
        let after = rows(&database).await;
        for (table, old) in before {
            for row in old {
                let is_kept = |new: &BTreeMap<String, String>| {
                    row.iter()
                        .all(|(column, value)| new.get(column) == Some(value))
                };
                assert!(
                    after[&table].iter().any(is_kept),
                    "migration {} lost {row:?} of {table}",
                    pair[1]
                );
            }
        }
    }
}

async fn each_schema_serves_the_binaries_that_it_says_it_does(mut bench: Bench) {
    for migration in MIGRATIONS {
        let earlier = MIGRATIONS.iter().map(|one| one.version);
        let served =
            earlier.filter(|version| (migration.serves_from..migration.version).contains(version));
        for version in served {
            bench.renew();
            let database = bench.database().await;
            schema::migrate(&database, &up_to(migration.version), NOW)
                .await
                .unwrap();
            write_fixtures(&database, version).await;
        }
    }
}

async fn what_the_first_version_has_written_is_read_by_this_one(bench: Bench) {
    let database = bench.database().await;
    schema::migrate(&database, &up_to(1), NOW).await.unwrap();
    write_fixtures(&database, 1).await;
    let store = bench.open().await;
    let keys = store.keys(TEAM, "self").await.unwrap();
    assert_eq!(
        keys.iter().map(|key| &*key.kid).collect::<Vec<_>>(),
        ["k0", "k1"]
    );
    assert_eq!(keys[1].state, KeyState::Active);
    let revocations = store.revocations(NOW).await.unwrap();
    assert_eq!(revocations[0].value, "eve");
    let resources = store.resources().await.unwrap();
    assert_eq!(resources.len(), 2);
    assert!(resources[0].body.contains("größe"), "{}", resources[0].body);
    assert_eq!(store.marks().await.unwrap().revision, Revision(1));
    assert_eq!(store.audit_events(0, 10).await.unwrap().len(), 1);
    revoke(&store, "new").await;
    assert_eq!(
        store
            .revocations_after(RevocationMark::default(), NOW)
            .await
            .unwrap()
            .len(),
        1
    );
}

async fn the_schema_knows_two_types_and_an_order_of_its_tables(bench: Bench) {
    let store = bench.open().await;
    let mut connection = store.pool().acquire().await.unwrap();
    // It refuses any other type, and tables that refer to one another in a circle.
    let tables = catalogue::tables(&mut connection, store.database().engine())
        .await
        .unwrap();
    let place = |name: &str| tables.iter().position(|table| table.name == name).unwrap();
    assert!(place("teams") < place("resources") && place("revisions") < place("resources"));
    let keys = &tables[place("keys")].columns;
    assert_eq!(keys[0].name, "id");
    assert_eq!(
        (keys[0].kind, keys[7].kind),
        (ColumnKind::Text, ColumnKind::Number)
    );
}
