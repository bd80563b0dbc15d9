//! A JSON document on each line, as Ollama streams.

use super::{Frame, Taker, within_bound};
use crate::error::Error;

/// Finds lines in bytes.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
}

impl Reader {
    /// One at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, and gives the lines that are whole and not empty.
    ///
    /// # Errors
    /// [`Error::TooLarge`], and what the taker says.
    pub fn push(&mut self, bytes: &[u8], taker: Taker<'_>) -> Result<(), Error> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            within_bound(self.line.len())?;
            if piece.ends_with(b"\n") {
                self.give(taker)?;
            }
        }
        Ok(())
    }

    fn give(&mut self, taker: Taker<'_>) -> Result<(), Error> {
        let data = self.line.trim_ascii();
        if !data.is_empty() {
            taker(Frame {
                name: "",
                data,
                exception: false,
                raw: &self.line,
            })?;
        }
        self.line.clear();
        Ok(())
    }

    /// The bytes have ended: the last line needs no end.
    ///
    /// # Errors
    /// What the taker says.
    pub fn finish(&mut self, taker: Taker<'_>) -> Result<(), Error> {
        self.give(taker)
    }
}

/// Writes one line.
pub fn write(data: &str, out: &mut Vec<u8>) {
    out.extend(data.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')));
    out.push(b'\n');
}
