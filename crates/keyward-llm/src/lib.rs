//! AI calls: what every dialect of chat asks and answers, in one intermediate form.
//!
//! A caller's request is read from their dialect ([`Dialect::read_request`]) and written in the provider's
//! ([`Dialect::write_request`]); answers ([`Dialect::read_answer`], [`Dialect::write_answer`]), streams
//! ([`StreamReader`], [`StreamWriter`]) and errors go the way back. What a dialect can't say is refused by name
//! ([`form::Feature`]), and what was left out is told ([`Outgoing::notes`]).
//!
//! Bytes in, bytes out: no socket, no file, no clock, no chance.
//!
//! ```
//! use keyward_llm::{Address, Dialect, Target};
//!
//! let body = br#"{"model":"fast","messages":[{"role":"user","content":"Hi"}],"max_tokens":5}"#;
//! let request = Dialect::OpenAiChat.read_request(body, &Address::default())?;
//! let target = Target { model: "claude-sonnet-5".to_owned(), ..Target::default() };
//! let outgoing = Dialect::Anthropic.write_request(&request, &target)?;
//! assert_eq!(outgoing.path, "/messages");
//! assert_eq!(
//!     outgoing.body,
//!     br#"{"model":"claude-sonnet-5","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}"#
//! );
//! # Ok::<(), keyward_llm::Error>(())
//! ```

pub mod bound;
pub mod catalogue;
pub mod count;
mod dialect;
mod error;
mod fields;
pub mod form;
pub mod framing;
mod hosting;
pub mod json;
pub mod passage;
pub mod task;

#[cfg(test)]
mod tests;

pub use dialect::{
    Address, Context, Dialect, MOST_BLOCKS, ModelMembers, Outgoing, Quirks, SeedName, StreamReader,
    StreamWriter, Target,
};
pub use error::Error;
pub use hosting::Hosting;
