//! What is wrong with roles and policies.

use keyward_model::name::Name;

/// Something that is wrong with the text of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where it stands in the text, in bytes; `None` where that is not known.
    pub offset: Option<usize>,
    /// What is wrong, and what to do.
    pub message: String,
    /// A stable code.
    pub code: &'static str,
    /// Whether the policies can't be used because of it.
    pub fatal: bool,
}

/// Why no rule can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text of a policy is wrong.
    #[error("access policy `{policy}`: {why}")]
    Policy {
        /// The policy.
        policy: String,
        /// What is wrong with it, the first of all.
        why: String,
    },
    /// A policy does not exist.
    #[error("there is no access policy `{0}`")]
    UnknownPolicy(Name),
    /// Two policies of one list say different things of a claim.
    #[error("claim `{claim}` is {one} for one policy and {other} for another of the same list")]
    ClaimTypes {
        /// The claim.
        claim: String,
        /// What it is for one.
        one: &'static str,
        /// And for the other.
        other: &'static str,
    },

    /// A policy reads a header that clients can't send.
    #[error(
        "policies read the header `{0}`, which tells the upstream who calls and which anyone could send: read `principal` instead"
    )]
    IdentityHeader(String),
    /// A policy reads a parameter that no path has to which it is attached.
    #[error(
        "policies read the parameter `{name}`, which no path has that they are attached to{there}"
    )]
    UnknownParameter {
        /// The parameter.
        name: String,
        /// Those that there are.
        there: String,
    },
    /// Cedar does not take what we made.
    #[error("{0}")]
    Cedar(String),
}
