//! What a caller sends: read, held against the prompt's variables, and filled up.

use super::compiled::CompiledPrompt;
use crate::policy::validation::{read_json, shortened};
use crate::request::Refusal;
use keyward_llm::form::{Message, Part, Role, ToolCall, ToolResult};
use keyward_model::resource::Prompt;
use keyward_model::{Code, Fault};
use serde_json::{Map, Value, json};

/// How deep a body nests: what variables may be, and what tools gave.
const DEPTH_MAX: usize = 32;
/// The most mistakes that are told at once.
const MISTAKES_MAX: usize = 16;
/// Where a caller puts what came of the tools that the model called. No variable has such a name.
const TOOL_RESULTS: &str = "$tool_results";
/// More rounds than that lead nowhere.
const TOOL_RESULTS_MAX: usize = 64;
/// What providers' ids of calls have is less.
const TOOL_ID_MAX: usize = 256;

/// What was sent, checked.
#[derive(Debug)]
pub(super) struct Sent {
    /// All variables that templates may speak of: `null` where nothing was sent.
    pub(super) values: Map<String, Value>,
    /// Calls of tools, each with what came of it.
    pub(super) turns: Vec<Message>,
}

/// The schema of a body, as a JSON schema.
pub(super) fn inputs_schema(prompt: &Prompt) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, variable) in &prompt.variables {
        properties.insert(name.to_string(), variable.schema.clone());
        if variable.required {
            required.push(Value::from(&**name));
        }
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Puts in defaults, and `null` for what was not sent, so that templates can ask for it.
pub(super) fn fill(prompt: &Prompt, values: &mut Map<String, Value>) {
    for (name, variable) in &prompt.variables {
        match values.get_mut(&**name) {
            Some(value) => fill_members(&variable.schema, value),
            None => {
                let default = variable.default.clone().unwrap_or(Value::Null);
                values.insert(name.to_string(), default);
            }
        }
    }
}

fn fill_members(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(members) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, schema) in properties.into_iter().flatten() {
                match members.get_mut(name) {
                    Some(member) => fill_members(schema, member),
                    None => {
                        members.insert(name.clone(), Value::Null);
                    }
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items {
                    fill_members(schema, item);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Reads a call's body.
pub(super) fn read(compiled: &CompiledPrompt, body: &[u8]) -> Result<Sent, Refusal> {
    let body = if body.is_empty() { b"{}" } else { body };
    let read = read_json(body, DEPTH_MAX)
        .map_err(|why| Fault::new(Code::BadRequest, format!("The body can't be read: {why}")))?;
    let (mut value, nodes) = read;
    let prompt = compiled.prompt();
    let turns = match value.as_object_mut() {
        Some(members) if !prompt.tools.is_empty() => match members.remove(TOOL_RESULTS) {
            Some(given) => turns(prompt, given)?,
            None => Vec::new(),
        },
        Some(_) | None => Vec::new(),
    };
    if !compiled.inputs.takes(&value) {
        let found = compiled.inputs.mistakes(&value, nodes, MISTAKES_MAX);
        return Err(unfit(found));
    }
    let Value::Object(mut values) = value else {
        // The schema takes objects alone.
        return Err(unfit(Vec::new()));
    };
    fill(prompt, &mut values);
    Ok(Sent { values, turns })
}

/// What is wrong with what was sent, by the members at fault.
fn unfit(found: Vec<(String, String)>) -> Refusal {
    let found: Vec<(String, String)> = found
        .into_iter()
        .map(|(pointer, detail)| {
            (
                shortened(&pointer).into_owned(),
                shortened(&detail).into_owned(),
            )
        })
        .collect();
    let first = match found.first() {
        Some((pointer, detail)) if pointer.is_empty() => detail.clone(),
        Some((pointer, detail)) => format!("at `{pointer}`: {detail}"),
        None => "it is no JSON object".to_owned(),
    };
    let fault = Fault::new(
        Code::ValidationFailed,
        format!(
            "The body does not fit the prompt's variables: {first}; its OpenAPI document describes them"
        ),
    );
    let errors = found
        .into_iter()
        .map(|(pointer, detail)| json!({ "in": "body", "pointer": pointer, "detail": detail }));
    Refusal::with_errors(fault, errors.collect())
}

/// Each call of a tool and what came of it, as a model reads them.
fn turns(prompt: &Prompt, given: Value) -> Result<Vec<Message>, Refusal> {
    let wrong = |at: String, detail: &str| unfit(vec![(at, detail.to_owned())]);
    let Value::Array(given) = given else {
        return Err(wrong(
            format!("/{TOOL_RESULTS}"),
            "it is a list of calls, each with its `result`",
        ));
    };
    if given.len() > TOOL_RESULTS_MAX {
        let detail = "it has more than 64 members";
        return Err(wrong(format!("/{TOOL_RESULTS}"), detail));
    }
    let mut turns = Vec::with_capacity(given.len() * 2);
    for (index, call) in given.into_iter().enumerate() {
        let at = |member: &str| format!("/{TOOL_RESULTS}/{index}{member}");
        let Value::Object(mut call) = call else {
            return Err(wrong(at(""), "it is no object"));
        };
        let id = call.remove("id");
        let Some(id) = id.as_ref().and_then(Value::as_str) else {
            return Err(wrong(at("/id"), "it is the `id` of the call"));
        };
        if id.is_empty() || id.len() > TOOL_ID_MAX {
            return Err(wrong(at("/id"), "it is empty, or too long"));
        }
        let name = call.remove("name");
        let tool = name
            .as_ref()
            .and_then(Value::as_str)
            .and_then(|name| prompt.tools.iter().find(|tool| *tool.name == *name));
        let Some(tool) = tool else {
            return Err(wrong(
                at("/name"),
                "it is the name of one of the prompt's tools",
            ));
        };
        let Some(arguments @ Value::Object(_)) = call.remove("arguments") else {
            return Err(wrong(
                at("/arguments"),
                "they are the object that the call had",
            ));
        };
        let text = match call.remove("result") {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => return Err(wrong(at("/result"), "it is missing")),
        };
        if let Some(unknown) = call.keys().next() {
            return Err(wrong(
                at(""),
                &format!("it has no `{}`", shortened(unknown)),
            ));
        }
        let called = ToolCall {
            id: id.to_owned(),
            name: tool.name.to_string(),
            arguments: arguments.to_string(),
            signature: None,
        };
        let result = ToolResult {
            id: id.to_owned(),
            name: Some(tool.name.to_string()),
            content: vec![Part::Text(text)],
            is_error: false,
        };
        turns.push(Message::new(Role::Assistant, vec![Part::ToolCall(called)]));
        turns.push(Message::new(Role::User, vec![Part::ToolResult(result)]));
    }
    Ok(turns)
}
