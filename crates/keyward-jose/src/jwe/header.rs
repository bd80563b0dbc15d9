//! The JOSE header of one recipient: the union of the protected, the shared unprotected and the
//! recipient's own header (RFC 7516, section 4).

use super::limits::HEADER_MAX;
use crate::algorithm::{ContentEncryption, KeyManagementAlgorithm};
use crate::{Error, base64url, json};
use serde_json::{Map, Value};

/// The header parameters that RFC 7516, section 4.1 and RFC 7518, section 4 define: `crit` may not name
/// them.
const REGISTERED: &[&str] = &[
    "alg", "enc", "zip", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty",
    "crit", "epk", "apu", "apv", "iv", "tag", "p2s", "p2c",
];

/// A header whose parameters stand in one place each.
///
/// Only what [`protected`](Header::protected) gives is covered by the authentication tag.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    protected: Map<String, Value>,
    unprotected: Map<String, Value>,
    recipient: Map<String, Value>,
}

impl Header {
    /// The header of a message with the base64url text of the protected part and the two unprotected
    /// parts, checked as far as it does not depend on the recipient's algorithm.
    pub(super) fn parse(
        protected: &str,
        unprotected: Map<String, Value>,
        recipient: Map<String, Value>,
    ) -> Result<Self, Error> {
        let protected = if protected.is_empty() {
            Map::new()
        } else {
            // Four characters make three bytes: refused before it is decoded.
            if protected.len() / 4 * 3 > HEADER_MAX {
                return Err(Error::TooLarge {
                    what: "JWE header",
                    limit: HEADER_MAX,
                });
            }
            let text = base64url::decode("JWE header", protected)?;
            json::object("JWE header", &text, HEADER_MAX)?
        };
        let header = Self {
            protected,
            unprotected,
            recipient,
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), Error> {
        let twice = self
            .unprotected
            .keys()
            .find(|name| self.protected.contains_key(*name))
            .or_else(|| {
                self.recipient.keys().find(|name| {
                    self.protected.contains_key(*name) || self.unprotected.contains_key(*name)
                })
            });
        if let Some(name) = twice {
            return Err(refused(name, "it stands in two of the headers"));
        }
        for name in ["zip", "crit"] {
            if self.unprotected.contains_key(name) || self.recipient.contains_key(name) {
                return Err(refused(name, "it must be in the protected header"));
            }
        }
        match self.protected.get("zip") {
            None => {}
            Some(Value::String(zip)) if zip == "DEF" => {}
            Some(_) => return Err(refused("zip", "only `DEF` is known")),
        }
        if let Some(crit) = self.protected.get("crit") {
            self.check_crit(crit)?;
        }
        for name in ["alg", "enc"] {
            if self.text(name)?.is_none() {
                return Err(refused(name, "it is missing"));
            }
        }
        for name in ["kid", "typ", "cty"] {
            self.text(name)?;
        }
        Ok(())
    }

    /// No extension is understood here, so any well-formed `crit` is refused too; the two are told
    /// apart for the reader of the error.
    fn check_crit(&self, crit: &Value) -> Result<(), Error> {
        let Value::Array(names) = crit else {
            return Err(refused("crit", "an array of names is needed"));
        };
        let Some(Value::String(first)) = names.first() else {
            return Err(refused("crit", "at least one name is needed"));
        };
        for name in names {
            let Value::String(name) = name else {
                return Err(refused("crit", "an array of names is needed"));
            };
            if REGISTERED.contains(&name.as_str()) {
                return Err(refused("crit", "it names a parameter of the standard"));
            }
            if self.get(name).is_none() {
                return Err(refused("crit", "it names a parameter that is not there"));
            }
        }
        Err(Error::CriticalExtension(first.chars().take(40).collect()))
    }

    /// The parameter, wherever it stands.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.protected
            .get(name)
            .or_else(|| self.unprotected.get(name))
            .or_else(|| self.recipient.get(name))
    }

    /// The parameter, if it is in the protected header.
    #[must_use]
    pub fn protected(&self, name: &str) -> Option<&Value> {
        self.protected.get(name)
    }

    /// All parameters of the protected header.
    #[must_use]
    pub fn protected_parameters(&self) -> &Map<String, Value> {
        &self.protected
    }

    /// All parameters that stand outside the protected header.
    pub fn unprotected_parameters(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.unprotected
            .iter()
            .chain(&self.recipient)
            .map(|(name, value)| (name.as_str(), value))
    }

    /// `alg`.
    ///
    /// # Errors
    /// [`Error::AlgorithmNotAllowed`] for one that does not exist here, such as `RSA1_5`.
    pub fn algorithm(&self) -> Result<KeyManagementAlgorithm, Error> {
        self.text("alg")?.unwrap_or_default().parse()
    }

    /// `enc`.
    ///
    /// # Errors
    /// [`Error::AlgorithmNotAllowed`] for one that does not exist here.
    pub fn encryption(&self) -> Result<ContentEncryption, Error> {
        self.text("enc")?.unwrap_or_default().parse()
    }

    /// `kid`.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.get("kid").and_then(Value::as_str)
    }

    /// `typ`.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.get("typ").and_then(Value::as_str)
    }

    /// `cty`.
    #[must_use]
    pub fn cty(&self) -> Option<&str> {
        self.get("cty").and_then(Value::as_str)
    }

    /// Whether the plaintext was deflated.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.protected.contains_key("zip")
    }

    /// A parameter that must be a string if it is there.
    fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(refused(name, "a string is needed")),
        }
    }

    /// A parameter that must be base64url text if it is there.
    pub(super) fn bytes(&self, name: &'static str) -> Result<Option<Vec<u8>>, Error> {
        self.text(name)?
            .map(|text| base64url::decode(name, text))
            .transpose()
    }

    /// A parameter that must be there as base64url text.
    pub(super) fn needed_bytes(&self, name: &'static str) -> Result<Vec<u8>, Error> {
        self.bytes(name)?
            .ok_or_else(|| refused(name, "it is missing"))
    }
}

/// The refusal of the parameter `name`.
pub(super) fn refused(name: &str, why: &'static str) -> Error {
    Error::Header(name.chars().take(40).collect(), why)
}
