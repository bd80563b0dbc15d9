//! What is to be encrypted.

use serde_json::{Map, Value};
use std::fmt;

/// A plaintext with what goes beside it.
///
/// ```
/// use keyward_jose::jwe::Message;
///
/// let message = Message::new(b"{}").with_protected("cty", "json").compressed();
/// # let _ = message;
/// ```
#[derive(Clone)]
pub struct Message<'a> {
    pub(super) plaintext: &'a [u8],
    pub(super) protected: Map<String, Value>,
    pub(super) unprotected: Map<String, Value>,
    pub(super) aad: Option<&'a [u8]>,
    pub(super) compressed: bool,
}

impl<'a> Message<'a> {
    /// The plaintext alone.
    #[must_use]
    pub fn new(plaintext: &'a [u8]) -> Self {
        Self {
            plaintext,
            protected: Map::new(),
            unprotected: Map::new(),
            aad: None,
            compressed: false,
        }
    }

    /// Adds a parameter to the protected header. `kid` replaces the key's own.
    #[must_use]
    pub fn with_protected(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.protected.insert(name.into(), value.into());
        self
    }

    /// Adds a parameter to the shared unprotected header, which the compact serialization does not have.
    #[must_use]
    pub fn with_unprotected(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.unprotected.insert(name.into(), value.into());
        self
    }

    /// Bytes that travel in the clear and are covered by the tag (RFC 7516, section 2, JWE AAD). The
    /// compact serialization does not have them.
    #[must_use]
    pub fn with_aad(mut self, aad: &'a [u8]) -> Self {
        self.aad = Some(aad);
        self
    }

    /// Deflates the plaintext (`zip`, RFC 7516, section 4.1.3). The length of what is compressed tells
    /// about it: leave this off where a stranger can put a part of the plaintext beside a secret.
    #[must_use]
    pub fn compressed(mut self) -> Self {
        self.compressed = true;
        self
    }
}

/// The headers; never the plaintext.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("protected", &self.protected)
            .field("unprotected", &self.unprotected)
            .field("compressed", &self.compressed)
            .finish_non_exhaustive()
    }
}
