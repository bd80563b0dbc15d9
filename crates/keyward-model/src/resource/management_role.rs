//! Custom roles: what members of a team may manage, in the Cedar language.

use crate::name::Name;

/// A role that a team gives its members beside the built-in ones. Its text is compiled by `keyward-access`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomRole {
    /// Its policies.
    pub cedar: Box<str>,
}

impl CustomRole {
    /// The longest text, in bytes: it is compiled when it is first used, and looked at in each call of its members.
    pub const TEXT_MAX_BYTES: usize = 16 << 10;

    /// What no custom role is called, since built-in roles are.
    pub const BUILT_IN: [&'static str; 5] =
        ["operator", "owner", "publisher", "consumer", "auditor"];

    /// As it stands beside a member in the database: never like a built-in role, whatever those of later versions are
    /// called.
    #[must_use]
    pub fn given(name: &Name) -> String {
        format!("{}{name}", Self::GIVEN)
    }

    /// The name of the custom role that stands beside a member so.
    #[must_use]
    pub fn of_given(text: &str) -> Option<Name> {
        text.strip_prefix(Self::GIVEN)?.parse().ok()
    }

    const GIVEN: &'static str = "custom:";
}
