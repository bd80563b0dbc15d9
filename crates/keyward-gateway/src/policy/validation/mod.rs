//! Requests held against a description before they go on: an OpenAPI document or a JSON Schema.
//!
//! It has its turn behind limits, so that reading and checking bodies is bounded by them, and before the cache
//! and the upstream, which see nothing that does not fit. A body is read whole for it, within a bound of its own
//! and one over all calls of the node; what is not JSON is not read.
//!
//! - `open_api`, `parameters`, `schema`: the description, compiled when it is configured.
//! - `json`: bodies, read in the one way.

pub(super) mod json;
mod open_api;
#[cfg(feature = "fuzzing")]
mod oracle;
mod parameters;
mod schema;
#[cfg(test)]
mod tests;

#[cfg(feature = "fuzzing")]
pub use oracle::read_json_body;

use super::memory::Memory;
use super::whole::{self, Unread};
use crate::body::RequestBody;
use crate::message::{Fields, Header, RequestHead};
use crate::record::CallRecord;
use crate::request::Refusal;
use crate::request::forward::Call;
use jsonschema::Validator;
use keyward_model::resource::Api;
use keyward_model::resource::content::{Description, Validation};
use keyward_model::{Code, Fault};
use open_api::{BodyRule, Content, Found, Operation, Operations};
use parameters::Place;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// Values up to this many are looked through for every mistake; in more, for the first alone: the library keeps
/// all that it finds, and a large body can have one in each of its values.
const SEARCHED_MAX: usize = 10_000;
/// The longest text of a mistake, in bytes. Names in it are the caller's.
const TEXT_MAX: usize = 300;

/// What a route's requests are held against.
#[derive(Debug)]
pub(crate) struct ValidationPlan {
    declared: Arc<Validation>,
    compiled: Arc<Compiled>,
    /// How many segments the base path has.
    base: usize,
}

/// A description, ready to be used. All routes of an API that have one share it.
#[derive(Debug)]
pub(crate) enum Compiled {
    OpenApi(Operations),
    JsonSchema(BodyRule),
}

impl Compiled {
    /// Compiles a description. The error says what is wrong with it, and where.
    pub(crate) fn new(description: &Description) -> Result<Self, String> {
        match description {
            Description::OpenApi(document) => Operations::new(document).map(Self::OpenApi),
            Description::JsonSchema(schema) => {
                let json = Content {
                    kind: None,
                    validator: Some(schema::alone(schema)?),
                };
                Ok(Self::JsonSchema(BodyRule {
                    required: false,
                    content: Box::new([json]),
                }))
            }
        }
    }
}

/// What is wrong with a description; nothing else is done with it.
///
/// # Errors
/// In words, with the place in the document as a JSON Pointer.
pub fn check_description(description: &Description) -> Result<(), String> {
    Compiled::new(description).map(|_| ())
}

/// One thing that is wrong with a request.
#[derive(Debug)]
struct Mistake {
    place: &'static str,
    name: Option<Box<str>>,
    pointer: String,
    detail: String,
}

/// What was found so far, up to the bound.
#[derive(Debug)]
struct Mistakes {
    found: Vec<Mistake>,
    most: usize,
}

impl ValidationPlan {
    pub(crate) fn new(api: &Api, declared: &Arc<Validation>, compiled: Arc<Compiled>) -> Self {
        Self {
            declared: Arc::clone(declared),
            compiled,
            base: api.base_path.segments().count(),
        }
    }

    /// Lets the request through, with its body read where that was looked at; or says what is wrong with it.
    pub(super) async fn validate(
        &self,
        call: &Call<'_>,
        head: &RequestHead,
        body: RequestBody,
        record: &mut CallRecord,
    ) -> Result<RequestBody, Refusal> {
        let mut mistakes = Mistakes {
            found: Vec::new(),
            most: self.declared.max_errors,
        };
        let rule = match &*self.compiled {
            Compiled::JsonSchema(rule) => Some(rule),
            Compiled::OpenApi(operations) => {
                let path = self.path(head.path());
                match operations.find(&path, head.method.as_str()) {
                    Found::Operation(operation, values) => {
                        self.parameters(operation, &values, head, &mut mistakes);
                        operation.body.as_ref()
                    }
                    Found::OtherMethods(_) | Found::Nothing
                        if !self.declared.refuse_unknown_operations =>
                    {
                        return Ok(body);
                    }
                    Found::OtherMethods(methods) => {
                        let fault = Fault::new(
                            Code::MethodNotAllowed,
                            format!(
                                "The method {} is not described at this path; `Allow` lists those that are",
                                head.method
                            ),
                        );
                        let mut fields = Fields::new();
                        fields.append(Header::Allow, methods.as_bytes());
                        return Err(Refusal::with(fault, fields));
                    }
                    Found::Nothing => {
                        let fault = Fault::new(
                            Code::NotFound,
                            "The API's description has no such path; check the address",
                        );
                        return Err(fault.into());
                    }
                }
            }
        };
        // What is wrong with the head is told without the body's being read.
        mistakes.refuse()?;
        let Some(rule) = rule else {
            return Ok(body);
        };
        self.body(call, rule, head, body, record).await
    }

