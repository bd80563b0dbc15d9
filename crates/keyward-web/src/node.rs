//! What the site needs of the process around it.

use crate::management::kind::KindDescription;
use crate::management::secret::masked;
use async_trait::async_trait;
use http::HeaderMap;
use keyward_model::id::{ResourceId, TeamId};
use keyward_model::resource::raw::{Declared, Problems};
use keyward_model::resource::{CustomRole, Kind, Resource};
use keyward_model::{Name, Revision, TeamName, Timestamp};
use serde_json::Value;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// What identifies a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    /// The owner.
    pub team: TeamId,
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// The version of an API.
    pub version: Option<Name>,
}

/// A resource of the database, as it is served.
#[derive(Debug)]
pub struct DatabaseResource {
    /// What identifies it.
    pub key: ResourceKey,
    /// The owner's name.
    pub team_name: TeamName,
    /// The row; `None` of one that is to be made.
    pub id: Option<ResourceId>,
    /// The revision that brought it in; `None` of one that is to be written.
    pub revision: Option<Revision>,
    /// How often credentials had been changed when this one was; 0 of all else.
    pub mark: i64,
    /// As it is stored: with references for secrets.
    pub body: Arc<Value>,
    /// What it means, with what it was read from: its places are numbers of `pointers`. `None` of a credential that is
    /// served: they are many, and nothing is told of them any more.
    pub declared: Option<Arc<Declared>>,
    /// The same, as it is served.
    pub resource: Arc<Resource>,
    /// JSON pointers by the lines of their places, counted from 1.
    pub pointers: Vec<String>,
}

impl DatabaseResource {
    /// What of it is kept while it is served.
    #[must_use]
    pub fn to_be_kept(self) -> Self {
        if !self.key.kind.changes_by_row() {
            return self;
        }
        Self {
            declared: None,
            pointers: Vec::new(),
            ..self
        }
    }

    /// By which number places tell that they are in it.
    #[must_use]
    pub fn source(&self) -> Option<u32> {
        let declared = self.declared.as_ref();
        declared.map(|declared| declared.node.place.source)
    }
}

/// Resources of the database but credentials, in the order of their keys.
pub type DatabaseResources = Arc<[Arc<DatabaseResource>]>;

/// A credential of the database that is other than what is served.
#[derive(Clone, Debug)]
pub struct CredentialUpdate {
    /// What identifies it.
    pub key: ResourceKey,
    /// What it is; `None` when it is gone.
    pub now: Option<Arc<DatabaseResource>>,
}

/// What of the database is other than what is served.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// All that it has but credentials; `None` where nothing of that has changed.
    pub resources: Option<DatabaseResources>,
    /// Where the API stands that is all that has changed of these, if that is so.
    pub only_api: Option<usize>,
    /// Its credentials that have changed.
    pub credentials: Vec<CredentialUpdate>,
    /// Whether these are all that it has.
    pub all_credentials: bool,
    /// What it has that this version can't read.
    pub unreadable: Vec<LeftOut>,
}

/// A resource of the database that a node does not serve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// What it is called.
    pub resource: String,
    /// Why it is not served, for the operator alone.
    pub why: String,
}

/// A resource of the node's own files, as it is told.
#[derive(Clone, Debug)]
pub struct FileResource {
    /// What identifies it.
    pub key: ResourceKey,
    /// The owner's name.
    pub team_name: TeamName,
    /// As it is written there: references, and no secret.
    pub body: Arc<Value>,
    /// What it means, of a kind that the site itself goes by.
    pub custom_role: Option<Arc<CustomRole>>,
}

/// Why a configuration can't be served.
#[derive(Debug)]
pub enum Unfit {
    /// What is wrong with which resources.
    Problems(Problems),
    /// What is wrong, for the operator alone.
    Node(String),
}

/// The node that the site belongs to.
#[async_trait]
pub trait Node: fmt::Debug + Send + Sync {
    /// The resources of its own files, in the order of their keys.
    async fn files(&self) -> Arc<Vec<FileResource>>;

    /// Waits until no other change is under way, and begins one: until it is dropped, what is served stays as it is.
    async fn begin(&self) -> Box<dyn Change>;

    /// Where a call comes from: the peer, or what a trusted proxy says of it.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr;

    /// Whether what others have changed can't be served here just now.
    fn is_behind(&self, behind: bool);

    /// The setup secret is used up: what the node has kept of it goes away.
    fn setup_is_claimed(&self);

    /// What it has counted of a prompt's versions since it started; none of one that it does not serve.
    fn prompt_counts(&self, team: TeamId, prompt: &Name) -> Vec<PromptVersionCounts>;

    /// The hash that is kept of an API key: `kh1.…`.
    fn hash_api_key(&self, key: &str) -> String;

    /// The hash that is kept of a machine's password.
    fn hash_password(&self, username: &str, password: &str) -> String;
}

/// What a node has counted of a version of a prompt since it started.
#[derive(Clone, Debug)]
pub struct PromptVersionCounts {
    /// The version.
    pub version: Name,
    /// Its share of calls that name no version, where it has one.
    pub weight: Option<u32>,
    /// Calls that are over.
    pub calls: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that were refused for what was sent.
    pub refused: u64,
    /// Those that failed.
    pub failed: u64,
    /// How long answered ones took together.
    pub micros: i64,
    /// The same to the beginning of the answers.
    pub first_byte_micros: i64,
    /// Tokens that were read.
    pub input_tokens: u64,
    /// Tokens that were written.
    pub output_tokens: u64,
    /// What that cost, where the price is known.
    pub cost_pico_usd: i64,
    /// Calls whose price is not known.
    pub unpriced: u64,
    /// Answers that were rated.
    pub ratings: u64,
    /// The sum of the ratings, in thousandths.
    pub score_thousandths: i64,
    /// When, with which score and what callers wrote, the newest first.
    pub comments: Vec<(Timestamp, f64, String)>,
}

/// A change of what is served.
#[async_trait]
pub trait Change: Send + Sync {
    /// Whether the node could serve this, together with what its files have. Where nothing but one API is other than
    /// what is served, no more than that is looked at. What is left out already stays so, and is nobody's mistake.
    ///
    /// # Errors
    /// Why not.
    async fn check(&mut self, update: Update) -> Result<(), Unfit>;

    /// Makes ready to serve what others have declared: what does not fit beside this node's files is left out, with
    /// what depends on it, and told to whoever runs the node.
    ///
    /// # Errors
    /// Why nothing can be served, for the operator.
    async fn fit(&mut self, update: Update) -> Result<(), String>;

    /// Serves what was checked or fitted last.
    async fn serve(self: Box<Self>);
}

/// A resource of a file as it may be told: with the team it is of, and no secret.
#[must_use]
pub fn told_of_file(kind: Kind, team: &TeamName, body: Value) -> Value {
    let mut told = match KindDescription::of(kind) {
        Some(description) => masked(body, description),
        None => body,
    };
    if let Value::Object(members) = &mut told {
        members.insert("team".to_owned(), team.as_str().into());
    }
    told
}
