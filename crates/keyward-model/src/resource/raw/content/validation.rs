//! Reading `validation`.

use super::document;
use crate::resource::content::{AnswerValidation, Description, Validation};
use crate::resource::raw::field::Field;
use crate::resource::raw::problem::Problems;
use serde_json::Value;
use std::sync::Arc;

const KEYS: &[&str] = &[
    "openapi",
    "schema",
    "max_body",
    "max_depth",
    "max_errors",
    "unknown_query",
    "unknown_operations",
    "answers",
];

const ANSWERS: [(&str, AnswerValidation); 3] = [
    ("ignore", AnswerValidation::Ignore),
    ("report", AnswerValidation::Report),
    ("refuse", AnswerValidation::Refuse),
];

/// A body is read whole before anything of it goes on.
const MAX_BODY_MAX: u64 = 64 << 20;
/// An answer's too, and as values it takes many times its size, for each call that is answered at that moment.
const MAX_ANSWER_MAX: usize = 4 << 20;
const MAX_DEPTH_MAX: u64 = 120;
const MAX_ERRORS_MAX: u64 = 100;

/// Reads it. The inner `None`: nothing is held against anything.
pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Option<Arc<Validation>>> {
    if field.as_boolean() == Some(false) {
        return Some(None);
    }
    let fields = field.fields(KEYS, problems)?;
    let description = match (fields.optional("openapi"), fields.optional("schema")) {
        (Some(field), None) => open_api(field, problems),
        (None, Some(field)) => document::read(field, problems)
            .map(|document| Description::JsonSchema(Arc::new(document))),
        (Some(_), Some(both)) => {
            problems.error(
                both.place(),
                "contradiction",
                "`openapi` and `schema` both say what requests look like: take one of them out",
            );
            None
        }
        (None, None) => {
            problems.error(
                fields.place(),
                "missing_key",
                "`openapi` or `schema` is missing: say what requests are held against, such as `openapi: ${FILE:orders.yaml}`",
            );
            None
        }
    };
    let max_body_bytes = match fields.optional("max_body") {
        Some(field) => {
            let bytes = field.byte_size(problems)?;
            if !(1..=MAX_BODY_MAX).contains(&bytes) {
                field.refuse("is not between 1 byte and 64MiB", problems);
                return None;
            }
            usize::try_from(bytes).ok()
        }
        None => Some(Validation::DEFAULT_BODY_BYTES),
    };
    let mut count = |key: &str, most, usual| match fields.optional(key) {
        Some(field) => field
            .whole(1..=most, problems)
            .and_then(|count| usize::try_from(count).ok()),
        None => Some(usual),
    };
    let max_depth = count("max_depth", MAX_DEPTH_MAX, Validation::DEFAULT_DEPTH);
    let max_errors = count("max_errors", MAX_ERRORS_MAX, Validation::DEFAULT_ERRORS);
    let mut refuses = |key: &str, usual| match fields.optional(key) {
        Some(field) => field.one_of(&[("refuse", true), ("allow", false)], problems),
        None => Some(usual),
    };
    let refuse_unknown_query = refuses("unknown_query", false);
    let refuse_unknown_operations = refuses("unknown_operations", true);
    let answers = match fields.optional("answers") {
        Some(field) => field.one_of(&ANSWERS, problems),
        None => Some(AnswerValidation::default()),
    };
    if answers.is_some_and(|answers| answers != AnswerValidation::Ignore)
        && max_body_bytes.is_some_and(|bytes| bytes > MAX_ANSWER_MAX)
        && let Some(field) = fields.optional("max_body")
    {
        field.refuse(
            "is larger than 4MiB, the most where `answers` are looked at: make it smaller, or take `answers` out",
            problems,
        );
    }
    let description = description?;
    if let Description::JsonSchema(_) = description {
        for key in ["unknown_query", "unknown_operations", "answers"] {
            if let Some(field) = fields.optional(key) {
                problems.error(
                    field.place(),
                    "contradiction",
                    format!(
                        "`{key}` needs `openapi`: a schema says nothing but of requests' bodies"
                    ),
                );
            }
        }
    }
    Some(Some(Arc::new(Validation {
        description,
        max_body_bytes: max_body_bytes?,
        max_depth: max_depth?,
        max_errors: max_errors?,
        refuse_unknown_query: refuse_unknown_query?,
        refuse_unknown_operations: refuse_unknown_operations?,
        answers: answers?,
    })))
}

