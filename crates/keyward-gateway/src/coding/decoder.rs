//! One stream out of its coding.

use super::Undecodable;
use super::window::ZSTD_BITS_MAX;
use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use flate2::{Decompress, FlushDecompress, Status};
use keyward_model::resource::coding::ContentCoding;
use std::fmt;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// gzip's and zlib's largest window.
const WINDOW_BITS: u8 = 15;

/// A decoder.
pub(super) enum Decoder {
    Flate(Decompress),
    Brotli(Box<Brotli>),
    Zstd(DCtx<'static>),
}

/// What a decoder has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// How much of the input it has used.
    pub(super) used: usize,
    /// Whether the stream has ended.
    pub(super) ended: bool,
}

impl Decoder {
    pub(super) fn new(coding: ContentCoding) -> Result<Self, Undecodable> {
        Ok(match coding {
            ContentCoding::Gzip => Self::Flate(Decompress::new_gzip(WINDOW_BITS)),
            // RFC 9110, section 8.4.1.2: in the format of zlib. Streams without its header are no `deflate`.
            ContentCoding::Deflate => Self::Flate(Decompress::new(true)),
            ContentCoding::Brotli => Self::Brotli(Box::new(Brotli::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            ContentCoding::Zstd => {
                let mut context = DCtx::try_create().ok_or(Undecodable::NoMemory)?;
                context
                    .set_parameter(DParameter::WindowLogMax(ZSTD_BITS_MAX))
                    .map_err(|_| Undecodable::NoMemory)?;
                Self::Zstd(context)
            }
        })
    }

    /// Decodes what it can of the input into `room` bytes behind `out`. When that is less than there is room
    /// for, all of the input was used.
    pub(super) fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        room: usize,
    ) -> Result<Step, Undecodable> {
        let start = out.len();
        out.resize(start + room, 0);
        let target = out.get_mut(start..).unwrap_or_default();
        let (written, step) = match self {
            Self::Flate(decompress) => flate(decompress, input, target),
            Self::Brotli(state) => brotli(state, input, target),
            Self::Zstd(context) => zstd(context, input, target),
        }?;
        out.truncate(start + written);
        Ok(step)
    }
}

type Outcome = Result<(usize, Step), Undecodable>;

fn flate(decompress: &mut Decompress, input: &[u8], out: &mut [u8]) -> Outcome {
    let (before_in, before_out) = (decompress.total_in(), decompress.total_out());
    let status = decompress
        .decompress(input, out, FlushDecompress::None)
        .map_err(|_| Undecodable::Malformed)?;
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let step = Step {
        used: count(decompress.total_in() - before_in),
        ended: matches!(status, Status::StreamEnd),
    };
    Ok((count(decompress.total_out() - before_out), step))
}

fn brotli(state: &mut Brotli, input: &[u8], out: &mut [u8]) -> Outcome {
    let (mut left, mut used) = (input.len(), 0);
    let (mut room, mut written, mut total) = (out.len(), 0, 0);
    let result = BrotliDecompressStream(
        &mut left,
        &mut used,
        input,
        &mut room,
        &mut written,
        out,
        &mut total,
        state,
    );
    let ended = match result {
        BrotliResult::ResultSuccess => true,
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => false,
        BrotliResult::ResultFailure => return Err(Undecodable::Malformed),
    };
    Ok((written, Step { used, ended }))
}

fn zstd(context: &mut DCtx<'static>, input: &[u8], out: &mut [u8]) -> Outcome {
    let (mut piece, mut room) = (InBuffer::around(input), OutBuffer::around(out));
    let left = context
        .decompress_stream(&mut room, &mut piece)
        .map_err(|_| Undecodable::Malformed)?;
    let step = Step {
        used: piece.pos(),
        ended: left == 0,
    };
    Ok((room.pos(), step))
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flate(_) => "Flate",
            Self::Brotli(_) => "Brotli",
            Self::Zstd(_) => "Zstd",
        })
    }
}
