//! Bodies on their way: streamed, never collected, with back-pressure from whoever reads slowest.

mod answer;
mod download;
mod request;
mod upload;

pub(crate) use answer::{AnswerBody, Watching};
pub(crate) use download::Download;
pub(crate) use request::RequestBody;
pub(crate) use upload::{Upload, UploadStop};

use crate::coding::Undecodable;
use bytes::Bytes;

/// Why a body stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFailure {
    #[error("the client's body was malformed")]
    Client,
    #[error("the client left before its body ended")]
    ClientLeft,
    #[error("the client sent no byte of its body for too long")]
    ClientIdle,
    #[error("the client's body is over the bound")]
    TooLarge,
    #[error("{0}")]
    Undecodable(Undecodable),
    #[error("the answer could not be compressed")]
    Coder,
    #[error("the upstream's body ended too early or was malformed")]
    Upstream,
    #[error("the upstream sent no byte of its body for too long")]
    UpstreamIdle,
    #[error("the upstream's answer took longer in all than it may")]
    UpstreamLate,
}

/// Moves the next bytes of those that are there.
pub(crate) fn move_bytes(bytes: &Bytes, given: &mut usize, count: usize, out: &mut Vec<u8>) {
    let end = (*given + count).min(bytes.len());
    out.extend_from_slice(bytes.get(*given..end).unwrap_or_default());
    *given = end;
}
