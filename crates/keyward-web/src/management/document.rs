//! The OpenAPI document, made from the table of endpoints and the descriptions of kinds.

use super::call::{Call, JSON};
use super::endpoint::{Endpoint, Gate, Outcome};
use super::kind::{KindDescription, schema};
use super::member;
use super::operation::{Operation, Parameter, schema_named};
use super::path;
use crate::answer::Answer;
use crate::site::Site;
use futures_util::FutureExt as _;
use http::Method;
use keyward_access::management::{ManagementRole, Scope};
use keyward_model::resource::Kind;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What every call may meet.
const ALWAYS: [u16; 6] = [400, 411, 421, 429, 500, 503];

/// `GET /openapi.json`.
pub(crate) fn show<'c>(site: &'c Site, _call: &'c Call) -> Outcome<'c> {
    async move { Ok(Answer::ok(site.document().clone())) }.boxed()
}

/// What the schema of a kind is called.
pub(crate) fn schema_name(kind: &KindDescription) -> &'static str {
    match kind.kind {
        Kind::Issuer => "Issuer",
        Kind::Upstream => "Upstream",
        Kind::Api => "Api",
        Kind::Credential => "Credential",
        Kind::Role => "Role",
        Kind::AccessPolicy => "AccessPolicy",
        Kind::KeySet => "KeySet",
        Kind::Webhook => "Webhook",
        Kind::ManagementRole => "ManagementRole",
        Kind::Provider => "Provider",
        Kind::Model => "Model",
    }
}

/// The document.
pub(crate) fn document(table: &[Endpoint], site_url: &str) -> Value {
    let mut paths = Map::new();
    for endpoint in table {
        let path = paths
            .entry(endpoint.path.clone())
            .or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            let method = endpoint.method.as_str().to_ascii_lowercase();
            path.insert(method, operation(endpoint));
        }
    }
    let tags: BTreeSet<&str> = table
        .iter()
        .map(|endpoint| endpoint.operation.tag)
        .collect();
    let tags: Vec<Value> = tags.into_iter().map(|tag| json!({ "name": tag })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Keyward management API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What Keyward publishes and who may manage it. Every refusal is `application/problem+json`, with the members at fault in `errors`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": site_url }],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A machine's token, signed by this deployment" },
            },
            "schemas": schemas(),
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let Operation {
        id,
        tag,
        summary,
        parameters,
        body,
        answers,
        tagged,
        streams,
        refusals,
    } = &endpoint.operation;
    let mut told = json!({ "operationId": id, "tags": [tag], "summary": summary });
    let mut put = |key: &str, value: Value| {
        if let Value::Object(told) = &mut told {
            told.insert(key.to_owned(), value);
        }
    };
    let of_path = endpoint
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let of_path = of_path.map(|name| path_parameter(name, endpoint.kind));
    let all: Vec<Value> = of_path.chain(parameters.iter().map(parameter)).collect();
    if !all.is_empty() {
        put("parameters", Value::Array(all));
    }
    if let Some(sent) = body {
        put(
            "requestBody",
            json!({ "required": true, "content": { sent.media_type: { "schema": sent.schema } } }),
        );
    }
    let mut responses = Map::new();
    for (status, schema) in answers {
        responses.insert(
            status.to_string(),
            answer(*status, schema.as_ref(), *tagged),
        );
    }
    if *streams && let Some(Value::Object(answer)) = responses.get_mut("200") {
        let stream = json!({ "text/event-stream": { "schema": { "type": "string" } } });
        answer.insert("content".to_owned(), stream);
    }
    let mut statuses: BTreeSet<u16> = refusals.iter().copied().chain(ALWAYS).collect();
    if body.is_some() {
        statuses.extend([413, 415]);
    }
    if parameters
        .iter()
        .any(|parameter| parameter.name == "cursor")
    {
        statuses.insert(422);
    }
    if body.is_some() || endpoint.method != Method::GET {
        // Pages of other origins.
        statuses.insert(403);
    }
    if endpoint.gate != Gate::Open {
        statuses.insert(401);
    }
    for status in statuses {
        let refused = json!({ "$ref": "#/components/schemas/Problem" });
        let mut refusal = json!({
            "description": reason(status),
            "content": { "application/problem+json": { "schema": refused } },
        });
        if status == 401
            && let Value::Object(refusal) = &mut refusal
        {
            refusal.insert(
                "headers".to_owned(),
                json!({ "WWW-Authenticate": { "schema": { "type": "string" } } }),
            );
        }
        responses.insert(status.to_string(), refusal);
    }
    put("responses", Value::Object(responses));
    match endpoint.gate {
        Gate::Open => {}
        Gate::Known => put("security", json!([{ "token": [] }])),
        Gate::May(action) => {
            put("security", json!([{ "token": [] }]));
            put("x-keyward-scope", json!(action.to_string()));
        }
    }
    told
}

