//! Requests held against a description before they go on, and answers before they go back: an OpenAPI document or a
//! JSON Schema.
//!
//! It has its turn behind limits, so that reading and checking bodies is bounded by them, and before the cache
//! and the upstream, which see nothing that does not fit. A body is read whole for it, within a bound of its own
//! and one over all calls of the node; what is not JSON is not read.
//!
//! - `open_api`, `parameters`, `members`, `schema`, `circles`: the description, compiled when it is configured.
//! - `answers`, `answering`: the same for answers, where they are looked at.
//! - `json`, `media_type`: bodies, read in the one way.

mod answering;
mod answers;
mod circles;
pub(super) mod json;
pub(super) mod media_type;
mod members;
mod open_api;
#[cfg(feature = "fuzzing")]
mod oracle;
mod parameters;
mod schema;
#[cfg(test)]
mod tests;

#[cfg(feature = "fuzzing")]
pub use oracle::{Described, read_json_body};

/// Reads JSON of strangers: the value, and of how many values it is made. The error repeats nothing of it.
pub(crate) fn read_json(bytes: &[u8], max_depth: usize) -> Result<(Value, usize), String> {
    json::read(bytes, max_depth).map(|read| (read.value, read.nodes))
}

use super::whole::{self, Unread};
use crate::body::RequestBody;
use crate::message::{Fields, Header, RequestHead};
use crate::record::CallRecord;
use crate::request::Refusal;
use crate::request::forward::Call;
use crate::request::path::RequestPath;
use answering::Reports;
use http::Method;
use keyward_model::resource::content::{AnswerValidation, Description, Validation};
use keyward_model::resource::{Api, AuthenticationMethod, TokenSource};
use keyward_model::{Code, Fault};
use media_type::{MediaType, is_json};
use open_api::{BodyRule, Content, Found, Operation, Operations};
use parameters::Place;
pub(crate) use schema::{Schema, alone as schema_alone};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// The longest text of a mistake, in bytes. Names in it are the caller's.
const TEXT_MAX: usize = 300;

/// A JSON schema that stands alone, for what is no body of a route's.
#[derive(Debug)]
pub(crate) struct StandaloneSchema(Schema);

impl StandaloneSchema {
    /// Prepares it.
    pub(crate) fn new(schema: &Value) -> Result<Self, String> {
        schema::alone(schema).map(Self)
    }

    /// Whether a value fits.
    pub(crate) fn takes(&self, value: &Value) -> bool {
        self.0.takes(value)
    }
}

/// What a route's requests are held against.
#[derive(Debug)]
pub(crate) struct ValidationPlan {
    declared: Arc<Validation>,
    compiled: Arc<Compiled>,
    /// How many segments the base path has.
    base: usize,
    /// Where callers' credentials stand: what was taken out there is not missing.
    credentials: Vec<(Place, Box<str>)>,
    reports: Arc<Reports>,
}

/// A description, ready to be used. All routes of an API that have one share it.
#[derive(Debug)]
pub(crate) enum Compiled {
    OpenApi(Operations),
    JsonSchema(BodyRule),
}

impl Compiled {
    /// Compiles a description, what it says of answers too where those are looked at. The error says what is wrong
    /// with it, and where.
    pub(crate) fn new(description: &Description, with_answers: bool) -> Result<Self, String> {
        match description {
            Description::OpenApi(document) => {
                Operations::new(document, with_answers).map(Self::OpenApi)
            }
            Description::JsonSchema(schema) => {
                let json = Content {
                    kind: None,
                    schema: Some(Arc::new(schema::alone(schema)?)),
                    others_pass: false,
                };
                Ok(Self::JsonSchema(BodyRule {
                    required: false,
                    content: Box::new([json]),
                }))
            }
        }
    }
}

/// So many descriptions are remembered that nobody uses: those that were checked and may be put to use next.
const UNUSED_MAX: usize = 64;

/// A description as it was compiled: for requests alone, or for answers too.
#[derive(Debug)]
struct Known {
    description: Description,
    with_answers: bool,
    compiled: Arc<Compiled>,
}

impl Known {
    fn is_used(&self) -> bool {
        Arc::strong_count(&self.compiled) > 1
    }
}

/// The descriptions that were compiled. A large one takes seconds, and is checked before it is put to use, shared by
/// the routes that have it, and the same still after a change of something else.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// A description, compiled where it was not. The error says what is wrong with it, and where.
pub(crate) fn compiled(declared: &Validation) -> Result<Arc<Compiled>, String> {
    let description = &declared.description;
    let with_answers = declared.answers != AnswerValidation::Ignore;
    let find = || {
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known
            .iter()
            .find(|one| one.with_answers == with_answers && one.description == *description);
        found.map(|one| Arc::clone(&one.compiled))
    };
    if let Some(known) = find() {
        return Ok(known);
    }
    // Others need not wait for it.
    let compiled = Arc::new(Compiled::new(description, with_answers)?);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.iter().filter(|one| !one.is_used()).count() >= UNUSED_MAX {
        known.retain(Known::is_used);
    }
    known.push(Known {
        description: description.clone(),
        with_answers,
        compiled: Arc::clone(&compiled),
    });
    Ok(compiled)
}

/// Drops the descriptions that no route has any more.
pub(crate) fn forget_unused() {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(Known::is_used);
}

/// What is wrong with a description; it is then at hand for who puts it to use.
///
/// # Errors
/// In words, with the place in the document as a JSON Pointer.
pub fn check_description(declared: &Validation) -> Result<(), String> {
    compiled(declared).map(|_| ())
}

