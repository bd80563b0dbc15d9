//! The example of HTTP/3.

use crate::protocols::http3::{certificate, request_to};
use keyward_testkit::{Http3Client, Http3Connect, KeywardProcess, Upstream};
use std::path::Path;

#[tokio::test]
async fn http3() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/http3.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("# "), "it says first what it shows");
    let upstream = Upstream::echo().await;
    let text = text.replace("127.0.0.1:9000", &upstream.address().to_string());
    let issued = certificate("localhost");
    let (root, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    let files = [("tls.pem", root.as_str()), ("tls.key", &key)];
    let binary = env!("CARGO_BIN_EXE_keyward");
    let process = KeywardProcess::start_configured(binary, &text, &[], &files).await;
    let how = Http3Connect::to(process.gateway(), "localhost", &root);
    let mut client = Http3Client::connect(how).await.unwrap();
    let reply = client
        .call(request_to("localhost", "GET", "/orders/7?x=y", &[]), b"")
        .await;
    assert_eq!(reply.json()["target"], "/7?x=y");
    let head = upstream.received().pop().unwrap().head;
    assert_eq!(head.field("via"), Some("3.0 keyward"));
    assert_eq!(head.field("x-forwarded-host"), Some("localhost"));
}
