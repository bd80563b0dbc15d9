//! Which strings of a call's body are texts that somebody reads, and which say how the body is made.
//!
//! What is not known counts as text: a member that a dialect gains later is looked at from its first day. Within the
//! arguments and results of tools everything is, names and numbers too.

use super::document::{Document, quoted_document};
use super::sieve::Stopped;
use keyward_llm::json::{Spanned, SpannedMember, SpannedValue, quoted};
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::ops::Range;

/// A text of a body.
#[derive(Debug)]
pub(super) struct Site<'b> {
    /// Where it lies: with its quotes.
    pub(super) span: Range<usize>,
    pub(super) text: Cow<'b, str>,
    pub(super) form: Form,
    /// Whether it is read on from the one before: both are parts of one message.
    pub(super) follows: bool,
}

/// How a text lies in its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As a string.
    Text,
    /// As a string that is JSON itself.
    Json,
    /// As a number.
    Number,
    /// As a string in base64, behind this.
    Base64(String),
}

/// Members that say how a body is made, and that nobody reads as text.
const MAKES: &[&str] = &[
    "cache_control",
    "call_id",
    "container",
    "conversation",
    "detail",
    "embedding",
    "encoding_format",
    "encrypted_content",
    "file_id",
    "finishReason",
    "finish_reason",
    "id",
    "item_id",
    "media_type",
    "mimeType",
    "mime_type",
    "model",
    "modelVersion",
    "native_finish_reason",
    "object",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning_effort",
    "responseId",
    "response_id",
    "role",
    "service_tier",
    "signature",
    "status",
    "stop_reason",
    "system_fingerprint",
    "thoughtSignature",
    "thought_signature",
    "tool_call_id",
    "tool_use_id",
    "truncation",
    "type",
    "verbosity",
];

/// Members that repeat an answer's text token by token.
const LIKELIHOODS: &[&str] = &["logprobs", "logprobsResult"];

/// Members that hold a JSON schema: of what a tool takes, or of the answer.
const SCHEMAS: &[&str] = &[
    "input_schema",
    "inputSchema",
    "parameters",
    "parametersJsonSchema",
    "parameters_json_schema",
    "responseJsonSchema",
    "responseSchema",
    "response_schema",
    "schema",
];
/// Members of a schema whose members have names that its author gave.
const NAMED: &[&str] = &["$defs", "definitions", "patternProperties", "properties"];
/// Members of a schema that hold data.
const HOLDS_DATA: &[&str] = &["const", "default", "enum", "example", "examples"];

/// A number of fewer digits tells nothing of anyone.
const DIGITS_MIN: usize = 7;

/// Where a value stands.
#[derive(Clone, Copy)]
struct Standing<'b> {
    /// Under which member; of an item, that of its array.
    key: &'b str,
    /// The object that has the member.
    object: Option<&'b Spanned>,
    /// Whether a tool's author said how it is made.
    of_tool: bool,
    /// Whether it is what a tool gave: text, which often is JSON.
    result: bool,
    /// Whether it is a part of a JSON schema.
    of_schema: bool,
}

/// All texts of a body, in their order.
///
/// # Errors
/// Something says that it is text and can't be read.
pub(super) fn sites(body: &Spanned) -> Result<Vec<Site<'_>>, Stopped> {
    let mut sites = Vec::new();
    let standing = Standing {
        key: "",
        object: None,
        of_tool: false,
        result: false,
        of_schema: false,
    };
    walk(body, standing, &mut sites)?;
    Ok(sites)
}

