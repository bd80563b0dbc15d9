//! Backups of either database, restored into either.

use super::*;
use crate::backup::{Restored, restore, restore_watching, save};
use crate::schema::{self, MIGRATIONS, Migration};
use proptest::prelude::*;

on_each_database! {
    a_backup_restores_all_that_was_there,
    a_backup_is_the_database_of_one_moment_while_others_write,
    what_holds_data_is_replaced_only_when_told_so_and_when_nobody_has_it_open,
    a_backup_of_an_earlier_schema_is_brought_up_to_date,
    what_is_damaged_restores_nothing,
    the_wrong_master_key_is_told_before_anything_is_restored,
    where_no_node_has_run_there_is_nothing_to_save,
    a_table_of_another_program_is_neither_saved_nor_replaced,
    a_character_that_can_not_be_kept_is_told_with_its_line,
}

async fn saved(bench: &Bench) -> Vec<u8> {
    let mut bytes = Vec::new();
    let saved = save(&bench.location, NOW, &mut bytes).await.unwrap();
    let rows = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| line.starts_with(b"["));
    assert_eq!(saved.rows, rows.count() as u64);
    bytes
}

async fn restored(bench: &Bench, bytes: &[u8], replace: bool) -> Result<Restored, Error> {
    let replace = replace.then_some(SHORT);
    let master = Some(&bench.master);
    restore_watching(&bench.location, master, bytes, replace, "test", NOW).await
}

/// The lines without the head and the end, in an order of their own.
fn lines(backup: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(backup).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.remove(0);
    lines.pop();
    lines.sort();
    lines
}

async fn fill(store: &Store) {
    for kid in ["k1", "k2"] {
        insert(store, kid, KeyState::Published).await.unwrap();
    }
    for value in ["a", "ü \" \\ 🔑 \n\t"] {
        revoke(store, value).await;
    }
    let account = Secret::new("an-account-key-nobody-may-see".to_owned());
    store
        .put_acme_account("https://ca.example", &account, NOW)
        .await
        .unwrap();
    store.quota_secret().await.unwrap();
}

async fn a_backup_restores_all_that_was_there(bench: Bench) {
    let store = bench.open().await;
    fill(&store).await;
    let chain = store.verify_audit_chain().await.unwrap();
    let backup = saved(&bench).await;
    let text = String::from_utf8(backup.clone()).unwrap();
    assert!(!text.contains("nobody-may-see"));
    assert!(!text.contains(bench.master.to_text().reveal()));

    // Into the other kind and into the same.
    let mut targets = vec![Bench::sqlite(), Bench::postgres().await];
    for target in &mut targets {
        target.master = bench.master.clone();
        let restored = restored(target, &backup, false).await.unwrap();
        assert_eq!(restored.made_at, NOW.to_string());
        assert_eq!(restored.database, store.database().engine().as_str());
        let again = saved(target).await;
        let (mut before, mut after) = (lines(&backup), lines(&again));
        // One event tells of the restore.
        let event = after
            .iter()
            .position(|line| line.contains("database.restore"))
            .unwrap();
        assert!(after.remove(event).contains(&restored.sha256));
        before.sort();
        assert_eq!(before, after);

        let opened = target.open().await;
        for kid in ["k1", "k2"] {
            assert_eq!(
                private(&opened, kid).await.unwrap().as_deref(),
                Some(PRIVATE)
            );
        }
        assert_eq!(
            opened.revocations(NOW).await.unwrap(),
            store.revocations(NOW).await.unwrap()
        );
        assert_eq!(
            opened.quota_secret().await.unwrap(),
            store.quota_secret().await.unwrap()
        );
        assert_eq!(opened.marks().await.unwrap(), store.marks().await.unwrap());
        let events = opened.audit_events(chain.events, 10).await.unwrap();
        assert_eq!((events.len(), &*events[0].previous_hash), (1, &*chain.head));
        opened.verify_audit_chain().await.unwrap();
        // It goes on from there, and tells of changes.
        let mut feed = opened.change_feed().await.unwrap();
        revoke(&opened, "later").await;
        assert!(matches!(feed.next().await, Notice::Changed(_)));
    }
}

