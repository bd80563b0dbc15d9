//! The management API on a node that runs.

mod commands;
mod custom_roles;
mod endpoints;
mod events;
mod guarded;
mod history;
mod keys;
mod master_key;
mod nodes;
mod paths;
mod resources;
mod revocations;
mod schemathesis;
mod secrets;
mod setup;
mod team_end;
mod teams;
mod upstreams;
mod webhooks;

use crate::node::{Node, Plan};
use keyward_testkit::{Answer, KeywardProcess, RawClient};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A node with its first administrator.
pub(crate) struct Managed {
    pub(crate) node: Node,
    /// The administrator's token.
    pub(crate) token: String,
}

/// A call of the management API.
#[derive(Clone, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: String,
    pub(crate) token: Option<&'a str>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Value>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(method: &'a str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            token: None,
            headers: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn by(mut self, token: &'a str) -> Self {
        self.token = Some(token);
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}

/// The setup secret that a node has left in its data directory.
pub(crate) fn setup_secret(node: &Node) -> String {
    let path = node.process.folder().join("data/setup-secret");
    let text = std::fs::read_to_string(&path);
    text.unwrap_or_else(|error| panic!("{}: {error}\n{}", path.display(), node.process.log()))
        .trim()
        .to_owned()
}

/// Sends a call to a node's site.
pub(crate) async fn send(node: &Node, asked: Asked<'_>) -> Answer {
    send_to(&node.process, asked).await
}

/// The same, of a process by itself.
pub(crate) async fn send_to(process: &KeywardProcess, asked: Asked<'_>) -> Answer {
    let site = process.site();
    let mut text = format!("{} /api/v1{} HTTP/1.1\r\n", asked.method, asked.path);
    let host = site.to_string();
    let named = |name: &str| asked.headers.iter().any(|(known, _)| known == name);
    if !named("host") {
        write!(text, "host: {host}\r\n").unwrap();
    }
    if let Some(token) = asked.token {
        write!(text, "authorization: Bearer {token}\r\n").unwrap();
    }
    let body = asked
        .body
        .as_ref()
        .map(Value::to_string)
        .unwrap_or_default();
    if asked.body.is_some() && !named("content-type") {
        let media_type = if asked.method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        write!(text, "content-type: {media_type}\r\n").unwrap();
    }
    for (name, value) in &asked.headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    if asked.body.is_some() {
        write!(text, "content-length: {}\r\n", body.len()).unwrap();
    }
    write!(text, "connection: close\r\n\r\n{body}").unwrap();
    let mut client = RawClient::connect(site).await.unwrap();
    client.send(text).await.unwrap();
    let answer = if asked.method == "HEAD" {
        client.answer_to_head().await
    } else {
        client.answer().await
    };
    answer.unwrap_or_else(|error| panic!("{asked:?}: {error}\n{}", process.log()))
}

/// What an answer holds, with this status.
#[track_caller]
pub(crate) fn expect(answer: &Answer, status: u16) -> Value {
    assert_eq!(
        answer.status,
        status,
        "{:?}\n{}",
        answer.head,
        answer.text()
    );
    if answer.body.is_empty() {
        return Value::Null;
    }
    answer.json().unwrap()
}

impl Managed {
    pub(crate) async fn start(plan: Plan) -> Self {
        // Upstreams of the database reach this machine only where its operator says so.
        let node = plan
            .settings("network: { upstreams_allow: [127.0.0.1] }")
            .start()
            .await;
        let secret = setup_secret(&node);
        let claim = Asked::new("POST", "/setup").body(json!({ "secret": secret, "name": "root" }));
        let made = expect(&send(&node, claim).await, 201);
        let token = made["token"].as_str().unwrap().to_owned();
        Self { node, token }
    }

    pub(crate) async fn send(&self, asked: Asked<'_>) -> Answer {
        send(&self.node, asked).await
    }

    /// A call of the administrator.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut asked = Asked::new(method, path).by(&self.token);
        asked.body = body;
        self.send(asked).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        expect(&self.call("GET", path, None).await, 200)
    }

    /// Declares a resource of the team `default`.
    pub(crate) async fn declare(&self, plural: &str, body: Value) -> Value {
        let path = format!("/teams/default/{plural}");
        expect(&self.call("POST", &path, Some(body)).await, 201)
    }

    /// Makes a team without a path.
    pub(crate) async fn team(&self, name: &str) {
        self.team_at(name, &[]).await;
    }

    /// Makes a team that publishes below these paths.
    pub(crate) async fn team_at(&self, name: &str, paths: &[&str]) {
        let body = json!({ "name": name, "paths": paths });
        expect(&self.call("POST", "/teams", Some(body)).await, 201);
    }

    /// Makes a member of a team, and a token that acts as them.
    pub(crate) async fn member(
        &self,
        team: &str,
        name: &str,
        role: &str,
        scopes: &[&str],
    ) -> String {
        let path = format!("/teams/{team}/members/{name}");
        let roles = json!({ "roles": [role] });
        expect(&self.call("PUT", &path, Some(roles)).await, 200);
        let path = format!("/teams/{team}/tokens");
        let asked = json!({ "member": name, "scopes": scopes });
        let made = expect(&self.call("POST", &path, Some(asked)).await, 201);
        made["token"].as_str().unwrap().to_owned()
    }
}

/// An open API at a path, on the upstream `back`.
pub(crate) fn open_api(name: &str) -> Value {
    json!({
        "name": name, "version": "v1", "state": "published", "base_path": format!("/{name}"),
        "upstream": "back", "authentication": "none",
    })
}

/// The upstream `back`, which is the node's echo.
pub(crate) fn back(managed: &Managed) -> Value {
    json!({ "name": "back", "targets": [{ "url": managed.node.upstream.url() }] })
}

/// Waits until a node has said something.
pub(crate) async fn until_logged(managed: &Managed, text: &str) {
    let patience = std::time::Duration::from_secs(20);
    let said = tokio::time::timeout(patience, async {
        while !managed.node.process.log().contains(text) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    assert!(said.await.is_ok(), "{text}\n{}", managed.node.process.log());
}
