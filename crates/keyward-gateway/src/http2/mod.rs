//! HTTP/2 on the clients' side (RFC 9113).
//!
//! Frames, header compression, flow control and the states of streams are the `h2` crate's. What is here
//! turns each stream into a call on the same way as any other: it has a task of its own and a place among
//! the worker's deadlines, and no timer. What the crate leaves to its users is bounded in `restraint.rs`.

mod connection;
mod exchange;
mod head;
mod passage;
mod restraint;
mod wire;

pub(crate) use connection::{Opening, serve};
pub(crate) use exchange::Exchange;
pub(crate) use restraint::Restraint;

/// What a client that knows beforehand that HTTP/2 is spoken begins with (RFC 9113, section 3.4): its first
/// line, which no HTTP/1.1 request has.
pub(crate) const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";

#[cfg(test)]
mod tests;