    /// The path below the base path.
    fn path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let mut rest = path;
        for _ in 0..self.base {
            let inner = rest.strip_prefix('/').unwrap_or(rest);
            rest = match inner.find('/') {
                Some(at) => inner.get(at..).unwrap_or_default(),
                None => "/",
            };
        }
        Cow::Borrowed(rest)
    }

    fn parameters(
        &self,
        operation: &Operation,
        path: &[(&str, String)],
        head: &RequestHead,
        mistakes: &mut Mistakes,
    ) {
        let query = pairs(head.query().unwrap_or_default(), '&');
        let cookies: Vec<(String, String)> = head
            .fields
            .all(Header::Cookie)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for parameter in &operation.parameters {
            let sent: Vec<String> = match parameter.place {
                Place::Path => path
                    .iter()
                    .filter(|(name, _)| **name == *parameter.name)
                    .map(|(_, value)| decoded(value, false))
                    .collect(),
                Place::Query => values(&query, |name| parameter.is_called(name)),
                Place::Cookie => values(&cookies, |name| parameter.is_called(name)),
                Place::Header => head
                    .fields
                    .all_named(&parameter.name)
                    .map(|value| String::from_utf8_lossy(value).into_owned())
                    .collect(),
            };
            let place = parameter.place.as_str();
            if sent.is_empty() {
                if parameter.required {
                    mistakes.add(place, Some(&parameter.name), "", "it is missing");
                }
                continue;
            }
            for (pointer, detail) in parameter.mistakes(&sent, self.declared.max_errors) {
                mistakes.add(place, Some(&parameter.name), &pointer, &detail);
            }
        }
        if self.declared.refuse_unknown_query {
            for (name, _) in &query {
                if !operation.knows_query(name) {
                    mistakes.add("query", Some(name), "", "it is not described");
                }
            }
        }
    }

    async fn body(
        &self,
        call: &Call<'_>,
        rule: &BodyRule,
        head: &RequestHead,
        body: RequestBody,
        record: &mut CallRecord,
    ) -> Result<RequestBody, Refusal> {
        if body.left() == Some(0) {
            if rule.required {
                let mut mistakes = self.no_mistakes();
                mistakes.add("body", None, "", "it is missing");
                mistakes.refuse()?;
            }
            return Ok(body);
        }
        let kind = content_type(&head.fields);
        let Some(content) = rule.content.iter().find(|content| content.takes(&kind)) else {
            return Err(Fault::new(
                Code::UnsupportedMediaType,
                "The body's media type is not described for this call; send it as one that is",
            )
            .into());
        };
        let Some(validator) = &content.validator else {
            return Ok(body);
        };
        if !is_json(&kind) {
            return Err(Fault::new(
                Code::UnsupportedMediaType,
                "The body has to be JSON; send `Content-Type: application/json`",
            )
            .into());
        }
        if head.fields.has(Header::ContentEncoding) {
            return Err(Fault::new(
                Code::UnsupportedCoding,
                "The body's coding can't be looked into; send it without `Content-Encoding`",
            )
            .into());
        }
        let memory: &Arc<Memory> = &call.worker.shared.bodies;
        let whole = whole::read(call, body, self.declared.max_body_bytes, memory)
            .await
            .map_err(|unread| self.unread(unread, record))?;
        if whole.is_empty() {
            // It came in chunks, of which there were none.
            if rule.required {
                let mut mistakes = self.no_mistakes();
                mistakes.add("body", None, "", "it is missing");
                mistakes.refuse()?;
            }
            return Ok(RequestBody::whole(whole));
        }
        let read = json::read(&whole, self.declared.max_depth).map_err(|why| {
            let mut mistakes = self.no_mistakes();
            mistakes.add("body", None, "", &why);
            mistakes.refuse().err().unwrap_or_else(internal)
        })?;
        self.against(validator, &read.value, read.nodes)?;
        Ok(RequestBody::whole(whole))
    }

    fn against(&self, validator: &Validator, value: &Value, nodes: usize) -> Result<(), Refusal> {
        if validator.is_valid(value) {
            return Ok(());
        }
        let mut mistakes = self.no_mistakes();
        if nodes <= SEARCHED_MAX {
            for error in validator
                .iter_errors(value)
                .take(self.declared.max_errors + 1)
            {
                let pointer = error.instance_path().as_str();
                mistakes.add("body", None, pointer, &error.masked().to_string());
            }
        } else if let Err(error) = validator.validate(value) {
            let pointer = error.instance_path().as_str();
            mistakes.add("body", None, pointer, &error.masked().to_string());
        }
        // An engine that could not finish counts as a mistake that nobody can name.
        if mistakes.found.is_empty() {
            mistakes.add("body", None, "", "it does not fit its schema");
        }
        mistakes.refuse()
    }

    fn no_mistakes(&self) -> Mistakes {
        Mistakes {
            found: Vec::new(),
            most: self.declared.max_errors,
        }
    }

    fn unread(&self, unread: Unread, record: &mut CallRecord) -> Refusal {
        unread.refusal(self.declared.max_body_bytes, record)
    }
}

