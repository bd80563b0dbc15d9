//! Who may do what: scopes, roles, claim conditions and Cedar policies, in one decision function.
//!
//! A [`Catalogue`] is made of the roles and policies of a configuration, and gives a [`Rule`] for each route that
//! asks for more than scopes. [`Rule::decide`] is the one place that says yes or no; [`Rule::explain`] says why.
//!
//! No I/O, no clock: the call's time and all else about it are arguments ([`Call`]).

mod call;
mod catalogue;
mod claims;
mod context;
mod decision;
mod error;
mod facts;
pub mod management;
mod memory;
mod policy;
mod reads;
mod roles;
mod rule;
mod schema;

#[cfg(test)]
mod tests;

pub use call::{Call, HeaderValue};
pub use catalogue::{Catalogue, Inputs};
pub use claims::claims_fit;
pub use decision::{Decision, Refusal};
pub use error::{Error, Flaw};
pub use memory::Memory;
pub use policy::check;
pub use rule::{Check, Rule};
