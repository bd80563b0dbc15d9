//! JSON of strangers, read in the one way in which everyone behind us reads it too: a member that stands twice is
//! refused, for the upstream may take the other one (RFC 8259, section 4), and so is what nests too deep.

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;

/// A value that was read, and of how many values it is made.
#[derive(Debug)]
pub(in crate::policy) struct Read {
    pub(in crate::policy) value: Value,
    pub(super) nodes: usize,
}

/// Reads all of the bytes as one value. The error is for whoever sent them: it repeats nothing of theirs but
/// the place.
pub(in crate::policy) fn read(bytes: &[u8], max_depth: usize) -> Result<Read, String> {
    let nodes = Cell::new(0);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Seed {
        left: max_depth,
        nodes: &nodes,
    };
    let value = seed
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match value {
        Ok(value) => Ok(Read {
            value,
            nodes: nodes.get(),
        }),
        Err(error) => Err(format!(
            "{} at line {}, column {}",
            kind(&error),
            error.line(),
            error.column()
        )),
    }
}

/// What is wrong, without what was sent: `serde_json` puts parts of it into some messages.
fn kind(error: &serde_json::Error) -> &'static str {
    let text = error.to_string();
    if text.starts_with(DUPLICATE) {
        DUPLICATE
    } else if text.starts_with(TOO_DEEP) || text.starts_with("recursion limit") {
        TOO_DEEP
    } else if text.starts_with("number out of range") {
        "a number is too large"
    } else if error.is_eof() {
        "it ends in the middle"
    } else {
        "it is no JSON"
    }
}

const DUPLICATE: &str = "a member stands twice in one object";
const TOO_DEEP: &str = "it nests deeper than is taken here";

struct Seed<'n> {
    left: usize,
    nodes: &'n Cell<usize>,
}

impl Seed<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Seed {
                left,
                nodes: self.nodes,
            }),
            None => Err(E::custom(TOO_DEEP)),
        }
    }

    fn again(&self) -> Self {
        Seed {
            left: self.left,
            nodes: self.nodes,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.nodes.set(self.nodes.get() + 1);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(member) = members.next_element_seed(inner.again())? {
            list.push(member);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(DUPLICATE));
            }
            let value = entries.next_value_seed(inner.again())?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_read_in_two_ways_is_refused_without_repeating_it() {
        for (text, expected) in [
            (r#"{"secret":1,"secret":2}"#, DUPLICATE),
            (r#"{"a":{"b":1,"\u0062":2}}"#, DUPLICATE),
            ("[[[[[1]]]]]", TOO_DEEP),
            ("1e999", "a number is too large"),
            ("[1,2", "it ends in the middle"),
            ("{} {}", "it is no JSON"),
            ("\u{feff}{}", "it is no JSON"),
            ("{'secret':1}", "it is no JSON"),
            ("[1,]", "it is no JSON"),
            ("\"\\ud800\"", "it is no JSON"),
            ("NaN", "it is no JSON"),
            ("", "it ends in the middle"),
        ] {
            let error = read(text.as_bytes(), 4).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(read(b"\"\xff\"", 4).is_err());
        let read = read(b"[[[[]]], {\"a\": 1.5}]", 4).unwrap();
        assert_eq!(read.nodes, 6);
    }
}
