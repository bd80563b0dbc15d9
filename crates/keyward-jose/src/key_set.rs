//! Sets of keys (RFC 7517, section 5).

mod raw;

use crate::algorithm::Algorithm;
use crate::key::{Key, KeyOperation, Part, wipe};
use crate::{Error, json};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The most bytes of a set. The largest public ones have some 100 kB.
const SET_BYTES_MAX: usize = 1024 * 1024;
/// The most keys of a set. Real ones have up to some dozens.
const KEYS_MAX: usize = 1000;
/// The most RSA keys of a set whose primes are looked for: that takes half a second for the largest.
const INCOMPLETE_KEYS_MAX: usize = 16;
/// Members by which private keys are recognized.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "k", "priv"];

/// Keys in their order.
///
/// Keys may share a `kid` as long as no algorithm could be done with both (RFC 7517, section 4.5, has
/// equivalent keys of different types in mind): the algorithm then decides. Of those that are ambiguous,
/// the first is kept and the others are skipped.
#[derive(Clone, Debug, Default)]
pub struct JwkSet {
    keys: Vec<Key>,
    skipped: Vec<Skipped>,
}

/// A key of a set that can't be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its place in `keys`, from 0.
    pub index: usize,
    /// Its `kid`, where it could be read.
    pub kid: Option<String>,
    /// What is wrong with it.
    pub error: Error,
}

impl JwkSet {
    /// Reads a set. Keys that are of an unknown type, malformed (no strict JSON even), or ambiguous are
    /// skipped and listed in [`skipped`](Self::skipped); the rest is kept (RFC 7517, section 5).
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::TooLarge`] and [`Error::KeyMember`] when the whole is no set: not JSON,
    /// a member twice, larger than 1 MiB or 1000 keys, or without an array `keys`.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        Self::read(text, Key::from_jwk_value)
    }

    /// Reads a set that someone else publishes: as [`parse`](Self::parse), and keys with a private or
    /// secret part are skipped as well, since what is published is no secret any more.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_public(text: &[u8]) -> Result<Self, Error> {
        Self::read(text, |members| {
            if PRIVATE_MEMBERS
                .iter()
                .any(|name| members.contains_key(*name))
            {
                return Err(Error::KeyUnfit(
                    "its private part is published, so anyone can use it".to_owned(),
                ));
            }
            Key::from_jwk_value(members)
        })
    }

    fn read(
        text: &[u8],
        read_key: impl Fn(&Map<String, Value>) -> Result<Key, Error>,
    ) -> Result<Self, Error> {
        let texts = raw::elements("a JWK set", text, SET_BYTES_MAX, "keys")?.ok_or_else(|| {
            Error::KeyMember("keys", "it is missing, so this is no JWK set".to_owned())
        })?;
        if texts.len() > KEYS_MAX {
            return Err(too_many());
        }
        let mut set = Self::default();
        let mut incomplete = 0;
        for (index, text) in texts.into_iter().enumerate() {
            let mut members = match json::object("a JWK", text, SET_BYTES_MAX) {
                Ok(members) => members,
                Err(error) => {
                    let kid = None;
                    set.skipped.push(Skipped { index, kid, error });
                    continue;
                }
            };
            incomplete += usize::from(lacks_primes(&members));
            let read = if lacks_primes(&members) && incomplete > INCOMPLETE_KEYS_MAX {
                Err(Error::TooLarge {
                    what: "the number of private RSA keys without their primes",
                    limit: INCOMPLETE_KEYS_MAX,
                })
            } else {
                read_key(&members)
            };
            match read {
                Ok(key) => set.put(index, key),
                Err(error) => {
                    let kid = members
                        .get("kid")
                        .and_then(Value::as_str)
                        .map(|kid| kid.chars().take(64).collect());
                    set.skipped.push(Skipped { index, kid, error });
                }
            }
            wipe(&mut members);
        }
        Ok(set)
    }

    /// A set of keys that are there already. Ambiguous ones are skipped as [`parse`](Self::parse) does.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past 1000 keys.
    pub fn from_keys(keys: impl IntoIterator<Item = Key>) -> Result<Self, Error> {
        let mut set = Self::default();
        for (index, key) in keys.into_iter().enumerate() {
            if index == KEYS_MAX {
                return Err(too_many());
            }
            set.put(index, key);
        }
        Ok(set)
    }

    fn put(&mut self, index: usize, key: Key) {
        let ambiguous = self.keys.iter().any(|other| {
            other.kid().is_some()
                && other.kid() == key.kid()
                && key
                    .algorithms()
                    .any(|algorithm| other.algorithms().any(|one| one == algorithm))
        });
        if ambiguous {
            self.skipped.push(Skipped {
                index,
                kid: key.kid().map(str::to_owned),
                error: Error::KeyMember(
                    "kid",
                    "a key before it has the same one and serves the same algorithm".to_owned(),
                ),
            });
        } else {
            self.keys.push(key);
        }
    }

    /// The keys that can be used.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The keys that can't.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The keys of this `kid`.
    pub fn find(&self, kid: &str) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.kid() == Some(kid))
    }

    /// The keys that may do `operation` with `algorithm`, of this `kid` where one is given.
    pub fn select(
        &self,
        kid: Option<&str>,
        operation: KeyOperation,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| {
            kid.is_none_or(|kid| key.kid() == Some(kid))
                && key.check_use(operation, algorithm).is_ok()
        })
    }

    /// The set as JSON text, of the keys that can be used.
    ///
    /// # Errors
    /// [`Error::NoPrivateKey`] when the private parts are wanted and one is not there; [`Error::KeyUnfit`]
    /// when the public parts are wanted and there is an `oct` key.
    pub fn to_json(&self, part: Part) -> Result<Zeroizing<String>, Error> {
        self.to_json_of(|_| part)
    }

    /// The set as JSON text, of each key that can be used the part that `part` chooses for it.
    ///
    /// # Errors
    /// As [`to_json`](Self::to_json).
    pub fn to_json_of(&self, part: impl Fn(&Key) -> Part) -> Result<Zeroizing<String>, Error> {
        let keys = self
            .keys
            .iter()
            .map(|key| key.to_jwk(part(key)))
            .collect::<Result<Vec<_>, _>>()?;
        let size: usize = keys.iter().map(|key| key.len() + 1).sum();
        let mut text = Zeroizing::new(String::with_capacity(size + 16));
        text.push_str(r#"{"keys":["#);
        for (index, key) in keys.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(key);
        }
        text.push_str("]}");
        Ok(text)
    }
}

fn lacks_primes(members: &Map<String, Value>) -> bool {
    members.get("kty").is_some_and(|kty| kty == "RSA")
        && members.contains_key("d")
        && !members.contains_key("p")
}

fn too_many() -> Error {
    Error::TooLarge {
        what: "the number of keys in a JWK set",
        limit: KEYS_MAX,
    }
}

#[cfg(test)]
mod tests;
