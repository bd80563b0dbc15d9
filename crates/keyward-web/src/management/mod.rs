//! The management API: everything below `/api/v1`.

mod apply;
mod audit;
mod authenticate;
pub(crate) mod call;
pub(crate) mod catalogue;
mod change;
pub(crate) mod document;
mod draft;
pub(crate) mod endpoint;
mod events;
mod history;
mod key;
pub(crate) mod kind;
mod list;
mod member;
mod merge_patch;
mod operation;
mod path;
mod resource;
mod revocation;
pub(crate) mod secret;
mod setup;
mod signed_token;
pub(crate) mod table;
mod team;
mod token;
mod webhook;
