//! HTTP/1.1: one strict reader for requests and answers, and connections that use it.

mod connection;
mod decoder;
mod head;
mod line;
#[cfg(any(test, feature = "fuzzing"))]
mod oracle;
mod stream;

pub(crate) use connection::{Connection, serve};
pub(crate) use decoder::BodyDecoder;
pub(crate) use head::{Framing, HeadBounds, HeadParser};
pub(crate) use line::decimal;
#[cfg(feature = "fuzzing")]
pub use oracle::compare;
#[cfg(feature = "fuzzing")]
pub(crate) use oracle::read_whole;
pub(crate) use stream::{ReadFailure, Stream};

use crate::message::Fields;
use http::StatusCode;

/// Writes a chunk of `count` bytes, which `data` adds; nothing for none: an empty chunk would end the body.
pub(crate) fn write_chunk(out: &mut Vec<u8>, count: usize, data: impl FnOnce(&mut Vec<u8>)) {
    if count == 0 {
        return;
    }
    write_hexadecimal(out, count);
    out.extend_from_slice(b"\r\n");
    data(out);
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a body in chunks.
pub(crate) fn write_last_chunk(out: &mut Vec<u8>, trailers: Option<&Fields>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        trailers.write(out);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_status_line(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in digits.
pub(crate) fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

fn write_hexadecimal(out: &mut Vec<u8>, number: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bits = usize::BITS - number.leading_zeros();
    for digit in (0..bits.div_ceil(4).max(1)).rev() {
        let digit = (number >> (4 * digit)) & 0xf;
        out.extend(DIGITS.get(digit));
    }
}

#[cfg(test)]
mod tests;
