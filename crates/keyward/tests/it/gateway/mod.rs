//! The gateway as a process, between clients and upstreams that do as they are told.

mod bodies;
mod calls;
mod identity;
mod issuers;
mod key_changes;
mod lifecycle;
mod limits;
pub(crate) mod node;
pub(crate) mod open_node;
mod smuggling;
mod streaming;
mod timeouts;
