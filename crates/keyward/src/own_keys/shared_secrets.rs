//! What all nodes of a database share beside signing keys: under what API keys are hashed, and nonces made.

use crate::command::Failure;
use keyward_gateway::CredentialKeys;
use keyward_model::{Secret, Timestamp};
use keyward_store::{MacKey, Purpose, Store};

/// Under what API keys and passwords are hashed.
pub(crate) async fn credential_keys(
    store: &Store,
    now: Timestamp,
) -> Result<CredentialKeys, Failure> {
    let (current, older) = mac_keys(store, Purpose::ApiKeyHashing, now).await?;
    let older = older.into_iter().map(|key| (key.id, key.key));
    Ok(CredentialKeys::new((current.id, current.key), older))
}

/// Under what nonces are made that clients put into their proofs.
pub(crate) async fn nonce_key(store: &Store, now: Timestamp) -> Result<Secret<[u8; 32]>, Failure> {
    let (current, _) = mac_keys(store, Purpose::Nonces, now).await?;
    Ok(current.key)
}

/// The current key, and those before it.
async fn mac_keys(
    store: &Store,
    purpose: Purpose,
    now: Timestamp,
) -> Result<(MacKey, Vec<MacKey>), Failure> {
    let failed =
        |why: String, code| Failure::new(format!("key for {}", purpose.as_str()), why, code);
    let keys = store
        .mac_keys(purpose, now)
        .await
        .map_err(|error| failed(error.to_string(), error.code()))?;
    let mut keys = keys.into_iter();
    let current = keys
        .next()
        .ok_or_else(|| failed("there is none".to_owned(), "keys"))?;
    Ok((current, keys.collect()))
}
