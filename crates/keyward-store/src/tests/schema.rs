use super::*;
use crate::database::catalogue;
use crate::schema::{self, MIGRATIONS, Migration};

on_each_database! {
    migrations_run_once_and_their_record_stays,
    a_newer_schema_serves_older_binaries_until_it_says_otherwise,
    a_binary_that_would_do_harm_is_told_to_stay_away,
    a_migration_that_fails_leaves_the_schema_as_it_was,
    a_schema_that_is_too_old_or_has_a_gap_is_refused,
    of_nodes_that_start_at_once_one_migrates_and_the_others_wait,
    another_programs_database_is_left_alone,
    whether_a_node_has_begun_is_known_without_a_master_key,
    the_tables_of_the_migrations_are_known_by_name,
}

/// The version after the last: numbers may have gaps where branches met.
fn next_version() -> i64 {
    MIGRATIONS.last().unwrap().version + 1
}

fn known() -> Vec<Migration> {
    MIGRATIONS.iter().map(|one| Migration { ..*one }).collect()
}

async fn migrations_run_once_and_their_record_stays(bench: Bench) {
    let store = bench.open().await;
    schema::migrate(store.database(), MIGRATIONS, NOW)
        .await
        .unwrap();
    let rows = count(&store, "SELECT count(*) FROM schema_record").await;
    assert_eq!(rows, i64::try_from(MIGRATIONS.len()).unwrap());
    let versions: Vec<_> = MIGRATIONS.iter().map(|one| one.version).collect();
    assert!(versions.is_sorted() && MIGRATIONS.iter().all(|one| one.serves_from <= one.version));
}

