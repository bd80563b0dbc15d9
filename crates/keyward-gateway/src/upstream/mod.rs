//! Where calls go: connections to targets, pooled by each worker for itself.

mod connection;
mod pool;

pub(crate) use connection::{AnswerFailure, UpstreamConnection};
pub(crate) use pool::{Pool, Pools};
