//! Every endpoint, by everyone: the table in `docs/management/endpoints.md` is what came of it.

use super::{Asked, Managed, expect};
use crate::node::Plan;
use crate::policies::page;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Who calls: nobody, each role of the team, an owner whose token only reads, a custom role that allows all that one can,
/// another team's owner.
const CALLERS: [&str; 9] = [
    "nobody",
    "operator",
    "owner",
    "publisher",
    "consumer",
    "auditor",
    "owner, `read`",
    "custom",
    "other team",
];

struct Deployment {
    managed: Managed,
    tokens: Vec<Option<String>>,
    token_row: String,
}

async fn deployment() -> Deployment {
    let managed = Managed::start(Plan::default()).await;
    for team in ["acme", "other"] {
        managed.team(team).await;
    }
    let both: &[&str] = &["read", "write"];
    let mut tokens = vec![None, Some(managed.token.clone())];
    for role in ["owner", "publisher", "consumer", "auditor"] {
        tokens.push(Some(managed.member("acme", role, role, both).await));
    }
    tokens.push(Some(
        managed.member("acme", "reader", "owner", &["read"]).await,
    ));
    let custom = json!({ "name": "custom", "cedar": "permit (principal, action, resource);" });
    let path = "/teams/acme/management-roles";
    expect(&managed.call("POST", path, Some(custom)).await, 201);
    tokens.push(Some(managed.member("acme", "custom", "custom", both).await));
    tokens.push(Some(
        managed.member("other", "stranger", "owner", both).await,
    ));
    let rows = managed.get("/teams/acme/tokens").await;
    let token_row = rows["items"][0]["id"].as_str().unwrap().to_owned();
    let role = json!({ "name": "there" });
    expect(
        &managed.call("POST", "/teams/acme/roles", Some(role)).await,
        201,
    );
    Deployment {
        managed,
        tokens,
        token_row,
    }
}

/// An address of an endpoint; one where nothing is, where something would be taken away.
fn address(method: &str, path: &str, deployment: &Deployment) -> String {
    let key = if path.contains("/apis/") || path.contains("/prompts/") {
        "none:v1"
    } else {
        "none"
    };
    let nothing = "0".repeat(32);
    let (member, token) = if method == "DELETE" {
        ("none", nothing.as_str())
    } else {
        ("owner", deployment.token_row.as_str())
    };
    let path = path.strip_prefix("/api/v1").unwrap();
    path.replace("{team}", "acme")
        .replace("{key}", key)
        .replace("{member}", member)
        .replace("{token}", token)
        .replace("{revision}", "1")
        .replace("{kid}", "none")
        .replace("{revocation}", &nothing)
}

/// Sent so that it does nothing: only checked, or with a body that is not read.
fn asked<'a>(method: &'a str, path: &str, operation: &Value) -> Asked<'a> {
    let mut parameters = operation["parameters"].as_array().into_iter().flatten();
    let dry = parameters.any(|parameter| parameter["name"] == "dry_run");
    let path = if dry {
        format!("{path}?dry_run=true")
    } else {
        path.to_owned()
    };
    let path = if path.ends_with("/events") {
        format!("{path}?wait=0")
    } else {
        path
    };
    let asked = Asked::new(method, path);
    if operation.get("requestBody").is_some() {
        asked.header("content-type", "text/plain").body(json!({}))
    } else {
        asked
    }
}

#[tokio::test]
async fn every_endpoint_stands_in_the_table_and_answers_each_role_as_it_says() {
    let deployment = deployment().await;
    let managed = &deployment.managed;
    let document = managed.get("/openapi.json").await;
    let mut table = format!(
        "| endpoint | scope | {} |\n|---|---|{}\n",
        CALLERS.join(" | "),
        "---|".repeat(CALLERS.len())
    );
    let mut lines = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            let at = address(&method, path, &deployment);
            let scope = operation["x-keyward-scope"]
                .as_str()
                .map_or_else(String::new, |scope| format!("`{scope}`"));
            let mut line = format!("| `{method} {path}` | {scope} |");
            for token in &deployment.tokens {
                let mut asked = asked(&method, &at, operation);
                asked.token = token.as_deref();
                let answer = managed.send(asked).await;
                write!(line, " {} |", answer.status).unwrap();
                let documented = operation["responses"].get(answer.status.to_string());
                assert!(
                    documented.is_some(),
                    "{method} {path}: {} is not documented\n{}",
                    answer.status,
                    answer.text()
                );
            }
            lines.insert(line);
        }
    }
    table.push_str(&lines.into_iter().collect::<Vec<_>>().join("\n"));
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/management");
    page::settle_in(&folder, "endpoints", "endpoints by role", &table);
}

/// Whatever is not in the document is not there.
#[tokio::test]
async fn the_document_is_whole_and_its_references_lead_somewhere() {
    let managed = Managed::start(Plan::default()).await;
    let document = managed.get("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    let mut references = BTreeSet::new();
    gather(&document, &mut references);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(ids.insert(id.clone()), "two operations are called {id}");
        }
    }
    for path in [
        "/",
        "/v2",
        "/teams/default/secrets",
        "/teams/default/apis/a/b",
    ] {
        let answer = managed.call("GET", path, None).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

fn gather(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                found.insert(reference.to_owned());
            }
            members.values().for_each(|value| gather(value, found));
        }
        Value::Array(members) => members.iter().for_each(|value| gather(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
