//! What callers are told of prompts: which there are, and how each is called. Nothing of a template is in it.

use super::super::plan::AiPlan;
use super::plan::PromptVersion;
use super::variables::inputs_schema;
use bytes::Bytes;
use keyward_model::resource::VersionState;
use keyward_model::resource::prompt::Output;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A prompt in a list.
pub(crate) struct Listed {
    /// The version that this caller gets.
    pub(super) version: Arc<PromptVersion>,
    versions: Vec<(String, VersionState)>,
}

/// The prompts of an API, in the order of their names.
pub(super) fn listed(plan: &AiPlan, caller: Option<&[u8]>) -> Vec<Listed> {
    let listed = plan.prompts.values().filter_map(|prompt| {
        let versions = prompt.versions().iter().map(|version| {
            let declared = version.compiled.prompt();
            (declared.version.to_string(), declared.state)
        });
        Some(Listed {
            version: Arc::clone(prompt.current(caller, 0)?),
            versions: versions.collect(),
        })
    });
    listed.collect()
}

/// The list as JSON.
pub(super) fn list(listed: &[Listed]) -> Bytes {
    let prompts: Vec<Value> = listed
        .iter()
        .map(|one| {
            let compiled = &one.version.compiled;
            let versions: Vec<Value> = one
                .versions
                .iter()
                .map(|(version, state)| json!({ "version": version, "state": state.as_str() }))
                .collect();
            let mut entry = json!({
                "name": compiled.name().as_str(),
                "versions": versions,
                "openapi": format!("prompts/{}/openapi.json", compiled.name()),
            });
            if let (Some(about), Some(entry)) =
                (&compiled.prompt().description, entry.as_object_mut())
            {
                entry.insert("description".to_owned(), json!(about));
            }
            entry
        })
        .collect();
    Bytes::from(json!({ "prompts": prompts }).to_string())
}

/// The OpenAPI document of a prompt, or of one version.
pub(super) fn open_api(
    plan: &AiPlan,
    version: &PromptVersion,
    others: &[Arc<PromptVersion>],
    fixed: bool,
) -> Bytes {
    let compiled = &version.compiled;
    let (name, prompt) = (compiled.name(), compiled.prompt());
    let about = prompt.description.as_deref();
    let base = plan.base_path.trim_end_matches('/');
    let mut paths = Map::new();
    if !fixed {
        let path = format!("{base}/prompts/{name}");
        paths.insert(path, json!({ "post": operation(version, name.as_str()) }));
    }
    let fixed_only = std::iter::once(version).filter(|_| fixed);
    let all = others.iter().map(|version| &**version);
    for version in fixed_only.chain(all) {
        let declared = version.compiled.prompt();
        let path = format!("{base}/prompts/{name}/versions/{}", declared.version);
        let id = format!("{name}:{}", declared.version);
        paths.insert(path, json!({ "post": operation(version, &id) }));
    }
    let feedback = format!("{base}/prompts/{name}/feedback");
    paths.insert(
        feedback,
        json!({ "post": feedback_operation(name.as_str()) }),
    );
    let mut info = json!({
        "title": name.as_str(),
        "version": prompt.version.as_str(),
    });
    if let (Some(about), Some(info)) = (about, info.as_object_mut()) {
        info.insert("description".to_owned(), json!(about));
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": info,
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "schemas": { "Problem": problem() } },
    });
    Bytes::from(document.to_string())
}

fn operation(version: &PromptVersion, id: &str) -> Value {
    let prompt = version.compiled.prompt();
    let mut inputs = inputs_schema(prompt);
    let mut content = Map::new();
    let with_tools = !prompt.tools.is_empty();
    if with_tools && let Some(properties) = properties_of(&mut inputs) {
        properties.insert("$tool_results".to_owned(), tool_results());
    }
    content.insert(
        "application/json".to_owned(),
        json!({ "schema": answer(version) }),
    );
    content.insert(
        "text/plain".to_owned(),
        json!({ "schema": { "type": "string" } }),
    );
    match &prompt.output {
        Output::Text => {
            content.insert(
                "text/event-stream".to_owned(),
                json!({ "schema": {
                    "type": "string",
                    "description": "Events `delta` with `text`, then `done` with all that an answer has beside its output, or `error` with a problem",
                } }),
            );
        }
        Output::Schema(_) => {}
    }
    let deprecated = prompt.state == VersionState::Deprecated;
    let mut operation = json!({
        "operationId": id,
        "deprecated": deprecated,
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": inputs } },
        },
        "responses": {
            "200": { "description": "The answer", "content": content },
            "default": refused(),
        },
    });
    let streams = matches!(prompt.output, Output::Text);
    if streams && let Some(operation) = operation.as_object_mut() {
        let stream = json!([{
            "name": "stream", "in": "query", "required": false,
            "schema": { "type": "boolean" },
            "description": "`true` streams the answer as `Accept: text/event-stream` does",
        }]);
        operation.insert("parameters".to_owned(), stream);
    }
    operation
}

