//! What a manager can want to do.

use keyward_model::resource::Kind;
use std::fmt;

/// What is managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Resources of a kind.
    Resources(Kind),
    /// The keys of key sets.
    Keys,
    /// Tokens that are signed with keys of a team.
    SignedTokens,
    /// What is no longer believed.
    Revocations,
    /// Teams themselves.
    Teams,
    /// Who is in a team, and as what.
    Members,
    /// Tokens of machines.
    Tokens,
    /// The history of the configuration.
    Revisions,
    /// What was done, and by whom.
    Audit,
}

impl Subject {
    /// All there are.
    pub const ALL: [Self; 20] = [
        Self::Resources(Kind::Issuer),
        Self::Resources(Kind::Upstream),
        Self::Resources(Kind::Api),
        Self::Resources(Kind::Credential),
        Self::Resources(Kind::Role),
        Self::Resources(Kind::AccessPolicy),
        Self::Resources(Kind::KeySet),
        Self::Resources(Kind::Webhook),
        Self::Resources(Kind::ManagementRole),
        Self::Resources(Kind::Provider),
        Self::Resources(Kind::Model),
        Self::Resources(Kind::Prompt),
        Self::Keys,
        Self::SignedTokens,
        Self::Revocations,
        Self::Teams,
        Self::Members,
        Self::Tokens,
        Self::Revisions,
        Self::Audit,
    ];

    /// As it stands in scopes and addresses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resources(Kind::Issuer) => "issuers",
            Self::Resources(Kind::Upstream) => "upstreams",
            Self::Resources(Kind::Api) => "apis",
            Self::Resources(Kind::Credential) => "credentials",
            Self::Resources(Kind::Role) => "roles",
            Self::Resources(Kind::AccessPolicy) => "access-policies",
            Self::Resources(Kind::KeySet) => "key-sets",
            Self::Resources(Kind::Webhook) => "webhooks",
            Self::Resources(Kind::ManagementRole) => "management-roles",
            Self::Resources(Kind::Provider) => "providers",
            Self::Resources(Kind::Model) => "models",
            Self::Resources(Kind::Prompt) => "prompts",
            Self::Keys => "keys",
            Self::SignedTokens => "signed-tokens",
            Self::Revocations => "revocations",
            Self::Teams => "teams",
            Self::Members => "members",
            Self::Tokens => "tokens",
            Self::Revisions => "revisions",
            Self::Audit => "audit",
        }
    }
}

/// Whether something is looked at or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Looked at.
    Read,
    /// Changed.
    Write,
}

impl Right {
    /// As it stands in scopes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// What is done to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Action {
    /// To what.
    pub subject: Subject,
    /// What.
    pub right: Right,
}

impl Action {
    /// Looking at `subject`.
    #[must_use]
    pub const fn read(subject: Subject) -> Self {
        let right = Right::Read;
        Self { subject, right }
    }

    /// Changing `subject`.
    #[must_use]
    pub const fn write(subject: Subject) -> Self {
        let right = Right::Write;
        Self { subject, right }
    }

    /// All that can be done. The audit log is never written by anyone, and signed tokens are nowhere kept to be read.
    pub fn all() -> impl Iterator<Item = Self> {
        let rights = [Right::Read, Right::Write];
        let all = Subject::ALL.into_iter().flat_map(move |subject| {
            let with = move |right| Self { subject, right };
            rights.map(with)
        });
        let never = [
            Self::write(Subject::Audit),
            Self::read(Subject::SignedTokens),
        ];
        all.filter(move |action| !never.contains(action))
    }
}

/// As a scope: `apis:write`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.subject.as_str(), self.right.as_str())
    }
}
