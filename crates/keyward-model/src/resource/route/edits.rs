//! Changes to headers and queries.

use std::fmt;

/// A value that is written into a message. It may be a credential for the upstream, so it does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct EditedValue(Box<str>);

impl EditedValue {
    /// Takes the value in.
    #[must_use]
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(value.into())
    }

    /// The value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EditedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[value]")
    }
}

/// Changes to headers: first what is removed, then what is set, then what is added. Names are in lower
/// case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Taken out.
    pub remove: Vec<Box<str>>,
    /// In place of whatever was there.
    pub set: Vec<(Box<str>, EditedValue)>,
    /// Beside whatever is there.
    pub add: Vec<(Box<str>, EditedValue)>,
}

/// Changes to the query, in the same order. Names and values are decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryEdits {
    /// Taken out.
    pub remove: Vec<Box<str>>,
    /// In place of whatever was there.
    pub set: Vec<(Box<str>, EditedValue)>,
    /// Beside whatever is there.
    pub add: Vec<(Box<str>, EditedValue)>,
}
