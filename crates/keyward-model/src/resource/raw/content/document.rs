//! Documents that stand inside a configuration: written out as mappings, or as the text of a file that was put in.

use crate::resource::raw::Value as Raw;
use crate::resource::raw::field::Field;
use crate::resource::raw::problem::Problems;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::options::DuplicateKeyPolicy;
use std::fmt;

/// The largest description that anyone has written is some ten megabytes.
const NODES_MAX: usize = 1_000_000;
const DEPTH_MAX: usize = 128;
const ALIASED_MAX: usize = 10_000;

/// The document under a key, as JSON.
pub(in crate::resource::raw) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Value> {
    if let Raw::Map(_) = field.node().value {
        let json = field.node().to_json();
        if json.is_none() {
            field.refuse("has a number that JSON does not have", problems);
        }
        return json;
    }
    let Some(text) = field.as_text() else {
        field.refuse(
            "is no document: write it out, or put a file in: ${FILE:path}",
            problems,
        );
        return None;
    };
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: NODES_MAX,
            max_events: NODES_MAX * 2,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_aliases: ALIASED_MAX,
            max_anchors: ALIASED_MAX,
            max_total_scalar_bytes: 16 << 20,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: ALIASED_MAX,
            max_replay_stack_depth: DEPTH_MAX,
            max_alias_expansions_per_anchor: ALIASED_MAX,
        },
    };
    match serde_saphyr::from_str_with_options::<Document>(text, options) {
        Ok(Document(json @ Value::Object(_))) => Some(json),
        Ok(_) => {
            field.refuse(
                "is no document: it has to be a mapping, in JSON or YAML (to put a file in, write ${FILE:path})",
                problems,
            );
            None
        }
        Err(error) => {
            let place = error.location().map_or_else(String::new, |at| {
                format!(" at line {}, column {} of it", at.line(), at.column())
            });
            let error = error.without_snippet().to_string();
            let why = error.lines().next().unwrap_or_default();
            let why = why.split(" at line ").next().unwrap_or_default();
            problems.error(
                field.place(),
                "bad_document",
                format!("`{}` can't be read{place}: {why}", field.key()),
            );
            None
        }
    }
}

/// YAML as JSON has it: keys that are numbers or words are texts.
struct Document(Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor).map(Self)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true or false, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Document(member)) = members.next_element()? {
            list.push(member);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((Document(key), Document(value))) = entries.next_entry()? {
            let key = match key {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(word) => word.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return Err(A::Error::custom("a key is no text"));
                }
            };
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
