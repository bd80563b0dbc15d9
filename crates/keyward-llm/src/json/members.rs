//! An object's members where they lie in its text, so that one can be exchanged and every other byte stays as it is.

use super::parse::Scanner;
use super::{Json, write};
use crate::error::Error;
use std::borrow::Cow;
use std::ops::Range;

/// Where one member lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, unescaped.
    pub name: String,
    /// From its name's first quote to its value's last byte.
    pub whole: Range<usize>,
    /// Its value's bytes.
    pub value: Range<usize>,
}

/// The members of the object that a text is.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    text: &'a [u8],
    outline: Cow<'a, Outline>,
}

/// Where the members of an object lie in its text: what is kept of a text that is asked about more than once.
#[derive(Clone, Debug)]
pub struct Outline {
    members: Vec<Member>,
    /// Where the closing brace stands.
    end: usize,
}

impl Outline {
    /// Finds the members, checking the form of everything and building nothing.
    ///
    /// # Errors
    /// [`Error::Json`] for what is no object, or has a name twice: a gateway that looked at the one and a provider
    /// that takes the other would let calls pass that may not.
    pub fn read(text: &[u8]) -> Result<Self, Error> {
        let mut scanner = Scanner::new(text)?;
        scanner.expect(b'{', "not an object")?;
        let mut members: Vec<Member> = Vec::new();
        if scanner.peek() != Some(b'}') {
            loop {
                let begin = scanner.at();
                let name = scanner.name()?;
                if members.iter().any(|member| member.name == name) {
                    return Err(Error::Json {
                        at: begin,
                        why: "an object has a name twice",
                    });
                }
                let value = scanner.skip(1)?;
                let whole = begin..value.end;
                members.push(Member { name, whole, value });
                if members.len() > MOST_MEMBERS {
                    return Err(Error::TooLarge {
                        what: "the number of members of the JSON",
                        limit: MOST_MEMBERS,
                    });
                }
                match scanner.peek() {
                    Some(b',') => scanner.expect(b',', "")?,
                    Some(b'}') => break,
                    Some(_) | None => return scanner.fail("neither `,` nor `}` follows a member"),
                }
            }
        }
        let end = scanner.at();
        scanner.expect(b'}', "an object does not end")?;
        scanner.end()?;
        Ok(Self { members, end })
    }

    /// The members, of the text that this was read from.
    #[must_use]
    pub const fn of<'a>(&'a self, text: &'a [u8]) -> Members<'a> {
        Members {
            text,
            outline: Cow::Borrowed(self),
        }
    }
}

impl<'a> Members<'a> {
    /// Finds the members of a text.
    ///
    /// # Errors
    /// As [`Outline::read`].
    pub fn read(text: &'a [u8]) -> Result<Self, Error> {
        Ok(Self {
            text,
            outline: Cow::Owned(Outline::read(text)?),
        })
    }

    /// The bytes of a member's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let member = self.member(name)?;
        self.text.get(member.value.clone())
    }

    /// A member's value as text, when it is a string.
    #[must_use]
    pub fn string(&self, name: &str) -> Option<String> {
        match Json::parse(self.get(name)?) {
            Ok(Json::String(text)) => Some(text),
            Ok(Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_))
            | Err(_) => None,
        }
    }

    /// Whether a member is `true`.
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some(b"true")
    }

    /// The names in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.outline
            .members
            .iter()
            .map(|member| member.name.as_str())
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.outline
            .members
            .iter()
            .find(|member| member.name == name)
    }

    /// The text with members set (`Some`) and taken out (`None`); every other byte as it is. The same bytes where
    /// nothing changes.
    #[must_use]
    pub fn edit(&self, edits: &[(&str, Option<Json>)]) -> Cow<'a, [u8]> {
        let known = |name: &str| self.member(name).is_some();
        if !edits
            .iter()
            .any(|(name, value)| known(name) || value.is_some())
        {
            return Cow::Borrowed(self.text);
        }
        let Outline { members, end } = &*self.outline;
        let first = members.first().map_or(*end, |first| first.whole.start);
        let last = members.last().map_or(first, |last| last.whole.end);
        let mut out = Vec::with_capacity(self.text.len() + 64);
        out.extend_from_slice(self.bytes(0..first));
        let mut any = false;
        let mut before = first;
        for member in members {
            let separator = before..member.whole.start;
            before = member.whole.end;
            let edit = edits.iter().find(|(name, _)| *name == member.name);
            if let Some((_, None)) = edit {
                continue;
            }
            if any {
                out.extend_from_slice(self.bytes(separator));
            }
            any = true;
            match edit.and_then(|(_, value)| value.as_ref()) {
                Some(value) => {
                    out.extend_from_slice(self.bytes(member.whole.start..member.value.start));
                    out.extend_from_slice(&value.to_bytes());
                }
                None => out.extend_from_slice(self.bytes(member.whole.clone())),
            }
        }
        for (name, value) in edits.iter().filter(|(name, _)| !known(name)) {
            let Some(value) = value else { continue };
            let mut added = String::new();
            if any {
                added.push(',');
            }
            any = true;
            write::string(name, &mut added);
            added.push(':');
            write::value(value, &mut added);
            out.extend_from_slice(added.as_bytes());
        }
        out.extend_from_slice(self.bytes(last..self.text.len()));
        Cow::Owned(out)
    }

    fn bytes(&self, span: Range<usize>) -> &'a [u8] {
        self.text.get(span).unwrap_or_default()
    }
}

/// How many members a request's object may have: dialects know some sixty.
const MOST_MEMBERS: usize = 1_000;
