//! The grammar (RFC 8259), strictly.

use super::run::Ends;
use super::{Json, MOST_DEPTH, MOST_VALUES, Number, Object};
use crate::error::Error;
use std::ops::Range;

/// Up to so many names are compared with each other; more are sorted.
const FEW_NAMES: usize = 8;

pub(super) fn document(bytes: &[u8]) -> Result<Json, Error> {
    let mut scanner = Scanner::new(bytes)?;
    let value = scanner.value(0)?;
    scanner.end()?;
    Ok(value)
}

/// Goes over a text once, from token to token.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let text = simdutf8::compat::from_utf8(bytes).map_err(|error| Error::Json {
            at: error.valid_up_to(),
            why: "not UTF-8",
        })?;
        let mut scanner = Self {
            text,
            at: 0,
            values: 0,
        };
        scanner.space();
        Ok(scanner)
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn fail<T>(&self, why: &'static str) -> Result<T, Error> {
        Err(Error::Json { at: self.at, why })
    }

    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Past `byte` and the space behind it.
    pub(super) fn expect(&mut self, byte: u8, why: &'static str) -> Result<(), Error> {
        if self.peek() != Some(byte) {
            return self.fail(why);
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    pub(super) fn end(&self) -> Result<(), Error> {
        if self.at == self.text.len() {
            Ok(())
        } else {
            self.fail("something stands behind the value")
        }
    }

    /// One value with the space behind it.
    fn value(&mut self, depth: usize) -> Result<Json, Error> {
        self.count(depth)?;
        let value = match self.peek() {
            Some(b'{') => Json::Object(self.object(depth)?),
            Some(b'[') => Json::Array(self.array(depth)?),
            Some(b'"') => return self.string().map(Json::String),
            Some(b't') => self.word("true", Json::Bool(true))?,
            Some(b'f') => self.word("false", Json::Bool(false))?,
            Some(b'n') => self.word("null", Json::Null)?,
            Some(_) | None => {
                let span = self.number()?;
                Json::Number(Number(self.slice(span).into()))
            }
        };
        self.space();
        Ok(value)
    }

    pub(super) fn count(&mut self, depth: usize) -> Result<(), Error> {
        self.values += 1;
        if depth > MOST_DEPTH {
            return Err(Error::TooLarge {
                what: "the depth of the JSON",
                limit: MOST_DEPTH,
            });
        }
        if self.values > MOST_VALUES {
            return Err(Error::TooLarge {
                what: "the number of values in the JSON",
                limit: MOST_VALUES,
            });
        }
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<Object, Error> {
        let begin = self.at;
        self.at += 1;
        self.space();
        let mut members = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Object(members));
        }
        loop {
            let name = self.name()?;
            let value = self.value(depth + 1)?;
            members.push((name, value));
            match self.peek() {
                Some(b',') => self.expect(b',', "")?,
                Some(b'}') => break,
                Some(_) | None => return self.fail("neither `,` nor `}` follows a member"),
            }
        }
        self.at += 1;
        if repeated(&members).is_some() {
            return Err(Error::Json {
                at: begin,
                why: "an object has a name twice",
            });
        }
        Ok(Object(members))
    }

    /// A member's name and its colon.
    pub(super) fn name(&mut self) -> Result<String, Error> {
        if self.peek() != Some(b'"') {
            return self.fail("a name in quotes is missing");
        }
        let name = self.string()?;
        self.expect(b':', "`:` is missing behind a name")?;
        Ok(name)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Json>, Error> {
        self.at += 1;
        self.space();
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            match self.peek() {
                Some(b',') => self.expect(b',', "")?,
                Some(b']') => break,
                Some(_) | None => return self.fail("neither `,` nor `]` follows an item"),
            }
        }
        self.at += 1;
        Ok(items)
    }

    fn word(&mut self, word: &'static str, value: Json) -> Result<Json, Error> {
        self.skip_word(word)?;
        Ok(value)
    }

    fn skip_word(&mut self, word: &'static str) -> Result<(), Error> {
        if !self.rest().starts_with(word) {
            return self.fail("not a value");
        }
        self.at += word.len();
        Ok(())
    }

    /// Where a number stands.
    fn number(&mut self) -> Result<Range<usize>, Error> {
        let begin = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            Some(_) | None => return self.fail("not a value"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(begin..self.at)
    }

    fn digits(&mut self) -> Result<(), Error> {
        let begin = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == begin {
            return self.fail("a digit is missing");
        }
        Ok(())
    }

    /// A string, unescaped, with the space behind it.
    pub(super) fn string(&mut self) -> Result<String, Error> {
        self.string_and_end().map(|(text, _)| text)
    }

    /// The same, and where it ends.
    pub(super) fn string_and_end(&mut self) -> Result<(String, usize), Error> {
        self.at += 1;
        let mut text = String::new();
        let mut ends = Ends::of(self.text.as_bytes(), self.at);
        loop {
            let begin = self.at;
            let quoted = self.run(&mut ends)?;
            text.push_str(self.slice(begin..self.at));
            if quoted {
                break;
            }
            text.push(self.escape()?);
            ends.skip_to(self.at);
        }
        self.at += 1;
        let end = self.at;
        self.space();
        Ok((text, end))
    }

    /// To what ends a run of characters: whether it is the string's end, and not an escape.
    fn run(&mut self, ends: &mut Ends<'_>) -> Result<bool, Error> {
        let Some((at, byte)) = ends.next() else {
            self.at = self.text.len();
            return self.fail("a string does not end");
        };
        self.at = at;
        match byte {
            b'"' => Ok(true),
            b'\\' => Ok(false),
            _ => self.fail("a control character stands in a string"),
        }
    }

    /// Past the byte that opens an array or object, and the space behind it.
    pub(super) fn open(&mut self) {
        self.at += 1;
        self.space();
    }

    /// Past the byte that closes one.
    pub(super) fn close(&mut self) {
        self.at += 1;
    }

    fn escape(&mut self) -> Result<char, Error> {
        self.at += 1;
        let escaped = self.peek();
        self.at += 1;
        let plain = match escaped {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            Some(_) | None => {
                self.at -= 1;
                return self.fail("not an escape");
            }
        };
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, Error> {
        let first = self.hex()?;
        let code = match first {
            0xd800..=0xdbff => {
                if !self.rest().starts_with("\\u") {
                    return self.fail("half of a surrogate pair");
                }
                self.at += 2;
                let second = self.hex()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return self.fail("half of a surrogate pair");
                }
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            code => code,
        };
        match char::from_u32(code) {
            Some(character) => Ok(character),
            None => self.fail("half of a surrogate pair"),
        }
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let digits = self.rest().as_bytes().first_chunk::<4>();
        let code = digits.and_then(|digits| {
            digits.iter().try_fold(0, |code, digit| {
                Some(code << 4 | char::from(*digit).to_digit(16)?)
            })
        });
        match code {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => self.fail("four hexadecimal digits are missing"),
        }
    }

    /// Past a value, checking its form and keeping none of it; with the space behind it. Where it stood.
    pub(super) fn skip(&mut self, depth: usize) -> Result<Range<usize>, Error> {
        self.count(depth)?;
        let begin = self.at;
        match self.peek() {
            Some(open @ (b'{' | b'[')) => self.skip_inside(open, depth)?,
            Some(b'"') => self.skip_string()?,
            Some(b't') => self.skip_word("true")?,
            Some(b'f') => self.skip_word("false")?,
            Some(b'n') => self.skip_word("null")?,
            Some(_) | None => {
                self.number()?;
            }
        }
        let span = begin..self.at;
        self.space();
        Ok(span)
    }

    fn skip_inside(&mut self, open: u8, depth: usize) -> Result<(), Error> {
        let close = if open == b'{' { b'}' } else { b']' };
        self.at += 1;
        self.space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            if open == b'{' {
                if self.peek() != Some(b'"') {
                    return self.fail("a name in quotes is missing");
                }
                self.skip_string()?;
                self.space();
                self.expect(b':', "`:` is missing behind a name")?;
            }
            self.skip(depth + 1)?;
            match self.peek() {
                Some(b',') => self.expect(b',', "")?,
                Some(byte) if byte == close => break,
                Some(_) | None => return self.fail("neither `,` nor an end follows a value"),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn skip_string(&mut self) -> Result<(), Error> {
        self.at += 1;
        let mut ends = Ends::of(self.text.as_bytes(), self.at);
        while !self.run(&mut ends)? {
            self.escape()?;
            ends.skip_to(self.at);
        }
        self.at += 1;
        Ok(())
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn slice(&self, span: Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }
}

/// A name that comes twice: readers differ in which of the two they take.
pub(super) fn repeated(members: &[(String, Json)]) -> Option<&str> {
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() <= FEW_NAMES {
        return names
            .iter()
            .enumerate()
            .find(|(at, name)| names.iter().skip(at + 1).any(|other| other == *name))
            .map(|(_, name)| *name);
    }
    names.sort_unstable();
    names
        .windows(2)
        .find(|pair| pair.first() == pair.last())
        .and_then(|pair| pair.first().copied())
}