/// One thing that is wrong with a message.
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
            credentials: credentials(api),
            reports: Arc::default(),
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
                // Read as routes are found by it, and as the upstream may read it.
                let read = RequestPath::parse(head)?;
                let path = self.path(read.for_matching());
                match operations.find(&path, head.method.as_str()) {
                    Found::Operation(operation, values) => {
                        self.parameters(operation, &values, head, &mut mistakes);
                        let rule = operation.body.as_ref();
                        rule.filter(|_| head.method != Method::HEAD)
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
            let called = |pairs: &[(String, String)]| -> Vec<(String, String)> {
                let pairs = pairs.iter();
                let called = pairs.filter(|(name, _)| parameter.is_called(name));
                called.cloned().collect()
            };
            let sent: Vec<(String, String)> = match parameter.place {
                Place::Path => path
                    .iter()
                    .filter(|(name, _)| **name == *parameter.name)
                    .map(|(name, value)| ((*name).to_owned(), value.clone()))
                    .collect(),
                Place::Query => called(&query),
                Place::Cookie => called(&cookies),
                Place::Header => in_headers(&head.fields, &parameter.name),
            };
            let place = parameter.place.as_str();
            if sent.is_empty() {
                let taken_out = |(place, name): &(Place, Box<str>)| {
                    *place == parameter.place && **name == *parameter.name
                };
                if parameter.required && !self.credentials.iter().any(taken_out) {
                    mistakes.add(place, Some(&parameter.name), "", "it is missing");
                }
                continue;
            }
            if parameter.place == Place::Path && sent.iter().any(|(_, value)| value.contains(';')) {
                let why = "it has a `;`, where some servers end it";
                mistakes.add(place, Some(&parameter.name), "", why);
                continue;
            }
            for (pointer, detail) in parameter.mistakes(&sent, self.declared.max_errors + 1) {
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
        let media = MediaType::of(&head.fields)?;
        let kind = &*media.kind;
        let Some(content) = rule.content.iter().find(|content| content.takes(kind)) else {
            return Err(Fault::new(
                Code::UnsupportedMediaType,
                "The body's media type is not described for this call; send it as one that is",
            )
            .into());
        };
        let Some(schema) = &content.schema else {
            return Ok(body);
        };
        if !is_json(kind) {
            if content.others_pass {
                return Ok(body);
            }
            return Err(Fault::new(
                Code::UnsupportedMediaType,
                "The body has to be JSON; send `Content-Type: application/json`",
            )
            .into());
        }
        media.read_as_json()?;
        if head.fields.has(Header::ContentEncoding) {
            return Err(Fault::new(
                Code::UnsupportedCoding,
                "The body's coding can't be looked into; send it without `Content-Encoding`",
            )
            .into());
        }
        let whole = whole::read(call, body, self.declared.max_body_bytes)
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
        self.against(schema, &read.value, read.nodes)?;
        Ok(RequestBody::whole(whole))
    }

    fn against(&self, schema: &Schema, value: &Value, nodes: usize) -> Result<(), Refusal> {
        if schema.takes(value) {
            return Ok(());
        }
        let mut mistakes = self.no_mistakes();
        for (pointer, detail) in schema.mistakes(value, nodes, self.declared.max_errors + 1) {
            mistakes.add("body", None, &pointer, &detail);
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

/// A text with what can't be seen written out; quotes stay as they are.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' => printable.push(character),
            other => printable.extend(other.escape_debug()),
        }
    }
    printable
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

    /// All of them in words, for the operator. Names in them are whoever's who sent the message: none begins a line of its
    /// own, or does something to a terminal.
    fn words(&self) -> String {
        let told = self.found.iter().take(self.most);
        let mut told: Vec<String> = told
            .map(|mistake| format!("{}: {}", mistake.what(), mistake.detail))
            .collect();
        if self.found.len() > self.most {
            told.push("and more".to_owned());
        }
        printable(&told.join("; "))
    }

    fn refuse(self) -> Result<(), Refusal> {
        let Some(first) = self.found.first() else {
            return Ok(());
        };
        let more = self.found.len() > self.most;
        let what = first.what();
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
    /// What of the message it is.
    fn what(&self) -> String {
        match &self.name {
            Some(name) => format!("{} `{name}`", self.place),
            None if self.pointer.is_empty() => self.place.to_owned(),
            None => format!("{} at `{}`", self.place, self.pointer),
        }
    }

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

/// Where the callers' credentials stand that are taken out of calls before they are looked at here.
fn credentials(api: &Api) -> Vec<(Place, Box<str>)> {
    let mut places = Vec::new();
    for method in api.authentication.methods() {
        match method {
            AuthenticationMethod::Token(tokens) => {
                if let TokenSource::Cookie(name) = &tokens.token {
                    places.push((Place::Cookie, name.clone()));
                }
            }
            AuthenticationMethod::ApiKey(keys) => {
                if let Some(header) = &keys.header {
                    places.push((Place::Header, header.to_ascii_lowercase().into()));
                }
                if let Some(name) = &keys.query {
                    places.push((Place::Query, name.clone()));
                }
            }
            AuthenticationMethod::Basic(_)
            | AuthenticationMethod::MutualTls(_)
            | AuthenticationMethod::Anonymous => {}
        }
    }
    places
}

/// What a message has in the header of this name, which is in lower case.
fn in_headers(fields: &Fields, name: &str) -> Vec<(String, String)> {
    let values = fields.all_named(name);
    values
        .map(|value| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
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

pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_MAX {
        return Cow::Borrowed(text);
    }
    let mut end = TEXT_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default()))
}
