//! Names that people give to resources.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name, so that it fits a DNS label, a metric label and a file name.
pub const NAME_MAX: usize = 63;

/// A resource's name: lower-case letters, digits, `-`, `_` and `.`; begins and ends with a letter or a
/// digit; 1 to 63 bytes. Unique per team and kind. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// A team's name: the same form as [`Name`].
pub type TeamName = Name;

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no name: use 1 to 63 lower-case letters, digits, `-`, `_` and `.`, with a letter or digit at both ends"
)]
pub struct NoName(String);

impl Name {
    /// The name of the team that exists from the first start.
    #[must_use]
    pub fn default_team() -> Self {
        Self(Arc::from("default"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NoName;
    fn from_str(text: &str) -> Result<Self, NoName> {
        let bytes = text.as_bytes();
        let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let ends =
            bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
        let inside = bytes
            .iter()
            .all(|b| alphanumeric(b) || matches!(b, b'-' | b'_' | b'.'));
        if ends && inside && bytes.len() <= NAME_MAX {
            Ok(Self(Arc::from(text)))
        } else {
            Err(NoName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NoName;
    fn try_from(text: String) -> Result<Self, NoName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "echo", "v1", "my-api_2.0"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "Echo", "a b", "a/b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
