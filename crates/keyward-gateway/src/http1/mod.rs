//! HTTP/1.1 on the client's side: strict framing, one connection's life.

mod connection;
mod framing;
mod stream;

pub(crate) use connection::serve;
