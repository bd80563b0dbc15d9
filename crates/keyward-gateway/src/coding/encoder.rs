//! One stream in a coding.

use super::{CoderFailure, ROOM};
use brotli::enc::StandardAlloc;
use brotli::enc::encode::{
    BrotliEncoderDestroyInstance, BrotliEncoderOperation, BrotliEncoderParameter,
    BrotliEncoderStateStruct,
};
use flate2::{Compress, Compression, FlushCompress, Status};
use keyward_model::resource::coding::{CompressionLevels, ContentCoding};
use std::fmt;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

/// How far codings look back, as a power of two: 256 KiB for br and zstd. More would hardly make answers of
/// APIs smaller, and each stream would keep more memory.
const WINDOW_BITS: u32 = 18;
/// gzip's window is 32 KiB and can't be larger.
const GZIP_WINDOW_BITS: u8 = 15;

/// A coder.
pub(super) enum Encoder {
    Gzip(Compress),
    Brotli(Box<BrotliEncoder>),
    Zstd(CCtx<'static>),
}

/// Brotli's state, taken apart in order.
pub(super) struct BrotliEncoder(BrotliEncoderStateStruct<StandardAlloc>);

/// What comes behind the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// More of it.
    More,
    /// More of it, but later: all that there is so far has to come out.
    Flush,
    /// Nothing.
    Finish,
}

/// The memory that a stream takes, in bytes: what was measured, rounded up.
pub(super) fn memory(coding: ContentCoding, levels: &CompressionLevels) -> usize {
    const KIB: usize = 1024;
    KIB * match (coding, levels.brotli, levels.zstd) {
        (ContentCoding::Gzip | ContentCoding::Deflate, ..) => 384,
        (ContentCoding::Brotli, 0..=3, _) => 2 * KIB,
        (ContentCoding::Brotli, 4..=6, _) => 6 * KIB,
        (ContentCoding::Brotli, 7, _) => 14 * KIB,
        (ContentCoding::Brotli, ..) => 28 * KIB,
        (ContentCoding::Zstd, _, 0..=4) => 2 * KIB,
        (ContentCoding::Zstd, _, 5..=6) => 4 * KIB,
        (ContentCoding::Zstd, ..) => 12 * KIB,
    }
}

impl Encoder {
    pub(super) fn new(
        coding: ContentCoding,
        levels: &CompressionLevels,
    ) -> Result<Self, CoderFailure> {
        Ok(match coding {
            // Answers are never in `deflate`: clients disagree on what that is.
            ContentCoding::Gzip | ContentCoding::Deflate => Self::Gzip(Compress::new_gzip(
                Compression::new(levels.gzip),
                GZIP_WINDOW_BITS,
            )),
            ContentCoding::Brotli => {
                let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
                for (parameter, value) in [
                    (BrotliEncoderParameter::BROTLI_PARAM_QUALITY, levels.brotli),
                    (BrotliEncoderParameter::BROTLI_PARAM_LGWIN, WINDOW_BITS),
                ] {
                    state.set_parameter(parameter, value);
                }
                Self::Brotli(Box::new(BrotliEncoder(state)))
            }
            ContentCoding::Zstd => {
                let mut context = CCtx::try_create().ok_or(CoderFailure)?;
                let level = i32::try_from(levels.zstd).map_err(|_| CoderFailure)?;
                for parameter in [
                    CParameter::CompressionLevel(level),
                    CParameter::WindowLog(WINDOW_BITS),
                ] {
                    context.set_parameter(parameter).map_err(|_| CoderFailure)?;
                }
                Self::Zstd(context)
            }
        })
    }

    /// Takes all of the input, and puts to `out` what comes of it.
    pub(super) fn encode(
        &mut self,
        input: &[u8],
        then: Then,
        out: &mut Vec<u8>,
    ) -> Result<(), CoderFailure> {
        match self {
            Self::Gzip(compress) => gzip(compress, input, then, out),
            Self::Brotli(encoder) => brotli(&mut encoder.0, input, then, out),
            Self::Zstd(context) => zstd(context, input, then, out),
        }
    }
}

fn gzip(
    compress: &mut Compress,
    mut input: &[u8],
    then: Then,
    out: &mut Vec<u8>,
) -> Result<(), CoderFailure> {
    let flush = match then {
        Then::More => FlushCompress::None,
        Then::Flush => FlushCompress::Sync,
        Then::Finish => FlushCompress::Finish,
    };
    loop {
        out.reserve(ROOM);
        let before = compress.total_in();
        let status = compress
            .compress_vec(input, out, flush)
            .map_err(|_| CoderFailure)?;
        input = rest(input, compress.total_in() - before);
        // Room that is left means that nothing is held back.
        let all = input.is_empty() && out.len() < out.capacity();
        if matches!(status, Status::StreamEnd) || (all && then != Then::Finish) {
            return Ok(());
        }
    }
}

fn brotli(
    state: &mut BrotliEncoderStateStruct<StandardAlloc>,
    input: &[u8],
    then: Then,
    out: &mut Vec<u8>,
) -> Result<(), CoderFailure> {
    let operation = match then {
        Then::More => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
        Then::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
        Then::Finish => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
    };
    let (mut left, mut offset) = (input.len(), 0);
    loop {
        let start = out.len();
        out.resize(start + ROOM, 0);
        let (mut room, mut written) = (ROOM, 0);
        let done = state.compress_stream(
            operation,
            &mut left,
            input,
            &mut offset,
            &mut room,
            out.get_mut(start..).unwrap_or_default(),
            &mut written,
            &mut None,
            &mut |_, _, _, _| (),
        );
        out.truncate(start + written);
        if !done {
            return Err(CoderFailure);
        }
        let over = match then {
            Then::More | Then::Flush => left == 0 && !state.has_more_output(),
            Then::Finish => state.is_finished(),
        };
        if over {
            return Ok(());
        }
    }
}

fn zstd(
    context: &mut CCtx<'static>,
    mut input: &[u8],
    then: Then,
    out: &mut Vec<u8>,
) -> Result<(), CoderFailure> {
    loop {
        let start = out.len();
        out.resize(start + ROOM, 0);
        let mut room = OutBuffer::around(out.get_mut(start..).unwrap_or_default());
        let mut piece = InBuffer::around(input);
        let before = input.len();
        let held = if !input.is_empty() {
            context.compress_stream(&mut room, &mut piece)
        } else {
            match then {
                Then::More => Ok(0),
                Then::Flush => context.flush_stream(&mut room),
                Then::Finish => context.end_stream(&mut room),
            }
        };
        let (written, used) = (room.pos(), piece.pos());
        out.truncate(start + written);
        input = input.get(used..).unwrap_or_default();
        if held.map_err(|_| CoderFailure)? == 0 && before == 0 {
            return Ok(());
        }
    }
}

fn rest(input: &[u8], used: u64) -> &[u8] {
    let used = usize::try_from(used).unwrap_or(usize::MAX);
    input.get(used..).unwrap_or_default()
}

impl Drop for BrotliEncoder {
    fn drop(&mut self) {
        BrotliEncoderDestroyInstance(&mut self.0);
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip(_) => "Gzip",
            Self::Brotli(_) => "Brotli",
            Self::Zstd(_) => "Zstd",
        })
    }
}
