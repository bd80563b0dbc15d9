//! Parameters in path, query, headers and cookies (OpenAPI 3.1, section 4.8.12): what was sent as a text becomes
//! the value that its schema speaks of.

use super::members::Shape;
use super::schema::{Builder, Schema};
use serde_json::Value;
use std::sync::Arc;

/// How deep JSON in a parameter may nest.
const DEPTH_MAX: usize = 16;
/// How many schemas are looked at for what one parameter may stand for.
const SCHEMAS_MAX: usize = 64;

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

/// One parameter.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) place: Place,
    /// Of a header in lower case.
    pub(super) name: Box<str>,
    pub(super) required: bool,
    form: Form,
    schema: Option<Arc<Schema>>,
}

/// How its value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// A text, or what the text says where one of these is taken.
    Plain(Kinds),
    /// Several: each by itself, or one text with this between them.
    List { between: Option<char>, of: Kinds },
    /// A text of JSON.
    Json,
    /// An object whose members stand by themselves, as `name[member]=value`.
    Brackets(Box<Shape>),
    /// An object whose members are sent each by itself, under these names; empty: under any. Their values are not
    /// looked at.
    Members(Vec<Box<str>>),
    /// Of a media type that is not read, or an object in one text: known by name.
    Unread,
}

/// What a text may stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    number: bool,
    word: bool,
}

impl Place {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}

impl Parameter {
    /// `None`: one that says nothing here.
    pub(super) fn new(
        builder: &Builder,
        declared: &Value,
        at: &str,
    ) -> Result<Option<Self>, String> {
        let text = |key: &str| declared.get(key).and_then(Value::as_str);
        let name = text("name").ok_or_else(|| format!("`{at}`: a parameter has a `name`"))?;
        let place = match text("in") {
            Some("path") => Place::Path,
            Some("query") => Place::Query,
            Some("header") => Place::Header,
            Some("cookie") => Place::Cookie,
            _ => {
                return Err(format!(
                    "`{at}/in`: it is one of path, query, header and cookie"
                ));
            }
        };
        let header = name.to_ascii_lowercase();
        if place == Place::Header && matches!(&*header, "accept" | "content-type" | "authorization")
        {
            // OpenAPI 3.1, section 4.8.12.1: these are described elsewhere.
            return Ok(None);
        }
        let (mut form, schema) = if declared.get("content").is_some() {
            let content = declared.get("content").and_then(Value::as_object);
            let kind = content.and_then(|content| content.keys().next());
            let kind = kind.ok_or_else(|| format!("`{at}/content`: it names one media type"))?;
            let schema = format!("{at}/content/{}/schema", super::schema::pointer(kind));
            let kind = super::media_type::essence(kind);
            let form = if super::is_json(&kind) {
                Form::Json
            } else if kind.starts_with("text/") {
                let schema = builder.document().pointer(&schema);
                Form::Plain(Kinds::of(&types(&alternatives(builder, schema))))
            } else {
                Form::Unread
            };
            (form, schema)
        } else {
            let schema = format!("{at}/schema");
            (Form::of(builder, declared, place, at), schema)
        };
        if place == Place::Header
            && header == "set-cookie"
            && let Form::List { between, .. } = &mut form
        {
            // There are commas in a cookie's date.
            *between = None;
        }
        let described = builder.document().pointer(&schema).is_some();
        let schema = match form {
            Form::Members(_) | Form::Unread => None,
            Form::Plain(_) | Form::List { .. } | Form::Json | Form::Brackets(_) if described => {
                Some(builder.schema(&schema)?)
            }
            Form::Plain(_) | Form::List { .. } | Form::Json | Form::Brackets(_) => None,
        };
        // Of an object whose members stand by themselves nothing stands under its own name.
        let nameless = matches!(form, Form::Members(_));
        let required = declared.get("required") == Some(&Value::Bool(true)) && !nameless;
        Ok(Some(Self {
            name: if place == Place::Header {
                header.into()
            } else {
                name.into()
            },
            required: place == Place::Path || required,
            place,
            form,
            schema,
        }))
    }

    /// Whether a name in a query is this one's.
    pub(super) fn is_called(&self, name: &str) -> bool {
        match &self.form {
            Form::Brackets(_) => name.split('[').next() == Some(&*self.name),
            Form::Members(names) => {
                names.is_empty() || names.iter().any(|member| **member == *name)
            }
            Form::Plain(_) | Form::List { .. } | Form::Json | Form::Unread => *name == *self.name,
        }
    }

