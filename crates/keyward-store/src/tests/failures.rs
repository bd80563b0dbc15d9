use super::*;

#[tokio::test]
async fn what_is_no_database_is_said_to_be_damaged() {
    let bench = Bench::sqlite();
    bench.open().await.close().await;
    std::fs::write(bench.path(), "This is a letter. ".repeat(500)).unwrap();
    let error = bench.try_open().await.unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
}

#[tokio::test]
async fn damaged_pages_are_said_to_be_damaged() {
    let bench = Bench::sqlite();
    bench.open().await.close().await;
    let mut bytes = std::fs::read(bench.path()).unwrap();
    bytes[4096..].fill(0xff);
    std::fs::write(bench.path(), bytes).unwrap();
    let error = bench.try_open().await.unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
}

#[tokio::test]
async fn a_database_that_another_holds_is_said_to_be_locked() {
    let mut bench = Bench::sqlite();
    bench.patience = SHORT;
    let store = bench.open().await;
    let held = store.begin_write().await.unwrap();
    let error = bench.try_open().await.unwrap_err();
    assert!(matches!(error, Error::Locked), "{error:?}");
    held.rollback().await.unwrap();
    bench.open().await;
}

async fn check_refused_write(pragma: &'static str, code: &str) {
    let bench = Bench::sqlite();
    let store = bench.open().await;
    let mut transaction = store.begin_write().await.unwrap();
    sqlx::raw_sql(pragma)
        .execute(&mut *transaction)
        .await
        .unwrap();
    let refused = sqlx::query(
        "INSERT INTO revisions (number, created_at, actor, summary)
         SELECT 1, 0, 'test', hex(zeroblob(10000000))",
    )
    .execute(&mut *transaction)
    .await
    .unwrap_err();
    assert_eq!(Error::from(refused).code(), code);
}

#[tokio::test]
async fn a_full_disk_and_a_read_only_database_are_named() {
    check_refused_write("PRAGMA max_page_count = 1", "store_disk_full").await;
    check_refused_write("PRAGMA query_only = ON", "store_read_only").await;
}

#[tokio::test]
async fn a_path_with_odd_characters_is_that_path() {
    let bench = Bench::sqlite();
    let path = bench.folder.path().join("a b?mode=ro#%41ü").join("k%20.db");
    let store = Store::open_within(&Location::File(path.clone()), &bench.master, NOW, SHORT)
        .await
        .unwrap();
    insert(&store, "k1", KeyState::Active).await.unwrap();
    store.close().await;
    assert!(std::fs::metadata(&path).unwrap().len() > 4096);
}

#[tokio::test]
async fn a_folder_is_no_database() {
    let bench = Bench::sqlite();
    std::fs::create_dir_all(bench.path()).unwrap();
    assert!(matches!(bench.try_open().await, Err(Error::File { .. })));
}
