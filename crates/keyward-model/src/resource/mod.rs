//! Resources: what is declared in files, the database and the management API.
//!
//! Each kind has a typed form, which can't be wrong by itself, and a raw form (`raw`), which is what
//! people write. The way from raw to typed is the only one.

pub mod access_policy;
pub mod ai;
pub mod api;
pub mod authentication;
pub mod authorization;
pub mod capture;
pub mod coding;
mod conflict;
pub mod consistency;
pub mod content;
pub mod credential;
pub mod guardrail;
pub mod issuer;
pub mod key_set;
pub mod management_role;
pub mod model;
pub mod mutual_tls;
pub mod policy;
pub mod prompt;
pub mod provider;
pub mod raw;
pub mod role;
pub mod route;
pub mod team_path;
pub mod upstream;
pub mod webhook;
pub mod websocket;

pub use access_policy::{AccessPolicy, PolicySource};
pub use ai::{Ai, AiEndpoint, OfferedModels, OfferedPrompts};
pub use api::{Api, BasePath, IdentityHeaders, VersionState};
pub use authentication::{Authentication, AuthenticationMethod, TokenMethod, TokenSource};
pub use authorization::Authorization;
pub use capture::Capture;
pub use content::ContentPolicies;
pub use credential::Credential;
pub use guardrail::{Guarded, Guardrail};
pub use issuer::{Issuer, IssuerKeys};
pub use key_set::{KeyAlgorithm, KeySet, KeySetPurpose, KeysIn, Schedule};
pub use management_role::CustomRole;
pub use model::{
    Answers, AskedAbility, KnownOfModel, Model, ModelChoice, ModelTarget, Sticky, TargetCondition,
    TokenPrice,
};
pub use mutual_tls::MutualTls;
pub use policy::Policies;
pub use prompt::Prompt;
pub use provider::Provider;
pub use role::Role;
pub use route::{HostPattern, Route};
pub use team_path::TeamPath;
pub use upstream::{Target, Upstream, UpstreamIdentity, UpstreamTls};
pub use webhook::Webhook;
pub use websocket::{WebOrigin, WebSocket};

use crate::id::TeamId;
use crate::name::Name;
use crate::revision::Origin;
use std::fmt;

/// The kinds of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Whose tokens are believed.
    Issuer,
    /// Where calls go.
    Upstream,
    /// What is published.
    Api,
    /// An API key or a password.
    Credential,
    /// A name for what callers do.
    Role,
    /// Who may do what, in Cedar.
    AccessPolicy,
    /// Keys of our own.
    KeySet,
    /// Who is told of what was done.
    Webhook,
    /// What members of a team may manage, in Cedar.
    ManagementRole,
    /// Who serves AI models.
    Provider,
    /// A name of an AI model.
    Model,
    /// A prompt that is called like an API.
    Prompt,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Issuer,
        Self::Upstream,
        Self::Api,
        Self::Credential,
        Self::Role,
        Self::AccessPolicy,
        Self::KeySet,
        Self::Webhook,
        Self::ManagementRole,
        Self::Provider,
        Self::Model,
        Self::Prompt,
    ];

    /// Whether resources of this kind reach nodes a row at a time, without a revision: they are many, and come and go
    /// all day.
    #[must_use]
    pub const fn changes_by_row(self) -> bool {
        match self {
            Self::Credential => true,
            Self::Issuer
            | Self::Upstream
            | Self::Api
            | Self::Role
            | Self::AccessPolicy
            | Self::KeySet
            | Self::Webhook
            | Self::ManagementRole
            | Self::Provider
            | Self::Model
            | Self::Prompt => false,
        }
    }

    /// As written in `kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Upstream => "upstream",
            Self::Api => "api",
            Self::Credential => "credential",
            Self::Role => "role",
            Self::AccessPolicy => "access_policy",
            Self::KeySet => "key_set",
            Self::Webhook => "webhook",
            Self::ManagementRole => "management_role",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Prompt => "prompt",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A resource with what every resource has.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The owner.
    pub team: TeamId,
    /// The owner's name.
    pub team_name: Name,
    /// Unique per team and kind; with the version for an API or a prompt.
    pub name: Name,
    /// Where it was declared.
    pub origin: Origin,
    /// What it is.
    pub spec: Spec,
}

impl Resource {
    /// Whether all teams may name it: an issuer, a role (of callers or of managers) or an access policy that stands in a node's own
    /// file is its operator's word. What the team `default` has in the database is that team's alone, as any team's is: otherwise
    /// whoever publishes there would decide who gets into the APIs of others.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.origin == Origin::File && self.team == TeamId::DEFAULT
    }
}

/// What a resource is.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    /// Whose tokens are believed.
    Issuer(Issuer),
    /// Where calls go.
    Upstream(Box<Upstream>),
    /// What is published.
    Api(Api),
    /// An API key or a password.
    Credential(Box<Credential>),
    /// A name for what callers do.
    Role(Box<Role>),
    /// Who may do what, in Cedar.
    AccessPolicy(Box<AccessPolicy>),
    /// Keys of our own.
    KeySet(Box<KeySet>),
    /// Who is told of what was done.
    Webhook(Box<Webhook>),
    /// What members of a team may manage, in Cedar.
    ManagementRole(Box<CustomRole>),
    /// Who serves AI models.
    Provider(Box<Provider>),
    /// A name of an AI model.
    Model(Box<Model>),
    /// A prompt that is called like an API.
    Prompt(Box<Prompt>),
}

impl Spec {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Issuer(_) => Kind::Issuer,
            Self::Upstream(_) => Kind::Upstream,
            Self::Api(_) => Kind::Api,
            Self::Credential(_) => Kind::Credential,
            Self::Role(_) => Kind::Role,
            Self::AccessPolicy(_) => Kind::AccessPolicy,
            Self::KeySet(_) => Kind::KeySet,
            Self::Webhook(_) => Kind::Webhook,
            Self::ManagementRole(_) => Kind::ManagementRole,
            Self::Provider(_) => Kind::Provider,
            Self::Model(_) => Kind::Model,
            Self::Prompt(_) => Kind::Prompt,
        }
    }

    /// The version, which tells APIs and prompts of one name apart; nothing else has one.
    #[must_use]
    pub const fn version(&self) -> Option<&Name> {
        match self {
            Self::Api(api) => Some(&api.version),
            Self::Prompt(prompt) => Some(&prompt.version),
            Self::Issuer(_)
            | Self::Upstream(_)
            | Self::Credential(_)
            | Self::Role(_)
            | Self::AccessPolicy(_)
            | Self::KeySet(_)
            | Self::Webhook(_)
            | Self::ManagementRole(_)
            | Self::Provider(_)
            | Self::Model(_) => None,
        }
    }
}
