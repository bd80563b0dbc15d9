//! Schemas for which telling what is wrong takes work out of all proportion.
//!
//! The library remembers whether a value fits a schema that refers to itself, but not why it does not. Where such a
//! schema leads back to itself through a keyword that holds one value against several, all of them are told of at
//! each level: the work doubles with every level of what was sent.

use super::decoded;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Keywords by which one value is held against several schemas, or against one more.
const BRANCHING: &[&str] = &[
    "allOf",
    "anyOf",
    "dependentSchemas",
    "else",
    "if",
    "oneOf",
    "patternProperties",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose members are called as their author likes.
const OF_NAMES: &[&str] = &["dependentSchemas", "patternProperties", "properties"];
/// What holds no schema, or one that counts only where it is referred to.
const APART: &[&str] = &[
    "$defs",
    "const",
    "default",
    "definitions",
    "enum",
    "example",
    "examples",
];

/// The references of one document, as far as they were followed.
#[derive(Debug, Default)]
pub(super) struct Circles {
    known: RefCell<HashMap<String, Rc<Links>>>,
}

/// Where one schema leads.
#[derive(Debug, Default)]
struct Links {
    /// Pointers, with whether the way there leads through a keyword that branches.
    to: Vec<(String, bool)>,
    /// Something refers to where a pointer does not lead.
    is_unclear: bool,
}

impl Circles {
    /// Whether the schema at this place leads to one that leads back to itself through a keyword that branches,
    /// or may do so for all that can be seen.
    pub(super) fn branch(&self, document: &Value, place: &str) -> bool {
        let mut reached: HashSet<String> = HashSet::new();
        let mut waiting = vec![place.to_owned()];
        while let Some(place) = waiting.pop() {
            if reached.contains(&place) {
                continue;
            }
            let links = self.links(document, &place);
            if links.is_unclear {
                return true;
            }
            waiting.extend(links.to.iter().map(|(to, _)| to.clone()));
            reached.insert(place);
        }
        reached.iter().any(|from| {
            let links = self.links(document, from);
            let mut branches = links.to.iter().filter(|(_, branches)| *branches);
            branches.any(|(to, _)| self.leads(document, to, from))
        })
    }

    fn leads(&self, document: &Value, from: &str, back: &str) -> bool {
        let mut reached: HashSet<String> = HashSet::new();
        let mut waiting = vec![from.to_owned()];
        while let Some(place) = waiting.pop() {
            if place == back {
                return true;
            }
            if reached.contains(&place) {
                continue;
            }
            let links = self.links(document, &place);
            waiting.extend(links.to.iter().map(|(to, _)| to.clone()));
            reached.insert(place);
        }
        false
    }

    fn links(&self, document: &Value, place: &str) -> Rc<Links> {
        if let Some(known) = self.known.borrow().get(place) {
            return Rc::clone(known);
        }
        let mut links = Links::default();
        match document.pointer(place) {
            Some(schema) => links.add(schema, false, place.is_empty()),
            None => links.is_unclear = true,
        }
        let links = Rc::new(links);
        let mut known = self.known.borrow_mut();
        known.insert(place.to_owned(), Rc::clone(&links));
        links
    }
}

impl Links {
    fn add(&mut self, schema: &Value, branches: bool, is_document: bool) {
        match schema {
            Value::Object(map) => {
                // One refers to what is found by other rules, the other changes what references are read against.
                let dynamic = map.contains_key("$dynamicRef") || map.contains_key("$recursiveRef");
                let renamed = !is_document && map.get("$id").is_some_and(Value::is_string);
                self.is_unclear |= dynamic || renamed;
                if let Some(Value::String(reference)) = map.get("$ref") {
                    match reference.strip_prefix('#') {
                        Some(at) => self.to.push((decoded(at, false), branches)),
                        None => self.is_unclear = true,
                    }
                }
                for (key, inner) in map {
                    if APART.contains(&&**key) {
                        continue;
                    }
                    let branches = branches || BRANCHING.contains(&&**key);
                    let named = inner.as_object().filter(|_| OF_NAMES.contains(&&**key));
                    match named {
                        Some(named) => {
                            for schema in named.values() {
                                self.add(schema, branches, false);
                            }
                        }
                        None => self.add(inner, branches, false),
                    }
                }
            }
            Value::Array(list) => {
                for schema in list {
                    self.add(schema, branches, false);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn circles_through_keywords_that_branch_are_found() {
        let reference = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
        for (schema, expected) in [
            (json!({ "type": "object" }), false),
            (json!({ "properties": { "a": { "$ref": "#" } } }), false),
            (json!({ "items": { "$ref": "#" } }), false),
            (
                json!({ "anyOf": [reference("a")], "$defs": { "a": {} } }),
                false,
            ),
            // It branches, and leads to a circle that does not.
            (
                json!({ "anyOf": [reference("a")], "$defs": { "a": { "items": reference("a") } } }),
                false,
            ),
            (
                json!({ "properties": { "oneOf": reference("a") }, "$defs": { "a": { "items": { "$ref": "#" } } } }),
                false,
            ),
            (json!({ "oneOf": [{ "$ref": "#" }, {}] }), true),
            (json!({ "oneOf": [{ "items": { "$ref": "#" } }, {}] }), true),
            (
                json!({ "items": reference("a"), "$defs": { "a": { "allOf": [{ "items": reference("b") }] }, "b": { "items": reference("a") } } }),
                true,
            ),
            (
                json!({ "items": reference("a%7E1b"), "$defs": { "a/b": { "if": { "items": reference("a~1b") } } } }),
                true,
            ),
            (
                json!({ "patternProperties": { "^a": { "$ref": "#" } }, "properties": { "a": { "$ref": "#" } } }),
                true,
            ),
            // Nobody can say.
            (json!({ "items": { "$ref": "#name" } }), true),
            (json!({ "items": { "$dynamicRef": "#/a" } }), true),
            (
                json!({ "items": { "$id": "a", "items": { "$ref": "#" } } }),
                true,
            ),
        ] {
            assert_eq!(Circles::default().branch(&schema, ""), expected, "{schema}");
        }
    }
}
