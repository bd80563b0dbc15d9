//! Header compression without a table that changes (RFC 9204).
//!
//! Either end may live without such a table, and we do: clients are told that it has room for nothing. So a
//! header section is understood by itself. There is no state that an attacker could fill, no section that waits
//! for another stream, and a section that is refused can be left unread. What is lost is a few hundred bytes
//! in a call: clients send the same token in each.

mod huffman;
mod static_table;

use http::StatusCode;

/// A header section can't be understood: the connection ends (RFC 9204, section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QpackError {
    #[error("a header section breaks off")]
    Truncated,
    #[error("a header section has a number that is too large")]
    TooLarge,
    #[error("a header section refers to a field that is not there")]
    NoSuchField,
    #[error("a header section has a string that no code makes")]
    Undecodable,
}

/// Why the reading of a section has stopped.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stopped<E> {
    Broken(QpackError),
    /// By whoever took its lines.
    Refused(E),
}

impl<E> From<QpackError> for Stopped<E> {
    fn from(error: QpackError) -> Self {
        Self::Broken(error)
    }
}

/// The largest number that is read: lengths and indexes are far below.
const NUMBER_MAX: u64 = 1 << 32;

/// Reads a section's lines in their order: names as they were sent, and values. Strings that are coded are
/// decoded into `scratch`: at most eight bytes from five.
pub(super) fn decode<E>(
    section: &[u8],
    scratch: &mut Vec<u8>,
    mut line: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let mut reader = Reader(section);
    // Fields that have to be in the other table first, and from where in it is counted (section 4.5.1).
    let required = reader.number(8)?.1;
    let (sign, _) = reader.number(7)?;
    if required != 0 || sign != 0 {
        return Err(QpackError::NoSuchField.into());
    }
    while let Some(first) = reader.0.first().copied() {
        scratch.clear();
        // Section 4.5; the lines that begin with 0000 or 0001 refer to the other table.
        if first & 0x80 != 0 {
            let (flags, index) = reader.number(6)?;
            let (name, value) = field(flags & 0b01 != 0, index)?;
            line(name, value).map_err(Stopped::Refused)?;
        } else if first & 0x40 != 0 {
            let (flags, index) = reader.number(4)?;
            let (name, _) = field(flags & 0b001 != 0, index)?;
            let value = reader.string(7)?.decode(scratch)?;
            line(name, value.of(scratch)).map_err(Stopped::Refused)?;
        } else if first & 0x20 != 0 {
            let name = reader.string(3)?.decode(scratch)?;
            let value = reader.string(7)?.decode(scratch)?;
            line(name.of(scratch), value.of(scratch)).map_err(Stopped::Refused)?;
        } else {
            return Err(QpackError::NoSuchField.into());
        }
    }
    Ok(())
}

fn field(is_static: bool, index: u64) -> Result<(&'static [u8], &'static [u8]), QpackError> {
    is_static
        .then(|| static_table::field(index))
        .flatten()
        .ok_or(QpackError::NoSuchField)
}

/// What is left of a section.
struct Reader<'a>(&'a [u8]);

/// A string as it was sent.
struct Coded<'a> {
    bytes: &'a [u8],
    huffman: bool,
}

