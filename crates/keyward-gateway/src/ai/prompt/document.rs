//! What callers are told of prompts: which there are, and how each is called. Nothing of a template is in it.

use super::super::plan::{AiPlan, ModelPlan};
use super::plan::PromptVersion;
use super::variables::inputs_schema;
use bytes::Bytes;
use keyward_model::resource::VersionState;
use keyward_model::resource::authentication::{
    ApiKeyMethod, Authentication, AuthenticationMethod, TokenSource,
};
use keyward_model::resource::prompt::Output;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A prompt in a list.
pub(crate) struct Listed {
    /// The version that this caller gets, or may call by its name.
    version: Arc<PromptVersion>,
    /// Those that this caller may call.
    versions: Vec<Arc<PromptVersion>>,
}

/// The prompts of an API of which a caller may call a version, in the order of their names.
pub(super) fn listed(
    plan: &AiPlan,
    caller: Option<&[u8]>,
    allowed: &dyn Fn(&ModelPlan) -> bool,
) -> Vec<Listed> {
    let listed = plan.prompts.values().filter_map(|prompt| {
        let versions = prompt.allowed(allowed);
        let current = prompt.current(caller, 0, allowed);
        let current = current.filter(|version| allowed(&version.model));
        Some(Listed {
            version: Arc::clone(current.or(versions.last())?),
            versions,
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
                .map(|version| version.compiled.prompt())
                .map(|one| json!({ "version": one.version.as_str(), "state": one.state.as_str() }))
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
    let mut schemas = Schemas(Map::new());
    schemas.0.insert("Problem".to_owned(), problem());
    if !fixed {
        let path = format!("{base}/prompts/{name}");
        let operation = operation(version, name.as_str(), &mut schemas);
        paths.insert(path, json!({ "post": operation }));
    }
    let fixed_only = std::iter::once(version).filter(|_| fixed);
    let all = others.iter().map(|version| &**version);
    for version in fixed_only.chain(all) {
        let declared = version.compiled.prompt();
        let path = format!("{base}/prompts/{name}/versions/{}", declared.version);
        let id = format!("{name}:{}", declared.version);
        let operation = operation(version, &id, &mut schemas);
        paths.insert(path, json!({ "post": operation }));
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
    let (schemes, security) = security(&plan.authentication);
    let document = json!({
        "openapi": "3.1.0",
        "info": info,
        "servers": [{ "url": "/" }],
        "paths": paths,
        "security": security,
        "components": { "schemas": schemas.0, "securitySchemes": schemes },
    });
    Bytes::from(document.to_string())
}

/// How callers say who they are: each way by its name, and which of them do.
fn security(authentication: &Authentication) -> (Map<String, Value>, Vec<Value>) {
    let (mut schemes, mut ways) = (Map::new(), Vec::new());
    let mut add = |name: String, scheme: Value| {
        ways.push(json!({ &*name: [] }));
        schemes.insert(name, scheme);
    };
    let mut nameless = false;
    for method in authentication.methods() {
        match method {
            AuthenticationMethod::Token(token) => match &token.token {
                TokenSource::Header => {
                    add(
                        "token".to_owned(),
                        json!({ "type": "http", "scheme": "bearer" }),
                    );
                }
                TokenSource::Cookie(name) => add(
                    "token".to_owned(),
                    json!({ "type": "apiKey", "in": "cookie", "name": &**name }),
                ),
            },
            AuthenticationMethod::ApiKey(key) => {
                for (name, scheme) in of_keys(key) {
                    add(name, scheme);
                }
            }
            AuthenticationMethod::Basic(_) => {
                add(
                    "basic".to_owned(),
                    json!({ "type": "http", "scheme": "basic" }),
                );
            }
            AuthenticationMethod::MutualTls(_) => {
                add("mutual_tls".to_owned(), json!({ "type": "mutualTLS" }));
            }
            AuthenticationMethod::Anonymous => nameless = true,
        }
    }
    if nameless {
        ways.push(json!({}));
    }
    (schemes, ways)
}

fn of_keys(key: &ApiKeyMethod) -> Vec<(String, Value)> {
    let mut ways: Vec<(String, Value)> = key
        .headers()
        .map(|name| {
            let scheme = json!({ "type": "apiKey", "in": "header", "name": name });
            (format!("api_key_header_{name}"), scheme)
        })
        .collect();
    if key.sdk {
        let scheme = json!({ "type": "http", "scheme": "bearer" });
        ways.push(("api_key_bearer".to_owned(), scheme));
    }
    if let Some(name) = &key.query {
        let scheme = json!({ "type": "apiKey", "in": "query", "name": &**name });
        ways.push(("api_key_query".to_owned(), scheme));
    }
    ways
}

/// The document's own schemas. What a prompt's author wrote stands there: a `$ref` in it speaks of its own root, which would
/// be the document's anywhere else.
struct Schemas(Map<String, Value>);

impl Schemas {
    /// Takes a schema in, and gives what refers to it.
    fn lift(&mut self, name: String, schema: &Value) -> Value {
        let at = format!("#/components/schemas/{name}");
        let mut schema = schema.clone();
        // With an address of its own, a schema is its own root anywhere.
        if schema.get("$id").is_none() {
            refer(&mut schema, &at);
        }
        self.0.insert(name, schema);
        json!({ "$ref": at })
    }
}

/// Lets the references of a schema begin here.
fn refer(schema: &mut Value, at: &str) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), &mut *value) {
                    ("$ref" | "$dynamicRef", Value::String(to)) => {
                        if let Some(pointer) = to.strip_prefix('#')
                            && (pointer.is_empty() || pointer.starts_with('/'))
                        {
                            *to = format!("{at}{pointer}");
                        }
                    }
                    // Data, which may look like a schema.
                    ("const" | "enum" | "default" | "examples", _) => {}
                    // Of these the names are anyone's.
                    (
                        "properties" | "patternProperties" | "$defs" | "definitions"
                        | "dependentSchemas",
                        Value::Object(named),
                    ) => named.values_mut().for_each(|schema| refer(schema, at)),
                    (_, value) => refer(value, at),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| refer(item, at)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn operation(version: &PromptVersion, id: &str, schemas: &mut Schemas) -> Value {
    let prompt = version.compiled.prompt();
    let mut inputs = inputs_schema(prompt);
    let mut content = Map::new();
    let with_tools = !prompt.tools.is_empty();
    if with_tools && let Some(properties) = properties_of(&mut inputs) {
        properties.insert("$tool_results".to_owned(), tool_results());
    }
    content.insert(
        "application/json".to_owned(),
        json!({ "schema": answer(version, schemas) }),
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

fn answer(version: &PromptVersion, schemas: &mut Schemas) -> Value {
    let prompt = version.compiled.prompt();
    let output = match &prompt.output {
        Output::Schema(output) => {
            schemas.lift(format!("{}.output", prompt.version), &output.schema)
        }
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
        let calls = json!({ "type": "array", "items": call_schema(version, schemas) });
        properties.insert("tool_calls".to_owned(), calls);
    }
    schema
}

/// A call of one of the prompt's tools: its caller does what it asks for, so that they are told what each takes.
fn call_schema(version: &PromptVersion, schemas: &mut Schemas) -> Value {
    let prompt = version.compiled.prompt();
    let tools = prompt.tools.iter().enumerate();
    let each: Vec<Value> = tools
        .map(|(place, tool)| {
            let arguments = tool.parameters.as_ref().map(|parameters| {
                schemas.lift(format!("{}.tool.{place}", prompt.version), parameters)
            });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_a_schema_lead_to_where_it_stands() {
        let mut schemas = Schemas(Map::new());
        let schema = json!({
            "$defs": { "a": { "type": "string" } },
            "properties": {
                "one": { "$ref": "#/$defs/a" },
                "all": { "items": { "$ref": "#" } },
                "$ref": { "const": { "$ref": "#/data" } },
                "named": { "$ref": "#anchor" },
            },
        });
        let lifted = schemas.lift("v1.output".to_owned(), &schema);
        assert_eq!(lifted, json!({ "$ref": "#/components/schemas/v1.output" }));
        let at = "#/components/schemas/v1.output";
        assert_eq!(
            schemas.0["v1.output"]["properties"],
            json!({
                "one": { "$ref": format!("{at}/$defs/a") },
                "all": { "items": { "$ref": at } },
                "$ref": { "const": { "$ref": "#/data" } },
                "named": { "$ref": "#anchor" },
            })
        );
        let own = json!({ "$id": "https://a.example/s", "$ref": "#/$defs/a" });
        schemas.lift("own".to_owned(), &own);
        assert_eq!(schemas.0["own"], own);
    }
}