    /// What is wrong with the names and values that were sent for it, each with a JSON Pointer into it.
    pub(super) fn mistakes(&self, sent: &[(String, String)], most: usize) -> Vec<(String, String)> {
        let Some((_, first)) = sent.first() else {
            return Vec::new();
        };
        if sent.len() > 1 && matches!(self.form, Form::Plain(_) | Form::Json | Form::Unread) {
            // Which of them the upstream reads is anyone's guess.
            return vec![(String::new(), "it was sent more than once".to_owned())];
        }
        let schema = match (&self.schema, &self.form) {
            (Some(schema), _) => schema,
            (None, Form::Brackets(shape)) => {
                // Nothing is said of its members but how they are written.
                return shape.object(&self.name, sent).err().unwrap_or_default();
            }
            (None, _) => return Vec::new(),
        };
        let (value, nodes) = match &self.form {
            Form::Members(_) | Form::Unread => return Vec::new(),
            Form::Brackets(shape) => match shape.object(&self.name, sent) {
                Ok(object) => object,
                Err(mut mistakes) => {
                    mistakes.truncate(most);
                    return mistakes;
                }
            },
            Form::Json => match super::json::read(first.as_bytes(), DEPTH_MAX) {
                Ok(read) => (read.value, read.nodes),
                Err(why) => return vec![(String::new(), why)],
            },
            Form::Plain(kinds) => (kinds.value(first), 1),
            Form::List { between, of } => {
                let texts = sent.iter().flat_map(|(_, text)| match between {
                    Some(between) => text.split(*between).collect(),
                    None => vec![&**text],
                });
                let list: Vec<Value> = texts
                    .map(|text| match self.place {
                        // White space around members is no part of them (RFC 9110, section 5.6.1).
                        Place::Header => of.value(text.trim()),
                        Place::Path | Place::Query | Place::Cookie => of.value(text),
                    })
                    .collect();
                let nodes = list.len() + 1;
                (Value::from(list), nodes)
            }
        };
        // What looks like a number may be meant as the text that it is.
        let is_text =
            || matches!(self.form, Form::Plain(_)) && schema.takes(&first.as_str().into());
        if schema.takes(&value) || is_text() {
            return Vec::new();
        }
        schema.mistakes(&value, nodes, most)
    }
}

impl Form {
    fn of(builder: &Builder, declared: &Value, place: Place, at: &str) -> Self {
        let schema = builder.document().pointer(&format!("{at}/schema"));
        let schemas = alternatives(builder, schema);
        let kinds = types(&schemas);
        let style = declared.get("style").and_then(Value::as_str);
        if style == Some("deepObject") {
            return match place {
                Place::Query => Self::Brackets(Box::new(Shape::of(builder, schema))),
                // OpenAPI 3.1, section 4.8.12.3: it is for queries alone.
                Place::Path | Place::Header | Place::Cookie => Self::Unread,
            };
        }
        let explodes = declared
            .get("explode")
            .and_then(Value::as_bool)
            .unwrap_or(style.is_none_or(|style| style == "form"));
        if kinds.contains(&"object") {
            let by_themselves = explodes && matches!(place, Place::Query | Place::Cookie);
            return if by_themselves {
                Self::Members(members(&schemas))
            } else {
                Self::Unread
            };
        }
        if !kinds.contains(&"array") {
            return Self::Plain(Kinds::of(&kinds));
        }
        let between = match (place, style) {
            (Place::Query, Some("spaceDelimited")) => Some(' '),
            (Place::Query, Some("pipeDelimited")) => Some('|'),
            (Place::Query | Place::Cookie, _) if explodes => None,
            _ => Some(','),
        };
        let items = schemas.iter().find_map(|schema| schema.get("items"));
        Self::List {
            between,
            of: Kinds::of(&types(&alternatives(builder, items))),
        }
    }
}

/// The schema, and those that it is put together from.
pub(super) fn alternatives<'d>(builder: &'d Builder, schema: Option<&'d Value>) -> Vec<&'d Value> {
    let mut found = Vec::new();
    let mut waiting: Vec<&Value> = schema.into_iter().collect();
    while let Some(schema) = waiting.pop()
        && found.len() < SCHEMAS_MAX
    {
        let Some(schema) = builder.followed(schema) else {
            continue;
        };
        found.push(schema);
        for key in ["anyOf", "oneOf", "allOf"] {
            let parts = schema.get(key).and_then(Value::as_array);
            waiting.extend(parts.into_iter().flatten());
        }
    }
    found
}

/// The types of what they take, as far as they say.
pub(super) fn types<'d>(schemas: &[&'d Value]) -> Vec<&'d str> {
    let mut kinds = Vec::new();
    for schema in schemas {
        match schema.get("type") {
            Some(Value::String(kind)) => kinds.push(&**kind),
            Some(Value::Array(several)) => kinds.extend(several.iter().filter_map(Value::as_str)),
            Some(_) | None => {
                let values = schema.get("enum").and_then(Value::as_array);
                let values = values.into_iter().flatten().chain(schema.get("const"));
                for value in values {
                    kinds.push(kind_of(value));
                }
            }
        }
    }
    kinds
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The members of an object, where it is said that there are no others; else none, for any may be.
fn members(schemas: &[&Value]) -> Vec<Box<str>> {
    let open = |schema: &&Value| {
        let others = schema.get("additionalProperties");
        others.is_some_and(|others| *others != Value::Bool(false))
    };
    if schemas.iter().any(open) {
        return Vec::new();
    }
    let properties = schemas.iter().filter_map(|schema| schema.get("properties"));
    let properties = properties.filter_map(Value::as_object);
    properties
        .flat_map(|map| map.keys().map(|name| name.as_str().into()))
        .collect()
}

impl Kinds {
    /// A text, whatever it says.
    pub(super) const TEXT: Self = Self {
        number: false,
        word: false,
    };

    pub(super) fn of(kinds: &[&str]) -> Self {
        Self {
            number: kinds.contains(&"integer") || kinds.contains(&"number"),
            word: kinds.contains(&"boolean"),
        }
    }

    /// What the text stands for. What fits nothing stays a text, which the schema then refuses.
    pub(super) fn value(self, text: &str) -> Value {
        if self.word && (text == "true" || text == "false") {
            return (text == "true").into();
        }
        if self.number
            && let Ok(number) = serde_json::from_str::<serde_json::Number>(text)
        {
            return Value::Number(number);
        }
        text.into()
    }
}