fn walk<'b>(
    value: &'b Spanned,
    standing: Standing<'b>,
    sites: &mut Vec<Site<'b>>,
) -> Result<(), Stopped> {
    match &value.value {
        SpannedValue::String(text) => sites.extend(string(value, text, standing)?),
        SpannedValue::Number(text) => {
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            if standing.of_tool && digits >= DIGITS_MIN {
                sites.push(Site {
                    span: value.span.clone(),
                    text: Cow::Borrowed(text),
                    form: Form::Number,
                    follows: false,
                });
            }
        }
        SpannedValue::Word => {}
        SpannedValue::Array(items) => {
            let mut before = None;
            for item in items {
                let known = sites.len();
                walk(item, standing, sites)?;
                let part = part_of_text(item);
                let alone = match sites.get_mut(known..) {
                    Some([site]) if site.form == Form::Text && part.is_some() => Some(site),
                    Some(_) | None => None,
                };
                let part = part.filter(|_| alone.is_some());
                if let Some(site) = alone {
                    site.follows = part == before;
                }
                before = part;
            }
        }
        SpannedValue::Object(members) => {
            for member in members {
                let named = standing.of_schema && NAMED.contains(&standing.key);
                if standing.of_tool || named {
                    sites.push(name(member));
                } else if !standing.of_schema && LIKELIHOODS.contains(&&*member.name) {
                    continue;
                }
                let holds_data =
                    standing.of_schema && !named && HOLDS_DATA.contains(&&*member.name);
                let below = Standing {
                    key: &member.name,
                    object: Some(value),
                    of_tool: standing.of_tool
                        || holds_data
                        || is_of_tool(member, value, standing.key),
                    of_schema: standing.of_schema || is_schema(member),
                    result: standing.result || is_result(&member.name, value),
                };
                walk(&member.value, below, sites)?;
            }
        }
    }
    Ok(())
}

/// Of an item that is a text and nothing else, what kind of one it is: parts of one kind are read as one text.
fn part_of_text(item: &Spanned) -> Option<(Option<&str>, bool)> {
    let text = item.get("text")?.as_str()?;
    if text.is_empty() {
        return None;
    }
    let kind = item.get("type").and_then(Spanned::as_str);
    Some((kind, item.get("thought").is_some()))
}

/// The members that repeat an answer's text token by token, and what stands there when they are taken out: a text that is
/// masked or held back is not to be read there.
pub(super) fn likelihoods(body: &Spanned, out: &mut Vec<(Range<usize>, String)>) {
    likelihoods_below(body, "", out);
}

fn likelihoods_below(body: &Spanned, key: &str, out: &mut Vec<(Range<usize>, String)>) {
    for member in body.members() {
        if !LIKELIHOODS.contains(&&*member.name) {
            // What a tool is given may have a member of any name, and is looked at as it is.
            if !is_of_tool(member, body, key) && !is_schema(member) {
                likelihoods_below(&member.value, &member.name, out);
            }
            continue;
        }
        let nothing = match &member.value.value {
            SpannedValue::Array(items) if !items.is_empty() => "[]",
            SpannedValue::Object(_) => "null",
            SpannedValue::Array(_)
            | SpannedValue::String(_)
            | SpannedValue::Number(_)
            | SpannedValue::Word => continue,
        };
        out.push((member.value.span.clone(), nothing.to_owned()));
    }
    for item in body.items() {
        likelihoods_below(item, key, out);
    }
}

fn name(member: &SpannedMember) -> Site<'_> {
    Site {
        span: member.name_span.clone(),
        text: Cow::Borrowed(&member.name),
        form: Form::Text,
        follows: false,
    }
}

/// Whether a member holds what a tool is given or gave, as an object.
fn is_of_tool(member: &SpannedMember, object: &Spanned, above: &str) -> bool {
    let kind = object
        .get("type")
        .and_then(Spanned::as_str)
        .unwrap_or_default();
    match &*member.name {
        "input" => kind.ends_with("tool_use") || kind.ends_with("_call"),
        "args" => matches!(above, "functionCall" | "function_call"),
        "response" => matches!(above, "functionResponse" | "function_response"),
        "arguments" => true,
        _ => false,
    }
}

fn is_schema(member: &SpannedMember) -> bool {
    SCHEMAS.contains(&&*member.name) && !member.value.members().is_empty()
}

/// Whether a request has numbers in the place of texts, which a model reads as the tokens that they stand for.
pub(super) fn has_tokens(body: &Spanned) -> bool {
    let is_number = |value: &Spanned| value.as_number().is_some();
    let input = body.get("input").map_or(&[][..], Spanned::items);
    input
        .iter()
        .any(|item| is_number(item) || item.items().iter().any(is_number))
}

