//! JSON that can be read in one way only: an object at the top, no member twice at any depth, bounds on
//! size and depth (RFC 7515, section 4; RFC 8725bis on duplicates; RFC 8259, section 9).

pub(crate) mod plain;

use crate::Error;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// How deep arrays and objects may nest: real headers and claims have three or four levels.
pub(crate) const DEPTH_MAX: usize = 32;

/// Reads an object of at most `limit` bytes; `what` names it in the error.
pub(crate) fn object(
    what: &'static str,
    text: &[u8],
    limit: usize,
) -> Result<Map<String, Value>, Error> {
    match value(what, text, limit)? {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Error::Json(what, "a JSON object is needed".to_owned()))
        }
    }
}

/// Reads any value of at most `limit` bytes.
pub(crate) fn value(what: &'static str, text: &[u8], limit: usize) -> Result<Value, Error> {
    read(what, text, limit, Strict { depth: DEPTH_MAX })
}

/// Reads what `seed` makes of at most `limit` bytes. A seed that goes through an object itself keeps the
/// rules itself, and reads the members' values with [`Strict::inside`].
pub(crate) fn read<'de, S: DeserializeSeed<'de>>(
    what: &'static str,
    text: &'de [u8],
    limit: usize,
    seed: S,
) -> Result<S::Value, Error> {
    if text.len() > limit {
        return Err(Error::TooLarge { what, limit });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let strict = |error: serde_json::Error| Error::Json(what, error.to_string());
    let value = seed.deserialize(&mut deserializer).map_err(strict)?;
    deserializer.end().map_err(strict)?;
    Ok(value)
}

/// Reads a value by the rules of this module.
#[derive(Clone, Copy)]
pub(crate) struct Strict {
    depth: usize,
}

impl Strict {
    /// For the values in an object at the top.
    pub(crate) fn inside() -> Self {
        Self {
            depth: DEPTH_MAX - 1,
        }
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth }),
            None => Err(E::custom(format_args!(
                "nested deeper than {DEPTH_MAX} levels"
            ))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(inside)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = access.next_value_seed(inside)?;
            match map.entry(name) {
                serde_json::map::Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                serde_json::map::Entry::Occupied(entry) => {
                    let name: String = entry.key().chars().take(40).collect();
                    return Err(A::Error::custom(format_args!(
                        "member `{name}` stands there twice"
                    )));
                }
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"\u0062":2}}"#,
            r#"{"a":1} x"#,
            r#"{"a":1,}"#,
            r#"{"a":1e999}"#,
            "[]",
            "",
            "\u{feff}{}",
        ] {
            assert!(object("x", bad.as_bytes(), 1000).is_err(), "{bad}");
        }
        assert!(object("x", b"{\"a\":\"\xff\"}", 1000).is_err());
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(value("x", deep(DEPTH_MAX).as_bytes(), 10_000).is_ok());
        assert!(value("x", deep(DEPTH_MAX + 1).as_bytes(), 10_000).is_err());
        assert_eq!(
            value("x", b"   1", 3),
            Err(Error::TooLarge {
                what: "x",
                limit: 3
            })
        );
    }
}
