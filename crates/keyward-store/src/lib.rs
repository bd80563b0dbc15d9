//! All of Keyward's SQL: teams, keys, revocations and audit events, with secrets encrypted at rest.
//!
//! No other crate names a database. Statements are plain SQL in one text for SQLite and PostgreSQL, and one
//! transaction writes at a time on both:
//! numbers, truth values and times are 64-bit integers, everything else is text.

pub mod acme;
pub mod audit;
pub mod backup;
pub mod changes;
mod database;
mod error;
pub mod hierarchy;
pub mod key;
pub mod management;
pub mod module_key;
mod quota;
pub mod resource;
pub mod revocation;
mod schema;
mod store;
#[cfg(test)]
mod tests;
pub mod webhook;

pub use acme::AcmeCertificate;
pub use audit::{Action, AuditAnchor, AuditChain, AuditEvent};
pub use changes::{ChangeCounts, ChangeFeed, Marks, Notice};
pub use database::{Location, PostgresSettings, Refusal, Tls};
pub use error::Error;
pub use hierarchy::{MacKey, MasterKey, Purpose};
pub use key::{KeyChange, KeyPurpose, KeyState, KeyTimes, NewKey, PrivatePart, StoredKey};
pub use management::{Author, MachineToken, NewMachineToken, ResourceWrite};
pub use module_key::ModuleKeyRemains;
pub use quota::QuotaCount;
pub use resource::StoredResource;
pub use revocation::RevocationMark;
pub use store::Store;
pub use webhook::WebhookPosition;
