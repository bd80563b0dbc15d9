//! JSON as it must be for a translator: members keep their order (a schema's order is the order in which a model
//! writes), numbers keep their text (`0.70` stays `0.70`), and what could be read in two ways is refused.
//!
//! Nothing here depends on the features that another crate of the build switches on in a shared JSON library.

mod members;
mod parse;
mod run;
mod spans;
mod write;

#[cfg(test)]
mod tests;

pub use members::{Member, Members, Outline};
pub use spans::{Spanned, SpannedMember, SpannedValue, quoted, with_exchanged};

use crate::error::Error;

/// How deep arrays and objects may lie in each other: tool schemas are some ten deep.
pub const MOST_DEPTH: usize = 100;

/// How many values a document may hold: a tree of them takes some 64 bytes for each, whatever few bytes it came as.
pub const MOST_VALUES: usize = 500_000;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(Number),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Object),
}

/// A number as it was written: nothing is lost between one dialect and the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(Box<str>);

/// An object, its members in the order in which they came, no name twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object(Vec<(String, Json)>);

impl Json {
    /// Reads one document.
    ///
    /// # Errors
    /// [`Error::Json`] for what is no JSON, or has a name twice; [`Error::TooLarge`] past [`MOST_DEPTH`] or
    /// [`MOST_VALUES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        parse::document(bytes)
    }

    /// As compact text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        write::value(self, &mut out);
        out
    }

    /// As compact text, in bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_text().into_bytes()
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn as_number(&self) -> Option<&Number> {
        if let Self::Number(number) = self {
            Some(number)
        } else {
            None
        }
    }

    /// A number that is a whole one and not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number().and_then(Number::as_u64)
    }

    /// The items of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self {
            Some(items)
        } else {
            None
        }
    }

    /// The object.
    #[must_use]
    pub const fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self {
            Some(object)
        } else {
            None
        }
    }

    /// What an object has by this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object().and_then(|object| object.get(name))
    }

    /// Whether it is `null`.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// What it is, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl Number {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A whole number that is not negative; `2.0`, which some clients write, is whole too. `2e0` is not
    /// taken.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok().or_else(|| {
            let whole = self.0.strip_suffix(".0")?;
            whole.parse().ok()
        })
    }

    /// A whole number.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The nearest binary fraction; nothing for what is past them all.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        self.0
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self(number.to_string().into())
    }
}

impl Object {
    /// One without members.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// These members, in their order.
    ///
    /// # Errors
    /// [`Error::Field`] for a name that comes twice: which of the two is meant could be read in two ways.
    pub fn of_members(members: Vec<(String, Json)>) -> Result<Self, Error> {
        if let Some(name) = parse::repeated(&members) {
            return Err(Error::field(name, "comes twice"));
        }
        Ok(Self(members))
    }

    /// What it has by this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// Takes a member out.
    pub fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// Sets a member: in its place where it is, else at the end.
    pub fn set(&mut self, name: &str, value: impl Into<Json>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// With a member more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.set(name, value);
        self
    }

    /// With a member more, where there is a value.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl Into<Json>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The members in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The names and values in their order.
    pub fn into_members(self) -> impl Iterator<Item = (String, Json)> {
        self.0.into_iter()
    }

    /// Whether it has no members.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many members it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }
}

/// Of members with one name, the first stays. It takes no longer for many members than to sort their names.
impl FromIterator<(String, Json)> for Object {
    fn from_iter<I: IntoIterator<Item = (String, Json)>>(members: I) -> Self {
        let mut members: Vec<(String, Json)> = members.into_iter().collect();
        if parse::repeated(&members).is_some() {
            let mut known = std::collections::BTreeSet::new();
            members.retain(|(name, _)| known.insert(name.clone()));
        }
        Self(members)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<&String> for Json {
    fn from(text: &String) -> Self {
        Self::String(text.clone())
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Json {
    fn from(number: u32) -> Self {
        Self::Number(u64::from(number).into())
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Self {
        Self::Number(number.into())
    }
}

impl From<Number> for Json {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

impl From<&Number> for Json {
    fn from(number: &Number) -> Self {
        Self::Number(number.clone())
    }
}

impl From<Vec<Self>> for Json {
    fn from(items: Vec<Self>) -> Self {
        Self::Array(items)
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}
