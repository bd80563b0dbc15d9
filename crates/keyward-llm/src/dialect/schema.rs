//! JSON schemas, which dialects take in part or in a form of their own.

use super::Dialect;
use crate::error::Error;
use crate::form::Feature;
use crate::json::{Json, Object};

/// Keywords whose value is an object of schemas.
const OF_NAMES: &[&str] = &[
    "properties",
    "$defs",
    "definitions",
    "patternProperties",
    "dependentSchemas",
];
/// Keywords whose value is a schema.
const OF_ONE: &[&str] = &[
    "items",
    "additionalProperties",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
];
/// Keywords whose value is an array of schemas.
const OF_MANY: &[&str] = &["anyOf", "oneOf", "allOf", "prefixItems"];

/// The schema without some keywords, wherever they stand; a property of that name stays.
pub(super) fn without(schema: Json, keywords: &[&str]) -> Json {
    let Json::Object(object) = schema else {
        return schema;
    };
    let members = object.into_members().filter_map(|(name, value)| {
        if keywords.contains(&name.as_str()) {
            return None;
        }
        let value = inside(&name, value, keywords);
        Some((name, value))
    });
    Json::Object(members.collect())
}

/// A keyword's value, with the schemas in it.
fn inside(name: &str, value: Json, keywords: &[&str]) -> Json {
    if OF_ONE.contains(&name) {
        return without(value, keywords);
    }
    match value {
        Json::Object(inner) if OF_NAMES.contains(&name) => Json::Object(
            inner
                .into_members()
                .map(|(name, value)| (name, without(value, keywords)))
                .collect(),
        ),
        Json::Array(items) if OF_MANY.contains(&name) => Json::Array(
            items
                .into_iter()
                .map(|item| without(item, keywords))
                .collect(),
        ),
        Json::Null
        | Json::Bool(_)
        | Json::Number(_)
        | Json::String(_)
        | Json::Array(_)
        | Json::Object(_) => value,
    }
}

/// What providers refuse that take no `strict` tools.
pub(super) const LOOSE: &[&str] = &["additionalProperties", "strict", "$schema", "$id"];

/// OpenAI's tools without what some providers of its dialect refuse.
pub(crate) fn tools_without(tools: Json) -> Json {
    let Json::Array(tools) = tools else {
        return tools;
    };
    let loose = tools.into_iter().map(|tool| {
        let Json::Object(mut tool) = tool else {
            return tool;
        };
        if let Some(Json::Object(function)) = tool.get("function") {
            let mut function = function.clone();
            function.take("strict");
            if let Some(parameters) = function.get("parameters") {
                let parameters = without(parameters.clone(), LOOSE);
                function.set("parameters", parameters);
            }
            tool.set("function", function);
        }
        Json::Object(tool)
    });
    Json::Array(loose.collect())
}

/// Keywords of Gemini's schema that mean what they mean in JSON Schema.
const SAME: &[&str] = &[
    "title",
    "description",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "default",
    "nullable",
    "propertyOrdering",
    "example",
];
/// Keywords that only name or comment.
const SILENT: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "$anchor",
    "$defs",
    "definitions",
    "examples",
];
/// References in each other, after which a schema is taken to have no end.
const MOST_REFERENCES: usize = 30;
/// Schemas that references may grow into: each use of a definition writes it once more.
const MOST_SCHEMAS: usize = 5_000;

/// The schema in Gemini's form, a subset of OpenAPI 3.0: references put in, `null` as `nullable`, types in capitals.
///
/// # Errors
/// [`Error::Unsupported`] for a keyword that it has no form for: leaving a bound out would change what is asked.
pub(super) fn to_gemini(schema: &Json) -> Result<Json, Error> {
    let mut writer = Gemini {
        root: schema,
        left: MOST_SCHEMAS,
    };
    writer.schema(schema, 0)
}

struct Gemini<'a> {
    root: &'a Json,
    left: usize,
}

const fn lacks(why: &'static str) -> Error {
    Error::Unsupported {
        feature: Feature::SchemaKeyword,
        dialect: Dialect::Gemini,
        why,
    }
}

