//! `kill -9` while many write: what was acknowledged is there after the next start, and nothing is there by half.

use keyward_model::id::TeamId;
use keyward_model::{Clock as _, SystemClock};
use keyward_store::{Location, MasterKey, PostgresSettings, Store};
use keyward_testkit::PostgresServer;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// How often the writer is killed, on each database.
const KILLS: usize = 100;

/// The kill comes after so many acknowledgements at most; at none, into its start.
const ACKNOWLEDGED_MAX: usize = 40;

/// Every so many rounds PostgreSQL is killed, too.
const SERVER_KILLED_EVERY: usize = 5;

/// Keys of a set, made in one transaction.
const KEYS_OF_A_SET: usize = 3;

/// What writers have told.
#[derive(Default)]
struct Told {
    begun: BTreeSet<String>,
    sets: BTreeSet<String>,
    revocations: BTreeSet<String>,
    events: BTreeSet<String>,
}

impl Told {
    fn acknowledged(&self) -> usize {
        self.sets.len() + self.revocations.len() + self.events.len()
    }

    fn take(&mut self, line: &str) {
        let (kind, name) = line.split_once(' ').unwrap();
        let told = match kind {
            "begin" => &mut self.begun,
            "set" => &mut self.sets,
            "revocation" => &mut self.revocations,
            "event" => &mut self.events,
            _ => panic!("{line}"),
        };
        assert!(told.insert(name.to_owned()), "{line} was told twice");
    }

    /// Lets a writer write until it has told of so many, and kills it.
    fn of_one_that_is_killed(&mut self, location: &str, master: &MasterKey, after: usize) {
        let mut writer = Command::new(env!("CARGO_BIN_EXE_keyward-test-writer"))
            .args([location, master.to_text().reveal()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let wanted = self.acknowledged() + after;
        while self.acknowledged() < wanted {
            let line = lines
                .next()
                .expect("the writer has ended by itself")
                .unwrap();
            self.take(&line);
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        // What it had told before it was killed.
        for line in lines {
            self.take(&line.unwrap());
        }
    }

    async fn check(&self, store: &Store, round: usize) {
        let now = SystemClock::new().now();
        let revocations = store.revocations(now).await.unwrap();
        let there: BTreeSet<_> = revocations.iter().map(|row| row.id.to_string()).collect();
        let lost: Vec<_> = self.revocations.difference(&there).collect();
        assert!(lost.is_empty(), "round {round}: revocations {lost:?}");
        // A row, its number and its event are one.
        let mark = store.revocation_mark().await.unwrap();
        assert_eq!(
            usize::try_from(mark.inserted).unwrap(),
            there.len(),
            "round {round}"
        );

        let chain = store.verify_audit_chain().await.unwrap();
        let (mut events, mut created, mut after) = (BTreeSet::new(), 0, 0);
        while after < chain.events {
            for event in store.audit_events(after, 1_000).await.unwrap() {
                after = event.sequence;
                created += usize::from(event.action == "revocation.create");
                events.insert(event.id);
            }
        }
        let lost: Vec<_> = self.events.difference(&events).collect();
        assert!(lost.is_empty(), "round {round}: events {lost:?}");
        assert_eq!(created, there.len(), "round {round}");

        let mut keys_in_all = 0;
        for name in &self.begun {
            let keys = store.keys(TeamId::DEFAULT, name).await.unwrap().len();
            let whole = keys == KEYS_OF_A_SET;
            assert!(
                whole || (keys == 0 && !self.sets.contains(name)),
                "round {round}: {name} has {keys} keys"
            );
            keys_in_all += keys;
        }
        let counted = store.marks().await.unwrap().keys;
        assert_eq!(
            usize::try_from(counted).unwrap(),
            keys_in_all,
            "round {round}"
        );
    }
}

/// After how many acknowledgements the round's kill comes: each number about as often.
fn after(round: usize) -> usize {
    round * 17 % (ACKNOWLEDGED_MAX + 1)
}

#[tokio::test]
async fn what_was_acknowledged_on_sqlite_survives_a_hundred_kills() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data").join("keyward.db");
    let master = MasterKey::generate().unwrap();
    let mut told = Told::default();
    for round in 0..KILLS {
        told.of_one_that_is_killed(path.to_str().unwrap(), &master, after(round));
        let store = Store::open(&path, &master, SystemClock::new().now())
            .await
            .unwrap();
        told.check(&store, round).await;
        store.close().await;
    }
    report("SQLite", &told);
}

#[tokio::test]
async fn what_was_acknowledged_on_postgres_survives_a_hundred_kills() {
    let mut server = PostgresServer::start().await;
    let url = server.new_database();
    let location = Location::Postgres(PostgresSettings::parse(&url).unwrap());
    let master = MasterKey::generate().unwrap();
    let mut told = Told::default();
    for round in 0..KILLS {
        told.of_one_that_is_killed(&url, &master, after(round));
        if round % SERVER_KILLED_EVERY == 0 {
            server.kill();
            server.bring_back().await;
        }
        let store = Store::open_at(&location, &master, SystemClock::new().now())
            .await
            .unwrap();
        told.check(&store, round).await;
        store.close().await;
    }
    report("PostgreSQL", &told);
}

fn report(database: &str, told: &Told) {
    assert!(told.acknowledged() > KILLS);
    println!(
        "{database}: {KILLS} kills; all there: {} sets of keys of {} that were begun, {} revocations, {} events",
        told.sets.len(),
        told.begun.len(),
        told.revocations.len(),
        told.events.len()
    );
}