async fn a_backup_is_the_database_of_one_moment_while_others_write(bench: Bench) {
    let store = bench.open().await;
    fill(&store).await;
    let writing = store.clone();
    let writer = tokio::spawn(async move {
        // Each with its event in the audit log, in one transaction.
        for number in 0..200 {
            revoke(&writing, &format!("{number}")).await;
        }
    });
    let mut backups = Vec::new();
    while !writer.is_finished() {
        backups.push(saved(&bench).await);
    }
    writer.await.unwrap();
    assert!(backups.len() > 1);
    for backup in backups {
        let mut target = Bench::sqlite();
        target.master = bench.master.clone();
        restored(&target, &backup, false).await.unwrap();
        let opened = target.open().await;
        let rows = opened.revocations(NOW).await.unwrap().len();
        let events = count(
            &opened,
            "SELECT count(*) FROM audit_events WHERE action = 'revocation.create'",
        );
        assert_eq!(rows, usize::try_from(events.await).unwrap());
        let mark = opened.marks().await.unwrap().revocations.inserted;
        assert_eq!(rows, usize::try_from(mark).unwrap());
        opened.verify_audit_chain().await.unwrap();
    }
}

async fn what_holds_data_is_replaced_only_when_told_so_and_when_nobody_has_it_open(bench: Bench) {
    let store = bench.open().await;
    revoke(&store, "before").await;
    let backup = saved(&bench).await;
    revoke(&store, "after").await;
    let refused = restored(&bench, &backup, false).await;
    assert!(matches!(refused, Err(Error::NotEmpty)), "{refused:?}");
    let refused = restored(&bench, &backup, true).await;
    assert!(matches!(refused, Err(Error::InUse)), "{refused:?}");
    assert_eq!(store.revocations(NOW).await.unwrap().len(), 2);
    store.close().await;
    restored(&bench, &backup, true).await.unwrap();
    let store = bench.open().await;
    assert_eq!(store.revocations(NOW).await.unwrap()[0].value, "before");
    store.close().await;
    // Another program's is no target at all.
    let mut other = bench;
    other.renew();
    let database = other.database().await;
    sqlx::raw_sql("CREATE TABLE theirs (id BIGINT)")
        .execute(database.pool())
        .await
        .unwrap();
    database.pool().close().await;
    for replace in [false, true] {
        let refused = restored(&other, &backup, replace).await;
        assert!(matches!(refused, Err(Error::Foreign)), "{refused:?}");
    }
}

async fn a_backup_of_an_earlier_schema_is_brought_up_to_date(mut bench: Bench) {
    let database = bench.database().await;
    let first: Vec<Migration> = MIGRATIONS[..1]
        .iter()
        .map(|one| Migration { ..*one })
        .collect();
    schema::migrate(&database, &first, NOW).await.unwrap();
    let fixture = include_str!("../../migrations/fixtures/0001.sql");
    sqlx::raw_sql(fixture)
        .execute(database.pool())
        .await
        .unwrap();
    let backup = saved(&bench).await;
    bench.renew();
    restored(&bench, &backup, false).await.unwrap();
    let store = bench.open().await;
    assert_eq!(store.revocations(NOW).await.unwrap()[0].value, "eve");
    assert_eq!(store.keys(TEAM, "self").await.unwrap().len(), 2);
    revoke(&store, "new").await;
    assert_eq!(store.marks().await.unwrap().revocations.inserted, 1);

    // Of a later one it says which version to take.
    let text = String::from_utf8(saved(&bench).await).unwrap();
    let later = text.replacen(
        "\"migrations\":[",
        "\"migrations\":[{\"version\":9999,\"checksum\":\"\"},",
        1,
    );
    bench.renew();
    let refused = restored(&bench, later.as_bytes(), false).await.unwrap_err();
    assert!(matches!(refused, Error::BackupTooNew { .. }), "{refused}");
    assert!(
        refused.to_string().contains(env!("CARGO_PKG_VERSION")),
        "{refused}"
    );
}

