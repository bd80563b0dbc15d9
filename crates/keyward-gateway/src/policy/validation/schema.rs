//! Schemas as one dialect (JSON Schema 2020-12), and validators made of them.
//!
//! Nothing is fetched: what refers to anything outside of its document is refused when it is configured. Patterns
//! are matched by an engine whose time grows with the text alone, so that none of them can be made to go on for
//! ever.

use super::circles::Circles;
use jsonschema::{Draft, PatternOptions, Registry, Validator};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// What a document is called inside the library.
const URI: &str = "urn:keyward:document";
/// The largest automaton of a pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// How many schemas may refer to one another before one says of what type a parameter is.
const REFERENCES_MAX: usize = 16;

/// Values up to this many are looked through for every mistake; in more, for the first alone: the library keeps
/// all that it finds, and a large body can have one in each of its values.
const SEARCHED_MAX: usize = 10_000;

/// A schema, ready to hold values against.
#[derive(Debug)]
pub(crate) struct Schema {
    validator: Validator,
    /// Whether it can be told what is wrong with a value, and not only that something is.
    is_searchable: bool,
}

impl Schema {
    /// Whether a value fits. One that the engine could not finish with does not.
    pub(crate) fn takes(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// What is wrong with a value that does not fit, which is made of `nodes` values: JSON Pointers into it, and
    /// texts that repeat nothing of it. At least one, at most `most`.
    pub(crate) fn mistakes(
        &self,
        value: &Value,
        nodes: usize,
        most: usize,
    ) -> Vec<(String, String)> {
        let told = |error: jsonschema::ValidationError<'_>| {
            let pointer = error.instance_path().as_str().to_owned();
            (pointer, error.masked().to_string())
        };
        let mut found: Vec<(String, String)> = if !self.is_searchable {
            Vec::new()
        } else if nodes <= SEARCHED_MAX {
            let errors = self.validator.iter_errors(value);
            errors.take(most).map(told).collect()
        } else {
            let first = self.validator.validate(value).err();
            first.map(told).into_iter().collect()
        };
        if found.is_empty() {
            found.push((String::new(), "it does not fit its schema".to_owned()));
        }
        found
    }
}

/// Which messages schemas are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Request,
    Answer,
}

impl Message {
    /// What marks the members that it need not have.
    const fn not_in(self) -> &'static str {
        match self {
            Self::Request => "readOnly",
            Self::Answer => "writeOnly",
        }
    }
}

/// Makes schemas of the parts of one document.
pub(super) struct Builder {
    document: Value,
    registry: Registry<'static>,
    circles: Circles,
    /// Those that were made, by their places: many operations take the same.
    known: RefCell<HashMap<String, Arc<Schema>>>,
}

impl Builder {
    /// Of an OpenAPI document, for its requests or its answers.
    pub(super) fn new(document: &Value, of: Message) -> Result<Self, String> {
        let mut document = document.clone();
        local(&document, &mut String::new())?;
        let old = document
            .get("openapi")
            .and_then(Value::as_str)
            .is_some_and(|version| version.starts_with("3.0."));
        modernize(&mut document, old, of);
        let registry = Registry::new()
            .draft(Draft::Draft202012)
            .add(URI, document.clone())
            .and_then(|registry| registry.prepare())
            .map_err(|error| error.to_string())?;
        Ok(Self {
            document,
            registry,
            circles: Circles::default(),
            known: RefCell::default(),
        })
    }

    pub(super) fn document(&self) -> &Value {
        &self.document
    }

    /// The schema, or the one that it refers to.
    pub(super) fn followed<'d>(&'d self, mut schema: &'d Value) -> Option<&'d Value> {
        for _ in 0..REFERENCES_MAX {
            match schema.get("$ref").and_then(Value::as_str) {
                Some(reference) => {
                    schema = self.document.pointer(reference.strip_prefix('#')?)?;
                }
                None => return Some(schema),
            }
        }
        None
    }

    /// The schema at this place, ready to use.
    pub(super) fn schema(&self, place: &str) -> Result<Arc<Schema>, String> {
        let place = self.meant(place);
        if let Some(known) = self.known.borrow().get(&place) {
            return Ok(Arc::clone(known));
        }
        let schema = json!({ "$ref": format!("{URI}#{}", encoded(&place)) });
        let validator = options()
            .with_draft(Draft::Draft202012)
            .with_registry(&self.registry)
            .build(&schema)
            .map_err(|error| format!("`{place}`: {error}"))?;
        let schema = Arc::new(Schema {
            validator,
            is_searchable: !self.circles.branch(&self.document, &place),
        });
        let mut known = self.known.borrow_mut();
        known.insert(place, Arc::clone(&schema));
        Ok(schema)
    }

