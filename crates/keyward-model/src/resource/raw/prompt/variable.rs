//! The variables of a prompt: what callers send, as JSON schemas that are bounded where nothing is said.

use super::super::field::{Field, Fields};
use super::super::problem::Problems;
use super::message::json;
use super::{DESCRIPTION_MAX, all, bounded, entries, identifier};
use crate::resource::prompt::{ImageBounds, Variable};
use crate::resource::raw::Value as Written;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a text may have where nothing is said, in characters: some pages.
const TEXT_DEFAULT: u64 = 20_000;
/// What a text may have at all: more than models read at once.
const TEXT_MAX: u64 = 10_000_000;
/// How many members a list may have where nothing is said, and at all.
const LIST_DEFAULT: u64 = 100;
const LIST_MAX: u64 = 10_000;
/// How deep lists and objects nest.
const DEPTH_MAX: usize = 6;
/// A regular expression of a variable.
const PATTERN_MAX: usize = 1_024;
/// More words are no choice.
const CHOICES_MAX: usize = 1_000;
/// A picture where nothing is said, and at all: what providers take.
const IMAGE_DEFAULT: u64 = 5 << 20;
const IMAGE_MAX: u64 = 20 << 20;

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Number,
    Integer,
    Boolean,
    List,
    Object,
    Image,
}

const TYPES: [(&str, Type); 7] = [
    ("string", Type::Text),
    ("number", Type::Number),
    ("integer", Type::Integer),
    ("boolean", Type::Boolean),
    ("array", Type::List),
    ("object", Type::Object),
    ("image", Type::Image),
];

impl Type {
    /// The keys beside those that every type has.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["enum", "min_length", "max_length", "pattern"],
            Self::Number | Self::Integer => &["enum", "minimum", "maximum"],
            Self::Boolean => &[],
            Self::List => &["items", "min_items", "max_items"],
            Self::Object => &["properties"],
            Self::Image => &["max_size", "addresses"],
        }
    }
}

pub(super) fn read(
    field: Field<'_>,
    problems: &mut Problems,
) -> Option<BTreeMap<Box<str>, Variable>> {
    let entries = entries(field, problems)?;
    let read = entries.into_iter().map(|entry| {
        let name = identifier(entry, problems);
        let variable = variable(entry, 0, problems);
        Some((name?, variable?))
    });
    Some(all(read)?.into_iter().collect())
}

fn variable(field: Field<'_>, depth: usize, problems: &mut Problems) -> Option<Variable> {
    if depth >= DEPTH_MAX {
        field.refuse("nests deeper than 6 levels", problems);
        return None;
    }
    if !field.is_map() {
        field.refuse(
            "says nothing of a variable: write `{ type: string }`",
            problems,
        );
        return None;
    }
    let kind = match field.node().get("type") {
        Some(node) => Field::of("type", node).one_of(&TYPES, problems)?,
        None => Type::Text,
    };
    // What is put in where nothing is sent is put in for whole variables alone.
    let known: &[&str] = match depth {
        0 => &["type", "description", "required", "default"],
        _ => &["type", "description", "required"],
    };
    let known: Vec<&str> = known.iter().chain(kind.keys()).copied().collect();
    let fields = field.fields(&known, problems)?;
    let mut schema = Map::new();
    if let Some(field) = fields.optional("description") {
        let text = bounded(field, DESCRIPTION_MAX, problems)?;
        schema.insert("description".to_owned(), Value::from(&*text));
    }
    let mut image = None;
    match kind {
        Type::Text => text(&fields, &mut schema, problems)?,
        Type::Number | Type::Integer => numbers(kind, &fields, &mut schema, problems)?,
        Type::Boolean => put(&mut schema, "type", json!("boolean")),
        Type::List => list(&fields, depth, &mut schema, problems)?,
        Type::Object => object(&fields, depth, &mut schema, problems)?,
        Type::Image if depth > 0 => {
            field.refuse(
                "is a picture in something else: make it a variable of its own",
                problems,
            );
            return None;
        }
        Type::Image => image = Some(picture(&fields, &mut schema, problems)?),
    }
    let default = match fields.optional("default") {
        Some(field) => Some(json(field, problems)?),
        None => None,
    };
    if let Some(default) = &default {
        put(&mut schema, "default", default.clone());
    }
    let required = match fields.optional("required") {
        Some(field) => {
            let required = field.boolean(problems)?;
            if required && default.is_some() {
                problems.error(
                    field.place(),
                    "contradiction",
                    "`required`: what has a `default` need not be sent: take one of them out",
                );
                return None;
            }
            required
        }
        None => default.is_none(),
    };
    Some(Variable {
        schema: Value::Object(schema),
        image,
        required,
        default,
    })
}

fn put(schema: &mut Map<String, Value>, key: &str, value: Value) {
    schema.insert(key.to_owned(), value);
}

