//! The keys of key sets: our own issuer's, and those of teams' issuers.
//!
//! Private parts are sealed; only [`Store::private_jwk`] opens them. A key's state and its times come
//! from the rotation's state machine in the JOSE crate; here they are kept, and two processes that change
//! the same key at once are told apart by its `version`.

use crate::audit::{self, Action};
use crate::changes::{Subject, raise};
use crate::database::Transaction;
use crate::error::is_unique_violation;
use crate::hierarchy::{Place, Purpose, random_id};
use crate::management::Author;
use crate::{Error, Store, module_key};
use keyward_model::id::{KeyId, TeamId};
use keyward_model::{Secret, Timestamp};
use serde_json::json;
use std::time::Duration;

/// What a key of ours does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPurpose {
    /// Signs tokens.
    Sign,
    /// Others encrypt to it; we decrypt.
    Encrypt,
}

impl KeyPurpose {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Encrypt => "encrypt",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Sign, Self::Encrypt]
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
    }
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyState {
    /// In the set, so that caches learn it; not used yet.
    Published,
    /// In the set and used.
    Active,
    /// In the set for what it made before; makes nothing more.
    Retiring,
    /// No longer in the set.
    Retired,
    /// Taken out at once: what it made is refused.
    Withdrawn,
}

impl KeyState {
    /// All of them, in the order of a key's life.
    pub const ALL: [Self; 5] = [
        Self::Published,
        Self::Active,
        Self::Retiring,
        Self::Retired,
        Self::Withdrawn,
    ];

    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Withdrawn => "withdrawn",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether the private part can still be of use. Of the others it is wiped.
    #[must_use]
    pub const fn keeps_private_part(self) -> bool {
        match self {
            Self::Published | Self::Active | Self::Retiring => true,
            Self::Retired | Self::Withdrawn => false,
        }
    }
}

/// When a key came, or will come, into each of its states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyTimes {
    /// Into the published set.
    pub published: Timestamp,
    /// Nobody's copy of the set is without it: from here on it may be used.
    pub ready: Timestamp,
    /// Into use.
    pub activated: Option<Timestamp>,
    /// Out of use.
    pub retiring: Option<Timestamp>,
    /// Out of the set: known from when it went out of use.
    pub retired: Option<Timestamp>,
    /// Out of everything.
    pub withdrawn: Option<Timestamp>,
    /// How long what it signs may be good, at most; zero where nobody has said so of this key.
    pub retire_after: Duration,
}

/// A key to be stored.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its `kid`, unique in the set.
    pub kid: String,
    /// What it does.
    pub purpose: KeyPurpose,
    /// Its `alg`.
    pub algorithm: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// Since when.
    pub times: KeyTimes,
    /// The public JWK, as JSON.
    pub public_jwk: String,
    /// What makes it a key.
    pub private: PrivatePart,
}

/// Where the private part of a key is.
#[derive(Clone, Debug)]
pub enum PrivatePart {
    /// Here: the private JWK, as JSON, to be sealed.
    Here(Secret<String>),
    /// In a module, which knows it by this reference. It was announced before
    /// ([`announce_module_keys`](Store::announce_module_keys)).
    InModule(String),
}

/// A key as stored, without its private part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// The row.
    pub id: KeyId,
    /// Whose key it is.
    pub team: TeamId,
    /// Which set it stands in: `self`, or the name of a team's issuer.
    pub issuer: String,
    /// Its `kid`.
    pub kid: String,
    /// What it does.
    pub purpose: KeyPurpose,
    /// Its `alg`.
    pub algorithm: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// Since when.
    pub times: KeyTimes,
    /// Raised by each change.
    pub version: i64,
    /// The public JWK, as JSON.
    pub public_jwk: String,
    /// What a module knows its private part by, where that is not in the database; none once it is destroyed.
    pub module_key: Option<String>,
}

/// A change of a key's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// Which key.
    pub id: KeyId,
    /// The version that was read and decided upon.
    pub version: i64,
    /// The new state.
    pub state: KeyState,
    /// All times, the new one among them. When it was published stays.
    pub times: KeyTimes,
}