fn path_parameter(name: &str, kind: Option<&KindDescription>) -> Value {
    let (about, schema) = match name {
        "team" => ("The team's name", schema::name()),
        "key" if kind.is_some_and(|kind| kind.versioned) => (
            "Name and version, as `name:version`",
            schema::pattern(
                "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?:[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$",
            ),
        ),
        "key" => ("The resource's name", schema::name()),
        "member" => ("The member's name", schema::pattern(member::NAME)),
        "token" => ("The token's id", schema::pattern("^[0-9a-f]{32}$")),
        "kid" => (
            "The key's id in its set",
            json!({ "type": "string", "minLength": 1, "maxLength": 256 }),
        ),
        "revocation" => ("The revocation's id", schema::pattern("^[0-9a-f]{32}$")),
        _ => (
            "The revision's number",
            json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX }),
        ),
    };
    json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema })
}

fn parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.about,
        "schema": parameter.schema,
    })
}

fn answer(status: u16, schema: Option<&Value>, tagged: bool) -> Value {
    let mut answer = json!({ "description": reason(status) });
    let Value::Object(members) = &mut answer else {
        return answer;
    };
    if let Some(schema) = schema {
        members.insert("content".to_owned(), json!({ JSON: { "schema": schema } }));
    }
    let mut headers = Map::new();
    if status == 201 {
        headers.insert(
            "Location".to_owned(),
            json!({ "required": true, "schema": { "type": "string" } }),
        );
    }
    if tagged {
        headers.insert(
            "ETag".to_owned(),
            json!({ "schema": { "type": "string" }, "description": "For `If-Match`" }),
        );
    }
    if !headers.is_empty() {
        members.insert("headers".to_owned(), Value::Object(headers));
    }
    answer
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("An answer")
}

fn schemas() -> Map<String, Value> {
    let kinds = KindDescription::ALL.iter();
    let kinds = kinds.map(|kind| (schema_name(kind).to_owned(), kind.whole_schema()));
    let own = own_schemas().into_iter();
    kinds
        .chain(own.map(|(name, schema)| (name.to_owned(), schema)))
        .collect()
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn number() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// An object that is answered.
fn told(members: Value) -> Value {
    let required: Vec<&String> = members
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, _)| k)
        .collect();
    json!({ "type": "object", "required": required, "properties": members })
}

