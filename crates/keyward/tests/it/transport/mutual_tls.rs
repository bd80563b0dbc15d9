//! Clients that prove themselves by a certificate.

use super::{Authority, Example, curl, python};

async fn run(authority: &Authority, clients: &Authority) -> Example {
    let api = authority.issue(&["api.example"]);
    let files = [
        ("api.pem", api.certificate.as_str()),
        ("api.key", &api.key),
        ("clients.pem", &clients.root),
    ];
    Example::run("mutual-tls.yaml", &[], &files).await
}

const PYTHON: &str = r#"
import http.client, ssl, socket, sys
port, root, certificate, key = int(sys.argv[1]), *sys.argv[2:5]
context = ssl.create_default_context(cafile=root)
if certificate:
    context.load_cert_chain(certificate, key)
try:
    stream = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="api.example")
    connection = http.client.HTTPSConnection("api.example", port)
    connection.sock = stream
    connection.request("GET", "/billing/7")
    print(connection.getresponse().status)
except ssl.SSLError as error:
    print(error.reason)
"#;

#[tokio::test]
async fn only_clients_with_a_certificate_of_the_right_authority_get_in() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let example = run(&authority, &clients).await;
    let root = authority.root();
    for (who, passes, reason) in [
        (Some(&clients), true, "200"),
        (Some(&strangers), false, "TLSV1_ALERT_UNKNOWN_CA"),
        (None, false, "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
    ] {
        let own = who.map(|authority| {
            let issued = authority.issue(&["billing.internal"]);
            [
                authority.file("own.pem", &issued.certificate),
                authority.file("own.key", &issued.key),
            ]
            .map(|path| path.display().to_string())
        });
        let [certificate, key] = own.unwrap_or_default();
        let mut arguments = vec!["--cacert", root.as_str()];
        if who.is_some() {
            arguments.extend(["--cert", certificate.as_str(), "--key", key.as_str()]);
        }
        let (status, told) = curl(example.port(), "api.example", "/billing/7", &arguments).await;
        assert_eq!(status, if passes { 200 } else { 0 }, "{told}");
        let port = example.port().to_string();
        let said = python(PYTHON, &[&port, &root, &certificate, &key]).await;
        assert_eq!(said.trim_end(), reason);
    }
    assert_eq!(example.upstream.received().len(), 2);
}
