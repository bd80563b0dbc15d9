//! The data keys of a database, unwrapped as they are needed.

use super::{
    KEY_LENGTH, MacKey, MasterKey, Place, Purpose, Sealed, WrappingKey, expand, random_id,
    random_key,
};
use crate::Error;
use crate::database::{Connection, Database, Transaction};
use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_model::id::DataKeyId;
use keyward_model::{Secret, Timestamp};
use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// The data keys that were used, and what opens the others.
pub(crate) struct Keyring {
    master: Mutex<Arc<Master>>,
    known: Mutex<HashMap<DataKeyId, Arc<DataKey>>>,
}

struct DataKey {
    id: DataKeyId,
    purpose: Purpose,
    key: WrappingKey,
}

/// What the master key is used for, and the row it is known by.
struct Master {
    id: String,
    wrapping: WrappingKey,
}

#[derive(sqlx::FromRow)]
struct DataKeyRow {
    id: String,
    purpose: String,
    wrapped: String,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring([secret])")
    }
}

impl Keyring {
    /// Compares the master key with the one that the database knows; the first one is taken as it is.
    pub(crate) async fn open(
        database: &Database,
        master: &MasterKey,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let mut transaction = database.begin_write().await?;
        let id = match Self::check(&mut transaction, master).await? {
            Some(id) => id,
            None => insert_master(&mut transaction, master, now).await?,
        };
        transaction.commit().await?;
        let wrapping = master.derive(b"wrap")?;
        Ok(Self {
            master: Mutex::new(Arc::new(Master { id, wrapping })),
            known: Mutex::default(),
        })
    }

    /// Compares the master key with the one that the database knows, whose row it gives; `None` when it knows
    /// none yet.
    pub(crate) async fn check(
        connection: &mut Connection,
        master: &MasterKey,
    ) -> Result<Option<String>, Error> {
        let current: Option<(String, String)> =
            sqlx::query_as("SELECT id, key_check FROM master_keys WHERE current = 1")
                .persistent(false)
                .fetch_optional(connection)
                .await?;
        let Some((id, key_check)) = current else {
            return Ok(None);
        };
        let ours = check_value(master, &id)?;
        constant_time::verify_slices_are_equal(ours.as_bytes(), key_check.as_bytes())
            .map_err(|_| Error::WrongMasterKey)?;
        Ok(Some(id))
    }

    /// Seals `plaintext` with the current data key of `purpose`, made now if there is none yet.
    pub(crate) async fn seal(
        &self,
        transaction: &mut Transaction,
        purpose: Purpose,
        place: Place<'_>,
        plaintext: &[u8],
        now: Timestamp,
    ) -> Result<String, Error> {
        let row: Option<DataKeyRow> = sqlx::query_as(
            "SELECT id, purpose, wrapped FROM data_keys WHERE purpose = $1 AND current = 1",
        )
        .bind(purpose.as_str())
        .fetch_optional(&mut **transaction)
        .await?;
        let key = match row {
            Some(row) => self.unwrap(&row)?,
            // Not remembered: the transaction may be rolled back, and the row with it.
            None => self.make(transaction, purpose, now).await?,
        };
        key.key
            .seal(&key.id.to_string(), purpose.as_str(), place, plaintext)
    }

    /// Opens what [`seal`](Self::seal) made for the same purpose and place.
    pub(crate) async fn open_sealed(
        &self,
        connection: &mut Connection,
        purpose: Purpose,
        place: Place<'_>,
        text: &str,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let sealed = Sealed::parse(text).ok_or_else(|| place.refused())?;
        let id = DataKeyId::from_str(sealed.id).map_err(|_| place.refused())?;
        let cached = self.known().get(&id).cloned();
        let key = match cached {
            Some(key) => key,
            None => {
                let row: Option<DataKeyRow> =
                    sqlx::query_as("SELECT id, purpose, wrapped FROM data_keys WHERE id = $1")
                        .bind(sealed.id)
                        .fetch_optional(connection)
                        .await?;
                let key = Arc::new(self.unwrap(&row.ok_or_else(|| place.refused())?)?);
                self.known().insert(id, Arc::clone(&key));
                key
            }
        };
        if key.purpose != purpose {
            return Err(place.refused());
        }
        key.key.open(purpose.as_str(), place, &sealed)
    }