impl Gemini<'_> {
    fn schema(&mut self, schema: &Json, references: usize) -> Result<Json, Error> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(lacks("the schema is too large with its references put in"))?;
        let object = match schema {
            Json::Object(object) => object,
            // Anything goes.
            Json::Bool(true) => return Ok(Json::Object(Object::new())),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
                return Err(lacks(
                    "a schema that nothing fits can't be said: leave it out",
                ));
            }
        };
        if let Some(reference) = object.get("$ref") {
            return self.referred(reference, object, references);
        }
        let mut out = Object::new();
        for (name, value) in object.iter() {
            match name {
                "type" => types(value, &mut out)?,
                "enum" => self.values(value.as_array().unwrap_or_default(), &mut out)?,
                "const" => self.values(std::slice::from_ref(value), &mut out)?,
                "properties" => {
                    let properties = value
                        .as_object()
                        .ok_or(lacks("`properties` is no object"))?;
                    let mut written = Vec::with_capacity(properties.len());
                    for (name, property) in properties.iter() {
                        written.push((name.to_owned(), self.schema(property, references)?));
                    }
                    let written: Object = written.into_iter().collect();
                    if written.len() > 1 && object.get("propertyOrdering").is_none() {
                        // Its members have no order there, and the model writes in the one it is told.
                        let names: Vec<Json> =
                            written.iter().map(|(name, _)| name.into()).collect();
                        out.set("propertyOrdering", names);
                    }
                    out.set("properties", written);
                }
                "items" => out.set("items", self.schema(value, references)?),
                "anyOf" | "oneOf" => self.alternatives(value, references, &mut out)?,
                "allOf" => match value.as_array() {
                    Some([one]) => merge(self.schema(one, references)?, &mut out),
                    Some(_) | None => {
                        return Err(lacks("`allOf` of several can't be said: write them as one"));
                    }
                },
                "additionalProperties" => {
                    // What is not named is not written there, whatever this says.
                    if value.as_object().is_some_and(|object| !object.is_empty()) {
                        return Err(lacks(
                            "`additionalProperties` with a schema can't be said: name the properties",
                        ));
                    }
                }
                _ if SAME.contains(&name) => out.set(name, value.clone()),
                _ if SILENT.contains(&name) => {}
                _ => {
                    return Err(lacks(
                        "its schemas are a part of JSON Schema: see the guide for the keywords",
                    ));
                }
            }
        }
        Ok(Json::Object(out))
    }

    fn referred(
        &mut self,
        reference: &Json,
        beside: &Object,
        references: usize,
    ) -> Result<Json, Error> {
        if references >= MOST_REFERENCES {
            return Err(lacks("a schema that refers to itself can't be said"));
        }
        let found = reference
            .as_str()
            .and_then(|text| text.strip_prefix('#'))
            .and_then(|pointer| find(self.root, pointer));
        let Some(found) = found else {
            return Err(lacks("a reference leads nowhere in the schema"));
        };
        let Json::Object(mut out) = self.schema(found, references + 1)? else {
            return Err(lacks("a reference leads to no schema"));
        };
        for name in ["title", "description", "default"] {
            if let Some(value) = beside.get(name) {
                out.set(name, value.clone());
            }
        }
        Ok(Json::Object(out))
    }

    /// Values that are allowed: texts alone, and `null` as what may be missing.
    fn values(&self, values: &[Json], out: &mut Object) -> Result<(), Error> {
        let mut texts: Vec<Json> = Vec::with_capacity(values.len());
        for value in values {
            match value {
                Json::String(_) => texts.push(value.clone()),
                Json::Null => out.set("nullable", true),
                Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                    return Err(lacks(
                        "`enum` and `const` of anything but texts can't be said",
                    ));
                }
            }
        }
        out.set("enum", texts);
        if out.get("type").is_none() {
            out.set("type", "STRING");
        }
        Ok(())
    }

    fn alternatives(
        &mut self,
        value: &Json,
        references: usize,
        out: &mut Object,
    ) -> Result<(), Error> {
        let mut written = Vec::new();
        for one in value.as_array().unwrap_or_default() {
            if one.get("type").and_then(Json::as_str) == Some("null") {
                out.set("nullable", true);
            } else {
                written.push(self.schema(one, references)?);
            }
        }
        match (written.pop(), written.is_empty()) {
            (Some(one), true) => merge(one, out),
            (Some(last), false) => {
                written.push(last);
                out.set("anyOf", written);
            }
            (None, _) => {}
        }
        Ok(())
    }
}

fn merge(schema: Json, out: &mut Object) {
    if let Json::Object(object) = schema {
        for (name, value) in object.into_members() {
            if out.get(&name).is_none() {
                out.set(&name, value);
            }
        }
    }
}

fn types(value: &Json, out: &mut Object) -> Result<(), Error> {
    let names: Vec<&str> = match value {
        Json::String(one) => vec![one],
        Json::Array(many) => many.iter().filter_map(Json::as_str).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => Vec::new(),
    };
    let mut real: Vec<String> = Vec::new();
    for name in names {
        if name.eq_ignore_ascii_case("null") {
            out.set("nullable", true);
        } else {
            real.push(name.to_ascii_uppercase());
        }
    }
    match real.as_slice() {
        [] => {}
        [one] => out.set("type", one),
        several => {
            let several = several
                .iter()
                .map(|name| Json::Object(Object::new().with("type", name)));
            if out.get("anyOf").is_some() {
                return Err(lacks("several types beside `anyOf` can't be said"));
            }
            out.set("anyOf", several.collect::<Vec<_>>());
        }
    }
    Ok(())
}

/// What a JSON pointer (RFC 6901) leads to.
fn find<'a>(root: &'a Json, pointer: &str) -> Option<&'a Json> {
    if pointer.is_empty() {
        return Some(root);
    }
    pointer
        .strip_prefix('/')?
        .split('/')
        .try_fold(root, |at, name| {
            at.get(&name.replace("~1", "/").replace("~0", "~"))
        })
}

