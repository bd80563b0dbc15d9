//! HTTP/2 inside TLS at both ends: two nodes, one behind the other, and gRPC's own library.

use super::Authority;
use crate::gateway::node::{call, get};
use crate::gateway::open_node::{lines, until};
use crate::grpc::{calls, serve};
use keyward_testkit::{KeywardProcess, Upstream};
use serde_json::{Value, json};

/// A node with `listener` said of its gateway's listener, whose API `/open` goes to this upstream.
async fn node(listener: &str, upstream: &str, authority: &Authority) -> KeywardProcess {
    let configuration = format!(
        r#"format: 1
listeners:
  - {{ address: 127.0.0.1:8080, serves: gateway, {listener} }}
  - {{ address: 127.0.0.1:9090, serves: operations }}
workers: 1
access_log: {{ format: json, destination: {{ file: access.log }} }}
resources:
  - {{ kind: upstream, name: next, {upstream} }}
  - {{ kind: api, name: open, version: v1, state: published, base_path: /open, keep_base_path: true, upstream: next, authentication: none }}
"#
    );
    let issued = authority.issue(&["127.0.0.1"]);
    let files = [
        ("own.pem", issued.certificate.as_str()),
        ("own.key", &issued.key),
        ("roots.pem", &authority.root),
    ];
    let binary = env!("CARGO_BIN_EXE_keyward");
    KeywardProcess::start_configured(binary, &configuration, &[], &files).await
}

const TLS: &str = "tls: { certificates: [ { certificate: own.pem, key: own.key } ] }";

/// The line of the one call to `/open/x`.
async fn logged(process: &KeywardProcess) -> Value {
    let folder = process.folder();
    until("the call is logged", || !lines(&folder).is_empty()).await;
    lines(&folder).remove(0)
}

#[tokio::test]
async fn what_is_spoken_to_an_upstream_is_what_both_can() {
    let authority = Authority::new();
    let echo = Upstream::echo().await;
    for (listens, protocol, expected) in [
        ("[http1, http2]", "http1", Some("HTTP/1.1")),
        ("[http1, http2]", "http2", Some("HTTP/2")),
        ("[http1, http2]", "auto", Some("HTTP/2")),
        ("[http1]", "auto", Some("HTTP/1.1")),
        ("[http1]", "http2", None),
    ] {
        let told = format!("{listens} {protocol}");
        let targets = format!("targets: [ {{ url: \"{}\" }} ]", echo.url());
        let listener = format!("protocols: {listens}, {TLS}");
        let back = node(&listener, &targets, &authority).await;
        let targets = format!(
            "protocol: {protocol}, tls: {{ roots: roots.pem }}, targets: [ {{ url: \"https://{}\" }} ]",
            back.gateway()
        );
        let front = node(
            "proxy_protocol: { from: [10.0.0.0/8] }",
            &targets,
            &authority,
        )
        .await;
        let answer = call(front.gateway(), get("/open/x", None, "")).await;
        match expected {
            Some(version) => {
                assert_eq!(answer.status, 200, "{told}\n{}", front.log());
                assert_eq!(logged(&back).await["protocol"], version, "{told}");
            }
            None => {
                assert_eq!(answer.status, 502, "{told}");
                let because = logged(&front).await["because"].to_string();
                assert!(because.contains("NoApplicationProtocol"), "{because}");
            }
        }
    }
}

#[tokio::test]
async fn grpc_passes_inside_tls() {
    let authority = Authority::new();
    let (_server, address) = serve();
    let targets = format!("protocol: http2, targets: [ {{ url: \"http://{address}\" }} ]");
    let process = node(TLS, &targets, &authority).await;
    let of = ["open", "", &authority.root()];
    let told = calls(&process, &of, &["unary", "mirror", "sum"]).await;
    assert_eq!(told["unary"]["value"]["answer"], "hello", "{told:?}");
    assert_eq!(told["sum"]["value"], json!("500000"));
    assert_eq!(told["mirror"]["value"].as_array().unwrap().len(), 20);
}
