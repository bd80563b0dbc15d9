//! Backups: everything that a database holds, in one file that either of the two reads again.
//!
//! The file is text, a line of JSON after another: a head (the form's version, who made it and when, the
//! migrations of the schema), then for each table its name and columns and a line for each row, and last how
//! many rows there are and the SHA-256 of all before. What was sealed stays sealed: the master key is never in
//! it, and without that nothing in it can be opened.
//!
//! A backup is made beside nodes that go on writing, and is the database of one moment. A restore makes the
//! schema that the backup was made of, fills it, and brings it up to date as an upgrade does, all in one
//! transaction.

mod form;
mod restore;
mod save;

#[cfg(test)]
pub(crate) use restore::restore_watching;
pub use restore::{Restored, restore};
pub use save::{Saved, save};
