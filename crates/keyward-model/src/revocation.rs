//! Revocations: what is no longer to be believed although its signature holds.

use crate::clock::Timestamp;
use crate::id::{RevocationId, TeamId};
use serde::{Deserialize, Serialize};

/// What a revocation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationKind {
    /// One token, by its `jti`.
    TokenId,
    /// All tokens of a session, by their `sid`.
    Session,
    /// All tokens of a subject, by their `sub`.
    Subject,
    /// All tokens of a client, by their `client_id` (or `azp`).
    Client,
    /// All tokens that came from one grant: a refresh family.
    Family,
}

impl RevocationKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::TokenId,
        Self::Session,
        Self::Subject,
        Self::Client,
        Self::Family,
    ];

    /// As stored and as spoken of in the management API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenId => "token_id",
            Self::Session => "session",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Family => "family",
        }
    }

    /// Whether tokens issued after the revocation are good again: those of a subject or client, which
    /// signs in anew. A token, a session and a family are over for good; comparing times would let a
    /// token pass whose issuer's clock is ahead of ours.
    #[must_use]
    pub const fn spares_later(self) -> bool {
        match self {
            Self::Subject | Self::Client => true,
            Self::TokenId | Self::Session | Self::Family => false,
        }
    }

    /// The kind with this spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A revocation: every token of `issuer` whose `kind` is `value` is refused until `expires`, when no such
/// token can be valid any more; of a subject or client, those issued before `not_before`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// The row.
    pub id: RevocationId,
    /// Whose row it is.
    pub team: TeamId,
    /// The issuer's `iss`.
    pub issuer: String,
    /// What `value` names.
    pub kind: RevocationKind,
    /// The revoked `jti`, `sid`, `sub`, `client_id` or family.
    pub value: String,
    /// Tokens of a subject or client with an `iat` before this are refused; one without `iat` always is.
    pub not_before: Timestamp,
    /// When the row can be forgotten.
    pub expires: Timestamp,
}

impl Revocation {
    /// Whether a token issued at `issued_at` falls under this revocation at `now`.
    #[must_use]
    pub fn covers(&self, issued_at: Option<Timestamp>, now: Timestamp) -> bool {
        let before = issued_at.is_none_or(|at| at < self.not_before);
        now < self.expires && (before || !self.kind.spares_later())
    }
}
