//! Who manages: their roles, and how far what they show goes.

use super::action::{Action, Right};
use keyward_model::id::TeamId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Their name.
    pub name: Box<str>,
    /// Their roles by team.
    pub roles: BTreeMap<TeamId, BTreeSet<ManagementRole>>,
    /// How far what they have shown goes.
    pub scopes: BTreeSet<Scope>,
    /// The team that they act from: names are each team's own.
    pub team: TeamId,
    /// The id of the token that they have shown.
    pub token: Box<str>,
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
        self.is_operator() || self.roles.get(&team).is_some_and(|roles| !roles.is_empty())
    }

    /// Whether they may hand out this scope.
    #[must_use]
    pub fn covers(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| own.covers(scope))
    }
}
