//! A node with one API that is open to everyone, and a log that a test can read.

use super::node::{call, get, start};
use keyward_testkit::{Answer, KeywardProcess, RawClient, Upstream};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// How long a test waits for what another process brings about.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node with the API `/open` on one upstream. One worker, so that calls one after the other share its
/// connections.
pub(crate) struct OpenNode {
    pub(crate) process: KeywardProcess,
    pub(crate) upstream: Upstream,
}

impl OpenNode {
    /// Without anything set.
    pub(crate) async fn before(upstream: Upstream) -> Self {
        Self::with(upstream, "", "", "").await
    }

    /// With a line added to the node's settings, to its upstream and to its API.
    pub(crate) async fn with(
        upstream: Upstream,
        settings: &str,
        of_upstream: &str,
        of_api: &str,
    ) -> Self {
        let settings = format!(
            "workers: 1\naccess_log: {{ format: json, destination: {{ file: access.log }} }}\n{settings}"
        );
        let resources = format!(
            r#"
  - kind: upstream
    name: upstream
    targets: [ {{ url: "{}" }} ]
    {of_upstream}
  - kind: api
    name: open
    version: v1
    state: published
    base_path: /open
    upstream: upstream
    authentication: none
    {of_api}
"#,
            upstream.url()
        );
        let process = start(&settings, &resources, &[]).await;
        Self { process, upstream }
    }

    pub(crate) async fn connect(&self) -> RawClient {
        RawClient::connect(self.process.gateway()).await.unwrap()
    }

    /// GETs a path on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        call(self.process.gateway(), get(path, None, "")).await
    }

    /// The line that the access log has, or gets, of the one call to this path.
    pub(crate) async fn logged(&self, path: &str) -> Value {
        let mut found = None;
        until("the call is logged", || {
            found = lines(&self.process.folder())
                .into_iter()
                .find(|line| line["path"] == path);
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

/// The lines of the access log in a node's folder.
pub(crate) fn lines(folder: &Path) -> Vec<Value> {
    // Not there yet is as good as empty, and a line that is half written comes whole the next time.
    let text = std::fs::read_to_string(folder.join("access.log")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Waits for what another process brings about.
pub(crate) async fn until(what: &str, holds: impl FnMut() -> bool) {
    assert!(holds_within(PATIENCE, holds).await, "{what}");
}

/// Whether it holds in time.
pub(crate) async fn holds_within(time: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(time, waiting).await.is_ok()
}