    /// Where the schema stands that is meant: what is a reference and nothing else means another.
    fn meant(&self, place: &str) -> String {
        let mut place = place.to_owned();
        for _ in 0..REFERENCES_MAX {
            let schema = self.document.pointer(&place).and_then(Value::as_object);
            let reference = schema
                .filter(|schema| schema.len() == 1)
                .and_then(|schema| schema.get("$ref")?.as_str()?.strip_prefix('#'))
                .filter(|at| self.document.pointer(at).is_some());
            match reference {
                Some(at) => place = at.to_owned(),
                None => break,
            }
        }
        place
    }
}

fn options<'i>() -> jsonschema::ValidationOptions<'i> {
    jsonschema::options()
        .offline()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
}

/// A JSON Schema that stands alone.
pub(crate) fn alone(schema: &Value) -> Result<Schema, String> {
    local(schema, &mut String::new())?;
    let validator = options()
        .build(schema)
        .map_err(|error| format!("`{}`: {error}", error.schema_path()))?;
    Ok(Schema {
        validator,
        is_searchable: !Circles::default().branch(schema, ""),
    })
}

/// Refuses what leads out of the document.
fn local(value: &Value, place: &mut String) -> Result<(), String> {
    let length = place.len();
    match value {
        Value::Object(map) => {
            for key in ["$ref", "$dynamicRef", "$recursiveRef"] {
                if let Some(Value::String(reference)) = map.get(key)
                    && !reference.starts_with('#')
                {
                    return Err(format!(
                        "`{place}/{key}`: `{reference}` leads out of the document, and nothing is fetched: put everything into one"
                    ));
                }
            }
            for (key, value) in map {
                place.push('/');
                place.push_str(&pointer(key));
                local(value, place)?;
                place.truncate(length);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                place.push_str(&format!("/{index}"));
                local(value, place)?;
                place.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

/// Makes of what OpenAPI 3.0 has in its own way (`old`) what JSON Schema has; and lets messages leave out what only
/// those of the other kind have: requests what is `readOnly`, answers what is `writeOnly`.
fn modernize(value: &mut Value, old: bool, of: Message) {
    match value {
        Value::Object(map) => {
            if old {
                of_3_0(map);
            }
            without_others(map, of.not_in());
            for value in map.values_mut() {
                modernize(value, old, of);
            }
        }
        Value::Array(list) => {
            for value in list {
                modernize(value, old, of);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn of_3_0(map: &mut Map<String, Value>) {
    if let Some(Value::String(_)) = map.get("$ref") {
        // What stands beside a reference does not count there.
        map.retain(|key, _| key == "$ref");
        return;
    }
    if map.get("nullable") == Some(&Value::Bool(true)) {
        if let Some(kind @ Value::String(_)) = map.get("type") {
            let kinds = json!([kind, "null"]);
            map.insert("type".to_owned(), kinds);
            if let Some(Value::Array(values)) = map.get_mut("enum")
                && !values.contains(&Value::Null)
            {
                values.push(Value::Null);
            }
        }
        map.remove("nullable");
    }
    for (exclusive, bound) in [
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ] {
        if let Some(Value::Bool(excludes)) = map.get(exclusive).cloned() {
            map.remove(exclusive);
            if excludes && let Some(limit) = map.remove(bound) {
                map.insert(exclusive.to_owned(), limit);
            }
        }
    }
}

fn without_others(map: &mut Map<String, Value>, not_in: &str) {
    let is_others = |schema: &Value| schema.get(not_in) == Some(&Value::Bool(true));
    let Some(properties) = map.get("properties").and_then(Value::as_object) else {
        return;
    };
    let names: Vec<String> = properties
        .iter()
        .filter(|(_, schema)| is_others(schema))
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(Value::Array(required)) = map.get_mut("required") {
        required.retain(|name| !names.iter().any(|known| Some(&**known) == name.as_str()));
    }
}

/// A key as a part of a JSON Pointer (RFC 6901, section 3).
pub(super) fn pointer(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A JSON Pointer as a fragment (RFC 6901, section 6).
fn encoded(place: &str) -> String {
    let mut text = String::with_capacity(place.len());
    for byte in place.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
