//! What a caller must be to pass: scopes, roles, claims, policies.

use super::access_policy::AccessPolicy;
use crate::name::Name;
use std::collections::BTreeSet;
use std::fmt;

/// What an API or a route asks of its callers. Every part that is said must hold; what an API asks for, each
/// of its routes asks for too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorization {
    /// The scopes that a caller needs, all of them.
    pub scopes: BTreeSet<String>,
    /// At least one of these scopes, where there are any.
    pub any_scopes: BTreeSet<String>,
    /// The roles that a caller needs, all of them.
    pub roles: BTreeSet<Box<str>>,
    /// At least one of these roles, where there are any.
    pub any_roles: BTreeSet<Box<str>>,
    /// What the claims of the caller's token must say, all of it.
    pub claims: Vec<ClaimCondition>,
    /// Cedar policies: where there are any, one of them must permit and none may forbid.
    pub policies: Vec<PolicyReference>,
}

impl Authorization {
    /// Whether nothing is asked for but scopes, all of them: what is decided without looking further.
    #[must_use]
    pub fn is_scopes_alone(&self) -> bool {
        self.any_scopes.is_empty()
            && self.roles.is_empty()
            && self.any_roles.is_empty()
            && self.claims.is_empty()
            && self.policies.is_empty()
    }

    /// Whether it asks for roles.
    #[must_use]
    pub fn asks_for_roles(&self) -> bool {
        !self.roles.is_empty() || !self.any_roles.is_empty()
    }
}

/// A policy of an API or a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyReference {
    /// An `access_policy` of the same team, or of a node's own file, which all teams share.
    Named(Name),
    /// One that is written where it is used.
    Inline(Box<AccessPolicy>),
}

/// What one claim must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimCondition {
    /// Which claim.
    pub claim: ClaimPath,
    /// What it must be, all of it. A claim that is not there passes no test but [`ClaimTest::Present`] of
    /// `false`.
    pub tests: Vec<ClaimTest>,
}

/// A test of a claim. A claim that is no list counts as a list of one where lists are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimTest {
    /// It is this, of the same JSON type.
    Equals(Scalar),
    /// It is there and is not this.
    Not(Scalar),
    /// It is one of these.
    OneOf(Vec<Scalar>),
    /// It is a list with this in it.
    Contains(Scalar),
    /// It is a list with one of these in it.
    ContainsAny(Vec<Scalar>),
    /// It is a list with all of these in it.
    ContainsAll(Vec<Scalar>),
    /// It is a number and not less.
    AtLeast(i64),
    /// It is a number and not more.
    AtMost(i64),
    /// It is a text that begins so.
    StartsWith(Box<str>),
    /// It is a text that ends so.
    EndsWith(Box<str>),
    /// Whether it is there at all. `null` is not.
    Present(bool),
}

/// A value that claims are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// A text, compared byte by byte.
    Text(Box<str>),
    /// A whole number.
    Whole(i64),
    /// `true` or `false`.
    Boolean(bool),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
        }
    }
}

/// Where a claim stands: a claim's name, or names with full stops between them for what is inside of objects.
///
/// A claim whose whole name is the text comes first, since some issuers name claims by addresses, which have
/// full stops (`https://example.com/roles`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimPath(Box<str>);

impl ClaimPath {
    /// The longest path taken, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// The path; `None` for none, or one that is too long.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= Self::MAX_BYTES).then(|| Self(text.into()))
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the outermost claim, and those inside of it, where it names any.
    #[must_use]
    pub fn nested(&self) -> Option<(&str, impl Iterator<Item = &str>)> {
        let (first, rest) = self.0.split_once('.')?;
        let whole = !first.is_empty() && rest.split('.').all(|name| !name.is_empty());
        whole.then(|| (first, rest.split('.')))
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