async fn what_is_damaged_restores_nothing(mut bench: Bench) {
    let store = bench.open().await;
    fill(&store).await;
    let backup = saved(&bench).await;
    let text = String::from_utf8(backup.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |place: usize| {
        let mut left = lines.clone();
        left.remove(place);
        left.join("\n") + "\n"
    };
    let last = lines.len() - 1;
    let row = lines
        .iter()
        .position(|line| line.contains("\"session\",\"a\""))
        .unwrap();
    let cases = [
        (text.replace("\"a\"", "\"b\""), "another hash"),
        (without(row), "count the rows"),
        (without(last), "before its end"),
        (
            text[..text.floor_char_boundary(text.len() / 2)].to_owned(),
            "before its end",
        ),
        (text.trim_end().to_owned(), "before its end"),
        (format!("{text}{text}"), "behind the end"),
        (format!("{text} "), "behind the end"),
        (without(1), "can't be read"),
        (
            text.replace("\"table\":\"keys\"", "\"table\":\"kezs\""),
            "table that there is not",
        ),
        (
            text.replace("\"columns\":[\"id\"", "\"columns\":[\"iid\""),
            "other columns",
        ),
        (
            text.replacen("[\"00000000000000000000000000000001\",", "[7,", 1),
            "another type",
        ),
        (
            text.replacen("[\"00000000000000000000000000000001\",", "[", 1),
            "can't be read",
        ),
    ];
    bench.renew();
    for (damaged, said) in cases {
        assert_ne!(damaged, text, "{said}");
        let refused = restored(&bench, damaged.as_bytes(), false)
            .await
            .expect_err(said);
        assert!(
            matches!(refused, Error::BackupBroken { .. }),
            "{said}: {refused}"
        );
        assert!(refused.to_string().contains(said), "{said}: {refused}");
    }
    for (other, said) in [
        ("", "empty"),
        ("{}\n", "first line"),
        ("# a letter\n", "first line"),
        ("\u{1f}", "first line"),
        ("{\"keyward_backup\":2}\n", "later version"),
    ] {
        let refused = restored(&bench, other.as_bytes(), false).await.unwrap_err();
        assert!(matches!(refused, Error::NoBackup(_)), "{other}: {refused}");
        assert!(refused.to_string().contains(said), "{other}: {refused}");
    }
    let packed = restored(&bench, &[0x1f, 0x8b, 8, 0, 10], false)
        .await
        .unwrap_err();
    assert!(packed.to_string().contains("gunzip"), "{packed}");
    // Nothing was left behind by any of them.
    assert!(!Store::is_begun(&bench.location).await.unwrap());
    restored(&bench, &backup, false).await.unwrap();
}

async fn the_wrong_master_key_is_told_before_anything_is_restored(mut bench: Bench) {
    let store = bench.open().await;
    insert(&store, "k1", KeyState::Active).await.unwrap();
    let backup = saved(&bench).await;
    bench.renew();
    let other = MasterKey::generate().unwrap();
    let refused = restore(&bench.location, Some(&other), &*backup, false, "test", NOW).await;
    assert!(matches!(refused, Err(Error::WrongMasterKey)), "{refused:?}");
    assert!(!Store::is_begun(&bench.location).await.unwrap());
    restore(&bench.location, None, &*backup, false, "test", NOW)
        .await
        .unwrap();
    let refused = Store::open_at(&bench.location, &other, NOW).await;
    assert!(matches!(refused, Err(Error::WrongMasterKey)), "{refused:?}");
    assert!(private(&bench.open().await, "k1").await.unwrap().is_some());
}

async fn where_no_node_has_run_there_is_nothing_to_save(bench: Bench) {
    let mut bytes = Vec::new();
    let refused = save(&bench.location, NOW, &mut bytes).await;
    assert!(matches!(refused, Err(Error::Missing)), "{refused:?}");
    assert!(bytes.is_empty());
    if let Location::File(path) = &bench.location {
        assert!(!path.exists());
    }
}

async fn a_table_of_another_program_is_neither_saved_nor_replaced(bench: Bench) {
    let store = bench.open().await;
    revoke(&store, "a").await;
    let backup = saved(&bench).await;
    execute(
        &store,
        "CREATE TABLE theirs (id BIGINT); INSERT INTO theirs VALUES (7)",
    )
    .await;
    store.close().await;
    let mut bytes = Vec::new();
    let refused = save(&bench.location, NOW, &mut bytes).await.unwrap_err();
    assert_eq!(refused.code(), "store_foreign");
    assert!(refused.to_string().contains("`theirs`"), "{refused}");
    assert!(bytes.is_empty());
    let refused = restored(&bench, &backup, true).await.unwrap_err();
    assert!(refused.to_string().contains("`theirs`"), "{refused}");
    let store = bench.open().await;
    assert_eq!(count(&store, "SELECT id FROM theirs").await, 7);
    assert_eq!(store.revocations(NOW).await.unwrap().len(), 1);
}

async fn a_character_that_can_not_be_kept_is_told_with_its_line(mut bench: Bench) {
    // As an earlier version wrote it into SQLite.
    let source = Bench::sqlite();
    let store = source.open().await;
    revoke(&store, "a").await;
    execute(
        &store,
        "UPDATE revocations SET value = 'a' || char(0) || 'b'",
    )
    .await;
    store.close().await;
    let backup = saved(&source).await;
    bench.master = source.master.clone();
    let outcome = restored(&bench, &backup, false).await;
    if bench.location == source.location || matches!(bench.location, Location::File(_)) {
        outcome.unwrap();
        return;
    }
    let text = String::from_utf8(backup).unwrap();
    let line = text
        .lines()
        .position(|line| line.contains("a\\u0000b"))
        .unwrap()
        + 1;
    let refused = outcome.unwrap_err();
    assert_eq!(refused.code(), "store_nul");
    assert!(
        refused.to_string().contains(&format!("line {line} ")),
        "{refused}"
    );
}

/// A backup on its way that does something before its last line is read.
struct Interrupted<'b, F> {
    rest: &'b [u8],
    last: &'b [u8],
    act: Option<F>,
}

