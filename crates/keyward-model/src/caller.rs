//! Who makes a call.

use crate::clock::Timestamp;
use crate::id::{ApplicationId, CredentialId, TeamId};
use crate::name::Name;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How a caller proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// No credential, on a route that asks for none.
    Anonymous,
    /// A signed token (RFC 7519).
    Jwt,
}

impl Method {
    /// As it is written in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Jwt => "jwt",
        }
    }
}

/// An authenticated caller. Every policy speaks of this one type, whatever the credential was.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// How it proved itself.
    pub method: Method,
    /// The team whose issuer or credential vouched for it. `None` for an anonymous one.
    pub team: Option<TeamId>,
    /// The name of the issuer resource.
    pub issuer_name: Option<Name>,
    /// The token's `iss`.
    pub issuer: Option<String>,
    /// The token's `sub`.
    pub subject: Option<String>,
    /// The OAuth client: `client_id` (RFC 9068), else `azp` (OpenID Connect Core).
    pub client: Option<String>,
    /// The application that a credential of ours belongs to.
    pub application: Option<ApplicationId>,
    /// The credential of ours that was used.
    pub credential: Option<CredentialId>,
    /// What the token may be used for: `scope` (RFC 8693, section 4.2), or `scp` where an issuer says so.
    pub scopes: BTreeSet<String>,
    /// The token's `jti`.
    pub token_id: Option<String>,
    /// The token's `sid`.
    pub session: Option<String>,
    /// The refresh family of a token of ours.
    pub family: Option<String>,
    /// The token's `iat`.
    pub issued_at: Option<Timestamp>,
    /// When the credential ends.
    pub expires: Option<Timestamp>,
    /// All claims, for conditions and identity headers.
    pub claims: Map<String, Value>,
}

impl Caller {
    /// A caller without a credential.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            method: Method::Anonymous,
            team: None,
            issuer_name: None,
            issuer: None,
            subject: None,
            client: None,
            application: None,
            credential: None,
            scopes: BTreeSet::new(),
            token_id: None,
            session: None,
            family: None,
            issued_at: None,
            expires: None,
            claims: Map::new(),
        }
    }
}
