//! What an endpoint takes and gives, as its row in the table says it and the OpenAPI document tells it.

use serde_json::{Value, json};

/// A parameter in the query or a header.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    /// `query` or `header`.
    pub(crate) place: &'static str,
    pub(crate) required: bool,
    pub(crate) about: &'static str,
    pub(crate) schema: Value,
}

impl Parameter {
    pub(crate) fn query(name: &'static str, about: &'static str, schema: Value) -> Self {
        Self {
            name,
            place: "query",
            required: false,
            about,
            schema,
        }
    }

    pub(crate) fn header(name: &'static str, about: &'static str, schema: Value) -> Self {
        Self {
            place: "header",
            ..Self::query(name, about, schema)
        }
    }

    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Whether a change is only checked.
    pub(crate) fn dry_run() -> Self {
        Self::query(
            "dry_run",
            "Only check: the answer is what it would be, and nothing is changed",
            json!({ "type": "boolean", "default": false }),
        )
    }

    /// Why a change is made.
    pub(crate) fn reason() -> Self {
        Self::header(
            "change-reason",
            "Why; kept in the history",
            json!({ "type": "string", "maxLength": 500 }),
        )
    }

    /// How many members a page has, and where it goes on.
    pub(crate) fn paging() -> [Self; 2] {
        [
            Self::query(
                "limit",
                "How many at most",
                json!({ "type": "integer", "minimum": 1, "maximum": 500, "default": 100 }),
            ),
            Self::query(
                "cursor",
                "Where to go on: `next` of the page before, asked with the same parameters",
                json!({ "type": "string", "maxLength": 1024 }),
            ),
        ]
    }
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) media_type: &'static str,
    /// A schema, or a reference to one of the document's own.
    pub(crate) schema: Value,
    /// The most bytes.
    pub(crate) max: usize,
}

/// What most bodies may have: names, roles and the like.
const BODY_MAX: usize = 64 << 10;

/// A refusal that an endpoint may give beside those that all give.
pub(crate) type Status = u16;

/// What an endpoint takes and gives.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) tag: &'static str,
    pub(crate) summary: String,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Sent>,
    /// What is answered when all is well: each with its schema, if it has a body.
    pub(crate) answers: Vec<(Status, Option<Value>)>,
    /// Whether the answer has an entity tag.
    pub(crate) tagged: bool,
    /// Whether the answer is a stream of events.
    pub(crate) streams: bool,
    pub(crate) refusals: Vec<Status>,
}

impl Operation {
    pub(crate) fn new(
        id: impl Into<String>,
        tag: &'static str,
        summary: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            tag,
            summary: summary.into(),
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            tagged: false,
            streams: false,
            refusals: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    pub(crate) fn takes(mut self, media_type: &'static str, schema: Value) -> Self {
        self.body = Some(Sent {
            media_type,
            schema,
            max: BODY_MAX,
        });
        self
    }

    /// How many bytes the body may have, where that is not what most may.
    pub(crate) fn up_to(mut self, bytes: usize) -> Self {
        if let Some(body) = &mut self.body {
            body.max = bytes;
        }
        self
    }

    pub(crate) fn gives(mut self, status: Status, schema: Option<Value>) -> Self {
        self.answers.push((status, schema));
        self
    }

    /// Answers with a stream of server-sent events.
    pub(crate) fn streams(mut self) -> Self {
        self.streams = true;
        self.gives(200, None)
    }

    pub(crate) fn tagged(mut self) -> Self {
        self.tagged = true;
        self
    }

    pub(crate) fn refuses(mut self, statuses: impl IntoIterator<Item = Status>) -> Self {
        self.refusals.extend(statuses);
        self
    }
}

/// A reference to a schema of the document.
pub(crate) fn schema_named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