const SELECT: &str = "
    SELECT id, team, issuer, purpose, algorithm, kid, state, version, public_jwk, module_key,
           published_at, ready_at, activated_at, retiring_at, retired_at, withdrawn_at, retire_after
    FROM keys WHERE team = $1 AND issuer = $2 ORDER BY published_at, id";

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    team: String,
    issuer: String,
    purpose: String,
    algorithm: String,
    kid: String,
    state: String,
    version: i64,
    public_jwk: String,
    module_key: Option<String>,
    published_at: i64,
    ready_at: i64,
    activated_at: Option<i64>,
    retiring_at: Option<i64>,
    retired_at: Option<i64>,
    withdrawn_at: Option<i64>,
    retire_after: i64,
}

impl TryFrom<KeyRow> for StoredKey {
    type Error = Error;
    fn try_from(row: KeyRow) -> Result<Self, Error> {
        let malformed = |column| Error::malformed("keys", column, &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| malformed("id"))?,
            team: row.team.parse().map_err(|_| malformed("team"))?,
            purpose: KeyPurpose::parse(&row.purpose).ok_or_else(|| malformed("purpose"))?,
            state: KeyState::parse(&row.state).ok_or_else(|| malformed("state"))?,
            issuer: row.issuer,
            kid: row.kid,
            algorithm: row.algorithm,
            times: KeyTimes {
                published: Timestamp::from_micros(row.published_at),
                ready: Timestamp::from_micros(row.ready_at),
                activated: row.activated_at.map(Timestamp::from_micros),
                retiring: row.retiring_at.map(Timestamp::from_micros),
                retired: row.retired_at.map(Timestamp::from_micros),
                withdrawn: row.withdrawn_at.map(Timestamp::from_micros),
                retire_after: u64::try_from(row.retire_after)
                    .map(Duration::from_secs)
                    .map_err(|_| malformed("retire_after"))?,
            },
            version: row.version,
            public_jwk: row.public_jwk,
            module_key: row.module_key,
        })
    }
}

/// As it is stored.
fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn private_place<'a>(row: &'a str, team: TeamId) -> Place<'a> {
    Place {
        table: "keys",
        column: "private_sealed",
        row,
        team: Some(team),
    }
}

