//! Who makes a call.

mod claims;
mod scopes;
#[cfg(test)]
mod tests;
mod text;

pub use scopes::Scopes;

use crate::clock::Timestamp;
use crate::id::{ApplicationId, CredentialId, TeamId};
use crate::name::Name;
use claims::Kept;
use serde_json::{Map, Value};
use std::sync::Arc;
use text::{Place, TextBuilder};

/// How a caller proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// No credential, on a route that asks for none.
    Anonymous,
    /// A token: one that is signed (RFC 7519), or one that its issuer was asked about (RFC 7662).
    Jwt,
    /// An API key that a credential of ours holds.
    ApiKey,
    /// A name and a password that a credential of ours holds (RFC 7617).
    Basic,
    /// A certificate, when its connection was made (RFC 8446, section 4.4.2).
    MutualTls,
}

impl Method {
    /// As it is written in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Jwt => "jwt",
            Self::ApiKey => "api_key",
            Self::Basic => "basic",
            Self::MutualTls => "mutual_tls",
        }
    }
}

/// An authenticated caller. Every policy speaks of this one type, whatever the credential was.
///
/// Thousands are kept, one for each token in use, so a caller is small: what its token said is one text, and
/// subject, client and the others are places in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// How it proved itself.
    pub method: Method,
    /// The team whose issuer or credential vouched for it. `None` for an anonymous one.
    pub team: Option<TeamId>,
    /// The name of the issuer resource.
    pub issuer_name: Option<Name>,
    /// The token's `iss`; the issuer of a certificate as RFC 4514 writes it.
    pub issuer: Option<Arc<str>>,
    /// The application that a credential of ours belongs to.
    pub application: Option<ApplicationId>,
    /// The credential of ours that was used.
    pub credential: Option<CredentialId>,
    /// What the token may be used for: `scope` (RFC 8693, section 4.2), or `scp` where an issuer says so.
    pub scopes: Scopes,
    /// The token's `iat`; from when on a certificate holds.
    pub issued_at: Option<Timestamp>,
    /// When the credential ends.
    pub expires: Option<Timestamp>,
    /// The claims as JSON, or else the texts that the places are of.
    text: Arc<str>,
    subject: Option<Place>,
    client: Option<Place>,
    token_id: Option<Place>,
    session: Option<Place>,
    family: Option<Place>,
    claims: Kept,
}

/// What a verified token says, for [`Caller::of_token`]. Nothing here is checked again.
///
/// Texts that are parts of the claims' own JSON are not copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenFacts<'a> {
    /// All claims.
    pub claims: TokenClaims<'a>,
    /// `sub`.
    pub subject: Option<&'a str>,
    /// The OAuth client: `client_id` (RFC 9068), else `azp` (OpenID Connect Core).
    pub client: Option<&'a str>,
    /// What the token may be used for.
    pub scopes: TokenScopes<'a>,
    /// `jti`.
    pub token_id: Option<&'a str>,
    /// `sid`.
    pub session: Option<&'a str>,
    /// The refresh family of a token of ours.
    pub family: Option<&'a str>,
}

/// All claims of a token.
#[derive(Clone, Copy, Debug, Default)]
pub enum TokenClaims<'a> {
    /// There are none.
    #[default]
    None,
    /// The text of a JSON object without a member that stands there twice.
    Json(&'a str),
    /// A map.
    Map(&'a Map<String, Value>),
}

/// The scopes of a token.
#[derive(Clone, Copy, Debug, Default)]
pub enum TokenScopes<'a> {
    /// There are none.
    #[default]
    None,
    /// In one text, divided by spaces.
    Spaced(&'a str),
    /// Each for itself.
    Listed(&'a [&'a str]),
}

/// The token says more than four gigabytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the claims are longer than four gigabytes")]
pub struct ClaimsTooLong;

impl Caller {
    /// A caller without a credential.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            method: Method::Anonymous,
            team: None,
            issuer_name: None,
            issuer: None,
            application: None,
            credential: None,
            scopes: Scopes::default(),
            issued_at: None,
            expires: None,
            text: Arc::default(),
            subject: None,
            client: None,
            token_id: None,
            session: None,
            family: None,
            claims: Kept::None,
        }
    }

    /// The bearer of a token that was verified. The issuer and the times are to be set.
    ///
    /// ```
    /// use keyward_model::caller::{Caller, TokenClaims, TokenFacts, TokenScopes};
    /// let json = r#"{"sub":"alice","scope":"read write","tenant":{"id":7}}"#;
    /// let caller = Caller::of_token(&TokenFacts {
    ///     claims: TokenClaims::Json(json),
    ///     subject: Some("alice"),
    ///     scopes: TokenScopes::Spaced("read write"),
    ///     ..TokenFacts::default()
    /// })?;
    /// assert_eq!(caller.subject(), Some("alice"));
    /// assert!(caller.scopes.contains("read"));
    /// assert_eq!(caller.claim("tenant"), Some(serde_json::json!({ "id": 7 })));
    /// assert_eq!(caller.claim("id"), None);
    /// # Ok::<(), keyward_model::caller::ClaimsTooLong>(())
    /// ```
    ///
    /// # Errors
    /// [`ClaimsTooLong`], which no token is that came in a header.
    pub fn of_token(facts: &TokenFacts<'_>) -> Result<Self, ClaimsTooLong> {
        let mut text = TextBuilder::new(match facts.claims {
            TokenClaims::Json(json) => json,
            TokenClaims::None | TokenClaims::Map(_) => "",
        });
        let mut place = |part: Option<&str>| part.map(|part| text.place(part)).transpose();
        let subject = place(facts.subject)?;
        let client = place(facts.client)?;
        let token_id = place(facts.token_id)?;
        let session = place(facts.session)?;
        let family = place(facts.family)?;
        let claims = match facts.claims {
            TokenClaims::None => Kept::None,
            TokenClaims::Json(json) => Kept::Json(text.place(json)?),
            TokenClaims::Map(map) => Kept::Map(Box::new(map.clone())),
        };
        let scopes = scopes::Places::new(facts.scopes, &mut text)?;
        let text = text.finish();
        Ok(Self {
            method: Method::Jwt,
            team: None,
            issuer_name: None,
            issuer: None,
            application: None,
            credential: None,
            scopes: scopes.of(&text),
            issued_at: None,
            expires: None,
            text,
            subject,
            client,
            token_id,
            session,
            family,
            claims,
        })
    }

    /// The token's `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.part(self.subject)
    }

    /// The OAuth client: `client_id` (RFC 9068), else `azp` (OpenID Connect Core).
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        self.part(self.client)
    }

    /// The token's `jti`.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.part(self.token_id)
    }

    /// The token's `sid`.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.part(self.session)
    }

    /// The refresh family of a token of ours.
    #[must_use]
    pub fn family(&self) -> Option<&str> {
        self.part(self.family)
    }

    /// Any claim of the token, for conditions and identity headers. Read anew from the text at each call:
    /// keep what is asked for often.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<Value> {
        self.claims.get(&self.text, name)
    }

    /// The JSON of the token's claims, shared with this caller, where the caller keeps that and nothing else.
    #[must_use]
    pub fn claims_json(&self) -> Option<Arc<str>> {
        match &self.claims {
            Kept::Json(place) if place.of(&self.text).len() == self.text.len() => {
                Some(Arc::clone(&self.text))
            }
            Kept::None | Kept::Json(_) | Kept::Map(_) => None,
        }
    }

    fn part(&self, place: Option<Place>) -> Option<&str> {
        place.map(|place| place.of(&self.text))
    }
}
