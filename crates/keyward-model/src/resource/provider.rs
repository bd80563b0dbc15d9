//! Providers: who serves AI models, and with which keys they are called.

use super::Target;
use crate::limit::Budget;
use crate::name::Name;
use crate::secret::Secret;
use std::num::NonZeroU32;
use std::time::Duration;

/// Who serves AI models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// What the catalogue calls it, which knows its dialect, its address and its prices.
    pub catalogue: Option<Name>,
    /// The dialect that it speaks, by name, where the catalogue does not say it.
    pub dialect: Option<Box<str>>,
    /// Where it is, in place of what the catalogue says.
    pub base_url: Option<Target>,
    /// In which header its keys go, in place of what the catalogue or the dialect says.
    pub key_header: Option<KeyHeader>,
    /// Its keys: a call takes one of them, by weight, of those that are not cooling down.
    pub credentials: Vec<ProviderKey>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a streamed answer may take to its first token.
    pub first_token_timeout: Duration,
    /// How long an answer may take in all.
    pub total_timeout: Duration,
    /// When one of its models, or all of it, is asked last for a while. `None`: never.
    pub ejection: Option<ProviderEjection>,
}

/// When who has failed is asked last for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderEjection {
    /// After so many failures in a row.
    pub failures: NonZeroU32,
    /// For so long at first, twice as long each time that it fails again.
    pub time: Duration,
    /// At most so long.
    pub max_time: Duration,
}

impl Default for ProviderEjection {
    fn default() -> Self {
        Self {
            failures: NonZeroU32::MIN.saturating_add(4),
            time: Duration::from_secs(10),
            max_time: Duration::from_secs(300),
        }
    }
}

/// One of a provider's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderKey {
    /// The key.
    pub key: Secret<String>,
    /// Its share of the calls.
    pub weight: NonZeroU32,
    /// Limits in what its calls take: while one is used up, the key is passed over.
    pub budgets: Vec<Budget>,
}

/// In which header a provider's key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyHeader {
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key`.
    XApiKey,
    /// `x-goog-api-key`.
    XGoogApiKey,
    /// `api-key`.
    ApiKey,
}

impl Provider {
    /// How long connecting may take, unless said otherwise.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// How long the first token of a stream may take, unless said otherwise: models that reason say nothing at first.
    pub const FIRST_TOKEN_TIMEOUT: Duration = Duration::from_secs(120);
    /// How long an answer may take, unless said otherwise: what the vendors' own libraries wait.
    pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(600);
}
