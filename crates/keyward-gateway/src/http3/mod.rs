//! HTTP/3 on the clients' side (RFC 9114), over QUIC (RFC 9000).
//!
//! Packets, encryption, loss, windows and streams are the `quinn` crate's. HTTP/3 itself is written here: its
//! frames (`frame.rs`, `request_stream.rs`, `control.rs`), its header compression without a table
//! (`qpack/`), and what becomes of a head (`head.rs`). The decision 0012 says why. As over HTTP/2, each stream
//! becomes a call on the same way as any other (`exchange.rs`), in a task of its own on its worker's thread.

mod code;
mod connection;
mod connection_id;
mod control;
mod endpoint;
mod exchange;
mod frame;
mod head;
mod incoming;
#[cfg(any(test, feature = "fuzzing"))]
mod oracle;
mod qpack;
mod request_stream;
mod sending;
mod socket;

pub(crate) use endpoint::{Accepting, accept};
pub(crate) use exchange::Exchange;
pub(crate) use socket::{DatagramSocket, sockets};

#[cfg(feature = "fuzzing")]
pub use oracle::{compare_section, write_section};

#[cfg(test)]
mod tests;
