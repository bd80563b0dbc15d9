//! The example, as it stands, with gRPC's own library at both ends.

use super::{calls, serve};
use crate::shell::Shell;
use keyward_testkit::KeywardProcess;
use serde_json::json;
use std::path::Path;

#[tokio::test]
async fn grpc() {
    let shell = Shell::new();
    let signing = shell.pipe(&["jwk", "generate", "--alg", "ES256"], b"");
    shell.file("signing.jwk", &signing);
    let jwks = shell.pipe(&["jwk", "public", "--set", "signing.jwk"], b"");
    let jwks = String::from_utf8(jwks).unwrap();
    let token = |scope: &str| {
        let claims = json!({ "iss": "https://login.example", "aud": "orders", "sub": "ada", "scope": scope });
        let claims = claims.to_string();
        let sign = ["jwt", "sign", "--key", "signing.jwk", "--typ", "at+jwt"];
        let sign = [&sign[..], &["--expires-in", "5m", "--claims", &claims]].concat();
        let token = shell.pipe(&sign, b"");
        String::from_utf8(token).unwrap().trim().to_owned()
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/grpc.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("# "), "it says first what it shows");
    let (_server, address) = serve();
    let text = text.replace("127.0.0.1:9000", &address);
    let binary = env!("CARGO_BIN_EXE_keyward");
    let files = [("jwks.json", jwks.as_str())];
    let process = KeywardProcess::start_configured(binary, &text, &[], &files).await;

    let service = "orders.v1.Orders";
    let none = calls(&process, &[service], &["unary"]).await;
    assert_eq!(none["unary"]["code"], "UNAUTHENTICATED");
    let kinds = ["unary", "counted", "sum", "mirror", "delete"];
    let told = calls(&process, &[service, &token("read")], &kinds).await;
    assert_eq!(told["unary"]["value"]["answer"], "hello");
    assert_eq!(told["counted"]["value"], json!(["0", "1", "2", "3", "4"]));
    assert_eq!(told["sum"]["value"], "500000");
    assert_eq!(told["mirror"]["value"].as_array().unwrap().len(), 20);
    assert_eq!(told["delete"]["code"], "PERMISSION_DENIED");
    // The server has no such method, but was asked.
    let told = calls(&process, &[service, &token("write")], &["delete"]).await;
    assert_eq!(told["delete"]["code"], "UNIMPLEMENTED");
    assert_eq!(told["delete"]["details"], "Method not found!");
    // The five calls before count.
    let many = ["unary"; 97];
    let told = calls(&process, &[service, &token("read")], &many).await;
    assert_eq!(told["unary"]["code"], "UNAVAILABLE");
    assert!(told["unary"]["metadata"]["retry-after"].is_string());
}
