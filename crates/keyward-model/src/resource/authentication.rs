//! How callers of an API prove who they are.

use super::mutual_tls::MutualTls;
use crate::limit::OnOutage;
use crate::name::Name;

/// Who may call an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Everyone.
    None,
    /// Those who prove themselves by one of these, each of another kind. What a call presents decides; of two
    /// that it presents, the one that comes first here. At least one.
    Methods(Vec<AuthenticationMethod>),
}

/// One way to prove who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthenticationMethod {
    /// A token of one of some issuers.
    Token(TokenMethod),
    /// An API key, which a credential of the API's team holds.
    ApiKey(ApiKeyMethod),
    /// A name and a password (RFC 7617), which a credential of the API's team holds.
    Basic(BasicMethod),
    /// A certificate, shown when the connection was made.
    MutualTls(MutualTls),
    /// Nothing: a call that presents none of the others is let in without a name. The last one.
    Anonymous,
}

/// Which tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenMethod {
    /// Names of issuers of the same team (or of a node's own file, which all teams share), or `self`; at least one.
    pub issuers: Vec<Name>,
    /// One of these must be in the token's `aud`; at least one.
    pub audiences: Vec<Box<str>>,
    /// Where the token is looked for. Default: the `Authorization` header alone.
    pub token: TokenSource,
    /// Whether the token goes on to the upstream. Default: it is taken out.
    pub forward_token: bool,
    /// Tokens that are bound to a key of the caller's.
    pub dpop: Dpop,
    /// Whether the certificate that a token is bound to (RFC 8705, section 3) may come from a trusted proxy, in
    /// `Client-Cert` (RFC 9440). Default: it is the connection's own.
    pub proxied_certificate: bool,
}

/// Where a token is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer` (RFC 6750, section 2.1).
    #[default]
    Header,
    /// The cookie of this name alone.
    Cookie(Box<str>),
}

/// Demonstrating proof of possession (RFC 9449). A token that is bound to a key is never taken without a proof
/// of that key, whatever stands here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dpop {
    /// Whether tokens that are bound to no key are refused. Default: they are taken.
    pub required: bool,
    /// Whether each proof must carry a nonce of ours (section 9). Default: one that is not fresh by its `iat`
    /// must, every other may.
    pub nonce: bool,
    /// The signature algorithms of proofs, by their JOSE names; each is one of public keys.
    pub algorithms: Vec<Box<str>>,
    /// What is done with proofs while the memory of those that were used, which several nodes share, can't be
    /// reached. Default: they are refused.
    pub on_outage: OnOutage,
}

impl Dpop {
    /// The algorithms of proofs that are taken unless said otherwise.
    pub const ALGORITHMS: [&str; 8] = [
        "ES256", "EdDSA", "Ed25519", "ES384", "ES512", "PS256", "RS256", "PS384",
    ];
}

impl Default for Dpop {
    fn default() -> Self {
        Self {
            required: false,
            nonce: false,
            algorithms: Self::ALGORITHMS.map(Into::into).into(),
            on_outage: OnOutage::Refuse,
        }
    }
}

/// Where an API key is looked for; at least in one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyMethod {
    /// The header, in lower case.
    pub header: Option<Box<str>>,
    /// The parameter of the query.
    pub query: Option<Box<str>>,
    /// Where the libraries of AI vendors send theirs: [`ApiKeyMethod::SDK_HEADERS`], and a key of ours as
    /// `Authorization: Bearer`.
    pub sdk: bool,
}

impl ApiKeyMethod {
    /// The headers of OpenAI's libraries for Azure, of Anthropic's, and of Google's.
    pub const SDK_HEADERS: [&'static str; 3] = ["api-key", "x-api-key", "x-goog-api-key"];

    /// The headers that a key may stand in by itself, in lower case.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        let of_sdks = Self::SDK_HEADERS.into_iter().filter(|_| self.sdk);
        self.header.as_deref().into_iter().chain(of_sdks)
    }
}

/// Names and passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicMethod {
    /// What a challenge calls the place that the password is for (RFC 9110, section 11.5).
    pub realm: Box<str>,
}

impl Authentication {
    /// By tokens alone.
    #[must_use]
    pub fn tokens(method: TokenMethod) -> Self {
        Self::Methods(vec![AuthenticationMethod::Token(method)])
    }

    /// The methods, in their order; none where everyone may call.
    #[must_use]
    pub fn methods(&self) -> &[AuthenticationMethod] {
        match self {
            Self::None => &[],
            Self::Methods(methods) => methods,
        }
    }

    /// Which tokens are taken, if any are.
    #[must_use]
    pub fn token(&self) -> Option<&TokenMethod> {
        self.methods().iter().find_map(|method| match method {
            AuthenticationMethod::Token(tokens) => Some(tokens),
            AuthenticationMethod::ApiKey(_)
            | AuthenticationMethod::Basic(_)
            | AuthenticationMethod::MutualTls(_)
            | AuthenticationMethod::Anonymous => None,
        })
    }

    /// Which certificates stand for callers, if any do.
    #[must_use]
    pub fn mutual_tls(&self) -> Option<&MutualTls> {
        self.methods().iter().find_map(|method| match method {
            AuthenticationMethod::MutualTls(clients) => Some(clients),
            AuthenticationMethod::Token(_)
            | AuthenticationMethod::ApiKey(_)
            | AuthenticationMethod::Basic(_)
            | AuthenticationMethod::Anonymous => None,
        })
    }

    /// The same, to be changed.
    pub fn mutual_tls_mut(&mut self) -> Option<&mut MutualTls> {
        let methods = match self {
            Self::None => &mut [][..],
            Self::Methods(methods) => methods,
        };
        methods.iter_mut().find_map(|method| match method {
            AuthenticationMethod::MutualTls(clients) => Some(clients),
            AuthenticationMethod::Token(_)
            | AuthenticationMethod::ApiKey(_)
            | AuthenticationMethod::Basic(_)
            | AuthenticationMethod::Anonymous => None,
        })
    }

    /// Whether a certificate may come in `Client-Cert` from a trusted proxy.
    #[must_use]
    pub fn takes_proxied_certificates(&self) -> bool {
        self.token()
            .is_some_and(|tokens| tokens.proxied_certificate)
            || self.mutual_tls().is_some_and(|clients| clients.proxied)
    }
}

impl AuthenticationMethod {
    /// As a list of methods names it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Token(_) => "issuers",
            Self::ApiKey(_) => "api_key",
            Self::Basic(_) => "basic",
            Self::MutualTls(_) => "mutual_tls",
            Self::Anonymous => "anonymous",
        }
    }
}
