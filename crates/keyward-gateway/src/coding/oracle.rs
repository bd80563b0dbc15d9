//! For the fuzz target: a body that comes in pieces, decompressed.

use super::{CodingBudget, DecodeBounds, Decompressing, Pieces};
use crate::body::BodyFailure;
use keyward_model::resource::coding::ContentCoding;
use std::task::{Context, Poll, Waker};

/// Bytes in pieces of one size.
struct Cut<'b> {
    bytes: &'b [u8],
    size: usize,
}

impl Pieces for Cut<'_> {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Result<usize, BodyFailure>> {
        Poll::Ready(Ok(self.bytes.len().min(self.size)))
    }

    fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        let (piece, rest) = self.bytes.split_at(count.min(self.bytes.len()));
        out.extend_from_slice(piece);
        self.bytes = rest;
    }
}

/// What comes out of bytes that come in pieces of this size, within these bounds; and why it ended, if badly.
pub fn decompress_in_pieces(
    coding: ContentCoding,
    bytes: &[u8],
    size: usize,
    (most, ratio): (u64, u64),
) -> (Vec<u8>, Option<String>) {
    let size = size.max(1);
    let bounds = DecodeBounds { bytes: most, ratio };
    let budget = CodingBudget::new();
    let mut body = Decompressing::new(Cut { bytes, size }, coding, bounds, &budget);
    let mut out = Vec::new();
    loop {
        match body.poll_piece(&mut Context::from_waker(Waker::noop())) {
            // It only lets others have their turn.
            Poll::Pending => {}
            Poll::Ready(Ok(0)) => return (out, None),
            Poll::Ready(Ok(count)) => body.move_piece(count, &mut out),
            Poll::Ready(Err(failure)) => return (out, Some(failure.to_string())),
        }
    }
}
