//! The gateway as a process, between clients and upstreams that do as they are told.

mod bodies;
mod calls;
mod identity;
mod issuers;
mod limits;
mod node;
mod smuggling;
