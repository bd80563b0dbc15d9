//! What policies do with calls, case by case: each module drives its cases over a node, and the tables in
//! `docs/policies/` are what came of it.

mod call;
mod index;
mod limits;
mod page;
mod size_limits;
mod table;

pub(crate) use call::Call;
pub(crate) use table::Table;
