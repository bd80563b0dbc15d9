//! What policies do with calls, case by case: each module drives its cases over a node, and the tables in
//! `docs/policies/` are what came of it.

mod authentication;
mod authorization;
mod cache;
mod call;
mod cors;
mod external_decision;
mod idempotency;
mod idempotency_shared;
mod index;
mod ip_filter;
mod limits;
pub(crate) mod page;
mod security_headers;
mod size_limits;
mod table;
mod transformation;
mod validated_answers;
mod validation;

pub(crate) use authentication::{Holder, until_believed};
pub(crate) use call::Call;
pub(crate) use table::Table;