/// Whether a member holds what a tool gave.
fn is_result(name: &str, object: &Spanned) -> bool {
    let said = |key| object.get(key).and_then(Spanned::as_str);
    let kind = said("type").unwrap_or_default();
    match name {
        "content" => {
            matches!(said("role"), Some("tool" | "function")) || kind.ends_with("tool_result")
        }
        "output" => kind.ends_with("_call_output"),
        _ => false,
    }
}

fn string<'b>(
    value: &'b Spanned,
    text: &'b str,
    standing: Standing<'b>,
) -> Result<Option<Site<'b>>, Stopped> {
    let site = |text, form| {
        Ok(Some(Site {
            span: value.span.clone(),
            text,
            form,
            follows: false,
        }))
    };
    let plain = Cow::Borrowed(text);
    if text.is_empty() {
        return Ok(None);
    }
    if standing.of_tool {
        // Of a string `arguments`, its name made it one of a tool's.
        let form = if is_json(standing) || holds_json(text) {
            Form::Json
        } else {
            Form::Text
        };
        return site(plain, form);
    }
    if MAKES.contains(&standing.key) {
        return Ok(None);
    }
    if is_json(standing) || standing.result && holds_json(text) {
        return site(plain, Form::Json);
    }
    match Document::read(text, standing.key, standing.object) {
        Document::None => site(plain, Form::Text),
        // Pictures and sound: nothing here reads them.
        Document::NoText => Ok(None),
        Document::Text { head, text } => site(Cow::Owned(text), Form::Base64(head)),
        Document::Unreadable => Err(Stopped::Unreadable),
    }
}

/// Whether a text is an object or an array of JSON, whose escapes hide nothing.
fn holds_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn is_json(standing: Standing<'_>) -> bool {
    let of_call = |object: &Spanned| {
        let kind = object
            .get("type")
            .and_then(Spanned::as_str)
            .unwrap_or_default();
        kind.ends_with("call_arguments.delta")
    };
    match standing.key {
        "arguments" | "partial_json" => true,
        "delta" => standing.object.is_some_and(of_call),
        _ => false,
    }
}

impl Form {
    /// A new text as it lies in the body.
    pub(super) fn write(&self, text: &str) -> String {
        match self {
            Self::Text | Self::Json | Self::Number => quoted(text),
            Self::Base64(head) => quoted_document(head, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn texts(body: &Value) -> Vec<(String, Form)> {
        let text = body.to_string();
        let tree = Spanned::parse(text.as_bytes()).unwrap();
        let sites = sites(&tree).unwrap();
        sites
            .into_iter()
            .map(|site| (site.text.into_owned(), site.form))
            .collect()
    }

    #[track_caller]
    fn check(body: &Value, expected: &[(&str, Form)]) {
        let expected: Vec<(String, Form)> = expected
            .iter()
            .map(|(text, form)| ((*text).to_owned(), form.clone()))
            .collect();
        assert_eq!(texts(body), expected, "{body}");
    }

    #[test]
    fn every_text_of_a_request_is_seen_and_what_makes_it_is_not() {
        use Form::{Base64, Json, Number, Text};
        check(
            &json!({ "model": "m", "messages": [
                { "role": "system", "content": "S" },
                { "role": "user", "name": "N", "content": [
                    { "type": "text", "text": "T" },
                    { "type": "image_url", "image_url": { "url": "data:image/png;base64,aGFsbG8=", "detail": "low" } },
                    { "type": "file", "file": { "file_data": "data:text/plain;base64,aGFsbG8=" } },
                    { "type": "new_part", "words": "W" } ] },
                { "role": "assistant", "tool_calls": [ { "id": "c1", "type": "function",
                    "function": { "name": "f", "arguments": "{\"a\":\"b\"}" } } ] },
                { "role": "tool", "tool_call_id": "c1", "content": "R" } ],
                "user": "U" }),
            &[
                ("S", Text),
                ("N", Text),
                ("T", Text),
                ("hallo", Base64("data:text/plain;base64,".to_owned())),
                ("W", Text),
                ("f", Text),
                ("{\"a\":\"b\"}", Json),
                ("R", Text),
                ("U", Text),
            ],
        );
        check(
            &json!({ "model": "m", "system": [{ "type": "text", "text": "S" }], "messages": [
                { "role": "assistant", "content": [ { "type": "thinking", "thinking": "H", "signature": "xx" },
                    { "type": "tool_use", "id": "t1", "name": "f", "input": { "id": "I", "n": 12345678, "small": 7 } } ] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "t1", "content": "R" },
                    { "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "two words" } },
                    { "type": "document", "source": { "type": "text", "media_type": "image/png", "data": "password" } },
                    { "type": "tool_result", "content": [{ "type": "text", "text": "{\"a\":\"\\u5bc6\"}" }] },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "aGFsbG8=" } } ] } ] }),
            &[
                ("S", Text),
                ("H", Text),
                ("f", Text),
                ("id", Text),
                ("I", Text),
                ("n", Text),
                ("12345678", Number),
                ("small", Text),
                ("R", Text),
                ("two words", Text),
                ("password", Text),
                ("{\"a\":\"\\u5bc6\"}", Json),
            ],
        );
        check(
            &json!({ "contents": [ { "role": "model", "parts": [ { "functionCall": { "name": "f", "args": { "type": "A" } } } ] },
                { "role": "user", "parts": [ { "functionResponse": { "name": "f", "response": { "r": "B" } } }, { "text": "T" },
                    { "inlineData": { "mimeType": "text/csv", "data": "aGFsbG8=" } } ] } ],
                "systemInstruction": { "parts": [ { "text": "S" } ] } }),
            &[
                ("f", Text),
                ("type", Text),
                ("A", Text),
                ("f", Text),
                ("r", Text),
                ("B", Text),
                ("T", Text),
                ("hallo", Base64(String::new())),
                ("S", Text),
            ],
        );
        check(
            &json!({ "model": "m", "instructions": "S", "input": [ { "type": "message", "role": "user",
                "content": [ { "type": "input_text", "text": "T" } ] },
                { "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" },
                { "type": "function_call_output", "call_id": "c", "output": "R" } ] }),
            &[
                ("S", Text),
                ("T", Text),
                ("f", Text),
                ("{}", Json),
                ("R", Text),
            ],
        );
        check(&json!({ "model": "m", "input": ["E"] }), &[("E", Text)]);
    }