/// Gemini's form as JSON Schema.
pub(super) fn from_gemini(schema: Json) -> Json {
    let Json::Object(object) = schema else {
        return schema;
    };
    let nullable = object.get("nullable") == Some(&Json::Bool(true));
    let members = object.into_members().filter_map(|(name, value)| {
        let value = match (name.as_str(), value) {
            ("nullable" | "propertyOrdering", _) => return None,
            ("example", value) => return Some(("examples".to_owned(), Json::Array(vec![value]))),
            ("type", Json::String(kind)) => {
                let kind = Json::String(kind.to_ascii_lowercase());
                if nullable {
                    Json::Array(vec![kind, "null".into()])
                } else {
                    kind
                }
            }
            ("properties", Json::Object(inner)) => Json::Object(
                inner
                    .into_members()
                    .map(|(name, value)| (name, from_gemini(value)))
                    .collect(),
            ),
            ("items", value) => from_gemini(value),
            ("anyOf", Json::Array(items)) => {
                let mut items: Vec<Json> = items.into_iter().map(from_gemini).collect();
                if nullable {
                    items.push(Object::new().with("type", "null").into());
                }
                Json::Array(items)
            }
            // Numbers of 64 bits are texts in JSON made of protocol buffers.
            ("minLength" | "maxLength" | "minItems" | "maxItems", Json::String(text)) => {
                Json::parse(text.as_bytes()).unwrap_or(Json::String(text))
            }
            (_, value) => value,
        };
        Some((name, value))
    });
    Json::Object(members.collect())
}

#[cfg(test)]
mod tests {
    use super::{from_gemini, to_gemini, without};
    use crate::json::Json;

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    #[track_caller]
    fn check(schema: &str, gemini: &str) {
        assert_eq!(to_gemini(&json(schema)).unwrap().to_text(), gemini);
    }

    #[test]
    fn gemini_gets_its_own_form() {
        check(
            r#"{"type":"object","additionalProperties":false,"$schema":"x","properties":{"b":{"type":"string"},"a":{"type":["integer","null"],"minimum":0}},"required":["b"]}"#,
            r#"{"type":"OBJECT","propertyOrdering":["b","a"],"properties":{"b":{"type":"STRING"},"a":{"nullable":true,"type":"INTEGER","minimum":0}},"required":["b"]}"#,
        );
        check(
            r##"{"$defs":{"u":{"enum":["c","f"]}},"properties":{"unit":{"$ref":"#/$defs/u","description":"d"}}}"##,
            r#"{"properties":{"unit":{"enum":["c","f"],"type":"STRING","description":"d"}}}"#,
        );
        check(
            r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#,
            r#"{"nullable":true,"type":"STRING"}"#,
        );
        check(
            r#"{"type":["string","number"]}"#,
            r#"{"anyOf":[{"type":"STRING"},{"type":"NUMBER"}]}"#,
        );
    }

    #[test]
    fn what_gemini_can_not_say_is_refused() {
        for schema in [
            r#"{"not":{"type":"string"}}"#,
            r#"{"type":"number","multipleOf":2}"#,
            r#"{"enum":[1,2]}"#,
            r##"{"$ref":"#"}"##,
            r##"{"$ref":"#/$defs/none"}"##,
            r#"{"$ref":"https://elsewhere.example/schema"}"#,
            r#"{"allOf":[{"type":"object"},{"type":"object"}]}"#,
            "false",
        ] {
            let error = to_gemini(&json(schema)).expect_err(schema);
            assert_eq!(error.code(), "unsupported_schema_keyword", "{schema}");
        }
    }

    #[test]
    fn references_that_double_have_an_end() {
        let mut defs = String::new();
        for n in 0..40 {
            let next = n + 1;
            defs += &format!(
                r##""d{n}":{{"properties":{{"a":{{"$ref":"#/$defs/d{next}"}},"b":{{"$ref":"#/$defs/d{next}"}}}}}},"##
            );
        }
        let schema = format!(r##"{{"$defs":{{{defs}"d40":{{}}}},"$ref":"#/$defs/d0"}}"##);
        assert!(to_gemini(&json(&schema)).is_err());
    }

    #[test]
    fn a_keyword_is_taken_out_and_a_property_of_its_name_is_not() {
        let schema = json(
            r#"{"strict":true,"properties":{"strict":{"strict":1,"type":"string"}},"anyOf":[{"strict":2}]}"#,
        );
        assert_eq!(
            without(schema, &["strict"]).to_text(),
            r#"{"properties":{"strict":{"type":"string"}},"anyOf":[{}]}"#
        );
    }

    #[test]
    fn geminis_form_is_read_as_json_schema() {
        let schema = json(
            r#"{"type":"OBJECT","propertyOrdering":["a"],"properties":{"a":{"type":"STRING","nullable":true,"maxLength":"9"}}}"#,
        );
        assert_eq!(
            from_gemini(schema).to_text(),
            r#"{"type":"object","properties":{"a":{"type":["string","null"],"maxLength":9}}}"#
        );
    }
}
