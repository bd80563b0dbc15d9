//! What the store promises, held against both databases: a test that is listed in [`on_each_database`] runs
//! on SQLite and on PostgreSQL.

mod acme;
mod backup;
mod bench;
mod changes;
mod encryption;
mod failures;
mod fixtures;
mod keys;
mod management;
mod module_keys;
mod outages;
mod postgres;
mod quota;
mod records;
mod schema;
mod silence;
mod store;
mod turns;

use crate::database::Database;
use crate::*;
use bench::{Bench, on_each_database};
use keyward_model::id::{KeyId, TeamId};
use keyward_model::revocation::{Revocation, RevocationKind};
use keyward_model::{Name, Origin, Revision, Secret, Timestamp};
use serde_json::json;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const TEAM: TeamId = TeamId::DEFAULT;
const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
const SHORT: Duration = Duration::from_millis(200);
const PRIVATE: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"a-private-part-nobody-may-see"}"#;

fn key(kid: &str, state: KeyState) -> NewKey {
    NewKey {
        kid: kid.to_owned(),
        purpose: KeyPurpose::Sign,
        algorithm: "ES256".to_owned(),
        state,
        times: KeyTimes {
            published: NOW,
            ..KeyTimes::default()
        },
        public_jwk: format!(r#"{{"kid":"{kid}"}}"#),
        private: PrivatePart::Here(Secret::new(PRIVATE.to_owned())),
    }
}

async fn insert(store: &Store, kid: &str, state: KeyState) -> Result<KeyId, Error> {
    store
        .insert_key(TEAM, "self", &key(kid, state), Author::local("test"), NOW)
        .await
}

async fn private(store: &Store, kid: &str) -> Result<Option<String>, Error> {
    let keys = store.keys(TEAM, "self").await.unwrap();
    let key = keys.iter().find(|key| key.kid == kid).unwrap();
    let opened = store.private_jwk(key).await?;
    Ok(opened.map(|text| text.reveal().clone()))
}

async fn execute(store: &Store, sql: &'static str) {
    sqlx::raw_sql(sql).execute(store.pool()).await.unwrap();
}

async fn revoke(store: &Store, value: &str) -> Revocation {
    let until = NOW.plus(Duration::from_secs(100));
    let kind = RevocationKind::Session;
    let issuer = "https://i.example";
    store
        .insert_revocation(
            TEAM,
            issuer,
            kind,
            value,
            NOW,
            until,
            Author::local("test"),
            NOW,
        )
        .await
        .unwrap()
}

async fn count(store: &Store, sql: &'static str) -> i64 {
    let (count,): (i64,) = sqlx::query_as(sql).fetch_one(store.pool()).await.unwrap();
    count
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}
