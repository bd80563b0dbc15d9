//! `keyward credential hash`.

use super::secret;
use crate::command::input::Input;
use crate::command::node_store::to_its_end;
use crate::command::{Failure, terminal};
use crate::configuration::{self, DEFAULT_FILE};
use crate::{environment, own_keys};
use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, SaltString};
use aws_lc_rs::rand;
use clap::{Args, ValueHint};
use keyward_model::{ApiKey, Clock as _, Secret, SystemClock};
use std::path::PathBuf;

/// Hash an API key or a password, so that the configuration need not hold it
///
/// The hash is made under a key of the node's database, so that it proves nothing without that: run this where
/// the node's data directory and database are. What is printed goes under `api_key: { hash: … }`, `password: { hash: … }` or
/// `password: { argon2: … }`.
#[derive(Args, Debug)]
pub(in crate::command) struct Hash {
    /// The node's configuration, which says where its data is. Without this option KEYWARD_CONFIG names
    /// it; without that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// Hash a machine's password, which goes with this name
    #[arg(long, value_name = "NAME", conflicts_with = "argon2")]
    username: Option<String>,

    /// Hash a password that somebody made up, by argon2id: slow to check, and needs no database
    #[arg(long)]
    argon2: bool,

    /// The secret; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE", value_hint = ValueHint::FilePath)]
    input: Input,
}

impl Hash {
    pub(super) fn run(self) -> Result<(), Failure> {
        let text = secret(&self.input)?;
        if self.argon2 {
            return terminal::write_line(&argon2_hash(&text)?);
        }
        if self.username.is_none() {
            ApiKey::parse(&text)
                .map_err(|error| Failure::new("API key", error.to_string(), "api_key_invalid"))?;
        }
        let keys = to_its_end(Box::pin(self.keys()))?;
        let hash = match &self.username {
            Some(username) => keys.hash_password(username, &text),
            None => keys.hash_api_key(text.as_bytes()),
        };
        terminal::write_line(&hash.to_string())
    }

    async fn keys(&self) -> Result<keyward_gateway::CredentialKeys, Failure> {
        let named = self.config.clone();
        let path = named
            .or_else(|| environment::variable(environment::CONFIG).map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let place = configuration::data_place(&path, &environment::variable)?;
        let master_key = environment::variable(environment::MASTER_KEY).map(Secret::new);
        let now = SystemClock::new().now();
        let (store, source) = own_keys::data_dir::open_store(&place, master_key, now).await?;
        if let Some(notice) = source.notice() {
            terminal::complain(&notice);
        }
        let keys = own_keys::credential_keys(&store, now).await;
        store.close().await;
        keys
    }
}

/// By the costs that OWASP recommends: 19 MiB, two passes, one lane.
fn argon2_hash(password: &str) -> Result<String, Failure> {
    let failed = |why: String| Failure::new("hash", why, "argon2");
    let mut random = [0; 16];
    rand::fill(&mut random).map_err(|_| failed("the random generator failed".to_owned()))?;
    let salt = SaltString::encode_b64(&random).map_err(|error| failed(error.to_string()))?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.map(|hash| hash.to_string())
        .map_err(|error| failed(error.to_string()))
}
