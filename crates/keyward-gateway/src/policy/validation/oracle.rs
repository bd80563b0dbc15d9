//! For fuzz targets: bodies as validation reads them, held against `serde_json`, and whole requests against a
//! description.

use super::open_api::Found;
use super::{Compiled, Mistakes, ValidationPlan, json};
use crate::message::RequestHead;
use crate::request::path::RequestPath;
use keyward_model::resource::content::{AnswerValidation, Description, Validation};
use serde_json::Value;
use std::sync::Arc;

/// A description that requests are held against.
#[derive(Debug)]
pub struct Described(ValidationPlan);

impl Described {
    /// Compiles an OpenAPI document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(document: Value) -> Result<Self, String> {
        let description = Description::OpenApi(Arc::new(document));
        let compiled = Arc::new(Compiled::new(&description, false)?);
        let declared = Arc::new(Validation {
            description,
            max_body_bytes: 1 << 20,
            max_depth: 32,
            max_errors: 10,
            refuse_unknown_query: true,
            refuse_unknown_operations: true,
            answers: AnswerValidation::Ignore,
        });
        Ok(Self(ValidationPlan {
            declared,
            compiled,
            base: 0,
            credentials: Vec::new(),
            reports: Arc::default(),
        }))
    }

    /// Whether path, query, headers and cookies of a request fit, and its body.
    #[must_use]
    pub(crate) fn takes(&self, head: &RequestHead, body: &[u8]) -> bool {
        let plan = &self.0;
        let mut mistakes = Mistakes {
            found: Vec::new(),
            most: plan.declared.max_errors,
        };
        let (Compiled::OpenApi(operations), Ok(read)) = (&*plan.compiled, RequestPath::parse(head))
        else {
            return false;
        };
        let path = plan.path(read.for_matching());
        let Found::Operation(operation, values) = operations.find(&path, head.method.as_str())
        else {
            return false;
        };
        plan.parameters(operation, &values, head, &mut mistakes);
        if mistakes.refuse().is_err() {
            return false;
        }
        let contents = operation.body.iter().flat_map(|rule| &*rule.content);
        let mut schemas = contents.filter_map(|content| content.schema.as_ref());
        let Ok(read) = json::read(body, plan.declared.max_depth) else {
            return false;
        };
        schemas.all(|schema| plan.against(schema, &read.value, read.nodes).is_ok())
    }
}

/// Reads the bytes as JSON within a depth.
///
/// # Panics
/// When what is taken is read in another way by `serde_json`, nests deeper, or is not what is counted.
pub fn read_json_body(bytes: &[u8], max_depth: usize) {
    let Ok(read) = json::read(bytes, max_depth) else {
        return;
    };
    let theirs: Result<Value, _> = serde_json::from_slice(bytes);
    assert_eq!(theirs.ok().as_ref(), Some(&read.value));
    let (nodes, depth) = measure(&read.value);
    assert_eq!(nodes, read.nodes);
    assert!(depth <= max_depth);
}

/// How many values there are, and how deep they nest.
fn measure(value: &Value) -> (usize, usize) {
    let inner: Vec<(usize, usize)> = match value {
        Value::Array(list) => list.iter().map(measure).collect(),
        Value::Object(map) => map.values().map(measure).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return (1, 0),
    };
    let nodes: usize = inner.iter().map(|(nodes, _)| nodes).sum();
    let depth = inner.iter().map(|(_, depth)| *depth).max();
    (nodes + 1, depth.unwrap_or_default() + 1)
}
