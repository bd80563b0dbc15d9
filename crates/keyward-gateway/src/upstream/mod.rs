//! Where calls go: connections to targets, pooled by each worker for itself.

mod connection;
mod pool;
mod tls;
#[cfg(test)]
mod tls_tests;

pub(crate) use connection::{AnswerFailure, UpstreamConnection};
pub(crate) use pool::{Pool, Pools};
pub(crate) use tls::UpstreamTls;