/// The schemas of what is no resource.
fn own_schemas() -> Vec<(&'static str, Value)> {
    let roles: Vec<&str> = ManagementRole::ALL
        .iter()
        .map(|role| role.as_str())
        .collect();
    let role = schema::one_of(vec![
        json!({ "type": "string", "enum": roles }),
        json!({ "allOf": [schema::name(), { "not": { "enum": roles } }], "description": "A custom role of the team" }),
    ]);
    let scopes: Vec<String> = Scope::all().map(|scope| scope.to_string()).collect();
    let scopes =
        json!({ "type": "array", "minItems": 1, "items": { "type": "string", "enum": scopes } });
    let member_name = schema::pattern(member::NAME);
    let id = schema::pattern("^[0-9a-f]{32}$");
    let time = json!({ "type": ["string", "null"] });
    let texts =
        json!({ "type": "array", "items": { "type": "string", "minLength": 1 }, "maxItems": 100 });
    let revocable =
        json!({ "type": "string", "enum": ["token", "session", "subject", "client", "family"] });
    let paths = schema::about(
        json!({ "type": "array", "maxItems": path::PATHS_MAX, "items": schema::pattern(path::FORM) }),
        "Such as `/pay`, `gw.example.com/pay` or `*.example.com/`: the team publishes below them",
    );
    let changes = json!({ "type": "array", "items": schema_named("Change") });
    let resource = json!({
        "oneOf": KindDescription::ALL.iter().map(|kind| schema_named(schema_name(kind))).collect::<Vec<_>>(),
    });
    let body = json!({ "type": ["object", "null"] });
    let revision = json!({
        "revision": number(), "created_at": text(), "actor": text(), "summary": text(),
        "reason": text(), "request_id": text(), "actor_team": text(), "token": text(),
    });
    let mut with_changes = revision.clone();
    schema::put(&mut with_changes, "changes", changes.clone());
    let token = json!({
        "id": id, "member": member_name, "label": text(), "scopes": scopes, "created_by": text(),
        "created_at": text(), "expires_at": text(), "revoked_at": { "type": ["string", "null"] },
    });
    let mut issued = token.clone();
    schema::put(&mut issued, "token", text());
    vec![
        ("Problem", problem()),
        (
            "Setup",
            schema::object(
                &["secret", "name"],
                json!({ "secret": { "type": "string", "minLength": 1 }, "name": member_name }),
            ),
        ),
        (
            "Me",
            told(json!({
                "name": text(),
                "teams": { "type": "array", "items": told(json!({ "team": text(), "roles": { "type": "array", "items": text() } })) },
                "scopes": scopes,
            })),
        ),
        (
            "Team",
            told(json!({ "id": id, "name": schema::name(), "created_at": text() })),
        ),
        (
            "NewTeam",
            schema::object(&["name"], json!({ "name": schema::name(), "paths": paths })),
        ),
        (
            "Paths",
            schema::object(&["paths"], json!({ "paths": paths })),
        ),
        (
            "Member",
            schema::object(
                &["roles"],
                json!({
                    "name": member_name,
                    "roles": { "type": "array", "minItems": 1, "maxItems": 16, "items": role },
                }),
            ),
        ),
        ("Token", told(token)),
        ("IssuedToken", told(issued)),
        (
            "NewToken",
            schema::object(
                &["member", "scopes"],
                json!({
                    "member": member_name,
                    "label": { "type": "string", "maxLength": 50, "pattern": "^[ -~]*$" },
                    "scopes": scopes,
                    "expires_in": schema::about(schema::pattern("^[1-9][0-9]{0,2}(s|m)$"), "Such as 30m or 8h"),
                }),
            ),
        ),
        (
            "Key",
            told(json!({
                "kid": text(), "algorithm": text(),
                "purpose": { "type": "string", "enum": ["sign", "encrypt"] },
                "state": { "type": "string", "enum": ["published", "active", "retiring", "retired", "withdrawn"] },
                "published_at": text(), "ready_at": text(), "activated_at": time, "retiring_at": time,
                "retired_at": time, "withdrawn_at": time, "public_jwk": { "type": "object" },
                "kept_in": { "type": ["string", "null"], "enum": ["database", "pkcs11", null] },
                "missing": { "type": "boolean", "description": "Whether the PKCS#11 token was looked into and has no such key: nothing is signed with it" },
            })),
        ),
        (
            "NewKey",
            schema::object(
                &[],
                json!({
                    "algorithm": schema::about(text(), "For which of the set's algorithms; the only one without it"),
                    "private_jwk": { "type": "object", "description": "A key that you bring", "writeOnly": true },
                    "private_pem": { "type": "string", "description": "A key that you bring", "writeOnly": true },
                }),
            ),
        ),
        (
            "CertificateSubject",
            schema::object(
                &[],
                json!({
                    "common_name": schema::text(), "organization": schema::text(),
                    "organizational_unit": schema::text(), "country": schema::pattern("^[A-Z]{2}$"),
                    "dns_names": texts, "ip_addresses": texts, "emails": texts, "uris": texts,
                }),
            ),
        ),
        ("CertificateRequest", told(json!({ "pem": text() }))),
        (
            "Certificates",
            schema::object(
                &["pem"],
                json!({ "pem": schema::about(text(), "Certificates in PEM, the key's own first") }),
            ),
        ),
        (
            "NewSignedToken",
            schema::object(
                &[],
                json!({
                    "algorithm": text(), "claims": { "type": "object" },
                    "type": schema::about(text(), "`typ`; `at+jwt` for access tokens, `JWT` for ID tokens unless said otherwise"),
                    "expires_in": schema::about(text(), "A duration; 5m unless said otherwise, and `token_life` of the set at most"),
                }),
            ),
        ),
        (
            "SignedToken",
            told(json!({ "token": text(), "kid": text(), "jti": text(), "expires_at": text() })),
        ),
        (
            "Delivery",
            told(json!({
                "told_up_to": number(), "attempts": number(), "failing_since": time, "next_at": time, "problem": time,
            })),
        ),
        (
            "Revocation",
            told(json!({
                "id": id, "team": text(), "kind": revocable, "issuer": text(),
                "issuer_known": schema::about(json!({ "type": "boolean" }), "Whether this node knows of callers for whom it vouches: where not, nobody is refused as far as it knows"),
                "value": text(), "not_before": text(), "expires_at": text(),
            })),
        ),
        (
            "NewRevocation",
            schema::object(
                &["kind", "issuer", "value"],
                json!({
                    "kind": revocable, "issuer": schema::text(), "value": { "type": "string", "minLength": 1, "maxLength": 1024 },
                    "expires_in": schema::about(text(), "When it can be forgotten; 365d unless said otherwise"),
                }),
            ),
        ),
        (
            "Change",
            told(json!({
                "action": { "type": "string", "enum": ["create", "change", "delete"] },
                "team": text(), "kind": text(), "name": text(), "version": { "type": ["string", "null"] },
                "before": body, "after": body,
            })),
        ),
        (
            "Apply",
            schema::object(
                &["resources"],
                json!({
                    "resources": { "type": "array", "items": resource },
                    "prune": { "type": "array", "items": schema::name(), "description": "Teams whose other resources go away" },
                    "revision": schema::about(number(), "The newest revision as a dry run has told it: where it is another now, nothing is changed"),
                    "credentials": schema::about(number(), "How often credentials had been changed, as a dry run has told it: where it is another number now, nothing is changed"),
                }),
            ),
        ),
        (
            "Applied",
            told(
                json!({ "revision": number(), "credentials": number(), "dry_run": { "type": "boolean" }, "changes": changes, "unchanged": number() }),
            ),
        ),
        (
            "Exported",
            told(
                json!({ "revision": number(), "resources": { "type": "array", "items": { "type": "object" } } }),
            ),
        ),
        ("Revision", told(revision)),
        ("RevisionWithChanges", told(with_changes)),
        (
            "Comparison",
            told(json!({ "from": number(), "to": number(), "changes": changes })),
        ),
        (
            "RolledBack",
            told(json!({
                "revision": number(),
                "put_back": { "type": "array", "items": text() },
                "left_out": { "type": "array", "items": text() },
            })),
        ),
        (
            "AuditEvent",
            told(json!({
                "sequence": number(), "id": id, "happened_at": text(), "node": text(), "actor": text(),
                "action": text(), "object": text(), "detail": { "type": "object" }, "hash": text(), "previous_hash": text(),
            })),
        ),
        (
            "AuditChain",
            json!({
                "type": "object",
                "required": ["intact"],
                "properties": {
                    "intact": { "type": "boolean" }, "events": number(), "first": number(), "anchored": number(), "head": text(),
                    "next": { "type": ["integer", "null"], "description": "`after` of the next call; null at the end of the log" },
                    "broken_at": number(), "why": text(),
                },
            }),
        ),
    ]
}

fn problem() -> Value {
    let flaw = told(json!({
        "member": schema::about(text(), "A JSON pointer into the body, or `query:NAME`, `header:NAME`"),
        "code": text(),
        "detail": text(),
    }));
    let mut problem = told(json!({
        "type": text(), "title": text(), "status": number(), "detail": text(), "code": text(), "request_id": text(),
    }));
    if let Some(members) = problem.get_mut("properties") {
        schema::put(members, "errors", json!({ "type": "array", "items": flaw }));
    }
    problem
}
