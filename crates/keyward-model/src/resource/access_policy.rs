//! Access policies: who may do what, in the Cedar language.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Cedar policies that APIs and routes name. Their text is compiled by `keyward-access`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPolicy {
    /// The policies.
    pub source: PolicySource,
    /// The claims that the policies read, by path, and what they are. Others are not there for them.
    pub claims: BTreeMap<Box<str>, ClaimType>,
}

impl AccessPolicy {
    /// The longest text, in bytes: hundreds of policies, each of which costs time at every call.
    pub const TEXT_MAX_BYTES: usize = 64 << 10;

    /// The file, as long as it was not read.
    pub fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match &mut self.source {
            PolicySource::Text(_) => None,
            PolicySource::File(path) => Some(path),
        }
    }
}

/// Where policies stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// Here.
    Text(Box<str>),
    /// In this file. Whoever reads the configuration puts its text here, so that nothing else opens it.
    File(PathBuf),
}

/// What a claim is, for policies that read it. A token whose claim is something else is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimType {
    /// A text.
    String,
    /// A whole number of 64 bits.
    Long,
    /// `true` or `false`.
    Bool,
    /// A list of texts, or one text.
    SetOfString,
}

impl ClaimType {
    /// All types.
    pub const ALL: [Self; 4] = [Self::String, Self::Long, Self::Bool, Self::SetOfString];

    /// As Cedar's schemas write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::Long => "Long",
            Self::Bool => "Bool",
            Self::SetOfString => "Set<String>",
        }
    }
}
