//! Bodies and headers made anew by templates: the request's before it goes on, the answer's before it is kept and
//! given.
//!
//! It stands between the cache and the upstream: what is kept is what was made, and is made once. A body is read
//! whole for it, within bounds; what is not JSON passes or is refused, as the route says; a stream of events is
//! never held up.

mod plain;
mod template;

pub(super) use template::Reads;
pub(crate) use template::Templates;

use super::validation::json;
use super::validation::media_type::MediaType;
use super::whole::{self, Unread};
use crate::body::{AnswerBody, RequestBody};
use crate::message::{Fields, Header, RequestHead};
use crate::record::CallRecord;
use crate::request::forward::Call;
use crate::request::headers::is_spelling_of;
use crate::request::{Answer, Authenticated, Refusal};
use bytes::Bytes;
use http::{Method, StatusCode};
use keyward_model::resource::content::{Change, Transformation};
use keyward_model::{Caller, Code, Fault};
use plain::Fact;
use serde_json::{Value, json};
use std::sync::Arc;
use template::Rendered;

/// How deep a body may nest that is made anew.
const DEPTH_MAX: usize = 64;
/// From here on not all whole numbers are doubles: two to the power of 53.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// What says something of the very bytes of a body that is no longer that one (RFC 9530, RFC 3230), how it is
/// coded, and what would follow it.
const OF_THE_BYTES: &[&[u8]] = &[
    b"accept-ranges",
    b"content-digest",
    b"content-encoding",
    b"content-md5",
    b"digest",
    b"repr-digest",
    b"trailer",
];

/// The changes of one route.
#[derive(Debug)]
pub(crate) struct TransformationPlan {
    declared: Arc<Transformation>,
    request: Option<Templates>,
    response: Option<Templates>,
}

/// What templates speak of besides the body.
#[derive(Debug)]
pub(super) struct Facts {
    method: Method,
    path: String,
    query: Option<String>,
    /// Those that templates may see, where they look at any.
    headers: serde_json::Map<String, Value>,
    caller: Option<Arc<Caller>>,
}

/// Whether a transformation's templates can be used.
///
/// # Errors
/// In words, with the template and its line.
pub fn check_templates(declared: &Transformation) -> Result<(), String> {
    TransformationPlan::new(&Arc::new(declared.clone())).map(|_| ())
}

impl TransformationPlan {
    /// Compiles the templates. The error says which can't be, and where.
    pub(crate) fn new(declared: &Arc<Transformation>) -> Result<Self, String> {
        let compiled = |change: &Option<Change>| change.as_ref().map(Templates::new).transpose();
        Ok(Self {
            request: compiled(&declared.request).map_err(|why| format!("request: {why}"))?,
            response: compiled(&declared.response).map_err(|why| format!("response: {why}"))?,
            declared: Arc::clone(declared),
        })
    }

    /// What the templates of both messages speak of.
    pub(super) fn reads(&self) -> Reads {
        let both = [&self.request, &self.response];
        let reads = both.into_iter().flatten().map(Templates::reads);
        reads.fold(Reads::default(), Reads::or)
    }

    pub(super) fn changes_answers(&self) -> bool {
        self.declared.response.is_some()
    }

    /// The request as the upstream gets it, and what its answer's templates will speak of.
    pub(super) async fn request(
        &self,
        call: &Call<'_>,
        mut head: RequestHead,
        mut body: RequestBody,
        record: &mut CallRecord,
    ) -> Result<(RequestHead, RequestBody, Facts), Refusal> {
        let facts = Facts::of(call, &head, self.reads());
        if let (Some(change), Some(templates)) = (&self.declared.request, &self.request) {
            body = self
                .changed(call, (change, templates), &facts, &mut head, body, record)
                .await?;
        }
        if self.response.as_ref().is_some_and(Templates::makes_body) {
            // What comes coded, or in parts, could not be made anew.
            head.fields.retain(|field| {
                field.header != Header::AcceptEncoding
                    && field.name != b"range"
                    && field.name != b"if-range"
            });
        }
        Ok((head, body, facts))
    }

