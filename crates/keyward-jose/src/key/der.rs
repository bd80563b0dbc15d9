//! DER, as far as keys need it (X.690, section 10): definite, minimal lengths and nothing left over.

use crate::Error;
use zeroize::Zeroizing;

/// The universal and context tags that keys are made of.
pub(crate) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(crate) const SEQUENCE: u8 = 0x30;
    /// `[0]`, constructed.
    pub(crate) const CONTEXT_0: u8 = 0xa0;
    /// `[1]`, constructed.
    pub(crate) const CONTEXT_1: u8 = 0xa1;
    /// `[0]`, primitive.
    pub(crate) const CONTEXT_0_PRIMITIVE: u8 = 0x80;
    /// `[1]`, primitive.
    pub(crate) const CONTEXT_1_PRIMITIVE: u8 = 0x81;
}

/// The values of one level, from first to last.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(der: &'a [u8]) -> Self {
        Self { rest: der }
    }

    /// A reader of what is in the one SEQUENCE that `der` has to be.
    pub(crate) fn sequence_of(der: &'a [u8]) -> Result<Self, Error> {
        let mut outer = Self::new(der);
        let inner = outer.sequence()?;
        outer.end()?;
        Ok(inner)
    }

    pub(crate) fn next_tag(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next value: its tag and contents.
    pub(crate) fn value(&mut self) -> Result<(u8, &'a [u8]), Error> {
        let (tag, rest) = self
            .rest
            .split_first()
            .ok_or_else(|| bad("it ends early"))?;
        if tag & 0x1f == 0x1f {
            return Err(bad("a tag of several bytes has no place in a key"));
        }
        let (length, rest) = length(rest)?;
        let (contents, rest) = rest
            .split_at_checked(length)
            .ok_or_else(|| bad("a length reaches past the end"))?;
        self.rest = rest;
        Ok((*tag, contents))
    }

    /// The next value's contents, which must have `tag`.
    pub(crate) fn expect(&mut self, tag: u8, what: &'static str) -> Result<&'a [u8], Error> {
        match self.value()? {
            (found, contents) if found == tag => Ok(contents),
            _ => Err(Error::KeyForm(format!(
                "DER: {what} is needed and not there"
            ))),
        }
    }

    /// The next value's contents if it has `tag`; otherwise nothing is read.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Error> {
        if self.next_tag() == Some(tag) {
            self.value().map(|(_, contents)| Some(contents))
        } else {
            Ok(None)
        }
    }

    pub(crate) fn sequence(&mut self) -> Result<Self, Error> {
        self.expect(tag::SEQUENCE, "a SEQUENCE").map(Self::new)
    }

    /// A non-negative INTEGER, without leading zeros (zero itself is one zero byte).
    pub(crate) fn unsigned(&mut self) -> Result<&'a [u8], Error> {
        let bytes = self.expect(tag::INTEGER, "an INTEGER")?;
        match bytes {
            [] => Err(bad("an INTEGER is empty")),
            [0, second, ..] if second & 0x80 == 0 => Err(bad("an INTEGER has a needless zero")),
            [0, rest @ ..] if !rest.is_empty() => Ok(rest),
            [first, ..] if first & 0x80 != 0 => Err(bad("an INTEGER is negative")),
            _ => Ok(bytes),
        }
    }

    /// A BIT STRING of whole bytes.
    pub(crate) fn bit_string(&mut self) -> Result<&'a [u8], Error> {
        whole_bytes(self.expect(tag::BIT_STRING, "a BIT STRING")?)
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(bad("there are bytes after the end"))
        }
    }
}

/// The bytes of a BIT STRING's contents, of which no bit may be unused.
pub(crate) fn whole_bytes(contents: &[u8]) -> Result<&[u8], Error> {
    match contents {
        [0, bytes @ ..] => Ok(bytes),
        _ => Err(bad("a BIT STRING does not end at a byte")),
    }
}

fn length(rest: &[u8]) -> Result<(usize, &[u8]), Error> {
    let (first, rest) = rest.split_first().ok_or_else(|| bad("it ends early"))?;
    if first & 0x80 == 0 {
        return Ok((usize::from(*first), rest));
    }
    let count = usize::from(first & 0x7f);
    // Four bytes of length are far more than any bound on a key's size lets in.
    if count == 0 || count > 4 {
        return Err(bad("a length is indefinite or absurd"));
    }
    let (bytes, rest) = rest
        .split_at_checked(count)
        .ok_or_else(|| bad("it ends early"))?;
    let length = bytes
        .iter()
        .fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
    if bytes.first() == Some(&0) || length < 0x80 {
        return Err(bad("a length is longer than it has to be"));
    }
    Ok((length, rest))
}

fn bad(why: &'static str) -> Error {
    Error::KeyForm(format!("DER: {why}"))
}

/// One value: `tag` around the `parts`. Since parts are often secret, so is the result.
pub(crate) fn write(tag: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let size = length.to_be_bytes();
    let size: Vec<u8> = size.into_iter().skip_while(|byte| *byte == 0).collect();
    // Room for all at once: growing would leave copies behind that nobody wipes.
    let mut out = Zeroizing::new(Vec::with_capacity(2 + size.len() + length));
    out.push(tag);
    if let Ok(short @ 0..0x80) = u8::try_from(length) {
        out.push(short);
    } else {
        // At most eight bytes of length.
        out.push(0x80 | u8::try_from(size.len()).unwrap_or(8));
        out.extend_from_slice(&size);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A non-negative INTEGER from big-endian bytes without leading zeros.
pub(crate) fn write_unsigned(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    match bytes.first() {
        None => write(tag::INTEGER, &[&[0]]),
        Some(first) if first & 0x80 != 0 => write(tag::INTEGER, &[&[0], bytes]),
        Some(_) => write(tag::INTEGER, &[bytes]),
    }
}

/// A BIT STRING of whole bytes.
pub(crate) fn write_bit_string(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    write(tag::BIT_STRING, &[&[0], bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal_both_ways() {
        for size in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let contents = vec![7; size];
            let der = write(tag::OCTET_STRING, &[&contents]);
            let mut reader = Reader::new(&der);
            assert_eq!(
                reader.expect(tag::OCTET_STRING, "x"),
                Ok(contents.as_slice()),
                "{size}"
            );
            assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn what_is_not_distinguished_is_refused() {
        for bad in [
            &b"\x04\x81\x01\x07"[..],         // a long length for a short value
            b"\x04\x82\x00\x80",              // a length with a leading zero
            b"\x04\x80\x07\x00\x00",          // indefinite
            b"\x04\x85\x00\x00\x00\x00\x01x", // five bytes of length
            b"\x04\x02\x07",                  // cut
            b"\x04",
            b"\x1f\x01\x00",
            b"",
        ] {
            assert!(Reader::new(bad).value().is_err(), "{bad:?}");
        }
        for bad in [&b"\x02\x00"[..], b"\x02\x02\x00\x01", b"\x02\x01\x80"] {
            assert!(Reader::new(bad).unsigned().is_err(), "{bad:?}");
        }
        assert!(Reader::new(b"\x03\x02\x01\x80").bit_string().is_err());
        assert!(Reader::sequence_of(b"\x30\x00\x00").is_err());
    }

    #[test]
    fn integers_keep_their_value() {
        for bytes in [&[1_u8][..], &[0x7f], &[0x80], &[0xff, 0], &[0]] {
            assert_eq!(Reader::new(&write_unsigned(bytes)).unsigned(), Ok(bytes));
        }
    }
}
