//! A document with the places where its values lie, so that one text of it can be exchanged and every other byte stays
//! as it is.

use super::parse::Scanner;
use super::write;
use crate::error::Error;
use std::ops::Range;

/// A value and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned {
    /// From its first byte to its last; of a string, with its quotes.
    pub span: Range<usize>,
    /// What it is.
    pub value: SpannedValue,
}

/// What lies at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpannedValue {
    /// A string, unescaped.
    String(String),
    /// A number, as it was written.
    Number(String),
    /// `true`, `false` or `null`.
    Word,
    /// An array.
    Array(Vec<Spanned>),
    /// An object.
    Object(Vec<SpannedMember>),
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpannedMember {
    /// Its name, unescaped.
    pub name: String,
    /// Where the name lies, with its quotes.
    pub name_span: Range<usize>,
    /// What stands under it.
    pub value: Spanned,
}

impl Spanned {
    /// Reads one document.
    ///
    /// # Errors
    /// As for [`Json::parse`](super::Json::parse).
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut scanner = Scanner::new(bytes)?;
        let value = scanner.spanned(0)?;
        scanner.end()?;
        Ok(value)
    }

    /// What an object has by this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        let SpannedValue::Object(members) = &self.value else {
            return None;
        };
        let member = members.iter().find(|member| member.name == name)?;
        Some(&member.value)
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            SpannedValue::String(text) => Some(text),
            SpannedValue::Number(_)
            | SpannedValue::Word
            | SpannedValue::Array(_)
            | SpannedValue::Object(_) => None,
        }
    }

    /// The items of an array; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.value {
            SpannedValue::Array(items) => items,
            SpannedValue::String(_)
            | SpannedValue::Number(_)
            | SpannedValue::Word
            | SpannedValue::Object(_) => &[],
        }
    }

    /// The members of an object; none of anything else.
    #[must_use]
    pub fn members(&self) -> &[SpannedMember] {
        match &self.value {
            SpannedValue::Object(members) => members,
            SpannedValue::String(_)
            | SpannedValue::Number(_)
            | SpannedValue::Word
            | SpannedValue::Array(_) => &[],
        }
    }

    /// The text of a number.
    #[must_use]
    pub fn as_number(&self) -> Option<&str> {
        match &self.value {
            SpannedValue::Number(text) => Some(text),
            SpannedValue::String(_)
            | SpannedValue::Word
            | SpannedValue::Array(_)
            | SpannedValue::Object(_) => None,
        }
    }
}