/// A string as it is: in the section, or in what was decoded.
enum Text<'a> {
    Sent(&'a [u8]),
    Decoded(usize, usize),
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, QpackError> {
        let (first, rest) = self.0.split_first().ok_or(QpackError::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A number whose first byte has so many bits of it, and what stands above these (RFC 7541, section 5.1).
    fn number(&mut self, bits: u32) -> Result<(u8, u64), QpackError> {
        let first = self.byte()?;
        let mask = u8::try_from((1_u32 << bits) - 1).unwrap_or(u8::MAX);
        let flags = u8::try_from(u32::from(first) >> bits).unwrap_or_default();
        let mut number = u64::from(first & mask);
        if first & mask < mask {
            return Ok((flags, number));
        }
        for shift in (0..).step_by(7) {
            let byte = self.byte()?;
            if shift > 28 {
                return Err(QpackError::TooLarge);
            }
            number += u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if number > NUMBER_MAX {
            return Err(QpackError::TooLarge);
        }
        Ok((flags, number))
    }

    /// A string whose first byte has so many bits of its length, and above these one that says whether it is
    /// coded.
    fn string(&mut self, bits: u32) -> Result<Coded<'a>, QpackError> {
        let (flags, length) = self.number(bits)?;
        let length = usize::try_from(length).map_err(|_| QpackError::TooLarge)?;
        let (bytes, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(QpackError::Truncated)?;
        self.0 = rest;
        Ok(Coded {
            bytes,
            huffman: flags & 1 != 0,
        })
    }
}

impl<'a> Coded<'a> {
    fn decode(self, scratch: &mut Vec<u8>) -> Result<Text<'a>, QpackError> {
        if !self.huffman {
            return Ok(Text::Sent(self.bytes));
        }
        let start = scratch.len();
        huffman::decode(self.bytes, scratch).map_err(|_| QpackError::Undecodable)?;
        Ok(Text::Decoded(start, scratch.len()))
    }
}

impl<'a> Text<'a> {
    fn of(&self, scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Sent(bytes) => bytes,
            Self::Decoded(start, end) => scratch.get(*start..*end).unwrap_or_default(),
        }
    }
}

/// A section that is written. Strings go as they are: coding them costs us more than the few bytes cost the
/// client.
#[derive(Debug)]
pub(super) struct Section(Vec<u8>);

impl Section {
    /// Of an answer, in memory for so many bytes of fields.
    pub(super) fn of_answer(status: StatusCode, bytes: usize) -> Self {
        let mut section = Self::of_trailers(bytes);
        match static_table::of_status(status.as_u16()) {
            Some(index) => section.number(0b11, 6, index),
            None => {
                section.number(0b0101, 4, static_table::STATUS);
                section.string(0, 7, status.as_str().as_bytes());
            }
        }
        section
    }

    pub(super) fn of_trailers(bytes: usize) -> Self {
        let mut section = Vec::with_capacity(bytes + 16);
        // It refers to nothing of the other table.
        section.extend([0, 0]);
        Self(section)
    }

    /// Adds a field; the name is in lower case.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        match static_table::of_answers(name) {
            Some(index) => self.number(0b0101, 4, index),
            None => self.string(0b00100, 3, name),
        }
        self.string(0, 7, value);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn number(&mut self, flags: u8, bits: u32, number: u64) {
        let mask = (1_u64 << bits) - 1;
        let above = u64::from(flags) << bits;
        let low = |number: u64| number.to_le_bytes().first().copied().unwrap_or_default();
        if number < mask {
            return self.0.push(low(above | number));
        }
        self.0.push(low(above | mask));
        let mut rest = number - mask;
        while rest >= 0x80 {
            self.0.push(low(rest & 0x7f | 0x80));
            rest >>= 7;
        }
        self.0.push(low(rest));
    }

    fn string(&mut self, flags: u8, bits: u32, text: &[u8]) {
        // The bit that would say that it is coded stands between the flags and the length.
        self.number(flags, bits, text.len() as u64);
        self.0.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Lines = Vec<(String, String)>;

    fn lines(section: &[u8]) -> Result<Lines, Stopped<()>> {
        let mut all = Vec::new();
        decode(section, &mut Vec::new(), |name, value| {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            all.push((text(name), text(value)));
            Ok(())
        })?;
        Ok(all)
    }

    #[track_caller]
    fn read_as(section: &[u8], expected: &[(&str, &str)]) {
        let expected: Lines = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(lines(section).unwrap(), expected);
    }

    #[test]
    fn every_line_that_needs_no_other_table_is_read() {
        // RFC 9204, appendix B.1.
        read_as(b"\x00\x00\x51\x0b/index.html", &[(":path", "/index.html")]);
        read_as(
            b"\x00\x00\xd1\xd7",
            &[(":method", "GET"), (":scheme", "https")],
        );
        read_as(b"\x00\x00\x23abc\x01d", &[("abc", "d")]);
        // With the mark that it is never to be kept, and with a long name.
        read_as(b"\x00\x00\x37\x05custom-names\x00", &[("custom-names", "")]);
        // Coded strings.
        read_as(
            b"\x00\x00\x2f\x01\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x86\xa8\xeb\x10\x64\x9c\xbf",
            &[("custom-key", "no-cache")],
        );
        read_as(b"\x00\x00", &[]);
    }

    #[test]
    fn what_needs_the_other_table_is_refused() {
        for section in [
            &b"\x01\x00\x80"[..],
            b"\x00\x80",
            b"\x00\x00\x80",
            b"\x00\x00\x40\x00",
            b"\x00\x00\x10",
            b"\x00\x00\x00\x00",
            b"\x00\x00\xff\x24",
        ] {
            assert_eq!(
                lines(section),
                Err(Stopped::Broken(QpackError::NoSuchField)),
                "{section:x?}"
            );
        }
    }

    #[test]
    fn what_breaks_off_or_is_too_large_is_refused() {
        for (section, error) in [
            (&b""[..], QpackError::Truncated),
            (b"\x00", QpackError::Truncated),
            (b"\x00\x00\x51", QpackError::Truncated),
            (b"\x00\x00\x51\x0b/index", QpackError::Truncated),
            (
                b"\x00\x00\x51\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",
                QpackError::TooLarge,
            ),
            (b"\x00\x00\xff\xff\xff\xff\xff\x7f", QpackError::TooLarge),
            (b"\x00\x00\x51\x81\x00", QpackError::Undecodable),
        ] {
            assert_eq!(lines(section), Err(Stopped::Broken(error)), "{section:x?}");
        }
    }

    #[test]
    fn whoever_takes_the_lines_may_stop() {
        let stopped = decode(b"\x00\x00\xd1\xd7\xff", &mut Vec::new(), |name, _| {
            if name == b":scheme" {
                Err("seen enough")
            } else {
                Ok(())
            }
        });
        assert_eq!(stopped, Err(Stopped::Refused("seen enough")));
    }

    proptest! {
        #[test]
        fn a_section_is_read_as_it_was_written(
            status in 100_u16..1000,
            fields in proptest::collection::vec(("[a-z0-9-]{1,300}", "[ -~]{0,300}"), 0..10),
        ) {
            let mut section = Section::of_answer(StatusCode::from_u16(status).unwrap(), 0);
            let mut expected = vec![(":status".to_owned(), status.to_string())];
            for (name, value) in fields {
                section.field(name.as_bytes(), value.as_bytes());
                expected.push((name, value));
            }
            prop_assert_eq!(lines(section.bytes()).unwrap(), expected);
        }

        #[test]
        fn no_bytes_break_it(section in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _read = lines(&section);
        }
    }
}