    #[test]
    fn what_the_author_of_a_schema_chose_is_seen_and_how_schemas_are_made_is_not() {
        use Form::{Number, Text};
        check(
            &json!({ "tools": [{ "type": "function", "function": { "name": "f", "parameters": {
                "type": "object",
                "properties": {
                    "sk-name": { "type": "string", "enum": ["A", 12345678] },
                    "logprobs": { "type": "string", "description": "D", "const": "C" } },
                "$defs": { "x": { "type": "integer", "minimum": 12345678 } } } } }] }),
            &[
                ("f", Text),
                ("sk-name", Text),
                ("A", Text),
                ("12345678", Number),
                ("logprobs", Text),
                ("D", Text),
                ("C", Text),
                ("x", Text),
            ],
        );
    }

    #[test]
    fn tokens_in_the_place_of_texts_are_seen() {
        let check = |body: Value, expected: bool| {
            let text = body.to_string();
            assert_eq!(
                has_tokens(&Spanned::parse(text.as_bytes()).unwrap()),
                expected,
                "{text}"
            );
        };
        check(json!({ "input": [[9906, 1917]] }), true);
        check(json!({ "input": ["a", [1]] }), true);
        check(json!({ "input": [9906] }), true);
        check(json!({ "input": ["a", "b"] }), false);
        check(json!({ "input": "a" }), false);
        check(json!({ "dimensions": [1] }), false);
    }

    #[test]
    fn what_a_tool_is_given_keeps_its_members_whatever_they_are_called() {
        let body = json!({ "content": [{ "type": "tool_use", "input": { "logprobs": [1], "a": { "logprobs": ["x"] } } }],
            "choices": [{ "logprobs": { "content": [] }, "message": {} }] });
        let text = body.to_string();
        let tree = Spanned::parse(text.as_bytes()).unwrap();
        let mut edits = Vec::new();
        likelihoods(&tree, &mut edits);
        assert_eq!(edits.len(), 1, "{edits:?}");
        assert_eq!(&text[edits[0].0.clone()], r#"{"content":[]}"#);
    }
}
