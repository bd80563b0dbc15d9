//! Providers: who serves AI models, and with which keys they are called.

use super::Target;
use crate::limit::Budget;
use crate::name::Name;
use crate::secret::Secret;
use std::collections::{BTreeMap, BTreeSet};
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
    /// What stands for the words in braces of the catalogue's address, such as `region`.
    pub at: BTreeMap<Box<str>, Box<str>>,
    /// Of Azure, the version of its interface: calls then go to a deployment's own address.
    pub api_version: Option<Box<str>>,
    /// In which header its keys go, in place of what the catalogue or the dialect says.
    pub key_header: Option<KeyHeader>,
    /// Its keys: a call takes one of them, by weight, of those that are not cooling down.
    pub credentials: Vec<ProviderKey>,
    /// Whether callers may have it called with keys of their own.
    pub own_key: OwnKey,
    /// Whose models may name it besides its own team's.
    pub shared: SharedWith,
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

/// Whether callers bring keys of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OwnKey {
    /// No: what they bring is refused.
    #[default]
    Refuse,
    /// They may: a call with one goes with it alone.
    Allow,
    /// They have to.
    Require,
}

/// Whose models may name a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SharedWith {
    /// Those of its own team alone.
    #[default]
    Nobody,
    /// Those of all teams.
    All,
    /// Those of these teams too.
    Teams(BTreeSet<Name>),
}

impl SharedWith {
    /// Whether the models of this team may name it.
    #[must_use]
    pub fn has(&self, team: &Name) -> bool {
        match self {
            Self::Nobody => false,
            Self::All => true,
            Self::Teams(teams) => teams.contains(team),
        }
    }
}

/// One of a provider's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderKey {
    /// With what it is called.
    pub secret: ProviderSecret,
    /// Its share of the calls.
    pub weight: NonZeroU32,
    /// Limits in what its calls take: while one is used up, the key is passed over.
    pub budgets: Vec<Budget>,
}

/// With what a provider is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderSecret {
    /// A key, which is sent along.
    Key(Secret<String>),
    /// Keys of AWS, which sign.
    Aws(AwsKeys),
    /// An account of Google's, for tokens of an hour.
    Google(GoogleAccount),
    /// A client of Microsoft Entra, for tokens of an hour.
    Entra(EntraClient),
}

/// Keys of AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKeys {
    /// Where is signed for; the provider's own region unless said otherwise.
    pub region: Option<Box<str>>,
    /// The keys.
    pub of: AwsKeysOf,
}

/// Whose keys of AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsKeysOf {
    /// These.
    Given {
        /// The public part.
        access_key_id: Box<str>,
        /// What signs.
        secret_access_key: Secret<String>,
        /// What goes along with keys that expire.
        session_token: Option<Secret<String>>,
    },
    /// Those of the machine: of its environment, its container or its instance. For the operator's own files alone.
    Machine,
}

/// An account of Google's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoogleAccount {
    /// A service account, by the JSON of its key.
    Service(Secret<String>),
    /// That of the machine, by its metadata server. For the operator's own files alone.
    Machine,
}

/// A client of Microsoft Entra.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntraClient {
    /// The directory that it is of.
    pub tenant: Box<str>,
    /// Which.
    pub client_id: Box<str>,
    /// By which it proves that it is.
    pub client_secret: Secret<String>,
    /// Where tokens come from, in place of the public cloud's.
    pub authority: Option<Box<str>>,
    /// What for.
    pub scope: Box<str>,
}

impl EntraClient {
    /// What tokens are for, unless said otherwise: Azure's AI services.
    pub const SCOPE: &str = "https://cognitiveservices.azure.com/.default";
    /// Where tokens come from, unless said otherwise.
    pub const AUTHORITY: &str = "https://login.microsoftonline.com";
}

impl ProviderSecret {
    /// Whether it is the machine's own, which only those may use who run the machine.
    #[must_use]
    pub const fn is_of_machine(&self) -> bool {
        match self {
            Self::Key(_) | Self::Entra(_) => false,
            Self::Aws(keys) => matches!(keys.of, AwsKeysOf::Machine),
            Self::Google(account) => matches!(account, GoogleAccount::Machine),
        }
    }
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