async fn a_newer_schema_serves_older_binaries_until_it_says_otherwise(mut bench: Bench) {
    for (serves_from, served) in [(1, true), (next_version(), false)] {
        bench.renew();
        let store = bench.open().await;
        let mut newer = known();
        newer.push(Migration {
            version: next_version(),
            serves_from,
            sql: "CREATE TABLE later (id TEXT PRIMARY KEY)",
        });
        schema::migrate(store.database(), &newer, NOW)
            .await
            .unwrap();
        store.close().await;
        match bench.try_open().await {
            Ok(_) => assert!(served),
            Err(error @ Error::SchemaTooNew { .. }) => {
                assert!(!served);
                let text = error.to_string();
                let version = env!("CARGO_PKG_VERSION");
                assert!(
                    text.contains(&format!("run version {version} of Keyward or later")),
                    "{text}"
                );
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// One from before credentials went by row would bring keys back that were taken away.
async fn a_binary_that_would_do_harm_is_told_to_stay_away(bench: Bench) {
    let store = bench.open().await;
    let mut connection = store.pool().acquire().await.unwrap();
    let applied = schema::applied(&mut connection).await.unwrap();
    for known_until in MIGRATIONS.iter().map(|one| one.version) {
        let mut theirs = known();
        theirs.retain(|one| one.version <= known_until);
        let refused = match schema::check(&applied, &theirs) {
            Err(Error::SchemaTooNew { serves_from, .. }) => Some(serves_from),
            Ok(()) => None,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(refused, (known_until < 13).then_some(13), "{known_until}");
    }
}

async fn a_migration_that_fails_leaves_the_schema_as_it_was(bench: Bench) {
    let store = bench.open().await;
    let with = |sql| {
        let mut all = known();
        all.push(Migration {
            version: next_version(),
            serves_from: 1,
            sql,
        });
        all
    };
    let failing = with("CREATE TABLE later (id TEXT PRIMARY KEY); INSERT INTO nowhere VALUES (1)");
    let database = store.database();
    assert!(schema::migrate(database, &failing, NOW).await.is_err());
    let fixed = with("CREATE TABLE later (id TEXT PRIMARY KEY)");
    schema::migrate(database, &fixed, NOW).await.unwrap();
    let edited = with("CREATE TABLE later (id TEXT PRIMARY KEY, more TEXT)");
    let refused = schema::migrate(database, &edited, NOW).await;
    assert!(matches!(refused, Err(Error::MigrationChanged { .. })));
}

async fn a_schema_that_is_too_old_or_has_a_gap_is_refused(bench: Bench) {
    let database = bench.database().await;
    let first: Vec<_> = known().drain(..1).collect();
    schema::migrate(&database, &first, NOW).await.unwrap();
    // A version that has forgotten how to go on from the first.
    let later: Vec<_> = known().drain(2..).collect();
    let refused = schema::migrate(&database, &later, NOW).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::SchemaTooOld {
                found: 1,
                oldest: 3
            }
        ),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("start the version before"),
        "{refused}"
    );
    // One that never had the fourth, which no later one needs.
    let mut gap = known();
    gap.retain(|one| one.version != 4);
    schema::migrate(&database, &gap, NOW).await.unwrap();
    let refused = schema::migrate(&database, MIGRATIONS, NOW)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, Error::MigrationMissing { version: 4, .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("backup"), "{refused}");
}

async fn of_nodes_that_start_at_once_one_migrates_and_the_others_wait(bench: Bench) {
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (location, master) = (bench.location.clone(), bench.master.clone());
        starts.spawn(async move { Store::open_at(&location, &master, NOW).await.unwrap() });
    }
    let stores = starts.join_all().await;
    let store = &stores[0];
    let applied = count(store, "SELECT count(*) FROM schema_record").await;
    assert_eq!(applied, i64::try_from(MIGRATIONS.len()).unwrap());
    for (table, rows) in [
        ("SELECT count(*) FROM nodes", 6),
        ("SELECT count(*) FROM master_keys", 1),
    ] {
        assert_eq!(count(store, table).await, rows, "{table}");
    }
}

async fn another_programs_database_is_left_alone(bench: Bench) {
    let database = bench.database().await;
    sqlx::raw_sql("CREATE TABLE theirs (id BIGINT); INSERT INTO theirs VALUES (7)")
        .execute(database.pool())
        .await
        .unwrap();
    assert!(matches!(bench.try_open().await, Err(Error::Foreign)));
    let mut connection = database.pool().acquire().await.unwrap();
    let tables = catalogue::table_names(&mut connection, database.engine());
    assert_eq!(tables.await.unwrap(), ["theirs"]);
}

async fn whether_a_node_has_begun_is_known_without_a_master_key(bench: Bench) {
    assert!(!Store::is_begun(&bench.location).await.unwrap());
    bench.open().await.close().await;
    assert!(Store::is_begun(&bench.location).await.unwrap());
}

async fn the_tables_of_the_migrations_are_known_by_name(bench: Bench) {
    let store = bench.open().await;
    let mut connection = store.pool().acquire().await.unwrap();
    let engine = store.database().engine();
    let tables = catalogue::tables(&mut connection, engine).await.unwrap();
    let applied = schema::applied(&mut connection).await.unwrap();
    schema::check_tables(&tables, &applied).unwrap();
    execute(&store, "CREATE TABLE theirs (id BIGINT)").await;
    let tables = catalogue::tables(&mut connection, engine).await.unwrap();
    let refused = schema::check_tables(&tables, &applied).unwrap_err();
    assert!(refused.to_string().contains("`theirs`"), "{refused}");
}

#[tokio::test]
async fn a_file_that_is_empty_was_begun_by_nobody() {
    let bench = Bench::sqlite();
    let path = bench.path();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::set_permissions(path.parent().unwrap(), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    assert!(!Store::is_begun(&bench.location).await.unwrap());
    assert_eq!(
        std::fs::read(&path).unwrap(),
        b"",
        "nothing was made or changed"
    );
    bench.open().await.close().await;
    assert!(Store::is_begun(&bench.location).await.unwrap());
    assert_eq!(mode(&path), 0o600);
}
