//! Our key sets as they are answered.

use bytes::Bytes;
use hashbrown::HashMap;
use http::HeaderValue;

/// The address of the key set of the issuer `self`; those of teams are below it (reserved: no API can hide behind it).
const PATH: &str = "/.well-known/jwks.json";

/// A key set that this node publishes.
#[derive(Clone, Debug)]
pub struct PublishedKeys {
    /// A JWK set of public keys (RFC 7517, section 5).
    pub body: Bytes,
    /// Its entity tag, quotes included.
    pub etag: HeaderValue,
    /// How long it may be cached.
    pub cache_control: HeaderValue,
}

/// All of them, by their addresses.
#[derive(Clone, Debug, Default)]
pub struct PublishedKeySets {
    by_path: HashMap<String, PublishedKeys>,
}

impl PublishedKeySets {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With that of the issuer `self`, at `/.well-known/jwks.json`.
    #[must_use]
    pub fn with_own(mut self, keys: PublishedKeys) -> Self {
        self.by_path.insert(PATH.to_owned(), keys);
        self
    }

    /// With one of a team, at `/.well-known/jwks.json/{team}/{name}`.
    #[must_use]
    pub fn with(mut self, team: &str, name: &str, keys: PublishedKeys) -> Self {
        self.by_path.insert(format!("{PATH}/{team}/{name}"), keys);
        self
    }

    /// The one at an address.
    pub(crate) fn at(&self, path: &str) -> Option<&PublishedKeys> {
        // Calls of APIs, which are nearly all, don't get further than this.
        if !path.starts_with(PATH) {
            return None;
        }
        self.by_path.get(path)
    }
}