    async fn changed(
        &self,
        call: &Call<'_>,
        (change, templates): (&Change, &Templates),
        facts: &Facts,
        head: &mut RequestHead,
        mut body: RequestBody,
        record: &mut CallRecord,
    ) -> Result<RequestBody, Refusal> {
        let mut value = Value::Null;
        // Whatever the body is: else a caller kept these by sending one that nothing is made from.
        take_out(&mut head.fields, change);
        // What tells who calls comes from us alone, whatever a template says.
        let forged = &call.matched.route.route.forged;
        let sets = |name: &[u8]| !forged.covers(name);
        for (name, _) in &change.set_headers {
            if sets(name.as_bytes()) {
                remove_spellings(&mut head.fields, name);
            }
        }
        if templates.reads().body && body.left() != Some(0) {
            let coded = head.fields.has(Header::ContentEncoding);
            let media = MediaType::of(&head.fields)?;
            if media.is_json() && !coded {
                media.read_as_json()?;
                // In a box: calls whose body nobody reads don't carry its state along.
                let whole = Box::pin(whole::read(call, body, change.max_body_bytes))
                    .await
                    .map_err(|unread: Unread| unread.refusal(change.max_body_bytes, record))?;
                value = match read_exactly(&whole) {
                    Ok(value) => value,
                    Err(why) => {
                        let fault = Fault::new(
                            Code::BadRequest,
                            format!("The body can't be read as JSON: {why}"),
                        );
                        return Err(fault.into());
                    }
                };
                body = RequestBody::whole(whole);
                // Trailers are dropped with the reading of what they follow.
                head.fields.remove(Header::Trailer);
            } else if change.passes_other {
                return Ok(body);
            } else {
                let fault = Fault::new(
                    Code::UnsupportedMediaType,
                    "The body has to be JSON, in no coding; send `Content-Type: application/json`",
                );
                return Err(fault.into());
            }
        } else if templates.makes_body() && body.left() == Some(0) {
            // Where there is no body none is made.
            return Ok(body);
        }
        let context =
            || json!({ "body": value, "request": facts.request(), "caller": facts.caller() });
        let rendered = templates.render(|fact| facts.fact(fact), context).map_err(|why| {
            Refusal::from(
                Fault::new(
                    Code::UntransformableRequest,
                    "The request lacks something that this API makes its upstream's request from; look at its description",
                )
                .because(why),
            )
        })?;
        let Rendered {
            headers,
            body: made,
        } = rendered;
        if let Some(made) = made {
            strip(&mut head.fields);
            head.fields.set(Header::ContentType, b"application/json");
            body = RequestBody::whole(Bytes::from(made));
        }
        let headers = headers.into_iter();
        set(
            &mut head.fields,
            headers.filter(|(name, _)| sets(name.as_bytes())),
        );
        Ok(body)
    }

    /// The answer as it is kept and given.
    pub(super) async fn response(
        &self,
        call: &Call<'_>,
        method: &Method,
        facts: &Facts,
        mut answer: Answer,
    ) -> Result<Answer, Refusal> {
        let (Some(change), Some(templates)) = (&self.declared.response, &self.response) else {
            return Ok(answer);
        };
        // Of each status, and with or without a body: what is not to be seen is not seen by asking otherwise.
        take_out(&mut answer.fields, change);
        let (first, last) = change.statuses;
        if answer.tunnel.is_some() || !(first..=last).contains(&answer.status.as_u16()) {
            return Ok(answer);
        }
        let mut value = Value::Null;
        let bodiless = !answer.has_body(method);
        let is_json = is_json(&answer.fields)
            && !answer.fields.has(Header::ContentEncoding)
            && answer.status != StatusCode::PARTIAL_CONTENT;
        if templates.reads().body || templates.makes_body() {
            if bodiless {
                // What the body would have been is not known, nor how long.
                if is_json && templates.makes_body() {
                    answer.declared_length = None;
                    strip(&mut answer.fields);
                    weaken(&mut answer.fields);
                }
                return Ok(answer);
            }
            if !is_json {
                return if change.passes_other {
                    Ok(answer)
                } else {
                    Err(untransformable(
                        "the answer is no JSON, or is coded, or a part",
                    ))
                };
            }
            let whole = whole::read_answer(call, &mut answer.body, change.max_body_bytes)
                .await
                .map_err(|why| untransformable(why.as_str()))?;
            value = read_exactly(&whole).map_err(|why| untransformable(&why))?;
            answer.body = AnswerBody::full(whole);
            answer.fields.remove(Header::Trailer);
        }
        let response = || {
            let mut headers = serde_json::Map::new();
            for field in answer.fields.iter() {
                headers.insert(text(field.name), text(field.value).into());
            }
            json!({ "status": answer.status.as_u16(), "headers": headers })
        };
        let context = || {
            let (request, caller) = (facts.request(), facts.caller());
            json!({ "body": value, "request": request, "caller": caller, "response": response() })
        };
        let Rendered { headers, body } = templates
            .render(|fact| facts.fact(fact), context)
            .map_err(|why| untransformable(&why))?;
        if let Some(body) = body {
            strip(&mut answer.fields);
            weaken(&mut answer.fields);
            answer.fields.set(Header::ContentType, b"application/json");
            answer.body = AnswerBody::full(Bytes::from(body));
        }
        set(&mut answer.fields, headers.into_iter());
        Ok(answer)
    }
}

