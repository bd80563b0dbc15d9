//! HTTP/3, by a client of another library in Rust and one in Python.

mod bodies;
mod calls;
mod floods;
mod guarded;
mod lifecycle;
mod malformed;
mod peer;

use crate::gateway::open_node::lines;
use http::Request;
use keyward_testkit::{Http3Client, Http3Connect, KeywardProcess, Upstream};
use rcgen::{CertificateParams, CertifiedKey, KeyPair};
use serde_json::Value;
use std::process::{Child, Command};

/// Whose certificate the node shows.
const HOST: &str = "gateway.test";

/// A node with the open API `/open`, which offers HTTP/3 beside HTTP/2 and HTTP/1.1.
struct Http3Node {
    process: KeywardProcess,
    upstream: Upstream,
    root: String,
}

impl Http3Node {
    async fn before(upstream: Upstream) -> Self {
        Self::with(upstream, "", "").await
    }

    /// With these lines added to the node's settings, and to the API.
    async fn with(upstream: Upstream, settings: &str, of_api: &str) -> Self {
        let settings = format!("workers: 1\n{settings}");
        let api = format!("authentication: none\n    {of_api}");
        Self::serving(upstream, "", &settings, &api, "", &[]).await
    }

    /// With lines of TLS, of the node, of its one API, further resources, and files.
    async fn serving(
        upstream: Upstream,
        of_tls: &str,
        settings: &str,
        of_api: &str,
        resources: &str,
        files: &[(&str, &str)],
    ) -> Self {
        let issued = certificate(HOST);
        let (root, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
        let configuration = format!(
            r#"format: 1
listeners:
  - address: 127.0.0.1:8080
    serves: gateway
    http3: true
    tls:
      certificates: [ {{ certificate: tls.pem, key: tls.key }} ]
      {of_tls}
  - {{ address: 127.0.0.1:9090, serves: operations }}
access_log: {{ format: json, destination: {{ file: access.log }} }}
{settings}
resources:
  - kind: upstream
    name: upstream
    targets: [ {{ url: "{}" }} ]
  - kind: api
    name: open
    version: v1
    state: published
    base_path: /open
    upstream: upstream
    {of_api}
{resources}
"#,
            upstream.url()
        );
        let own = [("tls.pem", root.as_str()), ("tls.key", key.as_str())];
        let files = [&own, files].concat();
        let binary = env!("CARGO_BIN_EXE_keyward");
        let process = KeywardProcess::start_configured(binary, &configuration, &[], &files).await;
        Self {
            process,
            upstream,
            root,
        }
    }

    fn how(&self) -> Http3Connect<'_> {
        Http3Connect::to(self.process.gateway(), HOST, &self.root)
    }

    async fn connect(&self) -> Http3Client {
        Http3Client::connect(self.how()).await.unwrap()
    }

    /// Begins a call over TCP.
    fn call_by_curl(&self) -> Child {
        std::fs::write(self.process.folder().join("believed.pem"), &self.root).unwrap();
        let port = self.process.gateway().port();
        Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--fail",
                "--output",
                "/dev/null",
            ])
            .args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")])
            .arg("--cacert")
            .arg(self.process.folder().join("believed.pem"))
            .arg(format!("https://{HOST}:{port}/open/x"))
            .spawn()
            .unwrap()
    }

    fn logged(&self) -> Vec<Value> {
        lines(&self.process.folder())
    }
}

/// A certificate that stands for itself.
pub(crate) fn certificate(host: &str) -> CertifiedKey<KeyPair> {
    let signing_key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    let cert = params.self_signed(&signing_key).unwrap();
    CertifiedKey { cert, signing_key }
}

/// A request for a path of a host.
pub(crate) fn request_to(
    host: &str,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> Request<()> {
    let uri = format!("https://{host}{path}");
    let mut builder = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

/// A request for a path of the tests' host.
fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    request_to(HOST, method, path, fields)
}

fn get(path: &str) -> Request<()> {
    request("GET", path, &[])
}
