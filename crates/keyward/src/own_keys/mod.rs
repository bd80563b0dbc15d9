//! What stands in the data directory beside the database, and what all nodes of a database share.

pub(crate) mod data_dir;
pub(crate) mod master_key;
pub(crate) mod module;
mod shared_secrets;
#[cfg(test)]
mod tests;

pub(crate) use shared_secrets::{credential_keys, nonce_key};