/// The text with other bytes at these places, which lie in their order and not in each other; every other byte as it
/// is.
#[must_use]
pub fn with_exchanged(text: &[u8], exchanged: &[(Range<usize>, String)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut at = 0;
    for (span, new) in exchanged {
        out.extend_from_slice(text.get(at..span.start).unwrap_or_default());
        out.extend_from_slice(new.as_bytes());
        at = span.end.max(at);
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    out
}

/// A text as a string of JSON, in quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write::string(text, &mut out);
    out
}

impl Scanner<'_> {
    fn spanned(&mut self, depth: usize) -> Result<Spanned, Error> {
        let begin = self.at();
        let value = match self.peek() {
            Some(b'{') => SpannedValue::Object(self.spanned_members(depth)?),
            Some(b'[') => SpannedValue::Array(self.spanned_items(depth)?),
            Some(b'"') => {
                let (text, end) = self.spanned_string(depth)?;
                return Ok(Spanned {
                    span: begin..end,
                    value: SpannedValue::String(text),
                });
            }
            Some(b't' | b'f' | b'n') => SpannedValue::Word,
            Some(_) | None => {
                let span = self.skip(depth)?;
                return Ok(Spanned {
                    value: SpannedValue::Number(self.slice(span.clone()).to_owned()),
                    span,
                });
            }
        };
        if value == SpannedValue::Word {
            let span = self.skip(depth)?;
            return Ok(Spanned { span, value });
        }
        let end = self.at();
        self.space();
        Ok(Spanned {
            span: begin..end,
            value,
        })
    }

    /// A string that counts as a value, and where it ends.
    fn spanned_string(&mut self, depth: usize) -> Result<(String, usize), Error> {
        self.count(depth)?;
        self.string_and_end()
    }

    fn spanned_members(&mut self, depth: usize) -> Result<Vec<SpannedMember>, Error> {
        self.count(depth)?;
        let begin = self.at();
        self.open();
        let mut members: Vec<SpannedMember> = Vec::new();
        if self.peek() == Some(b'}') {
            self.close();
            return Ok(members);
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.fail("a name in quotes is missing");
            }
            let from = self.at();
            let (name, end) = self.string_and_end()?;
            self.expect(b':', "`:` is missing behind a name")?;
            let value = self.spanned(depth + 1)?;
            members.push(SpannedMember {
                name,
                name_span: from..end,
                value,
            });
            match self.peek() {
                Some(b',') => self.expect(b',', "")?,
                Some(b'}') => break,
                Some(_) | None => return self.fail("neither `,` nor `}` follows a member"),
            }
        }
        self.close();
        let mut names: Vec<&str> = members.iter().map(|member| &*member.name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(Error::Json {
                at: begin,
                why: "an object has a name twice",
            });
        }
        Ok(members)
    }

    fn spanned_items(&mut self, depth: usize) -> Result<Vec<Spanned>, Error> {
        self.count(depth)?;
        self.open();
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.close();
            return Ok(items);
        }
        loop {
            items.push(self.spanned(depth + 1)?);
            match self.peek() {
                Some(b',') => self.expect(b',', "")?,
                Some(b']') => break,
                Some(_) | None => return self.fail("neither `,` nor `]` follows an item"),
            }
        }
        self.close();
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;
    use proptest::prelude::*;

    #[test]
    fn every_value_lies_where_it_is_told_to() {
        let text = br#" {"a\u0062" : [1, -2.50e3 ,"x\ny"], "c":{"d":null,"e":[]} } "#;
        let tree = Spanned::parse(text).unwrap();
        let at = |span: &Range<usize>| std::str::from_utf8(&text[span.clone()]).unwrap();
        assert_eq!(at(&tree.members()[0].name_span), r#""a\u0062""#);
        let list = tree.get("ab").unwrap();
        let items: Vec<&str> = list.items().iter().map(|item| at(&item.span)).collect();
        assert_eq!(items, ["1", "-2.50e3", r#""x\ny""#]);
        assert_eq!(list.items()[2].as_str(), Some("x\ny"));
        assert_eq!(list.items()[1].as_number(), Some("-2.50e3"));
        assert_eq!(at(&tree.get("c").unwrap().span), r#"{"d":null,"e":[]}"#);
        let edits = [
            (list.items()[2].span.clone(), quoted("a\"b")),
            (tree.get("c").unwrap().span.clone(), "7".to_owned()),
        ];
        assert_eq!(
            String::from_utf8(with_exchanged(text, &edits)).unwrap(),
            r#" {"a\u0062" : [1, -2.50e3 ,"a\"b"], "c":7 } "#
        );
    }

    #[test]
    fn what_is_no_document_is_refused_as_elsewhere() {
        let deep = "[".repeat(102) + &"]".repeat(102);
        for text in [
            "",
            "{",
            "[1,]",
            r#"{"a":1,"a":2}"#,
            "tru",
            "1 2",
            "\"\u{1}\"",
            &deep,
        ] {
            assert!(Spanned::parse(text.as_bytes()).is_err(), "{text}");
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_takes_what_the_other_reader_takes(text in r#"[\[\]{}",:0-9a\\u tfn-]{0,24}"#) {
            let (one, two) = (Spanned::parse(text.as_bytes()), Json::parse(text.as_bytes()));
            prop_assert_eq!(one.is_ok(), two.is_ok());
        }
    }
}