fn properties_of(schema: &mut Value) -> Option<&mut Map<String, Value>> {
    schema.get_mut("properties")?.as_object_mut()
}

fn answer(version: &PromptVersion) -> Value {
    let prompt = version.compiled.prompt();
    let output = match &prompt.output {
        Output::Schema(output) => output.schema.clone(),
        Output::Text if prompt.tools.is_empty() => json!({ "type": "string" }),
        Output::Text => json!({ "type": ["string", "null"] }),
    };
    let count = || json!({ "type": "integer", "minimum": 0 });
    let mut schema = json!({
        "type": "object",
        "required": ["output", "id", "prompt", "version", "model", "stop", "usage", "cost"],
        "properties": {
            "output": output,
            "id": { "type": "string", "description": "By which the answer is rated" },
            "prompt": { "type": "string" },
            "version": { "type": "string" },
            "model": { "type": ["string", "null"], "description": "What answered" },
            "stop": { "enum": ["end", "stop", "max_tokens", "tool_calls", "filtered", "refused", "context_full", "malformed", null] },
            "refusal": { "type": "string", "description": "Why the model will not" },
            "usage": {
                "type": "object",
                "required": ["input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"],
                "properties": {
                    "input_tokens": count(), "cached_tokens": count(),
                    "output_tokens": count(), "reasoning_tokens": count(),
                },
            },
            "cost": {
                "description": "`null` where no price is known",
                "oneOf": [
                    { "type": "null" },
                    { "type": "object", "required": ["usd"], "properties": { "usd": { "type": "string" } } },
                ],
            },
        },
    });
    if !prompt.tools.is_empty()
        && let Some(properties) = properties_of(&mut schema)
    {
        let calls = json!({ "type": "array", "items": call_schema(version) });
        properties.insert("tool_calls".to_owned(), calls);
    }
    schema
}

/// A call of one of the prompt's tools: its caller does what it asks for, so that they are told what each takes.
fn call_schema(version: &PromptVersion) -> Value {
    let tools = version.compiled.prompt().tools.iter();
    let each: Vec<Value> = tools
        .map(|tool| {
            let arguments = tool.parameters.clone();
            json!({
                "type": "object",
                "required": ["id", "name", "arguments"],
                "properties": {
                    "id": { "type": "string" },
                    "name": { "const": &*tool.name },
                    "arguments": arguments.unwrap_or_else(|| json!({ "type": "object" })),
                },
            })
        })
        .collect();
    json!({ "oneOf": each })
}

fn tool_results() -> Value {
    json!({
        "type": "array",
        "maxItems": 64,
        "description": "The calls of tools that came so far, each with what came of it",
        "items": {
            "type": "object",
            "required": ["id", "name", "arguments", "result"],
            "additionalProperties": false,
            "properties": {
                "id": { "type": "string" },
                "name": { "type": "string" },
                "arguments": { "type": "object" },
                "result": {},
            },
        },
    })
}

fn feedback_operation(name: &str) -> Value {
    json!({
        "operationId": format!("{name}:feedback"),
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["id", "score"],
                "additionalProperties": false,
                "properties": {
                    "id": { "type": "string", "description": "The answer's `id`" },
                    "score": { "type": "number", "minimum": -1, "maximum": 1 },
                    "comment": { "type": "string", "maxLength": 500 },
                },
            } } },
        },
        "responses": {
            "204": { "description": "It is counted" },
            "default": refused(),
        },
    })
}

fn refused() -> Value {
    json!({
        "description": "Why there is no answer",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "code"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": { "type": "string" },
            "request_id": { "type": "string" },
            "errors": { "type": "array", "items": { "type": "object" } },
        },
    })
}