impl Store {
    /// The keys of a set, in all states, the first published first.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn keys(&self, team: TeamId, issuer: &str) -> Result<Vec<StoredKey>, Error> {
        let rows: Vec<KeyRow> = sqlx::query_as(SELECT)
            .bind(team.to_string())
            .bind(issuer)
            .fetch_all(self.pool())
            .await?;
        rows.into_iter().map(StoredKey::try_from).collect()
    }

    /// The private JWK of a key, as JSON; `None` once the key was retired or withdrawn, and of one that is in a module.
    ///
    /// # Errors
    /// [`Error::Sealed`] when it does not open.
    pub async fn private_jwk(&self, key: &StoredKey) -> Result<Option<Secret<String>>, Error> {
        let id = key.id.to_string();
        let row: Option<(Option<String>,)> =
            sqlx::query_as("SELECT private_sealed FROM keys WHERE id = $1")
                .bind(&id)
                .fetch_optional(self.pool())
                .await?;
        let Some((Some(sealed),)) = row else {
            return Ok(None);
        };
        let place = private_place(&id, key.team);
        let mut connection = self.pool().acquire().await?;
        let opened = self
            .keyring()
            .open_sealed(&mut connection, Purpose::Secrets, place, &sealed)
            .await?;
        let text = std::str::from_utf8(&opened)
            .map_err(|_| Error::malformed("keys", "private_sealed", &id))?;
        Ok(Some(Secret::new(text.to_owned())))
    }

    /// Stores a key.
    ///
    /// # Errors
    /// [`Error::Exists`] when the set has a key of this `kid`, or an active one for the same purpose and
    /// algorithm and this one is active too.
    pub async fn insert_key(
        &self,
        team: TeamId,
        issuer: &str,
        key: &NewKey,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<KeyId, Error> {
        let mut transaction = self.begin_write().await?;
        let id = self
            .write_key(&mut transaction, team, issuer, key, author, now)
            .await?;
        transaction.commit().await?;
        self.tell_of_change();
        Ok(id)
    }

    /// The keys of a set that may have none yet: of processes that start at once each comes with its own
    /// first keys, those of one are stored, and all get these.
    ///
    /// # Errors
    /// As [`insert_key`](Self::insert_key).
    pub async fn keys_or_first(
        &self,
        team: TeamId,
        issuer: &str,
        first: &[NewKey],
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<Vec<StoredKey>, Error> {
        let mut transaction = self.begin_write().await?;
        let (there,): (i64,) =
            sqlx::query_as("SELECT count(*) FROM keys WHERE team = $1 AND issuer = $2")
                .bind(team.to_string())
                .bind(issuer)
                .fetch_one(&mut *transaction)
                .await?;
        if there == 0 {
            for key in first {
                self.write_key(&mut transaction, team, issuer, key, author, now)
                    .await?;
            }
        }
        transaction.commit().await?;
        self.tell_of_change();
        self.keys(team, issuer).await
    }

    /// Stores further keys of a set, all or none, where the set is still as it was read (`seen`): of nodes that find
    /// at once that a key is wanted one makes it.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the set is another now; as [`insert_key`](Self::insert_key).
    pub async fn add_keys(
        &self,
        team: TeamId,
        issuer: &str,
        keys: &[NewKey],
        seen: &[StoredKey],
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        // Keys are never taken away and each change raises a version: the sum tells sets apart.
        let there: (i64, i64) = sqlx::query_as(
            "SELECT count(*), CAST(coalesce(sum(version), 0) AS BIGINT) FROM keys
             WHERE team = $1 AND issuer = $2",
        )
        .bind(team.to_string())
        .bind(issuer)
        .fetch_one(&mut *transaction)
        .await?;
        let versions: i64 = seen.iter().map(|key| key.version).sum();
        if there != (i64::try_from(seen.len()).unwrap_or(i64::MAX), versions) {
            return Err(Error::Conflict {
                what: format!("the key set {issuer}"),
            });
        }
        for key in keys {
            self.write_key(&mut transaction, team, issuer, key, author, now)
                .await?;
        }
        transaction.commit().await?;
        self.tell_of_change();
        Ok(())
    }

    /// Puts another public JWK in the place of a key's: the same key, with other certificates.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the key was changed since it was read.
    pub async fn replace_public_jwk(
        &self,
        key: &StoredKey,
        public_jwk: &str,
        certificates: usize,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        let row = key.id.to_string();
        let changed = sqlx::query(
            "UPDATE keys SET public_jwk = $1, version = version + 1 WHERE id = $2 AND version = $3",
        )
        .bind(public_jwk)
        .bind(&row)
        .bind(key.version)
        .execute(&mut *transaction)
        .await?;
        if changed.rows_affected() != 1 {
            return Err(Error::Conflict {
                what: format!("key {row}"),
            });
        }
        let action = Action {
            team: key.team,
            actor: author.name,
            action: "key.certify",
            object: &format!("key {row}"),
            detail: author.detail(json!({ "kid": key.kid, "certificates": certificates })),
        };
        audit::append(&mut transaction, self.node(), action, now).await?;
        raise(&mut transaction, Subject::Keys).await?;
        transaction.commit().await?;
        self.tell_of_change();
        Ok(())
    }

    /// Writes down that somebody used a key.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tell_key_use(
        &self,
        key: &StoredKey,
        about: serde_json::Value,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let action = Action {
            team: key.team,
            actor: author.name,
            action: "key.use",
            object: &format!("key {}", key.id),
            detail: author.detail(about),
        };
        self.audit(action, now).await.map(drop)
    }

    /// Changes the states of keys, all or none, in the order given: what makes room for an active key
    /// comes before it. Private parts that can no longer be of use are wiped.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a key was changed since it was read; [`Error::Exists`] when two would be
    /// active for the same purpose and algorithm.
    pub async fn change_keys(
        &self,
        changes: &[KeyChange],
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        for change in changes {
            self.write_change(&mut transaction, change, author, now)
                .await?;
        }
        transaction.commit().await?;
        self.tell_of_change();
        Ok(())
    }

    async fn write_key(
        &self,
        transaction: &mut Transaction,
        team: TeamId,
        issuer: &str,
        key: &NewKey,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<KeyId, Error> {
        let id = KeyId::new(now, random_id()?);
        let row = id.to_string();
        let (sealed, module_key) = match &key.private {
            PrivatePart::Here(private) if key.state.keeps_private_part() => {
                let place = private_place(&row, team);
                let text = private.reveal().as_bytes();
                let sealed = self
                    .keyring()
                    .seal(transaction, Purpose::Secrets, place, text, now)
                    .await?;
                (Some(sealed), None)
            }
            PrivatePart::Here(_) => (None, None),
            PrivatePart::InModule(reference) => {
                module_key::arrived(transaction, reference).await?;
                (None, Some(reference))
            }
        };
        let inserted = sqlx::query(
            "INSERT INTO keys
             (id, team, issuer, purpose, algorithm, kid, state, version, public_jwk, private_sealed,
              published_at, ready_at, activated_at, retiring_at, retired_at, withdrawn_at,
              retire_after, module_key)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        )
        .bind(&row)
        .bind(team.to_string())
        .bind(issuer)
        .bind(key.purpose.as_str())
        .bind(&key.algorithm)
        .bind(&key.kid)
        .bind(key.state.as_str())
        .bind(&key.public_jwk)
        .bind(sealed)
        .bind(key.times.published.as_micros())
        .bind(key.times.ready.as_micros())
        .bind(key.times.activated.map(Timestamp::as_micros))
        .bind(key.times.retiring.map(Timestamp::as_micros))
        .bind(key.times.retired.map(Timestamp::as_micros))
        .bind(key.times.withdrawn.map(Timestamp::as_micros))
        .bind(seconds(key.times.retire_after))
        .bind(module_key)
        .execute(&mut **transaction)
        .await;
        match inserted {
            Ok(_) => {}
            Err(error) if is_unique_violation(&error) => {
                return Err(Error::Exists {
                    what: format!(
                        "a key `{}`, or an active key for {}, of issuer {issuer}",
                        key.kid, key.algorithm
                    ),
                });
            }
            Err(error) => return Err(error.into()),
        }
        let action = Action {
            team,
            actor: author.name,
            action: "key.create",
            object: &format!("key {row}"),
            detail: author.detail(json!({
                "issuer": issuer,
                "kid": key.kid,
                "algorithm": key.algorithm,
                "state": key.state.as_str(),
                "module_key": module_key,
            })),
        };
        audit::append(transaction, self.node(), action, now).await?;
        raise(transaction, Subject::Keys).await?;
        Ok(id)
    }

    async fn write_change(
        &self,
        transaction: &mut Transaction,
        change: &KeyChange,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let row = change.id.to_string();
        let before: Option<(String, String, String, i64)> =
            sqlx::query_as("SELECT team, kid, state, version FROM keys WHERE id = $1")
                .bind(&row)
                .fetch_optional(&mut **transaction)
                .await?;
        let conflict = || Error::Conflict {
            what: format!("key {row}"),
        };
        let (team, kid, state, version) = before.ok_or_else(conflict)?;
        if version != change.version {
            return Err(conflict());
        }
        let changed = sqlx::query(
            "UPDATE keys SET state = $1, version = version + 1, ready_at = $2,
                    activated_at = $3, retiring_at = $4, retired_at = $5, withdrawn_at = $6,
                    private_sealed = CASE WHEN $7 = 1 THEN private_sealed ELSE NULL END,
                    retire_after = $10
             WHERE id = $8 AND version = $9",
        )
        .bind(change.state.as_str())
        .bind(change.times.ready.as_micros())
        .bind(change.times.activated.map(Timestamp::as_micros))
        .bind(change.times.retiring.map(Timestamp::as_micros))
        .bind(change.times.retired.map(Timestamp::as_micros))
        .bind(change.times.withdrawn.map(Timestamp::as_micros))
        .bind(i64::from(change.state.keeps_private_part()))
        .bind(&row)
        .bind(change.version)
        .bind(seconds(change.times.retire_after))
        .execute(&mut **transaction)
        .await;
        match changed {
            Ok(done) if done.rows_affected() == 1 => {}
            Ok(_) => return Err(conflict()),
            Err(error) if is_unique_violation(&error) => {
                return Err(Error::Exists {
                    what: format!("an active key beside `{kid}`"),
                });
            }
            Err(error) => return Err(error.into()),
        }
        let action = Action {
            team: team
                .parse()
                .map_err(|_| Error::malformed("keys", "team", &row))?,
            actor: author.name,
            action: "key.change",
            object: &format!("key {row}"),
            detail: author
                .detail(json!({ "kid": kid, "from": state, "to": change.state.as_str() })),
        };
        audit::append(transaction, self.node(), action, now).await?;
        raise(transaction, Subject::Keys).await?;
        Ok(())
    }
}