fn open_api(field: Field<'_>, problems: &mut Problems) -> Option<Description> {
    let document = document::read(field, problems)?;
    let version = document.get("openapi").and_then(Value::as_str);
    if !version.is_some_and(|version| version.starts_with("3.0.") || version.starts_with("3.1.")) {
        let found = match (version, document.get("swagger")) {
            (Some(version), _) => format!("it says `openapi: {version}`"),
            (None, Some(_)) => "it is one of Swagger 2.0: convert it".to_owned(),
            (None, None) => "its key `openapi` with the version is missing".to_owned(),
        };
        problems.error(
            field.place(),
            "bad_document",
            format!("`openapi`: this takes documents of OpenAPI 3.0 and 3.1, and {found}"),
        );
        return None;
    }
    Some(Description::OpenApi(Arc::new(document)))
}

#[cfg(test)]
mod tests {
    use crate::resource::Spec;
    use crate::resource::content::{Description, Validation};
    use crate::resource::raw::tests::{api, read};
    use serde_json::{Value as Json, json};

    fn validation(value: Json) -> Validation {
        let read = read(&api(&json!({ "validation": value }))).unwrap();
        let Spec::Api(api) = read.resource.spec else {
            panic!("not an API")
        };
        let content = api.routes[0].content.as_ref().unwrap();
        (**content.validation.as_ref().unwrap()).clone()
    }

    #[test]
    fn a_text_is_read_as_yaml_whose_keys_may_be_numbers() {
        let text = "openapi: 3.1.0\npaths:\n  /a:\n    get:\n      responses:\n        200: { description: fine }\n";
        let Description::OpenApi(document) = validation(json!({ "openapi": text })).description
        else {
            panic!("not OpenAPI")
        };
        assert_eq!(
            document["paths"]["/a"]["get"]["responses"]["200"]["description"],
            "fine"
        );
        let inline = validation(json!({ "schema": { "type": "object" }, "max_errors": 3 }));
        assert_eq!(inline.max_errors, 3);
        let document = json!({ "openapi": "3.1.0" });
        for (answers, size) in [("ignore", "64MiB"), ("refuse", "4MiB")] {
            validation(json!({ "openapi": document, "answers": answers, "max_body": size }));
        }
        assert!(matches!(inline.description, Description::JsonSchema(_)));
    }

    #[test]
    fn mistakes_are_told() {
        for (validation, expected) in [
            (json!({}), "`openapi` or `schema` is missing"),
            (
                json!({ "openapi": {}, "schema": {} }),
                "take one of them out",
            ),
            (json!({ "openapi": { "swagger": "2.0" } }), "Swagger 2.0"),
            (
                json!({ "openapi": { "openapi": "4.0.0" } }),
                "`openapi: 4.0.0`",
            ),
            (json!({ "openapi": "a: [" }), "can't be read at line"),
            (json!({ "openapi": "a: 1\na: 2" }), "can't be read"),
            (json!({ "schema": "orders.json" }), "${FILE:path}"),
            (json!({ "schema": 7 }), "is no document"),
            (
                json!({ "schema": {}, "unknown_query": "refuse" }),
                "needs `openapi`",
            ),
            (
                json!({ "schema": {}, "answers": "refuse" }),
                "`answers` needs `openapi`",
            ),
            (
                json!({ "openapi": { "openapi": "3.1.0" }, "answers": "log" }),
                "none of `ignore`, `report`, `refuse`",
            ),
            (json!({ "schema": {}, "max_depth": 500 }), "from 1 to 120"),
            (json!({ "schema": {}, "max_body": "1GiB" }), "64MiB"),
            (
                json!({ "openapi": { "openapi": "3.1.0" }, "answers": "report", "max_body": "5MiB" }),
                "4MiB, the most where `answers`",
            ),
        ] {
            let problems = read(&api(&json!({ "validation": validation }))).unwrap_err();
            let told = format!("{problems:?}");
            assert!(told.contains(expected), "{expected} is not in {told}");
        }
    }
}
