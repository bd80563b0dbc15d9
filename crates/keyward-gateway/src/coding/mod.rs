//! Content codings (RFC 9110, section 8.4.1): answers that are compressed on their way to the client, and
//! requests that are decompressed on their way to the upstream.
//!
//! Both are streams: what goes in is bounded by what comes out, piece by piece, on the worker that has the
//! call. A worker has a budget of memory for their windows. An answer that finds none left goes uncompressed;
//! a request is told to come again.

mod accept;
mod budget;
mod compressing;
mod decoder;
mod decompressing;
mod encoder;
#[cfg(feature = "fuzzing")]
mod oracle;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use accept::{Acceptable, acceptable, coding as named};
pub(crate) use budget::CodingBudget;
pub(crate) use compressing::Compressing;
pub(crate) use decompressing::{DecodeBounds, Decompressing};

#[cfg(feature = "fuzzing")]
pub use oracle::decompress_in_pieces;

use crate::body::BodyFailure;
use keyward_model::{Code, Fault};
use std::task::{Context, Poll};

/// So much is coded before others on the worker have their turn: less than a millisecond at the usual levels,
/// some five at the slowest.
const WORK_MAX: usize = 32 * 1024;
/// So much goes into a coder at once.
const INPUT_MAX: usize = 16 * 1024;
/// Room for what comes out at once.
const ROOM: usize = 16 * 1024;

/// A body in pieces.
pub(crate) trait Pieces {
    /// How many bytes of the next piece are there; none at the end.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, BodyFailure>>;
    /// Moves so many of the piece's bytes.
    fn move_piece(&mut self, count: usize, out: &mut Vec<u8>);
}

/// A coder of ours has failed, which none does while there is memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the coder has failed")]
pub(crate) struct CoderFailure;

/// Why a request's body can't be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Undecodable {
    #[error("the body is not in the coding that it is said to be in")]
    Malformed,
    #[error("the body ends in the middle of its coding")]
    Truncated,
    #[error("the body goes on behind the end of its coding")]
    Trailing,
    #[error("the body's coding looks back further than is taken")]
    Window,
    #[error("the body is larger than is taken, once it is decompressed")]
    TooLarge,
    #[error("the body is much larger once it is decompressed, beyond the bound of the ratio")]
    Ratio,
    #[error("too much memory is in use for bodies that are being decompressed")]
    NoMemory,
}

impl Undecodable {
    pub(crate) const fn code(self) -> Code {
        match self {
            Self::Malformed | Self::Truncated | Self::Trailing | Self::Window => Code::BadRequest,
            Self::TooLarge | Self::Ratio => Code::BodyTooLarge,
            Self::NoMemory => Code::Overloaded,
        }
    }

    /// What the caller is told.
    pub(crate) fn fault(self) -> Fault {
        let detail = match self {
            Self::Malformed => {
                "The body is not in the coding that `Content-Encoding` says, or was damaged; send it again"
            }
            Self::Truncated => {
                "The body ends in the middle of its coding; send all of it, or none of `Content-Encoding`"
            }
            Self::Trailing => {
                "The body goes on behind the end of its coding; send one stream, and nothing after it"
            }
            Self::Window => {
                "The body was compressed with a larger window than is taken here: 4 MiB for br, 8 MiB for zstd; compress it with a smaller one"
            }
            Self::TooLarge => {
                "The body is larger than this API takes, once it is decompressed; send a smaller one"
            }
            Self::Ratio => {
                "The body grows more by being decompressed than this API takes; send it uncompressed"
            }
            Self::NoMemory => "Too many bodies are being decompressed; try again later",
        };
        Fault::new(self.code(), detail)
    }
}
