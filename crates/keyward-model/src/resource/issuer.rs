//! Issuers: whose tokens are believed, and by which keys.

use super::authorization::ClaimPath;
use crate::name::Name;
use crate::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// The name that APIs use for this node's own issuer. No resource may take it.
pub const SELF: &str = "self";

/// An issuer of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The `iss` its tokens carry, compared byte by byte.
    pub issuer: Box<str>,
    /// Where its keys come from.
    pub keys: IssuerKeys,
    /// The signature algorithms it may use, by their JOSE names; empty means all that fit its keys. With
    /// [`IssuerKeys::Secret`] all are HMAC, otherwise none is: the two never meet.
    pub algorithms: Vec<Box<str>>,
    /// How far its clock may differ from ours. Default 30 s.
    pub leeway: Duration,
    /// The `typ` values that make a token an access token of this issuer; empty means `at+jwt`, `JWT` or
    /// none at all, so that an ID token is told from an access token by its audience.
    pub types: Vec<Box<str>>,
    /// The oldest `iat` taken, when set.
    pub max_age: Option<Duration>,
    /// The claim that holds the scopes: `scope`, unless said otherwise.
    pub scope_claim: Box<str>,
    /// Where its tokens say which roles their bearer has; none: they say nothing of roles that counts.
    pub roles_from: Vec<ClaimPath>,
    /// Whether tokens encrypted to a key of ours (nested JWE) are taken.
    pub encrypted: Encrypted,
}

/// How an issuer is asked about tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspection {
    /// Its introspection endpoint.
    pub url: Box<str>,
    /// As whom it is asked: HTTP basic, form-encoded as RFC 6749, section 2.3.1, has it.
    pub client_id: Box<str>,
    /// What proves that.
    pub client_secret: Secret<String>,
    /// How long an answer counts, and never longer than the token. Default 30 s; zero asks at each call.
    pub cache_for: Duration,
}

/// Whether an issuer's tokens come encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encrypted {
    /// Signed only; an encrypted one is refused.
    #[default]
    No,
    /// Always signed, then encrypted; one that is only signed is refused.
    Required,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerKeys {
    /// This node's own keys: the issuer `self`.
    Own,
    /// A key set of ours that the same team has, by its name.
    KeySet(Name),
    /// A JWK set written into the resource, as JSON text.
    Inline(Box<str>),
    /// A file with a JWK set or a PEM key, watched.
    File(PathBuf),
    /// A shared secret, for HMAC.
    Secret(Secret<Vec<u8>>),
    /// None: the issuer is asked about each token (RFC 7662).
    Introspection(Box<Introspection>),
    /// An address that serves a JWK set, or, with `discover`, the issuer's metadata that names it.
    Url {
        /// `https:` (or `http:` where the operator allows the address).
        url: Box<str>,
        /// Whether the address is of metadata (OpenID Connect Discovery, RFC 8414) with a `jwks_uri`.
        discover: bool,
        /// How long the last good keys are used while the issuer can't be reached. Default 24 h.
        stale_for: Duration,
    },
}