/// Reads a body that is written anew from what was read. The error is for whoever sent it.
fn read_exactly(bytes: &[u8]) -> Result<Value, String> {
    let value = json::read(bytes, DEPTH_MAX)?.value;
    if is_kept(&value) {
        Ok(value)
    } else {
        Err("a number in it is too large to be kept as it is".to_owned())
    }
}

/// Whether all numbers are written as those that were read. A whole number beyond what a double holds exactly would
/// come out as another one, which is a mistake in an id. Fractions have the precision of a double to all readers.
fn is_kept(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            let inexact = |double: f64| double.fract() == 0.0 && double.abs() >= EXACT_MAX;
            !(number.is_f64() && number.as_f64().is_some_and(inexact))
        }
        Value::Array(list) => list.iter().all(is_kept),
        Value::Object(map) => map.values().all(is_kept),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn untransformable(why: &str) -> Refusal {
    Fault::new(
        Code::UntransformableAnswer,
        "The API's upstream answered what can't be made into this API's answer",
    )
    .because(why)
    .into()
}

impl Facts {
    /// Headers are copied where a template reads one.
    fn of(call: &Call<'_>, head: &RequestHead, reads: Reads) -> Self {
        let mut headers = serde_json::Map::new();
        for field in head.fields.iter().filter(|_| reads.request_headers) {
            // Templates write into bodies and headers that others read: no credential is among what they see.
            if !matches!(field.header, Header::Authorization | Header::Cookie) {
                headers.insert(text(field.name), text(field.value).into());
            }
        }
        Self {
            method: head.method.clone(),
            path: head.path().to_owned(),
            query: head.query().map(str::to_owned),
            headers,
            caller: match call.admitted.authenticated() {
                Authenticated::Open => None,
                Authenticated::Caller(verified) => Some(Arc::clone(&verified.caller)),
            },
        }
    }

    /// One of them; `None` where it is not there.
    fn fact(&self, fact: Fact) -> Option<&str> {
        let caller = self.caller.as_deref();
        match fact {
            Fact::Subject => caller?.subject(),
            Fact::Issuer => caller?.issuer.as_deref(),
            Fact::Method => Some(self.method.as_str()),
            Fact::Path => Some(&self.path),
            Fact::Query => self.query.as_deref(),
        }
    }

    fn request(&self) -> Value {
        json!({
            "method": self.method.as_str(),
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
        })
    }

    fn caller(&self) -> Value {
        self.caller.as_deref().map_or(
            Value::Null,
            |caller| json!({ "subject": caller.subject(), "issuer": caller.issuer.as_deref() }),
        )
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether an answer is JSON, and says so in one way.
fn is_json(fields: &Fields) -> bool {
    MediaType::of(fields).is_ok_and(|media| media.is_json() && media.read_as_json().is_ok())
}

fn strip(fields: &mut Fields) {
    fields.retain(|field| !OF_THE_BYTES.contains(&field.name));
}

/// Two answers that differ in their bytes may not share a strong validator (RFC 9110, section 8.8.1).
fn weaken(fields: &mut Fields) {
    if let Some(etag) = fields.get(Header::Etag)
        && !etag.starts_with(b"W/")
    {
        let weak = [b"W/", etag].concat();
        fields.set(Header::Etag, &weak);
    }
}

fn take_out(fields: &mut Fields, change: &Change) {
    for name in &change.remove_headers {
        remove_spellings(fields, name);
    }
}

/// Removes all fields of this name, which is in lower case, and of those that some would take for it.
fn remove_spellings(fields: &mut Fields, name: &str) {
    fields.retain(|field| !is_spelling_of(field.name, name.as_bytes()));
}

/// Puts what templates gave in the place of what was there. What gives nothing leaves nothing.
fn set(fields: &mut Fields, headers: impl Iterator<Item = (Box<str>, String)>) {
    for (name, value) in headers {
        remove_spellings(fields, &name);
        let value = value.trim();
        if !value.is_empty() {
            // One that would end the field is not added.
            fields.append_named(&name, value.as_bytes());
        }
    }
}
