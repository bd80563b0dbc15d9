//! Nodes on a database: SQLite's file, or a PostgreSQL that several of them share.

mod nodes;
mod outage;
mod saving;
mod silence;

use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::{KeywardProcess, PostgresServer, RawClient, Upstream, until};
use std::process::{Command, Output};

/// The master key that nodes share, in the environment of each.
const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER_MASTER_KEY: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A PostgreSQL, an issuer, and what the nodes of a test go to.
struct Deployment {
    server: PostgresServer,
    database: String,
    issuer: Issuer,
    upstream: Upstream,
}

impl Deployment {
    async fn new() -> Self {
        let mut server = PostgresServer::start().await;
        Self {
            database: server.new_database(),
            server,
            issuer: Issuer::new("main", A::Es256),
            upstream: Upstream::echo().await,
        }
    }

    fn configuration(&self) -> String {
        self.configuration_with(&self.database)
    }

    /// The same with another address of the database.
    fn configuration_with(&self, database: &str) -> String {
        format!(
            "format: 1\nlisteners:\n  - {{ address: 127.0.0.1:8080, serves: gateway }}\n  - {{ address: 127.0.0.1:9090, serves: operations }}\ndata_dir: ./data\ndatabase: {}\nworkers: 2\naccess_log: {{ destination: off }}\nresources:\n{}\n- {{ kind: upstream, name: echo, targets: [ {{ url: \"{}\" }} ] }}\n- {{ kind: api, team: default, name: guarded, version: v1, state: published, base_path: /guarded, upstream: echo, {} }}\n",
            database,
            self.issuer.resource(""),
            self.upstream.url(),
            self.issuer.authentication("")
        )
    }

    async fn node(&self) -> KeywardProcess {
        self.node_with(&self.database).await
    }

    async fn node_with(&self, database: &str) -> KeywardProcess {
        KeywardProcess::start_configured(
            env!("CARGO_BIN_EXE_keyward"),
            &self.configuration_with(database),
            &[("KEYWARD_MASTER_KEY", MASTER_KEY)],
            &[],
        )
        .await
    }

    fn token(&self, subject: &str) -> String {
        self.issuer
            .sign(&self.issuer.claims().with_subject(subject))
    }
}

/// Runs a command with the configuration of a node.
fn keyward(node: &KeywardProcess, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(arguments)
        .args(["--config", "keyward.yaml"])
        .env("KEYWARD_MASTER_KEY", MASTER_KEY)
        .current_dir(node.folder())
        .output()
        .unwrap()
}

#[track_caller]
fn done(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn request(token: &str) -> String {
    format!(
        "GET /guarded/x HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
}

/// The status of a guarded call on a connection of its own.
async fn status(node: &KeywardProcess, token: &str) -> u16 {
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client.send(request(token)).await.unwrap();
    client.answer().await.unwrap().status
}

async fn becomes(node: &KeywardProcess, token: &str, wanted: u16) {
    until(format_args!("an answer of {wanted}"), async || {
        status(node, token).await == wanted
    })
    .await;
}

async fn metric(node: &KeywardProcess, name: &str) -> u64 {
    let page = node.operations_get("/metrics").await.unwrap().text();
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}