fn text(
    fields: &Fields<'_>,
    schema: &mut Map<String, Value>,
    problems: &mut Problems,
) -> Option<()> {
    put(schema, "type", json!("string"));
    choices(fields, schema, problems)?;
    let least = match fields.optional("min_length") {
        Some(field) => field.whole(0..=TEXT_MAX, problems)?,
        None => 0,
    };
    let most = match fields.optional("max_length") {
        Some(field) => field.whole(least.max(1)..=TEXT_MAX, problems)?,
        None => TEXT_DEFAULT.max(least),
    };
    if least > 0 {
        put(schema, "minLength", json!(least));
    }
    put(schema, "maxLength", json!(most));
    if let Some(field) = fields.optional("pattern") {
        let pattern = bounded(field, PATTERN_MAX, problems)?;
        put(schema, "pattern", json!(pattern));
    }
    Some(())
}

/// Words or numbers of which it is one.
fn choices(
    fields: &Fields<'_>,
    schema: &mut Map<String, Value>,
    problems: &mut Problems,
) -> Option<()> {
    let Some(field) = fields.optional("enum") else {
        return Some(());
    };
    let members = field.filled_list(problems)?;
    if members.len() > CHOICES_MAX {
        field.refuse("has more than 1,000 entries", problems);
        return None;
    }
    let numbers = schema.get("type") != Some(&json!("string"));
    let read = members.into_iter().map(|member| {
        let value = json(member, problems)?;
        if value.is_number() != numbers || !(value.is_number() || value.is_string()) {
            member.refuse("is of another type than the variable", problems);
            return None;
        }
        Some(value)
    });
    let values = all(read)?;
    put(schema, "enum", Value::Array(values));
    Some(())
}

fn numbers(
    kind: Type,
    fields: &Fields<'_>,
    schema: &mut Map<String, Value>,
    problems: &mut Problems,
) -> Option<()> {
    let whole = kind == Type::Integer;
    put(
        schema,
        "type",
        json!(if whole { "integer" } else { "number" }),
    );
    choices(fields, schema, problems)?;
    for key in ["minimum", "maximum"] {
        let Some(field) = fields.optional(key) else {
            continue;
        };
        let value = match field.node().value {
            Written::Whole(value) => json!(value),
            Written::Number(value) if !whole => json!(value),
            Written::Null
            | Written::Boolean(_)
            | Written::Number(_)
            | Written::Text(_)
            | Written::List(_)
            | Written::Map(_) => {
                field.refuse("is no number of the variable's type", problems);
                return None;
            }
        };
        put(schema, key, value);
    }
    Some(())
}

fn list(
    fields: &Fields<'_>,
    depth: usize,
    schema: &mut Map<String, Value>,
    problems: &mut Problems,
) -> Option<()> {
    put(schema, "type", json!("array"));
    let items = fields.required("items", "say what the list's members are", problems)?;
    put(
        schema,
        "items",
        variable(items, depth + 1, problems)?.schema,
    );
    let least = match fields.optional("min_items") {
        Some(field) => field.whole(0..=LIST_MAX, problems)?,
        None => 0,
    };
    let most = match fields.optional("max_items") {
        Some(field) => field.whole(least.max(1)..=LIST_MAX, problems)?,
        None => LIST_DEFAULT.max(least),
    };
    if least > 0 {
        put(schema, "minItems", json!(least));
    }
    put(schema, "maxItems", json!(most));
    Some(())
}

fn object(
    fields: &Fields<'_>,
    depth: usize,
    schema: &mut Map<String, Value>,
    problems: &mut Problems,
) -> Option<()> {
    put(schema, "type", json!("object"));
    let members = fields.required("properties", "say which members it has", problems)?;
    let members = entries(members, problems)?;
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for member in members {
        let name = identifier(member, problems)?;
        let read = variable(member, depth + 1, problems)?;
        if read.required {
            required.push(Value::from(&*name));
        }
        properties.insert(name.into(), read.schema);
    }
    put(schema, "properties", Value::Object(properties));
    put(schema, "required", Value::Array(required));
    put(schema, "additionalProperties", json!(false));
    Some(())
}

/// A picture is written as a `data:` address, or as one of a server's where that may be.
fn picture(
    fields: &Fields<'_>,
    schema: &mut Map<String, Value>,
    problems: &mut Problems,
) -> Option<ImageBounds> {
    let max_bytes = match fields.optional("max_size") {
        Some(field) => {
            let size = field.byte_size(problems)?;
            if !(1..=IMAGE_MAX).contains(&size) {
                field.refuse("is none from 1 to 20MiB", problems);
                return None;
            }
            size
        }
        None => IMAGE_DEFAULT,
    };
    let addresses = match fields.optional("addresses") {
        Some(field) => field.boolean(problems)?,
        None => false,
    };
    let data = "data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}";
    let pattern = if addresses {
        format!("^({data}|https://[!-~]+)$")
    } else {
        format!("^{data}$")
    };
    put(schema, "type", json!("string"));
    put(schema, "pattern", json!(pattern));
    // Four characters are three bytes; what stands before them is short.
    let characters = max_bytes.div_ceil(3).saturating_mul(4).saturating_add(64);
    put(schema, "maxLength", json!(characters));
    Some(ImageBounds {
        max_bytes,
        addresses,
    })
}
