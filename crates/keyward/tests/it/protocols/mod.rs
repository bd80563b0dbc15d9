//! What is spoken over a connection but HTTP/1.1.

pub(crate) mod client;
mod early_hints;
mod flood;
mod frames;
mod http2;
mod http2_bodies;
mod http2_heads;
mod http2_lifecycle;
pub(crate) mod http3;
pub(crate) mod tunnel_server;
pub(crate) mod websocket;
mod websocket_goodbye;
mod websocket_guarded;
pub(crate) mod websocket_http2;
mod websocket_peers;

use crate::gateway::open_node::lines;
use client::Http2Client;
use frames::Frames;
use keyward_testkit::{KeywardProcess, Upstream};
use serde_json::Value;

/// A node with the open API `/open`, which speaks HTTP/2 in clear beside HTTP/1.1.
struct Http2Node {
    process: KeywardProcess,
    upstream: Upstream,
}

impl Http2Node {
    async fn before(upstream: Upstream) -> Self {
        Self::with(upstream, "", "").await
    }

    /// With these lines added to the node's settings, and to the API.
    async fn with(upstream: Upstream, settings: &str, of_api: &str) -> Self {
        let configuration = configuration(&upstream.url(), "[http1, http2]", settings, of_api);
        let binary = env!("CARGO_BIN_EXE_keyward");
        let process = KeywardProcess::start_configured(binary, &configuration, &[], &[]).await;
        Self { process, upstream }
    }

    async fn connect(&self) -> Http2Client {
        Http2Client::connect(self.process.gateway()).await
    }

    /// A connection for frames that are written by hand.
    async fn frames(&self) -> Frames {
        Frames::open(self.process.gateway()).await
    }

    fn logged(&self) -> Vec<Value> {
        lines(&self.process.folder())
    }
}

/// One worker, so that what a test looks at is one worker's.
pub(crate) fn configuration(
    upstream: &str,
    protocols: &str,
    settings: &str,
    of_api: &str,
) -> String {
    format!(
        r#"format: 1
listeners:
  - {{ address: 127.0.0.1:8080, serves: gateway, protocols: {protocols} }}
  - {{ address: 127.0.0.1:9090, serves: operations }}
workers: 1
access_log: {{ format: json, destination: {{ file: access.log }} }}
{settings}
resources:
  - kind: upstream
    name: upstream
    targets: [ {{ url: "{upstream}" }} ]
  - kind: api
    name: open
    version: v1
    state: published
    base_path: /open
    upstream: upstream
    authentication: none
    {of_api}
"#
    )
}