fn internal() -> Refusal {
    Fault::new(Code::Internal, "Something went wrong here").into()
}

impl Mistakes {
    fn add(&mut self, place: &'static str, name: Option<&str>, pointer: &str, detail: &str) {
        // One more than is told, to know that there are more.
        if self.found.len() <= self.most {
            self.found.push(Mistake {
                place,
                name: name.map(|name| shortened(name).into()),
                pointer: shortened(pointer).into_owned(),
                detail: shortened(detail).into_owned(),
            });
        }
    }

    fn refuse(self) -> Result<(), Refusal> {
        let Some(first) = self.found.first() else {
            return Ok(());
        };
        let more = self.found.len() > self.most;
        let what = match &first.name {
            Some(name) => format!("{} `{name}`", first.place),
            None => format!(
                "{}{}",
                first.place,
                if first.pointer.is_empty() {
                    String::new()
                } else {
                    format!(" at `{}`", first.pointer)
                }
            ),
        };
        let tail = if more {
            "; `errors` lists the first of them"
        } else {
            "; `errors` lists what is wrong"
        };
        let fault = Fault::new(
            Code::ValidationFailed,
            format!(
                "The request does not fit the API's description: {what}: {}{tail}",
                first.detail
            ),
        );
        let errors = self
            .found
            .iter()
            .take(self.most)
            .map(Mistake::to_json)
            .collect();
        Err(Refusal::with_errors(fault, errors))
    }
}

impl Mistake {
    fn to_json(&self) -> Value {
        let mut error = json!({ "in": self.place, "pointer": self.pointer, "detail": self.detail });
        if let (Some(name), Some(map)) = (&self.name, error.as_object_mut()) {
            map.insert("name".to_owned(), Value::from(&**name));
        }
        error
    }
}

impl Content {
    fn takes(&self, kind: &str) -> bool {
        self.kind.as_ref().is_none_or(|range| range.has(kind))
    }
}

/// The media type alone, in lower case; none as what it is then (RFC 9110, section 8.3).
fn content_type(fields: &Fields) -> String {
    let value = fields
        .get(Header::ContentType)
        .unwrap_or(b"application/octet-stream");
    let value = String::from_utf8_lossy(value);
    let kind = value.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// Whether a media type is JSON's, or of a kind made of it (RFC 6839, section 3.1).
pub(super) fn is_json(kind: &str) -> bool {
    kind == "application/json" || (kind.ends_with("+json") && kind.contains('/'))
}

fn values(pairs: &[(String, String)], is_called: impl Fn(&str) -> bool) -> Vec<String> {
    pairs
        .iter()
        .filter(|(name, _)| is_called(name))
        .map(|(_, value)| value.clone())
        .collect()
}

fn pairs(text: &str, between: char) -> Vec<(String, String)> {
    text.split(between)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name, true), decoded(value, true))
        })
        .collect()
}

/// A text without its percent-encoding; `form`: a plus is a space.
fn decoded(text: &str, form: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let hexadecimal = |at: usize| char::from(*after.get(at)?).to_digit(16);
        match (byte, hexadecimal(0), hexadecimal(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', ..) if form => bytes.push(b' '),
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_MAX {
        return Cow::Borrowed(text);
    }
    let mut end = TEXT_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default()))
}