    /// Keys for MACs that are derived from the data keys of `purpose`: the current one first, made now if there is
    /// none yet, then those before it.
    pub(crate) async fn mac_keys(
        &self,
        transaction: &mut Transaction,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Vec<MacKey>, Error> {
        let mut keys = self.existing_mac_keys(transaction, purpose).await?;
        if keys.is_empty() {
            keys.push(self.make(transaction, purpose, now).await?.mac_key()?);
        }
        Ok(keys)
    }

    /// Those that there are, the current one first.
    pub(crate) async fn existing_mac_keys(
        &self,
        connection: &mut Connection,
        purpose: Purpose,
    ) -> Result<Vec<MacKey>, Error> {
        let rows: Vec<DataKeyRow> = sqlx::query_as(
            "SELECT id, purpose, wrapped FROM data_keys WHERE purpose = $1
             ORDER BY CASE WHEN current = 1 THEN 0 ELSE 1 END, created_at DESC",
        )
        .bind(purpose.as_str())
        .fetch_all(connection)
        .await?;
        rows.iter().map(|row| self.unwrap(row)?.mac_key()).collect()
    }

    /// Wraps all data keys with `new` in the place of `old`. No field is touched.
    pub(crate) async fn replace_master(
        &self,
        transaction: &mut Transaction,
        old: &MasterKey,
        new: &MasterKey,
        now: Timestamp,
    ) -> Result<Replaced, Error> {
        let held = self.held_master(transaction).await?;
        let key_check: (String,) =
            sqlx::query_as("SELECT key_check FROM master_keys WHERE id = $1 AND current = 1")
                .bind(&held.id)
                .fetch_one(&mut **transaction)
                .await?;
        let ours = check_value(old, &held.id)?;
        constant_time::verify_slices_are_equal(ours.as_bytes(), key_check.0.as_bytes())
            .map_err(|_| Error::WrongMasterKey)?;

        sqlx::query("UPDATE master_keys SET current = NULL, replaced_at = $1 WHERE id = $2")
            .bind(now.as_micros())
            .bind(&held.id)
            .execute(&mut **transaction)
            .await?;
        let master = Master {
            id: insert_master(transaction, new, now).await?,
            wrapping: new.derive(b"wrap")?,
        };
        let rows: Vec<DataKeyRow> = sqlx::query_as("SELECT id, purpose, wrapped FROM data_keys")
            .fetch_all(&mut **transaction)
            .await?;
        for row in &rows {
            let key = self.unwrap(row)?;
            sqlx::query("UPDATE data_keys SET wrapped = $1 WHERE id = $2")
                .bind(master.wrap(&key)?)
                .bind(&row.id)
                .execute(&mut **transaction)
                .await?;
        }
        Ok(Replaced {
            master: Arc::new(master),
            data_keys: rows.len(),
        })
    }

    /// Goes over to the new master key, after the transaction was committed.
    pub(crate) fn adopt(&self, replaced: Replaced) {
        *self.master.lock().unwrap_or_else(PoisonError::into_inner) = replaced.master;
    }

    async fn make(
        &self,
        transaction: &mut Transaction,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<DataKey, Error> {
        let master = self.held_master(transaction).await?;
        let key = DataKey {
            id: DataKeyId::new(now, random_id()?),
            purpose,
            key: WrappingKey(random_key()?),
        };
        sqlx::query(
            "INSERT INTO data_keys (id, purpose, current, wrapped, created_at)
             VALUES ($1, $2, 1, $3, $4)",
        )
        .bind(key.id.to_string())
        .bind(purpose.as_str())
        .bind(master.wrap(&key)?)
        .bind(now.as_micros())
        .execute(&mut **transaction)
        .await?;
        Ok(key)
    }

    /// The master key in memory, if it is still the database's: another process may have replaced it.
    async fn held_master(&self, transaction: &mut Transaction) -> Result<Arc<Master>, Error> {
        let held = self.master();
        let current: Option<(String,)> =
            sqlx::query_as("SELECT id FROM master_keys WHERE current = 1")
                .fetch_optional(&mut **transaction)
                .await?;
        if current.is_some_and(|(id,)| id == held.id) {
            Ok(held)
        } else {
            Err(Error::MasterKeyReplaced)
        }
    }

    fn unwrap(&self, row: &DataKeyRow) -> Result<DataKey, Error> {
        let place = data_key_place(&row.id);
        let id = DataKeyId::from_str(&row.id)
            .map_err(|_| Error::malformed("data_keys", "id", &row.id))?;
        let purpose = Purpose::parse(&row.purpose)
            .ok_or_else(|| Error::malformed("data_keys", "purpose", &row.id))?;
        let sealed = Sealed::parse(&row.wrapped).ok_or_else(|| place.refused())?;
        let master = self.master();
        if sealed.id != master.id {
            return Err(Error::MasterKeyReplaced);
        }
        let bytes = master.wrapping.open(purpose.as_str(), place, &sealed)?;
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        if bytes.len() != KEY_LENGTH {
            return Err(place.refused());
        }
        key.copy_from_slice(&bytes);
        Ok(DataKey {
            id,
            purpose,
            key: WrappingKey(key),
        })
    }

    fn master(&self) -> Arc<Master> {
        Arc::clone(&self.master.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<DataKeyId, Arc<DataKey>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DataKey {
    /// A key of its own for MACs, so that one key never serves two constructions.
    fn mac_key(&self) -> Result<MacKey, Error> {
        let salt = format!("keyward {} mac", self.purpose.as_str());
        let key = expand(salt.as_bytes(), &self.key.0, &[b"hmac-sha-256"])?;
        Ok(MacKey {
            id: self.id,
            key: Secret::new(*key),
        })
    }
}

impl Master {
    fn wrap(&self, key: &DataKey) -> Result<String, Error> {
        let id = key.id.to_string();
        self.wrapping.seal(
            &self.id,
            key.purpose.as_str(),
            data_key_place(&id),
            &*key.key.0,
        )
    }
}

/// The new master key, to be [adopted](Keyring::adopt), and how many data keys it wraps.
pub(crate) struct Replaced {
    master: Arc<Master>,
    pub(crate) data_keys: usize,
}

fn data_key_place(row: &str) -> Place<'_> {
    Place {
        table: "data_keys",
        column: "wrapped",
        row,
        team: None,
    }
}

async fn insert_master(
    transaction: &mut Transaction,
    master: &MasterKey,
    now: Timestamp,
) -> Result<String, Error> {
    let id = DataKeyId::new(now, random_id()?).to_string();
    sqlx::query(
        "INSERT INTO master_keys (id, current, key_check, created_at) VALUES ($1, 1, $2, $3)",
    )
    .bind(&id)
    .bind(check_value(master, &id)?)
    .bind(now.as_micros())
    .execute(&mut **transaction)
    .await?;
    Ok(id)
}

/// Tells one master key from another: a key derived from it, hashed with the row's random identifier.
fn check_value(master: &MasterKey, id: &str) -> Result<String, Error> {
    let key = master.derive(b"check")?;
    let tag = aws_lc_rs::hmac::sign(
        &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &*key.0),
        id.as_bytes(),
    );
    Ok(URL_SAFE_NO_PAD.encode(tag))
}
