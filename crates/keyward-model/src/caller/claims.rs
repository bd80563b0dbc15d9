//! A token's claims, of which one is seldom asked for.

use super::text::Place;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// How the claims are kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kept {
    /// There are none.
    None,
    /// As JSON at this place of the caller's text.
    Json(Place),
    /// As a map: in a box, since few are.
    Map(Box<Map<String, Value>>),
}

impl Kept {
    pub(super) fn get(&self, text: &str, name: &str) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Json(place) => member(place.of(text), name),
            Self::Map(map) => map.get(name).cloned(),
        }
    }
}

/// The member of this name. Whoever gave the text has read it before, so that it can be read here too.
fn member(json: &str, name: &str) -> Option<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_map(Member(name)).ok().flatten()
}

/// Finds the member of a name, and builds no other.
struct Member<'a>(&'a str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Option<Value>, A::Error> {
        let mut found = None;
        while let Some(wanted) = access.next_key_seed(IsName(self.0))? {
            if wanted {
                found = Some(access.next_value()?);
            } else {
                access.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a name is this one.
struct IsName<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}
