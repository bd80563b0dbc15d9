//! Who manages: their roles, and how far what they show goes.

use super::action::{Action, Right};
use super::custom_role::HeldRole;
use keyward_model::Timestamp;
use keyward_model::id::TeamId;
use keyward_model::name::Name;
use keyward_model::resource::CustomRole;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// A role of somebody who manages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ManagementRole {
    /// Runs the deployment. Given in the team `default` alone, and counts in every team.
    Operator,
    /// Answers for a team.
    Owner,
    /// Publishes a team's APIs.
    Publisher,
    /// Finds a team's APIs.
    Consumer,
    /// Sees everything of a team and changes nothing.
    Auditor,
}

impl ManagementRole {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Operator,
        Self::Owner,
        Self::Publisher,
        Self::Consumer,
        Self::Auditor,
    ];

    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Owner => "owner",
            Self::Publisher => "publisher",
            Self::Consumer => "consumer",
            Self::Auditor => "auditor",
        }
    }

    /// The role that is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// A role that a member is given: built-in, or their team's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GivenRole {
    /// One that is always there.
    BuiltIn(ManagementRole),
    /// One that was declared, by its name.
    Custom(Name),
}

impl GivenRole {
    /// The role that is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match ManagementRole::parse(text) {
            Some(role) => Some(Self::BuiltIn(role)),
            None => text.parse().ok().map(Self::Custom),
        }
    }

    /// The role that stands so in the database. A built-in role that this version does not know is none.
    #[must_use]
    pub fn of_stored(text: &str) -> Option<Self> {
        let custom = || CustomRole::of_given(text).map(Self::Custom);
        ManagementRole::parse(text)
            .map(Self::BuiltIn)
            .or_else(custom)
    }

    /// As it stands in the database.
    #[must_use]
    pub fn stored(&self) -> String {
        match self {
            Self::BuiltIn(role) => role.as_str().to_owned(),
            Self::Custom(name) => CustomRole::given(name),
        }
    }
}

impl fmt::Display for GivenRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(role) => f.write_str(role.as_str()),
            Self::Custom(name) => name.fmt(f),
        }
    }
}

/// What a token may be used for: everything that is read (`read`) or changed (`write`), or one thing alone
/// (`apis:write`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Reading or changing, whatever it is.
    All(Right),
    /// One thing.
    One(Action),
}

impl Scope {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let general = [Right::Read, Right::Write].into_iter().map(Self::All);
        general.chain(Action::all().map(Self::One))
    }

    /// The scope that is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::all().find(|scope| scope.to_string() == text)
    }

    /// Whether whoever has `self` may do what `other` allows.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::All(right), Self::One(action)) => right == action.right,
            (Self::All(_), Self::All(_)) | (Self::One(_), _) => self == other,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(right) => f.write_str(right.as_str()),
            Self::One(action) => action.fmt(f),
        }
    }
}

/// Somebody who manages, a person or a machine, as known from what they have shown.
#[derive(Clone, Debug)]
pub struct Manager {
    /// Their name.
    pub name: Box<str>,
    /// Their roles by team.
    pub roles: BTreeMap<TeamId, BTreeSet<ManagementRole>>,
    /// Their custom roles by team. An operator is not bound by any.
    pub custom: BTreeMap<TeamId, Vec<HeldRole>>,
    /// How far what they have shown goes.
    pub scopes: BTreeSet<Scope>,
    /// The team that they act from: names are each team's own.
    pub team: TeamId,
    /// The id of the token that they have shown.
    pub token: Box<str>,
    /// From where they call.
    pub address: IpAddr,
    /// When they call.
    pub at: Timestamp,
}

impl Manager {
    /// Whether they run the deployment.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        let of_default = self.roles.get(&TeamId::DEFAULT);
        of_default.is_some_and(|roles| roles.contains(&ManagementRole::Operator))
    }

    /// Whether they know that this team exists.
    #[must_use]
    pub fn sees(&self, team: TeamId) -> bool {
        self.is_operator()
            || self.roles.get(&team).is_some_and(|roles| !roles.is_empty())
            || !self.custom_in(team).is_empty()
    }

    /// Their custom roles in a team.
    pub(super) fn custom_in(&self, team: TeamId) -> &[HeldRole] {
        self.custom.get(&team).map_or(&[], Vec::as_slice)
    }

    /// Whether they may hand out this scope.
    #[must_use]
    pub fn covers(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| own.covers(scope))
    }
}
