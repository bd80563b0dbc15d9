//! APIs: what is published, under which path, for whom.

use super::ai::Ai;
use super::authentication::Authentication;
use super::authorization::{Authorization, PolicyReference};
use super::policy::Policies;
use super::route::{HostPattern, Route};
use crate::limit::LimitRule;
use crate::name::Name;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// One version of an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// With the resource's name it identifies the API.
    pub version: Name,
    /// Where in its life the version stands.
    pub state: VersionState,
    /// The hosts that lead here; none: whatever host is called, behind APIs that name it.
    pub hosts: Vec<HostPattern>,
    /// The path that leads here.
    pub base_path: BasePath,
    /// Whether the base path stays in what the upstream sees.
    pub keep_base_path: bool,
    /// What is told apart below the base path: at least one.
    pub routes: Vec<Route>,
    /// Who may call: said for every API, if only `none`.
    pub authentication: Authentication,
    /// What callers of every route must be.
    pub authorization: Authorization,
    /// Limits of all its routes together, taken in order, before those of the route.
    pub limits: Vec<LimitRule>,
    /// Which headers tell the upstream who calls.
    pub identity_headers: IdentityHeaders,
    /// The largest request body in bytes; `None` for no bound but time.
    pub max_body_bytes: Option<u64>,
    /// How long a body may go without a byte, in either direction. Default 60 s.
    pub idle_body_timeout: Duration,
    /// The AI models that it serves, in place of upstreams.
    pub ai: Option<Box<Ai>>,
}

/// The life of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VersionState {
    /// Not served.
    Draft,
    /// Served.
    Published,
    /// Served, and said to go away.
    Deprecated,
    /// No longer served.
    Retired,
}

impl Api {
    /// The files that it names.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let clients = self.authentication.mutual_tls_mut();
        let roots = clients.and_then(|clients| clients.roots.as_mut());
        let mut policies = Vec::new();
        let mut levels = vec![&mut self.authorization];
        for route in &mut self.routes {
            policies.push(&mut route.policies);
            levels.push(&mut route.authorization);
        }
        let access = levels.into_iter().flat_map(|level| &mut level.policies);
        let access = access.filter_map(|policy| match policy {
            PolicyReference::Named(_) => None,
            PolicyReference::Inline(policy) => policy.path_mut(),
        });
        let addresses = policies.into_iter().flat_map(Policies::paths_mut);
        roots.into_iter().chain(addresses).chain(access)
    }
}

impl VersionState {
    /// All states, in order.
    pub const ALL: [Self; 4] = [
        Self::Draft,
        Self::Published,
        Self::Deprecated,
        Self::Retired,
    ];

    /// As written in `state`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Deprecated => "deprecated",
            Self::Retired => "retired",
        }
    }

    /// Whether calls are let through.
    #[must_use]
    pub const fn serves(self) -> bool {
        matches!(self, Self::Published | Self::Deprecated)
    }
}

/// Headers that tell the upstream who calls. On every route, open ones too, a client's own headers of
/// these names are taken out, in any spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// (header name in lower case, what it tells).
    pub headers: Vec<(Box<str>, IdentityField)>,
}

impl Default for IdentityHeaders {
    /// `x-keyward-issuer`, `x-keyward-subject`, `x-keyward-client`, `x-keyward-scopes`.
    fn default() -> Self {
        Self {
            headers: vec![
                ("x-keyward-issuer".into(), IdentityField::Issuer),
                ("x-keyward-subject".into(), IdentityField::Subject),
                ("x-keyward-client".into(), IdentityField::Client),
                ("x-keyward-scopes".into(), IdentityField::Scopes),
            ],
        }
    }
}

/// What an identity header tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IdentityField {
    /// The token's `iss`.
    Issuer,
    /// The token's `sub`.
    Subject,
    /// The OAuth client.
    Client,
    /// The scopes, separated by spaces.
    Scopes,
    /// The claim of this name: a string as it is, anything else as JSON.
    Claim(Box<str>),
}

/// The path that leads to an API: `/` or segments of unreserved characters (RFC 3986, section 2.3)
/// without a slash at the end. It matches itself and what continues it after a slash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BasePath(Box<str>);

/// Why a text is no base path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no base path: it begins with `/`, does not end with one, and its segments have letters, digits, `-`, `.`, `_`, `~` alone, none of them `.` or `..`"
)]
pub struct NoBasePath(String);

impl BasePath {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, none for `/`.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }
}

impl FromStr for BasePath {
    type Err = NoBasePath;
    fn from_str(text: &str) -> Result<Self, NoBasePath> {
        let unreserved =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        let good = text == "/"
            || text.strip_prefix('/').is_some_and(|rest| {
                rest.split('/').all(|segment| {
                    !matches!(segment, "" | "." | "..") && segment.bytes().all(unreserved)
                })
            });
        if good && text.len() <= 1024 {
            Ok(Self(text.into()))
        } else {
            Err(NoBasePath(text.chars().take(120).collect()))
        }
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_paths_have_one_spelling() {
        for good in ["/", "/echo", "/a/b.c/~d"] {
            assert!(good.parse::<BasePath>().is_ok(), "{good}");
        }
        for bad in [
            "", "echo", "/echo/", "//", "/a//b", "/a/../b", "/.", "/a%2fb", "/ä", "/a b",
        ] {
            assert!(bad.parse::<BasePath>().is_err(), "{bad}");
        }
    }
}
