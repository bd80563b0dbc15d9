//! Server-sent events, as the HTML standard (section 9.2) has them: lines end in any of three ways, several lines of
//! data are one text, comments keep the connection open.

use super::{Frame, Taker, within_bound};
use crate::error::Error;

/// Finds server-sent events in bytes.
#[derive(Debug, Default)]
pub struct Reader {
    /// The line that is not whole yet.
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
    has_data: bool,
    /// The event's bytes, line ends included.
    raw: Vec<u8>,
    /// The last byte was a carriage return: a line feed behind it belongs to the same end of line.
    after_return: bool,
    /// The first line was seen: a byte order mark stands before it alone.
    begun: bool,
}

impl Reader {
    /// One at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, and gives the events that are whole.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Framing`] for an event's name that is not UTF-8, and what the taker says.
    pub fn push(&mut self, bytes: &[u8], taker: Taker<'_>) -> Result<(), Error> {
        let mut rest = bytes;
        while let Some((&first, behind)) = rest.split_first() {
            if self.after_return {
                self.after_return = false;
                if first == b'\n' {
                    // The event it ended is given already, so that nothing waits for this byte.
                    rest = behind;
                    continue;
                }
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let Some(end) = end else {
                self.line.extend_from_slice(rest);
                self.raw.extend_from_slice(rest);
                return within_bound(self.raw.len());
            };
            let (line, after) = rest.split_at(end);
            self.line.extend_from_slice(line);
            self.raw.extend_from_slice(line);
            self.raw.push(b'\n');
            within_bound(self.raw.len())?;
            self.after_return = after.first() == Some(&b'\r');
            rest = after.get(1..).unwrap_or_default();
            self.end_line(taker)?;
        }
        Ok(())
    }

    fn end_line(&mut self, taker: Taker<'_>) -> Result<(), Error> {
        let mut line = std::mem::take(&mut self.line);
        let text = if self.begun {
            line.as_slice()
        } else {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line)
        };
        self.begun = true;
        if text.is_empty() {
            self.give(taker)?;
        } else {
            self.field(text)?;
        }
        line.clear();
        self.line = line;
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Error> {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = match colon {
            Some(at) => {
                let (name, value) = line.split_at(at);
                let value = value.get(1..).unwrap_or_default();
                (name, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, [].as_slice()),
        };
        match name {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => {
                let Ok(name) = std::str::from_utf8(value) else {
                    return Err(Error::Framing("an event's name is not UTF-8"));
                };
                name.clone_into(&mut self.name);
            }
            // Comments, ids and times to wait mean nothing in an answer that is read once.
            _ => {}
        }
        Ok(())
    }

    /// Gives the event, if there is one: without data there is none.
    fn give(&mut self, taker: Taker<'_>) -> Result<(), Error> {
        if self.has_data {
            taker(Frame {
                name: &self.name,
                data: &self.data,
                exception: false,
                raw: &self.raw,
            })?;
        }
        self.name.clear();
        self.data.clear();
        self.has_data = false;
        self.raw.clear();
        Ok(())
    }

    /// The bytes have ended. An event whose last line is whole is given, though the empty line behind it is missing:
    /// there are servers that leave it out.
    ///
    /// # Errors
    /// [`Error::Framing`] when they end within a line, and what the taker says.
    pub fn finish(&mut self, taker: Taker<'_>) -> Result<(), Error> {
        if !self.line.is_empty() {
            return Err(Error::Framing("it ends within an event"));
        }
        self.give(taker)
    }
}

/// Writes one event. `data` may have several lines.
pub fn write(name: &str, data: &str, out: &mut Vec<u8>) {
    if !name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend(name.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')));
        out.push(b'\n');
    }
    for line in data.split('\n') {
        out.extend_from_slice(b"data: ");
        out.extend(line.bytes().filter(|byte| *byte != b'\r'));
        out.push(b'\n');
    }
    out.push(b'\n');
}
