//! Parameters in path, query, headers and cookies (OpenAPI 3.1, section 4.8.12): what was sent as a text becomes
//! the value that its schema speaks of.

use super::schema::Builder;
use jsonschema::Validator;
use serde_json::Value;

/// How deep JSON in a parameter may nest.
const DEPTH_MAX: usize = 16;

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
    validator: Option<Validator>,
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
    /// `name[key]=value`: known by name, its value is not looked at.
    Deep,
}

/// What a text may stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kinds {
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
        let (form, schema) = if declared.get("content").is_some() {
            let content = declared.get("content").and_then(Value::as_object);
            let kind = content.and_then(|content| content.keys().next());
            let kind = kind.ok_or_else(|| format!("`{at}/content`: it names one media type"))?;
            let schema = format!("{at}/content/{}/schema", super::schema::pointer(kind));
            (Form::Json, schema)
        } else {
            let schema = format!("{at}/schema");
            (Form::of(builder, declared, place, at), schema)
        };
        let described = builder.document().pointer(&schema).is_some();
        let validator = match form {
            Form::Deep => None,
            Form::Plain(_) | Form::List { .. } | Form::Json if described => {
                Some(builder.validator(&schema)?)
            }
            Form::Plain(_) | Form::List { .. } | Form::Json => None,
        };
        Ok(Some(Self {
            name: if place == Place::Header {
                header.into()
            } else {
                name.into()
            },
            required: place == Place::Path || declared.get("required") == Some(&Value::Bool(true)),
            place,
            form,
            validator,
        }))
    }

    /// Whether a name in a query is this one's.
    pub(super) fn is_called(&self, name: &str) -> bool {
        match self.form {
            Form::Deep => name.split('[').next() == Some(&*self.name),
            Form::Plain(_) | Form::List { .. } | Form::Json => *name == *self.name,
        }
    }

    /// What is wrong with the values that were sent for it, each with a JSON Pointer into it.
    pub(super) fn mistakes(&self, sent: &[String], most: usize) -> Vec<(String, String)> {
        let (Some(validator), Some(first)) = (&self.validator, sent.first()) else {
            return Vec::new();
        };
        let value = match &self.form {
            Form::Deep => return Vec::new(),
            Form::Json => match super::json::read(first.as_bytes(), DEPTH_MAX) {
                Ok(read) => read.value,
                Err(why) => return vec![(String::new(), why)],
            },
            Form::Plain(kinds) => {
                if sent.len() > 1 {
                    let why = "it was sent more than once".to_owned();
                    return vec![(String::new(), why)];
                }
                kinds.value(first)
            }
            Form::List { between: None, of } => sent.iter().map(|text| of.value(text)).collect(),
            Form::List {
                between: Some(between),
                of,
            } => sent
                .iter()
                .flat_map(|text| text.split(*between))
                .map(|text| of.value(text))
                .collect(),
        };
        if validator.is_valid(&value) {
            return Vec::new();
        }
        validator
            .iter_errors(&value)
            .take(most)
            .map(|error| {
                (
                    error.instance_path().as_str().to_owned(),
                    error.masked().to_string(),
                )
            })
            .collect()
    }
}

impl Form {
    fn of(builder: &Builder, declared: &Value, place: Place, at: &str) -> Self {
        let schema = builder.followed(&format!("{at}/schema"));
        let kinds = types(schema);
        let style = declared.get("style").and_then(Value::as_str);
        if style == Some("deepObject") || kinds.contains(&"object") {
            return Self::Deep;
        }
        if !kinds.contains(&"array") {
            return Self::Plain(Kinds::of(&kinds));
        }
        let items = schema.and_then(|schema| schema.get("items"));
        let items = items.and_then(|items| match items.get("$ref").and_then(Value::as_str) {
            Some(reference) => builder.followed(reference.trim_start_matches('#')),
            None => Some(items),
        });
        let explodes = declared
            .get("explode")
            .and_then(Value::as_bool)
            .unwrap_or(style.is_none_or(|style| style == "form"));
        let between = match (place, style) {
            (Place::Query, Some("spaceDelimited")) => Some(' '),
            (Place::Query, Some("pipeDelimited")) => Some('|'),
            (Place::Query | Place::Cookie, _) if explodes => None,
            _ => Some(','),
        };
        Self::List {
            between,
            of: Kinds::of(&types(items)),
        }
    }
}

fn types(schema: Option<&Value>) -> Vec<&str> {
    match schema.and_then(|schema| schema.get("type")) {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

impl Kinds {
    fn of(kinds: &[&str]) -> Self {
        Self {
            number: kinds.contains(&"integer") || kinds.contains(&"number"),
            word: kinds.contains(&"boolean"),
        }
    }

    /// What the text stands for. What fits nothing stays a text, which the schema then refuses.
    fn value(self, text: &str) -> Value {
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
