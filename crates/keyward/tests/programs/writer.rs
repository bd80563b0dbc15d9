//! A process that writes into a database until it is killed, and tells on standard output what was acknowledged:
//! `keyward-test-writer LOCATION MASTER_KEY`, with the path of a SQLite file or an address of PostgreSQL.
//!
//! The kill test (`tests/it/long/store_kill.rs`) reads the lines and looks for what they name. Each is one write to the
//! pipe, which the system gives whole to the reader or not at all:
//!
//! | line | was acknowledged |
//! |---|---|
//! | `begin NAME` | nothing: the set of keys NAME is about to be made, in one transaction |
//! | `set NAME` | that set, of three keys |
//! | `revocation ID` | that revocation |
//! | `event ID` | that event of the audit log |
//!
//! Another writer, such as a client of the management API, takes its place by telling the same lines, or others that
//! the test then has to look for.

use keyward_model::id::TeamId;
use keyward_model::revocation::RevocationKind;
use keyward_model::{Clock as _, Secret, SystemClock, Timestamp};
use keyward_store::{
    Action, KeyPurpose, KeyState, KeyTimes, Location, MasterKey, NewKey, PostgresSettings,
    PrivatePart, Store,
};
use serde_json::Value;
use std::error::Error;
use std::io::Write as _;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// So many at once: a kill finds some of them in the middle.
const WRITERS: usize = 4;

/// The keys of a set, made together.
const KEYS: [&str; 3] = ["a", "b", "c"];

/// Rows that are over would be swept away.
const KEPT: Duration = Duration::from_secs(365 * 24 * 3600);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(location), Some(master)) = (arguments.next(), arguments.next()) else {
        return Err("usage: keyward-test-writer LOCATION MASTER_KEY".into());
    };
    let location = if location.starts_with("postgres://") {
        Location::Postgres(PostgresSettings::parse(&location)?)
    } else {
        Location::File(location.into())
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(WRITERS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let master = MasterKey::parse(&master)?;
        let store = Store::open_at(&location, &master, SystemClock::new().now()).await?;
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            writers.spawn(write(store.clone()));
        }
        // Nobody ends but by an error.
        while let Some(ended) = writers.join_next().await {
            ended??;
        }
        Ok(())
    })
}

async fn write(store: Store) -> Outcome<()> {
    loop {
        write_set(&store).await?;
        write_revocation(&store).await?;
        write_event(&store).await?;
    }
}

fn tell(line: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(format!("{line}\n").as_bytes())?;
    output.flush()
}

async fn write_set(store: &Store) -> Outcome<()> {
    let now = SystemClock::new().now();
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| "the random generator failed")?;
    let name = format!("set-{:016x}", u64::from_be_bytes(random));
    tell(&format!("begin {name}"))?;
    let keys = KEYS.map(|kid| key(kid, now));
    store
        .keys_or_first(
            TeamId::DEFAULT,
            &name,
            &keys,
            keyward_store::Author::local("writer"),
            now,
        )
        .await?;
    tell(&format!("set {name}"))?;
    Ok(())
}

fn key(kid: &str, now: Timestamp) -> NewKey {
    NewKey {
        kid: kid.to_owned(),
        purpose: KeyPurpose::Sign,
        algorithm: "ES256".to_owned(),
        state: KeyState::Published,
        times: KeyTimes {
            published: now,
            ..KeyTimes::default()
        },
        public_jwk: "{}".to_owned(),
        private: PrivatePart::Here(Secret::new("a private part".to_owned())),
    }
}

async fn write_revocation(store: &Store) -> Outcome<()> {
    let now = SystemClock::new().now();
    let kind = RevocationKind::TokenId;
    let issuer = "https://issuer.example";
    let revocation = store
        .insert_revocation(
            TeamId::DEFAULT,
            issuer,
            kind,
            "t",
            now,
            now.plus(KEPT),
            "writer",
            now,
        )
        .await?;
    tell(&format!("revocation {}", revocation.id))?;
    Ok(())
}

async fn write_event(store: &Store) -> Outcome<()> {
    let action = Action {
        team: TeamId::DEFAULT,
        actor: "writer",
        action: "test.write",
        object: "nothing",
        detail: Value::Null,
    };
    let event = store.audit(action, SystemClock::new().now()).await?;
    tell(&format!("event {}", event.id))?;
    Ok(())
}
