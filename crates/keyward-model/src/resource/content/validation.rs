//! What requests are held against before they go on, and answers before they go back.

use serde_json::Value;
use std::sync::Arc;

/// The description that a route's requests have to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validation {
    /// The description.
    pub description: Description,
    /// The largest body that is read for it, in bytes; a larger one is refused.
    pub max_body_bytes: usize,
    /// How deep values of a body may nest.
    pub max_depth: usize,
    /// The most mistakes that one answer tells.
    pub max_errors: usize,
    /// Whether parameters in the query that are not described are refused.
    pub refuse_unknown_query: bool,
    /// Whether calls of operations that are not described are refused.
    pub refuse_unknown_operations: bool,
    /// What is done with answers that don't fit.
    pub answers: AnswerValidation,
}

/// What is done with answers that don't fit their description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerValidation {
    /// They are not looked at.
    #[default]
    Ignore,
    /// They go on, and the log tells of them.
    Report,
    /// They don't reach the caller.
    Refuse,
}

/// A description of requests. It refers to nothing outside of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Description {
    /// An OpenAPI document, version 3.0 or 3.1: parameters and bodies, operation by operation.
    OpenApi(Arc<Value>),
    /// A JSON Schema (draft 2020-12 where it says nothing else): bodies alone.
    JsonSchema(Arc<Value>),
}

impl Validation {
    /// The largest body, where nothing is said.
    pub const DEFAULT_BODY_BYTES: usize = 1 << 20;
    /// How deep values nest, where nothing is said.
    pub const DEFAULT_DEPTH: usize = 64;
    /// How many mistakes are told, where nothing is said.
    pub const DEFAULT_ERRORS: usize = 16;
}