impl<F: FnOnce()> std::io::Read for Interrupted<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = std::mem::take(&mut self.last);
            self.act.take().map(|act| act()).unwrap_or_default();
        }
        self.rest.read(buffer)
    }
}

#[tokio::test]
async fn a_restore_that_fails_leaves_the_file_to_who_has_begun_to_use_it() {
    let source = Bench::sqlite();
    let store = source.open().await;
    revoke(&store, "a").await;
    let backup = saved(&source).await;
    let end = backup.len() - 2;
    let last = backup[..end]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap();

    let target = Bench::sqlite();
    let mut begun = None;
    let input = Interrupted {
        rest: &backup[..last],
        last: b"\n{}\n",
        // A node that starts meanwhile has the file open, and waits.
        act: Some(|| {
            let location = target.location.clone();
            let opening = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let runtime = runtime.unwrap();
                let database = runtime.block_on(Database::open(&location, SHORT)).unwrap();
                (runtime, database)
            });
            begun = Some(opening.join().unwrap());
        }),
    };
    let input = std::io::BufReader::with_capacity(64, input);
    let refused = restore(
        &target.location,
        Some(&source.master),
        input,
        false,
        "test",
        NOW,
    )
    .await;
    assert!(
        matches!(refused, Err(Error::BackupBroken { .. })),
        "{refused:?}"
    );
    let (runtime, database) = begun.unwrap();
    let written = std::thread::spawn(move || {
        runtime.block_on(async {
            schema::migrate(&database, MIGRATIONS, NOW).await.unwrap();
            sqlx::query("INSERT INTO revisions (number, created_at, actor, summary) VALUES (1, 0, 'test', '')")
                .execute(database.pool())
                .await
                .unwrap();
            database.pool().close().await;
        });
    });
    written.join().unwrap();
    let opened = target.open().await;
    assert_eq!(opened.marks().await.unwrap().revision, Revision(1));
}

#[tokio::test]
async fn a_node_that_comes_while_it_is_watched_is_seen_and_one_of_another_schema_is_not() {
    let bench = Bench::postgres().await;
    let store = bench.open().await;
    let backup = saved(&bench).await;
    store.close().await;
    let (server, location) = (bench.server().address(), bench.location.clone());
    bench.server().sql(
        "test1",
        "CREATE ROLE theirs LOGIN; CREATE SCHEMA theirs AUTHORIZATION theirs;
         ALTER ROLE theirs SET search_path = theirs",
    );
    let theirs = bench::at(&format!("postgres://theirs@{server}/test1"));
    let master = MasterKey::generate().unwrap();
    let _beside = Store::open_at(&theirs, &master, NOW).await.unwrap();
    restored(&bench, &backup, true).await.unwrap();

    // One that had lost the database and comes back.
    let watching = tokio::spawn(async move {
        let long = Some(Duration::from_secs(3600));
        restore_watching(&location, None, &*backup, long, "test", NOW).await
    });
    let watches = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'keyward public' AND query LIKE '%pg_stat_activity%'
          AND state = 'idle'";
    keyward_testkit::until("it has looked", async || {
        bench.server().sql("test1", watches) != "0"
    })
    .await;
    let back = bench.open().await;
    let refused = watching.await.unwrap();
    assert!(matches!(refused, Err(Error::InUse)), "{refused:?}");
    back.ping().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is done to its bytes, a backup is restored as it was or not at all, and nothing panics.
    #[test]
    fn changed_bytes_are_noticed(place in 0.0..1.0_f64, byte: u8, cut: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::sqlite();
            let store = bench.open().await;
            revoke(&store, "a").await;
            store.close().await;
            let backup = saved(&bench).await;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in some kilobytes")]
            let place = (place * backup.len() as f64) as usize;
            let mut damaged = backup.clone();
            if cut { damaged.truncate(place); } else { damaged[place] = byte; }
            let mut target = Bench::sqlite();
            target.master = bench.master.clone();
            let outcome = restored(&target, &damaged, false).await;
            assert_eq!(outcome.is_ok(), damaged == backup, "{outcome:?}");
        });
    }
}
