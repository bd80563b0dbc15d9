//! Roles: names for what people and programs do, so that rules need not list who they are.

use super::authorization::ClaimCondition;
use crate::caller::Method;
use crate::name::Name;
use std::collections::BTreeSet;

/// A role, which callers have because of who they are, or because their token says so (`roles_from` of its
/// issuer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Who has it: whoever fits one of these.
    pub given_to: Vec<Holders>,
    /// Roles that whoever has this one has, too.
    pub includes: BTreeSet<Name>,
}

/// Callers who have a role: those to whom everything that is said here applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holders {
    /// Who vouches for them: a subject of one issuer is somebody else than the same of another.
    pub vouched: Voucher,
    /// Their subjects, where any are named.
    pub subjects: BTreeSet<Box<str>>,
    /// Their OAuth clients, where any are named.
    pub clients: BTreeSet<Box<str>>,
    /// Scopes that they have, all of them.
    pub scopes: BTreeSet<String>,
    /// What their tokens say.
    pub claims: Vec<ClaimCondition>,
}

/// By whom callers are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// An issuer of tokens, by its name, or `self`.
    Issuer(Name),
    /// However they proved themselves, with a credential that no issuer of tokens stands behind.
    Method(Method),
}
